"""The package that goes to the cloud, deployed by CloudFormation to an emulator and used through its API Gateway, with
a process of Lambda for each function and IAM that holds each to its policy."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest

from deployment import deploy
from deployment.package import Package
from tests.deployment.deployed import FOREIGN, NAME, OVERRIDES, Deployed, adapt, functions_of, request
from tests.e2e.running import until

pytestmark = pytest.mark.emulator


def test_health(service: Deployed) -> None:
    """The API answers at the stage's URL, which the deployment tells first."""
    assert service.ask("GET", "/api/health").json == {"status": "ok"}
    told = next(line for line in service.said if "://" in line and "s3://" not in line)
    assert told.split() == ["URL", service.outputs["URL"]]
    assert service.outputs["URL"].endswith("/api")


def test_a_job_from_submission_to_result(service: Deployed) -> None:
    """Submitted, fetched once, read; every link carries the stage and can be followed."""
    accepted = service.ask("POST", "/api/jobs", {"url": f"{service.site.url}/hello.txt?job"})
    assert (accepted.status, accepted.headers["Location"]) == (202, accepted.json["links"]["self"])
    job = service.finished(accepted.json)
    assert (job["status"], job["attempts"], job["reused"]) == ("succeeded", 1, False), job["error"]
    read = service.ask("GET", job["links"]["result"])
    assert (read.status, read.body) == (200, b"Hello from the sample site.\n")
    assert read.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert read.headers["X-Content-Type-Options"] == "nosniff"
    assert service.ask("GET", job["links"]["result"], **{"If-None-Match": read.headers["ETag"]}).status == 304


@pytest.mark.parametrize("page", ["/image.png?deployed", "/big?bytes=20000000&deployed"])
def test_what_is_not_short_text_is_read_by_a_link(service: Deployed, page: str) -> None:
    """303 to a presigned URL, which needs no credentials and is a download; nothing else opens the bucket."""
    job = service.finished(service.submit(page))
    assert job["status"] == "succeeded", job
    redirect = service.ask("GET", job["links"]["result"])
    assert (redirect.status, redirect.body) == (303, b"")
    read = request("GET", redirect.headers["Location"])
    assert read.status == 200
    assert read.headers["Content-Disposition"].startswith('attachment; filename="127.0.0.1_')
    assert hashlib.sha256(read.body).hexdigest() == job["result"]["sha256"]
    assert request("GET", redirect.headers["Location"].partition("?")[0]).status == 403


def test_a_batch(service: Deployed) -> None:
    """In the order given, one fetch for a URL that comes twice, what is no URL rejected; deleted as a whole."""
    pages = ["/page/batch-1", "/page/batch-2", "/page/batch-1"]
    urls = [*(service.site.url + page for page in pages), "nonsense"]
    accepted = service.ask("POST", "/api/batches", {"urls": urls})
    assert accepted.status == 202, accepted
    assert [rejected["index"] for rejected in accepted.json["rejected"]] == [3]
    path = accepted.headers["Location"]
    page = until(lambda: found if (found := service.ask("GET", path).json)["finished"] else None)
    assert page["counts"]["succeeded"] == 3
    assert [job["url"] for job in page["jobs"]] == urls[:3]
    assert service.site.requests("/page/batch-1") == 1
    assert service.ask("DELETE", path).status == 204
    assert service.ask("GET", path).status == 404


def test_a_batchs_results(service: Deployed) -> None:
    """A line for each job, with a link that needs no credentials; the next page's link carries the stage."""
    urls = [f"{service.site.url}/page/results-{n}" for n in range(3)]
    batch = service.ask("POST", "/api/batches", {"urls": urls}).json
    until(lambda: service.ask("GET", batch["links"]["self"]).json["finished"])
    answer = service.ask("GET", f"{batch['links']['self']}/results")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [request("GET", line["result"]["link"]).body for line in lines] == [
        f"This is page results-{n}.\n".encode() for n in range(3)
    ]


def test_a_retry_and_the_lists(service: Deployed) -> None:
    """What failed becomes a batch of its own; both are listed, and so is a job that was submitted alone."""
    accepted = service.ask("POST", "/api/batches", {"urls": [service.site.url + "/missing?retry"]})
    path = accepted.headers["Location"]
    until(lambda: service.ask("GET", path).json["finished"])
    retried = service.ask("POST", f"{path}/retry?only=http-status")
    assert retried.status == 202, retried
    old = service.ask("GET", path).json
    assert (retried.json["retry_of"], old["retried_by"]) == (old["id"], retried.json["id"])
    assert old["links"]["retried_by"] == retried.headers["Location"]
    listed = service.ask("GET", "/api/batches?limit=2")
    assert [batch["id"] for batch in listed.json["batches"]] == [retried.json["id"], old["id"]]
    job = service.submit("/page/listed")
    assert service.ask("GET", "/api/jobs?limit=1").json["jobs"][0]["id"] == job["id"]
    until(lambda: service.ask("GET", retried.headers["Location"]).json["finished"])
    more = service.ask("GET", "/api/batches?limit=1")
    assert more.headers["Link"] == f'<{more.json["next"]}>; rel="next"'
    assert service.ask("GET", more.json["next"]).json["batches"][0]["id"] == old["id"]
    assert service.ask("GET", "/api/usage").json == {"quotas": []}


def test_waiting_for_a_job(service: Deployed) -> None:
    """The answer comes with the job's end, in one request."""
    job = service.submit("/slow?seconds=1&waited")
    answer = service.ask("GET", f"{job['links']['self']}?wait=20")
    assert (answer.status, answer.json["status"]) == (200, "succeeded")


@pytest.mark.parametrize("path", ["/api/", "/api"])
def test_the_page_and_the_document(service: Deployed, path: str) -> None:
    """Both know the stage that they are behind; the page may ask the bucket that links lead to."""
    page = service.ask("GET", path)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b'<meta name="api-prefix" content="/api">' in page.body
    assert "connect-src 'self' http" in page.headers["Content-Security-Policy"]
    assert service.ask("GET", "/api/openapi.json").json["servers"] == [{"url": "/api"}]


def test_reuse_and_delete(service: Deployed) -> None:
    """Within the hour a URL is not fetched again; once its last job is deleted, it is."""
    first = service.finished(service.submit("/page/reused"))
    second = service.finished(service.submit("/page/reused"))
    assert (first["reused"], second["reused"], service.site.requests("/page/reused")) == (False, True, 1)
    for job in (first, second):
        assert service.ask("GET", job["links"]["result"]).status == 200
        assert service.ask("DELETE", job["links"]["self"]).status == 204
        assert service.ask("GET", job["links"]["self"]).status == 404
    third = service.finished(service.submit("/page/reused"))
    assert (third["reused"], service.site.requests("/page/reused")) == (False, 2)


def test_an_idempotency_key(service: Deployed) -> None:
    """The same key and body are the same job; another body is refused."""
    key = {"Idempotency-Key": "deployed-1"}
    first, again = (service.submit("/page/key", **key) for _ in range(2))
    assert first["id"] == again["id"]
    other = service.ask("POST", "/api/jobs", {"url": f"{service.site.url}/page/other-key"}, **key)
    assert (other.status, other.json["type"].rpartition("/")[2]) == (422, "idempotency-key-reused")


def test_a_retry_after_a_503(service: Deployed) -> None:
    """The message comes back by itself, and the second attempt succeeds."""
    job = service.finished(service.submit("/flaky/deployed"))
    assert (job["status"], job["attempts"], service.site.requests("/flaky/deployed")) == ("succeeded", 2, 2)


def test_a_worker_that_is_killed_in_mid_fetch(service: Deployed) -> None:
    """Its messages come back when their visibility ends, and another worker brings the job to its end."""
    page = "/slow?seconds=2&killed"
    job = service.submit(page)
    until(lambda: service.site.requests(page) == 1)
    for pid in functions_of(service.emulator):
        os.kill(pid, signal.SIGKILL)
    until(lambda: service.ask("GET", "/api/health").status == 200)  # the API's own process was one of them
    done = service.finished(job)
    assert (done["status"], done["attempts"], service.site.requests(page)) == ("succeeded", 2, 2)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/nowhere"), ("PUT", "/api/jobs"), ("DELETE", "/api/health"), ("PATCH", "/api/jobs")],
)
def test_an_unknown_path_or_method(service: Deployed, method: str, path: str) -> None:
    """API Gateway answers itself, in the form of the service's own errors and with no CORS header."""
    answer = service.ask(method, path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.json["type"] == "https://fetch-queue.dev/problems/not-found"
    assert answer.json["status"] == 404
    assert "POST /jobs" in answer.json["detail"]
    assert answer.headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize(("body", "status"), [({"url": 5}, 422), ({"url": "http://10.0.0.1/"}, 422)])
def test_an_error_of_the_service(service: Deployed, body: object, status: int) -> None:
    """A problem passes through API Gateway as it is."""
    answer = service.ask("POST", "/api/jobs", body)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")


def test_logs_and_metrics(service: Deployed) -> None:
    """Each function logs JSON to its own group, which is kept for as long as the stage says; metrics are among it."""
    job = service.finished(service.submit("/page/logged"))
    lines = [line for line in service.records("RunnerLogName") if line.get("job_id") == job["id"]]
    assert [line["fetch_id"] for line in lines if line["message"] == "fetch succeeded"] == [job["id"]]
    counted = [name for line in service.records("RunnerLogName") if "_aws" in line for name in line]
    assert "Fetched" in counted
    groups = boto3.client("logs").describe_log_groups()["logGroups"]
    kept = {group["logGroupName"]: group.get("retentionInDays") for group in groups}
    ours = [value for name, value in service.outputs.items() if name.endswith("LogName")]
    assert {name: kept[name] for name in ours} == dict.fromkeys(ours, 30)


def test_the_runner_cannot_delete_jobs(service: Deployed) -> None:
    """What the policies do not allow is refused here, so that every other test shows that they allow enough."""
    iam = boto3.client("iam")
    roles = [role for role in iam.list_roles()["Roles"] if role["RoleName"].startswith(NAME)]
    assert len(roles) == 4
    runner = next(role for role in roles if "RunJobsRole" in role["RoleName"])
    answer = iam.simulate_principal_policy(
        PolicySourceArn=runner["Arn"], ActionNames=["dynamodb:DeleteItem", "sqs:SendMessage"]
    )
    assert {result["EvalDecision"] for result in answer["EvaluationResults"]} == {"implicitDeny"}


def test_a_webhook_is_told(service: Deployed) -> None:
    """By a function of its own, which may do all that this takes; the sample site answers that it takes no POST."""
    body = {"url": f"{service.site.url}/page/told", "webhook": f"{service.site.url}/hook"}
    job = service.ask("POST", "/api/jobs", body).json
    assert job["webhook"]["status"] == "waiting"

    def tried() -> Any:
        webhook = service.job(job)["webhook"]
        return webhook if webhook["tries"] and webhook["last_status"] else None

    webhook = until(tried, what=f"nobody was told: {service.log('WebhooksLogName')}")
    assert (webhook["status"], webhook["last_status"]) == ("pending", 501)
    assert service.ask("POST", f"/api/jobs/{job['id']}/webhook", {}).status == 202
    secrets = [service.ask(method, "/api/webhook-secret", body).json for method, body in (("GET", None), ("POST", {}))]
    assert secrets[0]["secret"] != secrets[1]["secret"]
    assert service.ask("DELETE", job["links"]["self"]).status == 204


def test_nothing_listens_off_loopback(service: Deployed) -> None:
    """Neither the emulator nor a function."""
    shown = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=False)
    if shown.returncode:
        pytest.skip("the listeners are listed by `ss`, which this machine does not have")
    pids = [service.emulator.child.pid, *functions_of(service.emulator)]
    mine = [line.split()[3] for line in shown.stdout.splitlines() if any(f"pid={pid}," in line for pid in pids)]
    assert mine
    assert all(address.startswith("127.0.0.1:") for address in mine), mine


def test_a_second_deployment_is_an_update(service: Deployed, made: Package) -> None:
    """What is the same changes nothing; another value changes what it concerns, and jobs stay."""
    job = service.finished(service.submit("/page/updated"))
    said: list[str] = []

    def again(**overrides: str) -> dict[str, str]:
        return deploy.deploy(
            "prod",
            said.append,
            name=NAME,
            overrides={**OVERRIDES, **overrides},
            made=made,
            adapt=adapt,
            pause_seconds=0.1,
        )

    def keys() -> list[str | None]:
        functions = boto3.client("lambda").list_functions()["Functions"]
        return [function["Environment"]["Variables"].get("SERVICE_KEY") for function in functions]

    before = keys()
    assert sorted(len(key or "") for key in before) == [0, 0, 64, 64]
    again()
    assert any(line.startswith("No changes") for line in said)
    assert any("is already there" in line for line in said)
    said.clear()
    outputs = again(RunnerMemory="768")
    assert [line for line in said if "UPDATE_COMPLETE" in line and "RunJobs" in line]
    assert outputs["RestAPIId"] == service.outputs["RestAPIId"]
    functions = {f["FunctionName"]: f["MemorySize"] for f in boto3.client("lambda").list_functions()["Functions"]}
    assert sorted(functions.values()) == [256, 256, 768, 1024]
    assert keys() == before
    assert service.job(job)["status"] == "succeeded"


def test_a_stack_with_data_gets_the_index(service: Deployed, made: Package) -> None:
    """The table of an older version, which has none, is changed in place: its jobs stay, new ones are listed."""
    said: list[str] = []
    name = f"{NAME}-older"

    def older(template: dict[str, Any]) -> dict[str, Any]:
        table = adapt(template)["Resources"]["Table"]["Properties"]
        del table["GlobalSecondaryIndexes"]
        del table["AttributeDefinitions"][1:]
        return template

    def given(as_template: Callable[[dict[str, Any]], dict[str, Any]]) -> Deployed:
        outputs = deploy.deploy(
            "prod", said.append, name=name, overrides=OVERRIDES, made=made, adapt=as_template, pause_seconds=0.1
        )
        return replace(service, outputs=outputs)

    before = given(older)
    job = before.finished(before.submit("/page/older"))
    assert before.ask("GET", "/api/jobs").status == 503
    after = given(adapt)
    assert after.outputs["TableName"] == before.outputs["TableName"]
    assert after.job(job)["status"] == "succeeded"
    new = after.submit("/page/older")
    assert new["status"] == "succeeded"
    assert [one["id"] for one in after.ask("GET", "/api/jobs?limit=1").json["jobs"]] == [new["id"]]
    deploy.destroy("prod", said.append, name=name, pause_seconds=0.1)


def test_an_allowed_origin(service: Deployed, made: Package) -> None:
    """A page of that origin may read every answer; the gateway's own errors, which hold nothing, any origin may then.

    Where it comes later, the API is deployed anew for it.

    Here a stack of its own is asked: on this emulator an update puts the responses after the API's deployment.
    """
    said: list[str] = []

    def given(name: str, origin: str) -> dict[str, str]:
        overrides = {**OVERRIDES, "AllowedOrigins": origin}
        return deploy.deploy(
            "prod", said.append, name=name, overrides=overrides, made=made, adapt=adapt, pause_seconds=0.1
        )

    other = replace(service, outputs=given(f"{NAME}-origin", "https://example.com"))
    answer = other.ask("GET", "/api/nowhere")
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (404, "*")
    asked = other.ask("OPTIONS", "/api/jobs", Origin="https://example.com")
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, "https://example.com")
    assert other.ask("OPTIONS", "/api/jobs", Origin="https://example.org").status == 405
    said.clear()
    given(f"{NAME}-origin", "https://example.org")
    assert [line for line in said if "to add" in line and "AWS::ApiGateway::Deployment" in line]
    said.clear()
    deploy.destroy("prod", said.append, name=f"{NAME}-origin", pause_seconds=0.1)
    assert f"  table  {other.outputs['TableName']}" in said
    assert f"  bucket {other.outputs['BucketName']}" in said
    assert other.outputs["TableName"] in boto3.client("dynamodb").list_tables()["TableNames"]


def test_a_dead_letter(service: Deployed) -> None:
    """A message that nobody can read is tried, moved by the queue, logged as an error, and gone.

    It was sent when the service was deployed, and takes six deliveries.
    """

    def logged() -> list[object]:
        errors = [line for line in service.records("DeadLettersLogName") if line.get("level") == "ERROR"]
        return [line for line in errors if line.get("body") == FOREIGN]

    assert until(logged, 120)
    until(lambda: not service.waiting("QueueURL") and not service.waiting("DeadLetterQueueURL"))
