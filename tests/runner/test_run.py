"""The job runner: messages, attempts, leases, retries, dead letters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.submitted import NO_HEADERS, RequestHeaders
from chalicelib.storage.bucket import result_key
from chalicelib.storage.queue import FetchMessage, Message
from tests.world import SECOND, Site, World, failure, world

URL = "https://example.com/"
LEASE = 75 * SECOND


class Crash(BaseException):
    """The worker dies."""


def crash(w: World, records: list[dict[str, Any]]) -> None:
    """A worker dies in the middle of its fetch."""

    def die(url: str) -> None:
        raise Crash

    w.site.during = die
    with pytest.raises(Crash):
        w.deliver(records)
    w.site.during = None


def test_ten_messages_make_one_reading(w: World) -> None:
    """An invocation works on all of its messages and acknowledges each."""
    batch = w.submit_batch([f"{URL}{n}" for n in range(10)])
    assert w.run() == []
    assert {job["status"] for job in w.request("GET", batch["links"]["self"]).json_body["jobs"]} == {"succeeded"}
    assert w.site.requests.total() == 10


def test_more_messages_than_one_transaction_can_start(w: World) -> None:
    """With a larger BatchSize: as many as fit start together, and the others alone."""
    batch = w.submit_batch([f"{URL}{n}" for n in range(40)])
    with w.counted_calls() as calls:
        assert w.deliver(w.receive()) == []
    assert calls["TransactWriteItems"] == 1 + 7
    assert w.request("GET", batch["links"]["self"]).json_body["counts"]["succeeded"] == 40
    assert w.site.requests.total() == 40


def test_one_url_ten_times_in_one_invocation(w: World) -> None:
    """The first starts, the others find it standing and join."""
    batch = w.submit_batch([URL] * 10)
    assert w.run() == []
    jobs = w.request("GET", batch["links"]["self"]).json_body["jobs"]
    assert [job["reused"] for job in jobs] == [False] + [True] * 9
    assert w.site.requests[URL] == 1


def test_a_retry_after_a_pause(w: World) -> None:
    """A failure that may pass is tried again, no sooner than the pause is over."""
    w.site.answers[URL] = [failure(503, retryable=True), b"at last"]
    job_id = w.submit(URL)["id"]
    assert len(w.run()) == 1
    assert (w.job(job_id)["status"], w.job(job_id)["attempts"]) == ("queued", 1)
    w.pass_time(2 * SECOND - 1)
    assert len(w.run()) == 1
    assert w.site.requests[URL] == 1
    w.pass_time(1)
    assert w.run() == []
    job = w.job(job_id)
    assert (job["status"], job["attempts"], job["result"]["size"]) == ("succeeded", 2, 7)


def test_retry_after_is_honoured(w: World) -> None:
    """The site says when to come back."""
    w.site.answers[URL] = [failure(429, retryable=True, retry_after=120), b"x"]
    w.submit(URL)
    w.run()
    w.pass_time(118 * SECOND)
    w.run()
    assert w.site.requests[URL] == 1
    w.pass_time(2 * SECOND)
    assert w.run() == []
    assert w.site.requests[URL] == 2


def test_attempts_end(w: World) -> None:
    """After the last attempt the job fails with the last failure."""
    w.site.answers[URL] = [failure(503, retryable=True)]
    job_id = w.submit(URL)["id"]
    w.run_until_done()
    job = w.job(job_id)
    assert (job["status"], job["attempts"], job["error"]["http_status"]) == ("failed", 4, 503)
    assert w.site.requests[URL] == 4


def test_no_attempt_is_begun_without_the_time_for_it(w: World) -> None:
    """A worker that would not live to see the end leaves the message."""
    w.submit(URL)
    w.seconds_left = 35.9
    assert len(w.run()) == 1
    assert w.site.requests == {}
    w.seconds_left = 36
    assert w.run() == []


@pytest.mark.parametrize("others", [0, 2])
def test_a_message_that_comes_twice_in_one_invocation(w: World, others: int) -> None:
    """As when a submission is sent again with its key: both need nothing more when the job has ended."""
    job_id = w.submit(URL, "k")["id"]
    w.submit(URL, "k")
    for _ in range(others):
        w.submit(URL)
    assert w.run() == []
    assert (w.job(job_id)["status"], w.site.requests[URL]) == ("succeeded", 1)


@pytest.mark.parametrize("urls", [[URL], [URL, URL + "b"]])
def test_no_request_is_sent_when_the_start_took_the_time_for_it(w: World, urls: list[str]) -> None:
    """The fetch was begun, and the worker might not see its end: another one makes the request."""
    w.submit_batch(urls)
    seconds = iter([36.0])
    messages = w.receive()
    assert w.runner.run_jobs(messages, lambda: next(seconds, 35.9)) == [m["messageId"] for m in messages]
    assert w.site.requests == {}
    w.pass_time(LEASE)
    assert w.run() == []
    assert w.site.requests == dict.fromkeys(urls, 1)


def test_no_request_is_sent_when_a_resume_took_the_time_for_it(w: World) -> None:
    """As after a start."""
    job_id = w.submit(URL)["id"]
    (message,) = w.receive()
    crash(w, [message])
    w.pass_time(LEASE)
    seconds = iter([36.0])
    assert w.runner.run_jobs([message], lambda: next(seconds, 35.9)) == [message["messageId"]]
    assert w.site.requests == {URL: 1}
    w.pass_time(LEASE)
    assert w.run() == []
    assert (w.job(job_id)["status"], w.job(job_id)["attempts"]) == ("succeeded", 3)


def test_the_tightest_settings_leave_time_for_an_attempt() -> None:
    """An invocation that has just read its messages may begin one, by whatever settings are accepted."""
    with world(fetch_seconds=5, connect_seconds=5, function_seconds=8) as w:
        job_id = w.submit(URL)["id"]
        w.seconds_left = 8 - 1.4
        assert w.run() == []
        assert w.job(job_id)["status"] == "succeeded"


def test_a_crash_costs_an_attempt(w: World) -> None:
    """The message comes back; while the lease lives nobody fetches, then another worker does."""
    job_id = w.submit(URL)["id"]
    messages = w.receive()
    crash(w, messages)
    assert w.job(job_id)["status"] == "running"
    w.pass_time(LEASE - 1)
    assert w.deliver(messages) == messages
    assert w.site.requests[URL] == 1
    w.pass_time(1)
    assert w.deliver(messages) == []
    job = w.job(job_id)
    assert (job["status"], job["attempts"]) == ("succeeded", 2)


def test_workers_that_always_die(w: World) -> None:
    """In the end the job fails, and says that it was us."""
    job_id = w.submit(URL)["id"]
    messages = w.receive()
    for _ in range(4):
        crash(w, messages)
        w.pass_time(LEASE)
    assert w.deliver(messages) == []
    job = w.job(job_id)
    assert (job["status"], job["attempts"], job["error"]["type"]) == ("failed", 4, "worker-lost")
    assert "submit the URL again" in job["error"]["detail"]


def test_a_worker_that_outlives_its_lease_changes_nothing(w: World) -> None:
    """What the successor stored stays, and the loser's bytes go."""
    w.site.answers[URL] = [b"the winner's", b"the loser's"]
    job_id = w.submit(URL)["id"]
    messages = w.receive()

    def lose_the_lease(url: str) -> None:
        w.site.during = None
        w.pass_time(LEASE)
        assert w.deliver(messages) == []

    w.site.during = lose_the_lease
    assert w.deliver(messages) == []
    job = w.job(job_id)
    assert (job["status"], job["attempts"]) == ("succeeded", 2)
    assert w.objects() == {result_key(job_id, 2)}
    assert w.request("GET", f"/jobs/{job_id}/result").body == b"the winner's"


def test_redelivery_changes_nothing(w: World) -> None:
    """Any message again, any number of times: what is finished stays as it is."""
    w.site.answers[URL + "bad"] = [failure(404)]
    w.submit_batch([URL, URL, URL + "bad", URL + "bad"])
    messages = w.receive()
    w.deliver(messages)
    before = w.items()
    for record in [*messages, *reversed(messages)]:
        assert w.deliver([record]) == []
    assert w.items() == before
    assert w.site.requests == {URL: 1, URL + "bad": 1}


def test_the_same_message_twice_in_one_invocation(w: World) -> None:
    """One of the two fetches; the other finds that it does, and is left or done."""
    w.submit_batch([URL, URL + "other"])
    messages = w.receive()
    w.runner.run_jobs([*messages, *map(dict, messages), messages[0]], lambda: 1000.0)
    assert w.site.requests == {URL: 1, URL + "other": 1}


def test_a_message_that_cannot_be_read_is_left(w: World) -> None:
    """It does not hold up its neighbours, and ends with the dead letters."""
    for body in (
        "",
        "no json",
        "[]",
        "[" * 100_000,
        '{"v": 1, "kind": "fetch", "job_id": 7}',
        '{"v": 1}',
    ):
        w.clients["sqs"].send_message(QueueUrl=w.names["QUEUE_URL"], MessageBody=body or " ")
    job_id = w.submit(URL)["id"]
    records = w.receive()
    left = w.deliver(records)
    assert len(left) == 6
    assert w.job(job_id)["status"] == "succeeded"
    assert w.deliver(left, dead_letters=True) == []


def test_messages_are_read_back() -> None:
    """What the API sends is what the runner reads."""
    message = FetchMessage("j", "k", "tenant/host", copies=2)
    assert Message.parse(message.body()) == message
    members = {"job_id": "j", "url_key": "k", "host_key": "tenant/host", "copies": 2}
    assert json.loads(message.body()) == {"v": 1, "kind": "fetch", **members}


def test_messages_of_an_older_version_are_read() -> None:
    """Both versions run while one replaces the other."""
    body = '{"v": 1, "kind": "fetch", "job_id": "j", "url_key": "k"}'
    assert Message.parse(body) == FetchMessage("j", "k", "", copies=0)
    assert FetchMessage("j", "k").body() == body


class BrokenSite(Site):
    """Has a bug that one URL meets."""

    def fetch(self, url: str, sink: Any, request_headers: RequestHeaders = NO_HEADERS) -> Any:
        if url.endswith("bug"):
            raise ZeroDivisionError
        return super().fetch(url, sink, request_headers)


def test_a_bug_brings_back_its_own_message_only(w: World) -> None:
    """The neighbours of a message that meets a bug are acknowledged."""
    w.site = BrokenSite()
    w.wire()
    batch = w.submit_batch([URL, URL + "bug", URL + "b"])
    assert len(w.run()) == 1
    counts = w.request("GET", batch["links"]["self"]).json_body["counts"]
    assert counts == {"queued": 0, "running": 1, "succeeded": 2, "failed": 0}


def test_a_row_that_cannot_be_read_brings_back_its_own_message_only(w: World) -> None:
    """Messages are looked up together; one whose row is spoilt is left, the others are done."""
    job_ids = [job["id"] for job in w.submit_batch([URL, URL + "spoilt", URL + "b"])["jobs"]]
    w.clients["dynamodb"].update_item(
        TableName=w.names["TABLE_NAME"],
        Key={"pk": {"S": f"JOB#{job_ids[1]}"}},
        UpdateExpression="REMOVE submitted_at",
    )
    (left,) = w.run()
    message = Message.parse(left["body"])
    assert isinstance(message, FetchMessage)
    assert message.job_id == job_ids[1]
    assert {w.job(job_ids[0])["status"], w.job(job_ids[2])["status"]} == {"succeeded"}


class TestDeadLetters:
    """Whatever could not be done ends, and nothing that is done is undone."""

    def test_a_job_that_never_started(self, w: World) -> None:
        """It fails, and a later submission is not held up."""
        job_id = w.submit(URL)["id"]
        assert w.deliver(w.receive(), dead_letters=True) == []
        job = w.job(job_id)
        assert (job["status"], job["attempts"], job["error"]["type"]) == ("failed", 0, "worker-lost")
        again = w.submit(URL)["id"]
        w.run()
        assert w.job(again)["status"] == "succeeded"

    def test_a_fetch_that_succeeded(self, w: World) -> None:
        """It stays as it is."""
        job_id = w.submit(URL)["id"]
        messages = w.receive()
        w.deliver(messages)
        assert w.deliver(messages, dead_letters=True) == []
        assert w.job(job_id)["status"] == "succeeded"

    def test_a_fetch_under_a_live_lease(self, w: World) -> None:
        """The dead letter waits until the worker had its time."""
        job_id = w.submit(URL)["id"]
        messages = w.receive()
        crash(w, messages)
        assert w.deliver(messages, dead_letters=True) == messages
        w.pass_time(LEASE)
        assert w.deliver(messages, dead_letters=True) == []
        assert (w.job(job_id)["status"], w.site.requests[URL]) == ("failed", 1)

    def test_a_job_whose_url_is_claimed(self, w: World) -> None:
        """It shares the standing fetch all the same: that takes no attempt."""
        first = w.submit(URL)["id"]
        w.run()
        second = w.submit(URL)["id"]
        assert w.deliver(w.receive(), dead_letters=True) == []
        assert (w.job(first)["status"], w.job(second)["status"]) == ("succeeded", "succeeded")
        assert w.job(second)["reused"] is True

    def test_a_deleted_job(self, w: World) -> None:
        """There is nothing left to do."""
        job_id = w.submit(URL)["id"]
        messages = w.receive()
        w.request("DELETE", f"/jobs/{job_id}")
        assert w.deliver(messages, dead_letters=True) == []


def test_storage_that_fails_leaves_the_message(w: World) -> None:
    """S3 away in the middle: nothing is acknowledged, and the next attempt brings the result."""

    def fail(**kwargs: Any) -> None:
        raise Unavailable("storing a result failed")

    job_id = w.submit(URL)["id"]
    put = w.service.bucket._client.meta.events
    put.register("before-call.s3.PutObject", fail, unique_id="fail")
    assert len(w.run()) == 1
    put.unregister("before-call.s3.PutObject", unique_id="fail")
    assert w.objects() == set()
    w.pass_time(LEASE)
    assert w.run() == []
    assert (w.job(job_id)["status"], w.job(job_id)["attempts"]) == ("succeeded", 2)


def test_large_results_go_in_parts() -> None:
    """Above 8 MiB in parts, with no upload left open; at 8 MiB in one piece."""
    with world() as w:
        for size in (8 * 2**20, 8 * 2**20 + 1, 20 * 2**20):
            url = f"{URL}{size}"
            w.site.answers[url] = [bytes(size)]
            job_id = w.submit(url)["id"]
            w.run()
            assert w.job(job_id)["result"]["size"] == size
            stored = w.clients["s3"].head_object(Bucket=w.names["BUCKET_NAME"], Key=result_key(job_id, 1))
            assert stored["ContentLength"] == size
            assert ("-" in stored["ETag"]) == (size > 8 * 2**20)
        assert w.uploads() == []


class CutSite(Site):
    """Breaks off after 20 MiB."""

    def fetch(self, url: str, sink: Any, request_headers: RequestHeaders = NO_HEADERS) -> Any:
        sink.begin("text/plain")
        for _ in range(20):
            sink.write(bytes(2**20))
        return failure(200, retryable=False)


def test_an_unfinished_upload_is_aborted(w: World) -> None:
    """No parts and no object stay of a body that was cut."""
    w.site = CutSite()
    w.wire()
    job_id = w.submit(URL)["id"]
    w.run()
    assert w.job(job_id)["status"] == "failed"
    assert (w.uploads(), w.objects()) == ([], set())
