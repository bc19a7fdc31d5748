"""Submitting: one URL or many, idempotency keys, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.jobs import ids
from chalicelib.jobs.target import Target
from tests.world import DAY, SECOND, World

URL = "https://example.com/"


def problem(response: Any) -> tuple[int, str, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json_body
    assert body["status"] == response.status_code
    assert body["title"]
    return response.status_code, body["type"].rpartition("/")[2], body["detail"]


def test_one_url(w: World) -> None:
    """A URL becomes a queued job with its own id, shown as it was given."""
    response = w.request("POST", "/jobs", {"url": "HTTPS://Example.com"})
    assert response.status_code == 202
    job = response.json_body
    assert response.headers["Location"] == job["links"]["self"] == f"/jobs/{job['id']}"
    assert (job["url"], job["status"], job["reused"], job["attempts"]) == ("HTTPS://Example.com", "queued", None, 0)
    assert job["expires_at"] == "2026-01-08T00:00:00.000Z"
    assert w.job(job["id"]) == job


def test_a_batch_keeps_the_order_given(w: World) -> None:
    """Valid URLs become jobs in order; the others are named by their index."""
    response = w.request("POST", "/batches", {"urls": [URL, "ftp://x/", URL + "b", "no url"]})
    assert response.status_code == 202
    batch = response.json_body
    assert response.headers["Location"] == batch["links"]["self"] == f"/batches/{batch['id']}"
    assert [job["url"] for job in batch["jobs"]] == [URL, URL + "b"]
    assert [job["id"] for job in batch["jobs"]] == [f"{batch['id']}-0", f"{batch['id']}-1"]
    assert all(job["batch_id"] == batch["id"] for job in batch["jobs"])
    assert [(item["index"], item["url"]) for item in batch["rejected"]] == [(1, "ftp://x/"), (3, "no url")]
    assert "http" in batch["rejected"][0]["detail"]


def test_a_line_of_two_urls(w: World) -> None:
    """Both ways to submit say that it is two, and where several go."""
    line = f"{URL}a {URL}b"
    told = problem(w.request("POST", "/jobs", {"url": line}))
    assert told[:2] == (422, "invalid-request")
    assert "send several URLs to POST /batches" in told[2]
    batch = w.request("POST", "/batches", {"urls": [URL, f"{URL}a,\n{URL}b"]}).json_body
    assert [(item["index"], "two URLs" in item["detail"]) for item in batch["rejected"]] == [(1, True)]


def test_a_byte_order_mark_before_a_url(w: World) -> None:
    """It is shown as it was given, and is the same URL."""
    marked, plain = (w.request("POST", "/jobs", {"url": url}).json_body for url in (f"\ufeff{URL}", URL))
    assert marked["url"] == f"\ufeff{URL}"
    w.run()
    assert [w.job(job["id"])["reused"] for job in (marked, plain)] == [False, True]


@pytest.mark.parametrize(
    ("urls", "sentence"),
    [
        (["ftp://x/"], "The URL cannot be fetched, so nothing was stored: the scheme"),
        (
            ["ftp://x/", "nothing"],
            "None of the 2 URLs can be fetched, so nothing was stored. The first one: the scheme",
        ),
    ],
)
def test_one_url_is_not_called_several(w: World, urls: list[str], sentence: str) -> None:
    """The detail is right for one URL and for more."""
    assert problem(w.request("POST", "/batches", {"urls": urls}))[2].startswith(sentence)


def test_a_batch_without_a_valid_url_stores_nothing(w: World) -> None:
    """422 with a pointer to each URL, and neither row nor message."""
    response = w.request("POST", "/batches", {"urls": ["ftp://x/", "nothing"]})
    assert problem(response)[:2] == (422, "invalid-request")
    assert [error["pointer"] for error in response.json_body["errors"]] == ["/urls/0", "/urls/1"]
    assert w.items() == {}
    assert w.receive() == []


GOOD = b'{"url": "https://example.com/"}'
JSON = "application/json"
REFUSED = [
    # what, path, headers, body, status, problem, words of its detail
    ("malformed JSON", "/jobs", {}, b'{"url": ', 400, "malformed-request", "JSON"),
    ("bad UTF-8", "/jobs", {}, b'{"url": "\xff"}', 400, "malformed-request", "UTF-8"),
    ("a lone surrogate", "/jobs", {}, b'{"url": "\\ud800"}', 400, "malformed-request", "JSON"),
    ("nested too deeply", "/jobs", {}, b"[" * 100_000, 400, "malformed-request", "JSON"),
    ("an empty body", "/jobs", {}, b"", 400, "malformed-request", "JSON"),
    ("no object", "/jobs", {}, b"[]", 422, "invalid-request", "object"),
    ("a wrong type", "/jobs", {}, b'{"url": 5}', 422, "invalid-request", "a string"),
    ("null", "/jobs", {}, b'{"url": null}', 422, "invalid-request", "a string"),
    ("a missing member", "/jobs", {}, b"{}", 422, "invalid-request", "Missing"),
    ("an unknown member", "/jobs", {}, b'{"url": "https://e.com/", "window": 1}', 422, "invalid-request", "Unknown"),
    ("several URLs", "/jobs", {}, b'{"urls": []}', 422, "invalid-request", "POST /batches"),
    ("one URL", "/batches", {}, b'{"url": ""}', 422, "invalid-request", "POST /jobs"),
    ("an empty list", "/batches", {}, b'{"urls": []}', 422, "invalid-request", "at least one"),
    ("no list", "/batches", {}, b'{"urls": "https://e.com/"}', 422, "invalid-request", "an array"),
    ("a number in the list", "/batches", {}, b'{"urls": ["https://e.com/", 5]}', 422, "invalid-request", "a string"),
    ("text", "/jobs", {"Content-Type": "text/plain"}, b'{"url": "x"}', 415, "unsupported-media-type", "curl --json"),
    ("no type", "/jobs", {"Content-Type": ""}, b'{"url": "x"}', 415, "unsupported-media-type", JSON),
    ("no scheme", "/jobs", {}, b'{"url": "example.com"}', 422, "invalid-request", "did you mean https://example.com/?"),
    ("a long URL", "/jobs", {}, b'{"url": "https://e.com/' + b"a" * 8192 + b'"}', 422, "invalid-request", "8192"),
    ("a large body", "/jobs", {}, b'{"url": "' + b"a" * 2**20 + b'"}', 413, "body-too-large", "batches"),
    ("an empty key", "/jobs", {"Idempotency-Key": '""'}, GOOD, 400, "invalid-idempotency-key", "UUID"),
    ("a long key", "/jobs", {"Idempotency-Key": "k" * 256}, GOOD, 400, "invalid-idempotency-key", "255"),
    ("a key with a space", "/jobs", {"Idempotency-Key": "a b"}, GOOD, 400, "invalid-idempotency-key", "visible"),
]


@pytest.mark.parametrize(
    ("case", "path", "headers", "body", "status", "name", "words"), REFUSED, ids=lambda v: str(v)[:30]
)
def test_refused(
    w: World, case: str, path: str, headers: dict[str, str], body: bytes, status: int, name: str, words: str
) -> None:
    """A request that is refused says why and what to do, and stores nothing."""
    sent = {"Content-Type": JSON} | headers
    response = w.request("POST", path, raw=body, headers={name: value for name, value in sent.items() if value})
    assert problem(response)[:2] == (status, name)
    assert words.lower() in problem(response)[2].lower()
    assert w.items() == {}
    assert w.receive() == []


def test_pointers(w: World) -> None:
    """The member at fault is named as RFC 6901 has it."""

    def pointers(path: str, body: Any) -> list[str]:
        return [error["pointer"] for error in w.request("POST", path, body).json_body["errors"]]

    assert pointers("/batches", {"urls": [URL] * 3 + [5]}) == ["/urls/3"]
    assert pointers("/jobs", {"url": "x"}) == ["/url"]
    assert pointers("/jobs", {"url": URL, "a/b~c": 1}) == ["/a~1b~0c"]
    many = {"url": URL, **{f"{number}": 1 for number in range(50_000)}}  # the answer must fit into Lambda's 6 MB
    assert pointers("/jobs", many) == [f"/{number}" for number in range(100)]


def test_a_thousand_urls_at_most(w: World) -> None:
    """One more is refused, with the cure."""
    response = w.request("POST", "/batches", {"urls": [URL] * 1001})
    assert problem(response) == (422, "invalid-request", "A batch has at most 1000 URLs; this one has 1001. Split it.")
    assert w.items() == {}


@pytest.mark.parametrize("path", ["/jobs?wait=1", "/batches?x=", "/health?verbose=1"])
def test_unknown_query_parameters_are_refused(w: World, path: str) -> None:
    """A misspelt option must not pass in silence."""
    method = "GET" if path.startswith("/health") else "POST"
    body = {"/jobs": {"url": URL}, "/batches": {"urls": [URL]}}.get(path.partition("?")[0])
    assert problem(w.request(method, path, body))[:2] == (422, "invalid-request")
    assert w.items() == {}


@pytest.mark.parametrize("second", ["k", '"k"', " k "])
def test_the_same_key_gives_the_same_job(w: World, second: str) -> None:
    """A repeated submission is answered with the first job, and nothing is fetched twice."""
    first = w.submit(URL, "k")
    w.pass_time(5 * SECOND)
    assert w.submit(URL, second) == first
    w.run()
    again = w.submit(URL, second)
    assert (again["id"], again["status"]) == (first["id"], "succeeded")
    w.run()
    assert w.site.requests[URL] == 1


def test_keys_are_a_routes_own(w: World) -> None:
    """A key on one route says nothing about the other."""
    job = w.submit(URL, "k")
    batch = w.submit_batch([URL], "k")
    assert batch["id"] != job["id"]


def test_a_key_with_another_body_is_refused(w: World) -> None:
    """422, and the first stays as it was."""
    w.submit(URL, "k")
    headers = {"Idempotency-Key": "k"}
    assert problem(w.request("POST", "/jobs", {"url": URL + "b"}, headers))[:2] == (422, "idempotency-key-reused")
    w.submit_batch([URL], "k")
    response = w.request("POST", "/batches", {"urls": [URL, URL]}, headers)
    assert problem(response)[:2] == (422, "idempotency-key-reused")
    assert len(w.receive()) == 2


def test_the_key_of_a_deleted_job_stays_used(w: World) -> None:
    """409, nothing is sent: a late repeat must not bring a deleted job back."""
    job = w.submit(URL, "k")
    w.run()
    w.request("DELETE", f"/jobs/{job['id']}")
    assert problem(w.request("POST", "/jobs", {"url": URL}, {"Idempotency-Key": "k"}))[:2] == (409, "deleted")
    batch = w.submit_batch([URL], "k")
    w.request("DELETE", f"/batches/{batch['id']}")
    assert problem(w.request("POST", "/batches", {"urls": [URL]}, {"Idempotency-Key": "k"}))[:2] == (409, "deleted")
    w.run()
    assert w.items().keys() == {f"JOB#{job['id']}", f"JOB#{batch['id']}-0", f"BATCH#{batch['id']}"}


def test_the_key_of_an_expired_job_stays_used(w: World) -> None:
    """Until its row is swept, the key answers 409."""
    w.submit(URL, "k")
    w.submit_batch([URL], "k")
    w.pass_time(7 * DAY)
    for path, body in (("/jobs", {"url": URL}), ("/batches", {"urls": [URL]})):
        assert problem(w.request("POST", path, body, {"Idempotency-Key": "k"}))[:2] == (409, "deleted")


def test_a_batch_replays(w: World) -> None:
    """The same key and URLs give the same ids and the same rejections, without a write or a message."""
    urls = [URL, "ftp://x/", URL + "b"]
    first = w.submit_batch(urls, "k")
    w.run()
    before = w.items()
    again = w.submit_batch(urls, "k")
    assert again["rejected"] == first["rejected"]
    assert [job["id"] for job in again["jobs"]] == [job["id"] for job in first["jobs"]]
    assert {job["status"] for job in again["jobs"]} == {"succeeded"}
    assert w.items() == before
    assert w.receive() == []


def test_another_tenants_key_is_another_key(w: World) -> None:
    """What a key stands for depends on whose it is."""
    assert ids.derived("a", "POST /jobs", "k") != ids.derived("b", "POST /jobs", "k")
    assert Target(URL).key("a", b"") != Target(URL).key("b", b"")
    assert ids.is_job_id(ids.derived("a", "POST /jobs", "k"))
