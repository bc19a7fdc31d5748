"""URLs with headers and references: what is read, what is sent, and what is kept of it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fetch_queue import FetchQueue, Request
from fetch_queue.client import body
from fetch_queue.lists import ListError, cut, headers_of, read

from tests.client.conftest import Ran
from tests.client.fake import LOST, Service

Command = Callable[..., Ran]
A, B = (f"https://example.com/{name}" for name in "ab")
CANARY = "canary"


def sent(service: Service) -> list[Any]:
    """The bodies of submissions."""
    return [json.loads(seen.body) for seen in service.seen if seen.method == "POST"]


def lines_of(path: Path) -> list[dict[str, Any]]:
    """A manifest's lines about URLs."""
    return [record for line in path.read_text().splitlines() if "index" in (record := json.loads(line))]


def test_plain_urls_are_sent_as_ever() -> None:
    """To the byte: a batch whose answer was lost is sent again by another version with the same key."""
    assert body([A, Request(B)]) == b'{"urls":["https://example.com/a","https://example.com/b"]}'


def test_a_program(service: Service) -> None:
    """Submits Requests beside URLs, and headers for all."""
    queue = FetchQueue(service.url)
    accepted = queue.submit([A, Request(B, {"Accept": "text/html"}, "b")], headers={"Cookie": "c=1"})
    assert [job.url for job in accepted.jobs] == [A, B]
    assert sent(service) == [
        {"urls": [A, {"url": B, "headers": {"Accept": "text/html"}, "reference": "b"}], "headers": {"Cookie": "c=1"}}
    ]


def test_values_are_not_shown() -> None:
    """Who prints a Request sees its URL."""
    assert CANARY not in repr(Request(A, {"Authorization": CANARY}, "a"))


def test_a_list_of_objects(service: Service, command: Command, tmp_path: Path) -> None:
    """Beside plain lines; each reference is in the manifest, and a line without one is as it always was."""
    (tmp_path / "list.jsonl").write_text(
        f'# mine\n{A}\n{{"url": "{B}", "headers": {{"Authorization": "{CANARY}"}}, "reference": "b"}}\n'
    )
    ran = command("submit", "-f", str(tmp_path / "list.jsonl"), "-o", str(tmp_path / "out"))
    assert ran.code == 0
    assert sent(service) == [{"urls": [A, {"url": B, "headers": {"Authorization": CANARY}, "reference": "b"}]}]
    records = lines_of(tmp_path / "out" / "manifest.jsonl")
    assert {record["url"]: record.get("reference", "none") for record in records} == {A: "none", B: "b"}
    everything = "".join(path.read_text() for path in (tmp_path / "out").iterdir() if path.is_file())
    assert CANARY not in everything + ran.out + ran.err


def test_headers_for_all(service: Service, command: Command, tmp_path: Path) -> None:
    """From the command line, and from a file that other users of the machine cannot read."""
    (tmp_path / "headers").write_text(f"Authorization: Bearer {CANARY}:x\n\nX-B:b\n")
    ran = command("submit", A, "--header", "Accept: text/html", "--header", f"@{tmp_path / 'headers'}")
    assert ran.code == 0
    headers = {"Accept": "text/html", "Authorization": f"Bearer {CANARY}:x", "X-B": "b"}
    assert sent(service) == [{"urls": [A], "headers": headers}]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["Accept"], 'is not like "Accept: text/html"'),
        ([f": {CANARY}"], 'is not like "Accept: text/html"'),
        (["Accept:"], 'is not like "Accept: text/html"'),
        (["Accept: a", f"accept: {CANARY}"], "accept is given twice"),
        (["@no/such/file"], "no/such/file cannot be read: No such file"),
    ],
)
def test_headers_that_cannot_be_sent(command: Command, given: list[str], says: str) -> None:
    """A wrong command line, which does not say what may be secret."""
    options = [part for text in given for part in ("--header", text)]
    ran = command("submit", A, *options)
    assert ran.code == 2
    assert says in " ".join(ran.err.split())
    assert CANARY not in ran.err
    with pytest.raises(ListError):
        headers_of(given)


@pytest.mark.parametrize(
    "line",
    [
        *("{", "{}", '{"url": 1}', '{"url": "u", "header": {}}', '{"url": "u", "headers": []}', '{"url": "u"} x'),
        *('{"url": "u", "headers": {"A": 1}}', '{"url": "u", "reference": 7}'),
    ],
)
def test_a_line_that_is_no_request(line: str) -> None:
    """Which line it is, and what would do."""
    with pytest.raises(ListError, match=r'^line 2 of list is not like {"url": "https://example\.com/"'):
        read("list", io.BytesIO(f"{A}\n{line}\n".encode()))


def test_what_is_absent_may_be_null() -> None:
    """As programs write it that always write all members."""
    assert read("list", io.BytesIO(b'{"url": "u", "headers": null, "reference": null}')) == [Request("u")]


def test_headers_count_where_a_list_is_cut() -> None:
    """No body is over a mebibyte, with four kilobytes of headers for all."""
    requests = [Request(f"{A}{number}", {"X": "v" * 1024, "Y": "w" * 1024}) for number in range(1000)]
    parts = cut(requests)
    assert [index for part in parts for index in part] == list(range(1000))
    assert max(len(body(requests[part.start : part.stop], {"Z": "z" * 4095})) for part in parts) <= 1024 * 1024


def test_going_on_with_headers(service: Service, command: Command, tmp_path: Path) -> None:
    """The batch whose answer was lost is sent again as it was; the manifest knows no value, nor a digest of one."""
    service.fail("POST", LOST)
    (tmp_path / "list").write_text(f'{{"url": "{A}", "headers": {{"Authorization": "{CANARY}"}}}}\n')
    arguments = ["submit", "-f", str(tmp_path / "list"), "--manifest", str(tmp_path / "m"), "--header", f"X: {CANARY}"]
    assert command(*arguments).code == 0
    first, second = sent(service)
    assert first == second
    assert command(*arguments).code == 0
    assert len(sent(service)) == 2
    (planned,) = [json.loads(line) for line in (tmp_path / "m").read_text().splitlines()][1:2]
    one = Request(A, {"Authorization": CANARY})
    secrets = [body([one]), body([one], {"X": CANARY})]
    assert planned["sha256"] not in [hashlib.sha256(secret).hexdigest() for secret in secrets]
    (tmp_path / "list").write_text(f'{{"url": "{A}", "headers": {{"Accept": "a"}}}}\n')
    ran = command(*arguments)
    assert (ran.code, "is for other URLs" in ran.err) == (2, True)
