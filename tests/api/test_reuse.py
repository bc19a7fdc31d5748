"""A URL that is submitted again within its hour: the answer to the submission says how its fetch stands."""

from __future__ import annotations

import json

import pytest

from chalicelib.jobs.errors import Unavailable
from tests.world import HOUR, MINUTE, World, failure

URL = "https://example.com/"


def test_a_repeat_is_finished_in_the_answer(w: World) -> None:
    """With its result, and nothing to wait for."""
    w.submit(URL)
    w.run()
    w.pass_time(HOUR - 1)
    answer = w.request("POST", "/jobs", {"url": f"{URL}#part"})
    job = answer.json_body
    assert (answer.status_code, job["status"], job["reused"], job["attempts"]) == (202, "succeeded", True, 1)
    assert "Retry-After" not in answer.headers
    assert URL.encode() in w.request("GET", job["links"]["result"]).body
    assert w.receive() == []
    assert w.job(job["id"]) == job


def test_an_hour_later_it_is_new(w: World) -> None:
    """To the millisecond."""
    w.submit(URL)
    w.run()
    w.pass_time(HOUR)
    answer = w.request("POST", "/jobs", {"url": URL})
    assert (answer.json_body["status"], answer.headers["Retry-After"]) == ("queued", "1")
    w.run()
    assert w.site.requests[URL] == 2


def test_a_repeat_of_one_that_runs(w: World) -> None:
    """It ends with it."""
    repeated: list[str] = []

    def submit_again(url: str) -> None:
        w.site.during = None
        answer = w.request("POST", "/jobs", {"url": URL})
        assert (answer.json_body["status"], answer.headers["Retry-After"]) == ("running", "1")
        repeated.append(answer.json_body["id"])

    w.site.during = submit_again
    w.submit(URL)
    w.run()
    assert [w.job(job_id)["status"] for job_id in repeated] == ["succeeded"]
    assert w.site.requests[URL] == 1


def test_a_repeat_of_one_that_waits_for_its_next_attempt(w: World) -> None:
    """It knows as much of when that is."""
    w.site.answers[URL] = [failure(503, retryable=True, retry_after=30), b"at last"]
    first = w.submit(URL)["id"]
    w.run()
    answer = w.request("POST", "/jobs", {"url": URL})
    assert answer.json_body["status"] == "queued"
    assert answer.json_body["next_attempt_at"] == w.job(first)["next_attempt_at"] is not None
    w.run_until_done()
    assert w.job(answer.json_body["id"])["status"] == "succeeded"


def test_a_failure_is_not_given_again(w: World) -> None:
    """A new submission is a new chance."""
    w.site.answers[URL] = [failure(404), b"found"]
    w.submit(URL)
    w.run()
    job = w.submit(URL)
    assert job["status"] == "queued"
    w.run()
    assert w.job(job["id"])["status"] == "succeeded"


def test_a_batch_of_old_and_new(w: World) -> None:
    """In order. Only what is new is sent to the queue, and is worth a Retry-After."""
    old = [f"{URL}{n}" for n in range(3)]
    w.submit_batch(old)
    w.run()
    answer = w.request("POST", "/batches", {"urls": [old[0], f"{URL}new", old[2], old[0]]})
    batch = answer.json_body
    assert [job["status"] for job in batch["jobs"]] == ["succeeded", "queued", "succeeded", "succeeded"]
    assert [job["reused"] for job in batch["jobs"]] == [True, None, True, True]
    assert "Retry-After" in answer.headers
    assert len(w.receive()) == 1
    w.run()
    again = w.request("POST", "/batches", {"urls": [old[1], f"{URL}new"]})
    assert {job["status"] for job in again.json_body["jobs"]} == {"succeeded"}
    assert "Retry-After" not in again.headers
    assert w.request("GET", batch["links"]["self"]).json_body["counts"]["succeeded"] == 4


def test_a_large_batch_of_one_url(w: World) -> None:
    """Each is counted: the fetch goes with the last of them."""
    first = w.submit(URL)["id"]
    w.run()
    batch = w.submit_batch([URL] * 120)
    assert {job["status"] for job in batch["jobs"]} == {"succeeded"}
    assert w.items()[f"FETCH#{first}"]["jobs"] == 121
    assert w.request("DELETE", batch["links"]["self"]).status_code == 204
    assert w.job(first)["status"] == "succeeded"
    assert w.request("DELETE", f"/jobs/{first}").status_code == 204
    assert w.objects() == set()


@pytest.mark.parametrize("path", ["/jobs", "/batches"])
def test_the_same_request_again(w: World, path: str) -> None:
    """With its key, it is the same job, which needs no message."""
    w.submit(URL)
    w.run()
    body = {"url": URL} if path == "/jobs" else {"urls": [URL]}
    one, two = (w.request("POST", path, body, {"Idempotency-Key": "k"}) for _ in range(2))
    assert one.json_body == two.json_body
    assert w.receive() == []


def test_what_cannot_be_read_is_left_to_the_runner(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that is busy must not turn a submission away."""

    def busy(url_keys: object) -> object:
        raise Unavailable("busy")

    w.submit(URL)
    w.run()
    monkeypatch.setattr(w.service.table, "claims", busy)
    job = w.submit(URL)
    assert job["status"] == "queued"
    w.run()
    assert w.job(job["id"])["reused"] is True


def test_it_is_counted(w: World) -> None:
    """As reused, by the API as by the runner."""
    w.submit(URL)
    w.run()
    w.metrics.clear()
    w.submit_batch([URL, URL, f"{URL}new"])
    metrics = [json.loads(line) for line in w.metrics]
    assert [line["Reused"] for line in metrics if "Reused" in line] == [[2.0]]
    w.pass_time(MINUTE)
    w.metrics.clear()
    w.submit(f"{URL}newer")
    assert not any("Reused" in json.loads(line) for line in w.metrics)
