"""Retrying a batch: its failed jobs become a new batch, and the two name each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from chalice.test import HTTPResponse

from chalicelib.jobs.submitted import RequestHeaders
from tests.test_faults import answered, error
from tests.world import DAY, HOUR, MINUTE, SECOND, World, failure, world

URLS = [f"https://example.com/{number}" for number in range(4)]
SECRET = {"Authorization": "Bearer canary-7Q"}


@pytest.fixture
def failed(w: World) -> dict[str, Any]:
    """A batch of four, of which the second and the fourth have failed, each for another reason."""
    return of_which_two_failed(w)


def of_which_two_failed(w: World) -> dict[str, Any]:
    w.site.answers[URLS[1]] = [failure(404)]
    w.site.answers[URLS[3]] = [failure(500)]
    urls = [{"url": url, "reference": f"number {number}"} for number, url in enumerate(URLS)]
    answer = w.request("POST", "/batches", {"urls": urls, "headers": SECRET})
    assert answer.status_code == 202
    w.run_until_done()
    w.site.answers.clear()
    batch: dict[str, Any] = answer.json_body
    return batch


def retry(w: World, batch: dict[str, Any], query: str = "", key: str | None = None) -> HTTPResponse:
    headers = {} if key is None else {"Idempotency-Key": key}
    return w.request("POST", f"/batches/{batch['id']}/retry{query}", headers=headers)


def kind(answer: HTTPResponse) -> str:
    name: str = answer.json_body["type"].rpartition("/")[2]
    return name


def test_only_what_failed_is_submitted_again(w: World, failed: dict[str, Any]) -> None:
    """With the same headers at the site, and the same references; in the order of the old batch."""
    answer = retry(w, failed)
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/batches/{answer.json_body['id']}")
    new = answer.json_body
    assert [(job["url"], job["reference"]) for job in new["jobs"]] == [(URLS[1], "number 1"), (URLS[3], "number 3")]
    w.run_until_done()
    page = w.request("GET", new["links"]["self"]).json_body
    assert page["counts"] == {"queued": 0, "running": 0, "succeeded": 2, "failed": 0}
    assert [job["header_names"] for job in page["jobs"]] == [["Authorization"]] * 2
    assert {url: w.site.sent[url] for url in URLS} == {
        URLS[0]: [RequestHeaders(SECRET)],
        URLS[1]: [RequestHeaders(SECRET)] * 2,
        URLS[2]: [RequestHeaders(SECRET)],
        URLS[3]: [RequestHeaders(SECRET)] * 2,
    }


def test_the_two_batches_name_each_other(w: World, failed: dict[str, Any]) -> None:
    new = retry(w, failed).json_body
    assert new["retry_of"] == failed["id"]
    assert new["links"]["retry_of"] == failed["links"]["self"]
    shown, old = (w.request("GET", batch["links"]["self"]).json_body for batch in (new, failed))
    assert (shown["retry_of"], shown["links"]["retry_of"]) == (failed["id"], failed["links"]["self"])
    assert (old["retried_by"], old["links"]["retried_by"]) == (new["id"], new["links"]["self"])
    assert "retried_by" not in shown
    assert "retry_of" not in old
    newest = retry(w, failed).json_body
    assert w.request("GET", failed["links"]["self"]).json_body["retried_by"] == newest["id"]


def test_only_some_reasons(w: World, failed: dict[str, Any]) -> None:
    """Of those that failed for none of them it says so, and submits nothing."""
    assert len(retry(w, failed, "?only=http-status,timeout").json_body["jobs"]) == 2
    before = w.items()
    answer = retry(w, failed, "?only=timeout,dns")
    assert (answer.status_code, kind(answer)) == (409, "nothing-failed")
    assert answer.json_body["detail"] == (
        "No job of the batch has failed with dns or timeout, so there is nothing to submit again."
    )
    assert w.items() == before


@pytest.mark.parametrize("only", ["", "lunar", "timeout,", "timeout, dns", "TIMEOUT"])
def test_reasons_that_there_are_not(w: World, failed: dict[str, Any], only: str) -> None:
    answer = retry(w, failed, f"?only={only}")
    assert (answer.status_code, kind(answer)) == (422, "invalid-request")
    assert "http-status" in answer.json_body["detail"]


def test_nothing_has_failed(w: World) -> None:
    """While something is unfinished it may still."""
    batch = w.submit_batch(URLS)
    answer = retry(w, batch)
    assert (answer.status_code, kind(answer)) == (409, "nothing-failed")
    assert answer.json_body["detail"].startswith("No job of the batch has failed so far,")
    w.run_until_done()
    assert retry(w, batch).json_body["detail"].startswith("No job of the batch has failed, ")


def test_a_batch_that_is_not_there(w: World, failed: dict[str, Any]) -> None:
    assert w.request("DELETE", failed["links"]["self"]).status_code == 204
    for answer in (retry(w, failed), w.request("POST", f"/batches/{'0' * 32}/retry"), retry(w, failed, key="k")):
        assert (answer.status_code, kind(answer)) == (404, "not-found")


def test_the_hour_stays_the_rule(w: World, failed: dict[str, Any]) -> None:
    """What somebody fetched since it failed is not fetched again; what is still wrong fails again."""
    w.request("POST", "/jobs", {"url": URLS[1], "headers": SECRET})
    w.run_until_done()
    w.site.answers[URLS[3]] = [failure(500)]
    new = retry(w, failed).json_body
    w.run_until_done()
    jobs = w.request("GET", new["links"]["self"]).json_body["jobs"]
    assert [(job["status"], job["reused"]) for job in jobs] == [("succeeded", True), ("failed", False)]
    assert w.site.requests[URLS[1]] == 2
    again = retry(w, new).json_body
    assert [job["url"] for job in again["jobs"]] == [URLS[3]]


def test_the_same_key_gives_the_same_batch(w: World, failed: dict[str, Any]) -> None:
    """Whatever has happened since: to the old batch, to its jobs, or to the new one's."""
    new = retry(w, failed, key="k").json_body
    w.run_until_done()
    w.request("DELETE", f"/jobs/{failed['id']}-1")
    again = retry(w, failed, key="k").json_body
    assert [job["id"] for job in again["jobs"]] == [job["id"] for job in new["jobs"]]
    assert {job["status"] for job in again["jobs"]} == {"succeeded"}
    assert w.request("DELETE", failed["links"]["self"]).status_code == 204
    assert retry(w, failed, key="k").json_body["id"] == new["id"]
    assert w.request("DELETE", new["links"]["self"]).status_code == 204
    answer = retry(w, failed, key="k")
    assert (answer.status_code, kind(answer)) == (409, "deleted")


def test_a_key_is_of_one_batch_and_one_choice(w: World, failed: dict[str, Any]) -> None:
    first = retry(w, failed, key="k").json_body
    answer = retry(w, failed, "?only=http-status", key="k")
    assert (answer.status_code, kind(answer)) == (422, "idempotency-key-reused")
    w.run_until_done()
    w.pass_time(HOUR)
    another = of_which_two_failed(w)
    assert retry(w, another, key="k").json_body["id"] != first["id"]


def test_who_died_half_way_is_continued_with_the_same_jobs(w: World, failed: dict[str, Any]) -> None:
    """Although more have failed since, which would take the others' ids."""
    w.request("DELETE", f"/jobs/{failed['id']}-0")
    w.run_until_done()
    with answered(w, "sqs", "SendMessageBatch", lambda *_: error(500, "InternalError")):
        assert retry(w, failed, key="k").status_code == 503
    w.request("DELETE", f"/jobs/{failed['id']}-3")
    answer = retry(w, failed, key="k")
    assert (answer.status_code, kind(answer)) == (409, "deleted")  # one of them cannot be submitted any more
    with answered(w, "sqs", "SendMessageBatch", lambda *_: error(500, "InternalError")):
        assert retry(w, failed, key="l").status_code == 503
    new = retry(w, failed, key="l").json_body
    assert [job["url"] for job in new["jobs"]] == [URLS[1]]


def test_more_fail_while_it_is_stored(w: World) -> None:
    """The numbers of those that were chosen are kept with the new batch."""
    w.site.answers[URLS[1]] = [failure(404)]
    w.site.answers[URLS[0]] = [failure(503, retryable=True), failure(404)]
    batch = w.submit_batch(URLS[:2])
    w.run()
    with answered(w, "sqs", "SendMessageBatch", lambda *_: error(500, "InternalError")):
        assert retry(w, batch, key="k").status_code == 503
    w.run_until_done()
    assert w.request("GET", batch["links"]["self"]).json_body["counts"]["failed"] == 2
    new = retry(w, batch, key="k").json_body
    assert [job["url"] for job in new["jobs"]] == [URLS[1]]


def test_the_old_batch_is_deleted_while_it_is_stored(w: World, failed: dict[str, Any]) -> None:
    """The retry stands; its mark is not touched."""

    def delete(number: int, _: Any) -> None:
        if number == 0:
            assert w.request("DELETE", failed["links"]["self"]).status_code == 204

    with answered(w, "sqs", "SendMessageBatch", delete):
        new = retry(w, failed)
    assert (new.status_code, new.json_body["retry_of"]) == (202, failed["id"])
    assert w.request("GET", new.json_body["links"]["self"]).status_code == 200
    assert w.request("GET", failed["links"]["self"]).status_code == 404
    assert "retried_by" not in w.items()[f"BATCH#{failed['id']}"]


@pytest.fixture
def limited() -> Iterator[World]:
    with world(quota_urls_per_minute=5) as made:
        yield made


def test_it_counts(limited: World) -> None:
    """As a submission of so many URLs; a replay does not count."""
    batch = of_which_two_failed(limited)
    limited.pass_time(MINUTE)
    assert retry(limited, batch, key="k").headers["RateLimit"].startswith('"minute";r=3')
    assert retry(limited, batch, key="k").status_code == 202
    assert retry(limited, batch).headers["RateLimit"].startswith('"minute";r=1')
    assert kind(retry(limited, batch)) == "quota-exceeded"


def test_another_tenant_retries_nothing() -> None:
    with world(require_tokens=1) as w:
        alice, bob = ({"Authorization": f"Bearer {w.grant(name)}"} for name in ("alice", "bob"))
        w.site.answers[URLS[0]] = [failure(404)]
        batch = w.request("POST", "/batches", {"urls": URLS[:1]}, alice).json_body
        w.run_until_done()
        path = f"/batches/{batch['id']}/retry"
        assert w.request("POST", path, headers={**alice, "Idempotency-Key": "k"}).status_code == 202
        for headers in (bob, {**bob, "Idempotency-Key": "k"}):
            assert w.request("POST", path, headers=headers).status_code == 404


def test_headers_are_kept_for_a_retry_until_the_job_expires(w: World, failed: dict[str, Any]) -> None:
    """And are nowhere once what failed has succeeded, and the old batch is gone."""
    w.pass_time(7 * DAY - SECOND)
    new = retry(w, failed)
    assert new.status_code == 202
    w.run_until_done()
    w.request("DELETE", failed["links"]["self"])
    assert "canary" not in repr(w.items())


def test_a_failure_between_the_request_and_its_reading(w: World) -> None:
    """The retry is submitted after it: it asks the site again."""
    w.site.answers[URLS[0]] = [failure(404), b"found"]
    batch = w.submit_batch(URLS[:1])

    def fail(number: int, _: Any) -> None:
        if number == 1:  # the old batch is read, its jobs are next
            w.pass_time(30 * SECOND)
            w.run()

    with answered(w, "dynamodb", "GetItem", fail):
        answer = retry(w, batch, key="k")
    assert answer.status_code == 202
    w.run_until_done()
    job = w.job(answer.json_body["jobs"][0]["id"])
    assert (job["status"], job["reused"]) == ("succeeded", False)


def test_a_body_is_not_read_and_so_refused(w: World, failed: dict[str, Any]) -> None:
    """Whoever puts the choice there would retry everything."""
    answer = w.request("POST", f"/batches/{failed['id']}/retry", {"only": ["timeout"]})
    assert (answer.status_code, kind(answer)) == (422, "invalid-request")


def test_what_was_begun_of_a_batch_that_is_gone(w: World, failed: dict[str, Any]) -> None:
    """It cannot be continued, and says so."""
    with answered(w, "sqs", "SendMessageBatch", lambda *_: error(500, "InternalError")):
        assert retry(w, failed, key="k").status_code == 503
    assert w.request("DELETE", failed["links"]["self"]).status_code == 204
    answer = retry(w, failed, key="k")
    assert (answer.status_code, kind(answer)) == (409, "deleted")


def test_it_is_continued_with_another_service_key(w: World, failed: dict[str, Any]) -> None:
    """The rows that stand were written with the one before: their messages ask for just these."""
    with answered(w, "sqs", "SendMessageBatch", lambda *_: error(500, "InternalError")):
        assert retry(w, failed, key="k").status_code == 503
    w.settings = replace(w.settings, service_key="another" * 8)
    w.wire()
    new = retry(w, failed, key="k").json_body
    w.run_until_done()
    assert {w.job(job["id"])["status"] for job in new["jobs"]} == {"succeeded"}
