"""A whole batch's results, a line each; waiting for a job's end."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from chalice.test import HTTPResponse

from chalicelib.jobs.submitted import NO_HEADERS, RequestHeaders
from chalicelib.runner.outcome import Fetched, Sink
from chalicelib.service import read
from chalicelib.storage.links import LINK_SECONDS
from tests.world import SECOND, Site, World, failure

URL = "https://example.com/"


def lines(answer: HTTPResponse) -> list[dict[str, Any]]:
    """The lines of an answer."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-ndjson"), answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def test_each_job_is_a_line(w: World) -> None:
    """The job as it is shown alone; with a link to its result, or with its error, or with neither yet."""
    w.site.answers = {f"{URL}1": [failure()]}
    batch = w.submit_batch([f"{URL}{n}" for n in range(3)])
    w.deliver(w.receive()[:2])
    answer = w.request("GET", f"/batches/{batch['id']}/results")
    done, failed, waits = lines(answer)
    job = w.job(f"{batch['id']}-0")
    link, until = done["result"].pop("link"), done["result"].pop("link_expires_at")
    assert done == job
    assert until == f"2026-01-01T00:0{LINK_SECONDS // 60}:00.000Z"
    key = next(iter(w.objects()))
    assert f"/{key}?" in link
    disposition = parse_qs(urlsplit(link).query)["response-content-disposition"]
    assert disposition == ["attachment; filename=\"example.com_0.txt\"; filename*=UTF-8''example.com_0.txt"]
    assert (failed["status"], failed["result"], failed["error"]["http_status"]) == ("failed", None, 404)
    assert (waits["status"], waits["result"], waits["error"]) == ("queued", None, None)
    assert answer.headers["Retry-After"] == "2"
    w.run()
    assert "Retry-After" not in w.request("GET", f"/batches/{batch['id']}/results").headers


def test_pages(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of lines and a link to the next; deleted jobs are missing; each page reads its own jobs only."""
    assert read.PAGE == 100
    monkeypatch.setattr(read, "PAGE", 10)  # moto's transactions copy the table, and take as long as it is large
    batch = w.submit_batch([f"{URL}{n}" for n in range(21)])
    w.run()
    w.request("DELETE", f"/jobs/{batch['id']}-15")
    path, found, calls = f"/batches/{batch['id']}/results", [], []
    while path:
        with w.counted_calls() as made:
            answer = w.request("GET", path)
        found.append([line["id"].rpartition("-")[2] for line in lines(answer)])
        calls.append(dict(made))
        link = answer.headers.get("Link", "")
        path = link.partition(">")[0].removeprefix("<")
        assert link in ("", f'<{path}>; rel="next"')
    assert [len(page) for page in found] == [10, 9, 1]
    assert [int(number) for page in found for number in page] == [n for n in range(21) if n != 15]
    assert calls == [{"GetItem": 1, "BatchGetItem": 2}] * 3
    assert lines(w.request("GET", f"/batches/{batch['id']}/results?cursor=999")) == []


def test_what_there_is_not(w: World) -> None:
    """Unknown batches and cursors that are none of ours."""
    assert w.request("GET", f"/batches/{'0' * 32}/results").status_code == 404
    batch = w.submit_batch([URL])
    assert w.request("GET", f"/batches/{batch['id']}/results?cursor=x").status_code == 422
    assert w.request("GET", f"/batches/{batch['id']}/results?status=queued").status_code == 422


# What may be shown


class TextSite(Site):
    """Answers a short text, and says what it is."""

    def __init__(self, content_type: str) -> None:
        super().__init__()
        self.content_type = content_type

    def fetch(self, url: str, sink: Sink, request_headers: RequestHeaders = NO_HEADERS) -> Fetched:
        data = b"--b\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>\r\n--b--\r\n"
        sink.begin(self.content_type)
        sink.write(data)
        return Fetched(
            content_type=self.content_type,
            size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            http_status=200,
            final_url=url,
            text=True,
        )


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("text/plain; charset=utf-8", 200),
        ("text/html", 200),
        ("image/svg+xml", 200),
        ("application/json", 200),
        ("application/octet-stream", 200),
        ("application/x-multipart/x", 200),
        ("text/plain; note=multipart/mixed", 200),
        ("multipart/x-mixed-replace; boundary=b", 303),
        ("Multipart/X-Mixed-Replace;boundary=b", 303),
        ("multipart/related; boundary=b", 303),
        ("text/plain, multipart/x-mixed-replace; boundary=b", 303),
        ("multipart/x-mixed-replace; boundary=b, text/plain", 303),
        ("text/plain,multipart/mixed ;boundary=b", 303),
        ("message/rfc822", 303),
        ("application/x-mimearchive", 303),
        ("application/signed-exchange;v=b3", 303),
        ("application/pdf", 303),
    ],
)
def test_what_a_browser_takes_apart_is_not_shown(w: World, content_type: str, status: int) -> None:
    """Its parts have headers of their own, which would count in place of the sandbox; it is a download."""
    w.site = TextSite(content_type)
    w.wire()
    job_id = w.submit(URL)["id"]
    w.run()
    answer = w.request("GET", f"/jobs/{job_id}/result")
    assert answer.status_code == status
    if status == 303:
        assert answer.body == b""
        assert "response-content-disposition=attachment" in answer.headers["Location"]
    else:
        assert (answer.headers["Content-Type"], answer.headers["Content-Security-Policy"]) == (content_type, "sandbox")


# Waiting


def test_waiting_ends_with_the_job(w: World) -> None:
    """The answer comes as soon as the job is finished, and the job is read once a second."""
    job = w.submit(URL)
    waits = 0

    def run_later() -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            w.run()

    w.meanwhile = run_later
    began = w.now
    answer = w.request("GET", f"/jobs/{job['id']}?wait=20")
    assert (answer.json_body["status"], w.now - began) == ("succeeded", 3 * SECOND)
    w.meanwhile = None
    assert w.request("GET", f"/jobs/{job['id']}?wait=20").json_body["status"] == "succeeded"
    assert w.now - began == 3 * SECOND


@pytest.mark.parametrize(
    ("query", "headers", "seconds"),
    [
        ("", {}, 0),
        ("?wait=0", {}, 0),
        ("?wait=3", {}, 3),
        ("?wait=999", {}, 20),
        ("", {"Prefer": "wait=5"}, 5),
        ("", {"Prefer": "respond-async, Wait = 5; x=y"}, 5),
        ("", {"Prefer": "wait=9999"}, 20),
        ("", {"Prefer": "wait=soon"}, 0),
        ("", {"Prefer": "await=5"}, 0),
        ("?wait=1", {"Prefer": "wait=5"}, 1),
    ],
)
def test_waiting_ends_in_time(w: World, query: str, headers: dict[str, str], seconds: int) -> None:
    """After the seconds that were asked for, within API Gateway's limit; a preference is one that may be ignored."""
    job = w.submit(URL)
    began = w.now
    with w.counted_calls() as calls:
        answer = w.request("GET", f"/jobs/{job['id']}{query}", headers=headers)
    assert (answer.json_body["status"], w.now - began) == ("queued", seconds * SECOND)
    assert calls == {"GetItem": seconds + 1}
    assert answer.headers["Retry-After"] == "1"
    followed = f"wait={seconds}" if headers and seconds and not query else None
    assert answer.headers.get("Preference-Applied") == followed


@pytest.mark.parametrize("wait", ["", "-1", "1.5", "x", "99999", "%32%30%30%30%30"])
def test_what_is_no_number_of_seconds(w: World, wait: str) -> None:
    """422, whether there is such a job or not."""
    assert w.request("GET", f"/jobs/{w.submit(URL)['id']}?wait={wait}").status_code == 422


def test_waiting_for_a_job_that_is_deleted(w: World) -> None:
    """Ends when it is."""
    job = w.submit(URL)
    w.meanwhile = lambda: w.request("DELETE", f"/jobs/{job['id']}")
    assert w.request("GET", f"/jobs/{job['id']}?wait=20").status_code == 404
