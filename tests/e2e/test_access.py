"""Access control with real processes: tokens by the command line, and a quota that many clients use up at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import urlsplit

import boto3
import pytest

from local_stack.demo import HttpAnswer, ask
from tests.depth import FULL
from tests.e2e.running import ROOT, Running, running, until

pytestmark = pytest.mark.emulator

LIMIT = 487  # URLs a day
CLIENTS = 50


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack that asks for tokens and has a quota; its jobs are stored and not run."""
    settings = {"REQUIRE_TOKENS": "1", "QUOTA_URLS_PER_DAY": str(LIMIT), "WORKERS": "0"}
    with running(tmp_path_factory.mktemp("closed"), settings) as stack:
        yield stack


def admin(stack: Running, *arguments: str) -> str:
    """What the operator's command line prints, asked about this stack."""
    environment = {**os.environ, "EMULATOR_PORT": str(urlsplit(stack.facts["emulator"]).port)}
    command = [sys.executable, "-m", "admin", "--stage", "dev", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_token_opens_the_service(closed: Running) -> None:
    """Closed without one; open with one that was made a moment ago; who reads the list sees it, but not its secret."""
    assert closed.ask("GET", "/health").status == 200
    refused = closed.ask("GET", "/jobs/x")
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="fetch-queue"')
    token = admin(closed, "token", "create", "--name", "laptop").strip()
    assert closed.ask("GET", "/jobs/x", Authorization=f"Bearer {token}").status == 404
    listed = admin(closed, "token", "list")
    assert "laptop" in listed
    assert token.split("_")[1] in listed
    assert token.split("_")[2] not in listed
    admin(closed, "token", "revoke", token.split("_")[1])
    assert "revoked" in admin(closed, "token", "list")
    if not FULL:  # what a token opens is forgotten within a minute: the tests of the API turn a clock
        return
    until(lambda: closed.ask("GET", "/jobs/x", Authorization=f"Bearer {token}").status == 401, 70)


@pytest.mark.parametrize(
    "action",
    [
        "Action=ListQueues&Version=2012-11-05",
        "Action=DeleteStack&Version=2010-05-15&StackName=fetch-queue",
        "list-type=2",
    ],
)
def test_no_web_page_reaches_the_emulator(closed: Running, action: str) -> None:
    """It runs beside the stack and would do anything for anybody: list queues, remove the stack, read results."""
    emulator = closed.facts["emulator"]
    page = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    rebound = {"Host": "evil.example"}
    image = {"Referer": "https://evil.example/"}
    tables = {"X-Amz-Target": "DynamoDB_20120810.ListTables", "Content-Type": "application/x-amz-json-1.0"}
    for headers in (page, rebound, image):
        assert ask("POST", f"{emulator}/", {}, {**tables, **headers}).status == 403
        for signature in ("", "&X-Amz-Signature=x"):
            assert ask("GET", f"{emulator}/?{action}{signature}", headers=headers).status == 403
    # A program gets in, and finds everything where it was.
    client = boto3.client(
        "sqs",
        endpoint_url=emulator,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    assert closed.facts["variables"]["QUEUE_URL"] in client.list_queues()["QueueUrls"]


def test_a_web_page_reads_a_result_by_its_link(stack: Running) -> None:
    """By nothing but the link that it was given: not by the same link for another thing."""
    batch = stack.submit_batch([stack.page("/image.png?link")])
    [job] = stack.finished_batch(batch["id"])["jobs"]
    page = {"Origin": stack.facts["api"], "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}
    [line] = stack.ask("GET", f"/batches/{batch['id']}/results").body.splitlines()
    link = json.loads(line)["result"]["link"]
    original = ask("GET", stack.page("/image.png")).body
    for headers in (page, {}):
        assert ask("GET", link, headers=headers).body == original
        assert ask("GET", f"{link}&acl", headers=headers).status == 403
        assert ask("GET", link.partition("?")[0], headers=headers).status == 403
    assert stack.ask("GET", job["links"]["result"]).body == original  # as `curl -L` does


def test_a_quota_under_many_clients(closed: Running) -> None:
    """Fifty clients submit until they are refused: accepted is what the quota says, to the URL, no more is stored."""
    tenant = "quota"
    token = admin(closed, "token", "create", "--tenant", tenant).strip()
    # Another tenant, who has its own limit and takes nothing of this one's.
    other = admin(closed, "token", "create", "--tenant", f"{tenant}-other").strip()
    began = datetime.now(UTC).date()

    def submit(client: int, number: int, urls: int) -> HttpAnswer:
        body = {"urls": [closed.page(f"/page/{client}-{number}-{n}") for n in range(urls)]}
        return closed.ask("POST", "/batches", body, Authorization=f"Bearer {token}")

    def use_up(client: int) -> tuple[int, Counter[int]]:
        accepted, statuses, urls, number = 0, Counter[int](), 1 + client % 7, 0
        while urls:
            answer = submit(client, number, urls)
            number += 1
            statuses[answer.status] += 1
            if answer.status == 202:
                accepted += len(answer.json["jobs"])
            else:
                assert int(answer.headers["Retry-After"]) > 0
                urls -= 1  # fewer may fit
        return accepted, statuses

    with ThreadPoolExecutor(CLIENTS) as clients:
        results = list(clients.map(use_up, range(CLIENTS)))
    accepted = sum(count for count, _ in results)
    statuses = sum((counted for _, counted in results), Counter[int]())
    print(f"\n{CLIENTS} clients, {LIMIT} URLs a day: {accepted} accepted; answers by status {dict(statuses)}")
    assert set(statuses) == {202, 429}
    if datetime.now(UTC).date() == began:  # else some of it was counted in the next day
        assert accepted == LIMIT
    client = boto3.client(
        "dynamodb",
        endpoint_url=closed.facts["emulator"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    pages = client.get_paginator("scan").paginate(TableName=closed.facts["variables"]["TABLE_NAME"])
    stored = [item for page in pages for item in page["Items"] if item["pk"]["S"].startswith("JOB#")]
    assert len([item for item in stored if item["tenant"]["S"] == tenant]) == accepted
    answer = closed.ask("POST", "/jobs", {"url": closed.page("/page/other")}, Authorization=f"Bearer {other}")
    assert (answer.status, answer.headers["RateLimit"].partition(";t")[0]) == (202, f'"day";r={LIMIT - 1}')
