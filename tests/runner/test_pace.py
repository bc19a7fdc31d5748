"""A host that objects is asked as slowly as it wants, and a list that lives on it comes through whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.jobs.entities import ErrorType, FetchError
from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.pace import NO_WISH, Turn
from chalicelib.jobs.submitted import NO_HEADERS, RequestHeaders
from chalicelib.runner.outcome import Failure, Fetched, Sink
from chalicelib.runner.turns import Turns
from tests.world import DAY, HOUR, MINUTE, SECOND, Site, World, failure, world

HOST = "https://example.com/"
OTHER = "https://example.org/"


class LimitedSite(Site):
    """Takes so many requests a second, and refuses the others."""

    def __init__(self, w: World, rate: float, refusal: Callable[[], Failure]) -> None:
        super().__init__()
        self.w, self.rate, self.refusal = w, rate, refusal
        self.tokens, self.filled_at = rate, w.now
        self.refused = 0
        self.taken: list[int] = []  # when

    def fetch(self, url: str, sink: Sink, request_headers: RequestHeaders = NO_HEADERS) -> Fetched | Failure:
        if not url.startswith(HOST):
            return super().fetch(url, sink, request_headers)
        self.tokens = min(self.rate, self.tokens + (self.w.now - self.filled_at) * self.rate / SECOND)
        self.filled_at = self.w.now
        if self.tokens < 1:
            self.refused += 1
            return self.refusal()
        self.tokens -= 1
        self.taken.append(self.w.now)
        return super().fetch(url, sink, request_headers)


def limited(w: World, rate: float, *, status: int = 429, retry_after: float | None = 3) -> LimitedSite:
    """The world's site takes so many requests a second."""

    def refusal() -> Failure:
        return replace(failure(status, retryable=True, retry_after=retry_after), refused=True)

    site = LimitedSite(w, rate, refusal)
    w.site = site
    w.wire()
    return site


def run_for(w: World, ms: int, until: Callable[[], bool] = lambda: False, *, step: int = 200) -> None:
    """Deliver what comes, for a while."""
    end = w.now + ms
    while w.now < end and not until():
        w.run()
        w.pass_time(step)


def batch_of(w: World, links: dict[str, Any]) -> dict[str, Any]:
    """A batch as it is."""
    answer: dict[str, Any] = w.request("GET", links["links"]["self"]).json_body
    return answer


@pytest.mark.parametrize(("status", "retry_after"), [(429, 3), (503, 0), (429, 7 * 86400), (503, None)])
def test_a_list_that_lives_on_one_host_comes_through_whole(status: int, retry_after: float | None) -> None:
    """Sixty URLs of a site that takes two a second: none fails, and few requests are refused."""
    with world(backoff_cap_seconds=10) as w:
        site = limited(w, 2, status=status, retry_after=retry_after)
        batch = w.submit_batch([f"{HOST}{n}" for n in range(60)])
        begun = w.now
        run_for(w, 5 * MINUTE, lambda: len(site.taken) == 60)
        assert batch_of(w, batch)["counts"] == {"queued": 0, "running": 0, "succeeded": 60, "failed": 0}
        assert site.refused <= 120
        objections = len({line for line in w.metrics if "Refused" in line})
        assert w.now - begun <= 2.5 * 30 * SECOND + 20 * SECOND + objections * 10 * SECOND


def test_a_refusal_spends_no_attempt(w: World) -> None:
    """It counts among the requests that the job shows, and not among those after which it fails."""
    w.site.answers[HOST] = [*[failure(429, retryable=True, retry_after=1)] * 9, b"at last"]
    job_id = w.submit(HOST)["id"]
    run_for(w, 10 * MINUTE, lambda: w.job(job_id)["status"] == "succeeded")
    job = w.job(job_id)
    assert (job["status"], job["attempts"], w.site.requests[HOST]) == ("succeeded", 10, 10)


def test_other_failures_count_as_before(w: World) -> None:
    """Between refusals too."""
    refusal, broken = failure(429, retryable=True, retry_after=1), failure(500, retryable=True)
    w.site.answers[HOST] = [refusal, broken, refusal, broken, broken, refusal, broken, b"too late"]
    job_id = w.submit(HOST)["id"]
    run_for(w, 30 * MINUTE, lambda: w.job(job_id)["status"] == "failed")
    job = w.job(job_id)
    assert (job["status"], job["attempts"], job["error"]["http_status"]) == ("failed", 7, 500)


def test_a_job_that_waits_says_until_when(w: World) -> None:
    """It is queued, and its batch counts it among those that wait for their host."""
    site = limited(w, 1)
    batch = w.submit_batch([f"{HOST}{n}" for n in range(10)])
    w.run()
    seen = batch_of(w, batch)
    assert (seen["counts"]["queued"], seen["waiting_for_host"]) == (9, 9)
    waiting = [job for job in seen["jobs"] if job["status"] == "queued"]
    assert all(job["next_attempt_at"] > "2026-01-01T00:00:02" for job in waiting)
    assert len({job["next_attempt_at"] for job in waiting}) > 1
    run_for(w, 5 * MINUTE, lambda: len(site.taken) == 10)
    seen = batch_of(w, batch)
    assert (seen["waiting_for_host"], {job["next_attempt_at"] for job in seen["jobs"]}) == (0, {None})


def test_a_pause_after_a_failure_is_shown_too(w: World) -> None:
    """The job waits, but not for its host."""
    w.site.answers[HOST] = [failure(503, retryable=True), b"at last"]
    job_id = w.submit(HOST)["id"]
    w.run()
    assert w.job(job_id)["next_attempt_at"] == "2026-01-01T00:00:02.000Z"


def test_who_waits_is_asked_about_when_the_wait_is_over(w: World) -> None:
    """At most a minute later; a batch of which something may change at any time is asked about as usual."""
    slow, other = f"{HOST}slow", f"{OTHER}late"
    w.site.answers[slow] = [failure(429, retryable=True, retry_after=45)]
    job_id = w.submit(slow)["id"]
    batch = w.submit_batch([slow])
    w.run()

    def asked_in(path: str) -> str:
        return str(w.request("GET", path).headers["Retry-After"])

    assert (asked_in(f"/jobs/{job_id}"), asked_in(batch["links"]["self"])) == ("45", "45")
    mixed = w.submit_batch([slow, other])
    seen: list[str] = []
    w.site.during = lambda _: seen.append(asked_in(mixed["links"]["self"]))
    w.run()
    assert seen == ["2"]
    w.pass_time(44_500)
    assert (asked_in(f"/jobs/{job_id}"), asked_in(batch["links"]["self"])) == ("1", "5")
    w.pass_time(10 * SECOND)
    assert asked_in(f"/jobs/{job_id}") == "1"


def test_a_long_wait_is_asked_about_once_a_minute(w: World) -> None:
    """The batch may be deleted meanwhile."""
    w.site.answers[HOST] = [failure(429, retryable=True, retry_after=3600)]
    batch = w.submit_batch([HOST])
    w.run()
    assert w.request("GET", batch["links"]["self"]).headers["Retry-After"] == "60"
    assert w.request("GET", batch["jobs"][0]["links"]["self"]).headers["Retry-After"] == "60"


def test_another_host_is_not_delayed(w: World) -> None:
    """Its URL was submitted behind a hundred of a slow host."""
    limited(w, 2)
    w.submit_batch([f"{HOST}{n}" for n in range(100)])
    run_for(w, 3 * SECOND)
    job_id = w.submit(OTHER)["id"]
    w.run()
    assert w.job(job_id)["status"] == "succeeded"


def test_another_tenant_is_not_delayed() -> None:
    """Each has a line of its own at the host."""
    with world(require_tokens=1) as w:
        site = limited(w, 2)
        mine, yours = ({"Authorization": f"Bearer {w.grant(tenant)}"} for tenant in ("mine", "yours"))
        w.request("POST", "/batches", {"urls": [f"{HOST}{n}" for n in range(100)]}, mine)
        run_for(w, 3 * SECOND)
        w.pass_time(SECOND)
        site.tokens = 2
        job = w.request("POST", "/jobs", {"url": HOST}, yours).json_body
        w.run()
        assert w.request("GET", job["links"]["self"], headers=yours).json_body["status"] == "succeeded"


def test_a_host_has_the_least_pause_that_is_set() -> None:
    """HOST_INTERVAL_MS counts whether the host objects or not."""
    with world(host_interval_ms=500) as w:
        site = limited(w, 1000)
        w.submit_batch([f"{HOST}{n}" for n in range(30)])
        run_for(w, MINUTE, lambda: len(site.taken) == 30, step=100)
        assert len(site.taken) == 30
        assert min(later - earlier for earlier, later in zip(site.taken, site.taken[1:], strict=False)) >= 500
        assert site.taken[-1] - site.taken[0] <= 29 * 600


def test_jobs_that_come_one_by_one_keep_the_least_pause_too() -> None:
    """Each finds nobody in line; the one before it was asked for a moment ago."""
    with world(host_interval_ms=500) as w:
        site = limited(w, 1000)
        for n in range(10):
            w.submit(f"{HOST}{n}")
            run_for(w, 100, step=100)
        run_for(w, 10 * SECOND, lambda: len(site.taken) == 10, step=100)
        assert len(site.taken) == 10
        assert min(later - earlier for earlier, later in zip(site.taken, site.taken[1:], strict=False)) >= 500


def test_a_job_whose_turn_would_not_come_in_time_fails_at_once() -> None:
    """With the pace and what to do; the next submission of the URL fetches it."""
    with world(host_wait_hours=1, host_interval_ms=600_000) as w:
        batch = w.submit_batch([f"{HOST}{n}" for n in range(10)])
        w.run()
        jobs = batch_of(w, batch)["jobs"]
        assert [job["status"] for job in jobs].count("failed") == 3
        error = next(job["error"] for job in jobs if job["error"])
        assert error["type"] == "host-busy"
        assert error["detail"].startswith("the host is asked once every 600 s")
        failed = next(job["url"] for job in jobs if job["error"])
        w.forget_hosts()
        again = w.submit(failed)["id"]
        w.run()
        assert w.job(again)["status"] == "succeeded"


def test_a_copy_is_sent_before_its_message_is_acknowledged(w: World) -> None:
    """If it cannot be sent, the message stays; nothing is lost, and nothing asked twice."""
    w.site.answers[HOST] = [failure(429, retryable=True, retry_after=60), b"at last"]
    job_id = w.submit(HOST)["id"]
    queue = w.runner._queue
    sound = queue.send_later

    def unavailable(_: object) -> None:
        raise Unavailable("the queue does not answer")

    queue.send_later = unavailable  # type: ignore[assignment, method-assign]
    assert len(w.run()) == 1
    queue.send_later = sound  # type: ignore[method-assign]
    w.pass_time(10 * SECOND)
    assert w.run() == []
    assert [json.loads(message["body"])["copies"] for message in w.copies()] == [1]
    run_for(w, 2 * MINUTE)
    assert (w.job(job_id)["status"], w.site.requests[HOST]) == ("succeeded", 2)


def test_an_hour_in_line() -> None:
    """By several copies, since SQS delays none longer than a quarter of an hour; the place is kept without a write."""
    with world(host_interval_ms=60_000) as w:
        site = limited(w, 1000)
        w.submit_batch([f"{HOST}{n}" for n in range(60)])
        run_for(w, 3 * SECOND)
        with w.counted_calls() as calls:
            run_for(w, HOUR, lambda: len(site.taken) == 60)
        assert len(site.taken) == 60
        assert calls["TransactWriteItems"] == 0
        # A resume and a finish for each, and a place taken anew by none.
        assert calls["UpdateItem"] == 2 * 59


def test_many_who_come_late_do_not_come_at_once() -> None:
    """The runner was away for an hour, and all turns have passed."""
    with world(host_interval_ms=1000) as w:
        site = limited(w, 1000)
        w.submit_batch([f"{HOST}{n}" for n in range(40)])
        run_for(w, SECOND)
        w.pass_time(HOUR)
        site.taken.clear()
        run_for(w, 2 * MINUTE)
        assert len(site.taken) >= 38
        assert min(later - earlier for earlier, later in zip(site.taken, site.taken[1:], strict=False)) >= 1000


def test_nobody_comes_back_in_a_herd(w: World) -> None:
    """A host that answers nobody for half a minute is asked by one after another when that is over, too."""
    site = limited(w, 5)
    w.submit_batch([f"{HOST}{n}" for n in range(80)])
    run_for(w, MINUTE, lambda: len(site.taken) >= 20)
    site.rate = site.tokens = 0
    site.refusal = lambda: failure(429, retryable=True, retry_after=30)
    run_for(w, 10 * SECOND)
    refused = site.refused
    site.rate = site.tokens = 1000
    begun = w.now
    run_for(w, 5 * MINUTE, lambda: len(site.taken) == 80, step=100)
    after = [at for at in site.taken if at >= begun]
    assert (len(site.taken), site.refused) == (80, refused)
    assert min(after) - begun >= 20 * SECOND
    assert sum(at < after[0] + SECOND for at in after) <= 3


@pytest.mark.parametrize("redelivered", [False, True])
def test_whom_the_queue_brings_late_keeps_the_place(w: World, redelivered: bool) -> None:
    """All are late then, and move together. Who is late alone, after its worker died, takes another place."""
    lines, key = w.service.lines, "local/example.com"
    lines.slow(None, key, sent_at=w.now, now=w.now, cooling=0, wish=NO_WISH)
    taker = Turns(lines, lambda: w.now)
    first, second = taker.take(key, 2)
    w.pass_time(30 * SECOND)
    turns = Turns(lines, lambda: w.now)
    turns.saw(key, lines.read([key])[key])
    if redelivered:
        assert turns.kept(key, first.place, redelivered=True) is None
        assert lines.read([key])[key].cool_until < w.now - 20 * SECOND
    else:
        assert turns.kept(key, first.place) == Turn(first.place, w.now)
        assert turns.kept(key, second.place) == Turn(second.place, w.now + second.at - first.at)


def test_whoever_waits_too_long_fails_when_the_time_is_over() -> None:
    """The host answers nobody any more, and each has a place that is due some day."""
    with world(host_wait_hours=1) as w:
        w.site.answers = {f"{HOST}{n}": [failure(429, retryable=True, retry_after=300)] for n in range(10)}
        batch = w.submit_batch([f"{HOST}{n}" for n in range(10)])
        run_for(w, 62 * MINUTE, step=15 * SECOND)
        assert {job["error"]["type"] for job in batch_of(w, batch)["jobs"]} == {"host-busy"}


def overloaded() -> Failure:
    """A time-out."""
    error = FetchError(type=ErrorType.TIMEOUT, detail="the site did not send its whole answer within 30 seconds")
    return Failure(error=error, retryable=True, overloaded=True)


def test_a_host_that_gets_slow_is_asked_more_slowly(w: World) -> None:
    """It does not refuse, but several of its answers do not come."""
    urls = [f"{HOST}{n}" for n in range(10)]
    w.site.answers |= {url: [overloaded(), b"at last " + url.encode()] for url in urls[:6]}
    w.submit_batch(urls)
    w.run()
    assert any(key.startswith("HOST#") for key in w.items())
    w.submit_batch([f"{HOST}again/{n}" for n in range(10)])
    begun = w.now
    w.run()
    assert w.site.requests.total() == 10
    run_for(w, MINUTE)
    assert w.now - begun >= MINUTE
    assert w.site.requests.total() == 26


def test_a_few_bad_urls_do_not_slow_a_host(w: World) -> None:
    """One in ten is what sites have."""
    urls = [f"{HOST}{n}" for n in range(10)]
    w.site.answers[urls[3]] = [failure(500, retryable=True)]
    w.submit_batch(urls)
    w.run()
    assert not any(key.startswith("HOST#") for key in w.items())


def test_a_pace_is_forgotten(w: World) -> None:
    """After ten minutes without an objection, the host is asked as at first."""
    site = limited(w, 2)
    w.submit_batch([f"{HOST}{n}" for n in range(10)])
    run_for(w, 5 * MINUTE, lambda: len(site.taken) == 10)
    w.pass_time(15 * MINUTE)
    site.rate = site.tokens = 1000
    w.submit_batch([f"{HOST}again/{n}" for n in range(10)])
    w.run()
    assert len(site.taken) == 20


def test_a_host_that_does_not_object_costs_no_write(w: World) -> None:
    """And no request either: its pace is read with the jobs."""
    w.submit_batch([f"{HOST}{n}" for n in range(10)])
    with w.counted_calls() as calls:
        w.run()
    calls.pop("ReceiveMessage")
    assert calls == {"BatchGetItem": 1, "TransactWriteItems": 1, "PutObject": 10, "UpdateItem": 10}


def test_a_message_of_an_older_version_names_no_host(w: World) -> None:
    """While both versions run: it is fetched, and a refusal is what it was."""
    w.site.answers[HOST] = [failure(429, retryable=True, retry_after=1), b"at last"]
    job_id = w.submit(HOST)["id"]
    (message,) = w.receive()
    body = json.loads(message["body"])
    message["body"] = json.dumps({name: body[name] for name in ("v", "kind", "job_id", "url_key")})
    assert w.deliver([message]) == [message]
    w.pass_time(10 * SECOND)
    assert w.deliver([message]) == []
    assert (w.job(job_id)["status"], w.job(job_id)["attempts"]) == ("succeeded", 2)


def test_a_message_that_goes_round_and_round_ends(w: World) -> None:
    """Long after any line would have."""
    w.site.answers[HOST] = [failure(429, retryable=True, retry_after=1)]
    job_id = w.submit(HOST)["id"]
    w.run()
    (copy,) = w.copies()
    copy["body"] = json.dumps(json.loads(copy["body"]) | {"copies": 1000})
    w.pass_time(MINUTE)
    assert w.deliver([copy]) == []
    assert (w.job(job_id)["status"], w.job(job_id)["error"]["type"]) == ("failed", "host-busy")


def test_a_deletion_and_a_new_submission_while_a_copy_is_on_its_way(w: World) -> None:
    """The copy of the deleted job asks for nothing, and the new job takes its own turn."""
    w.site.answers[HOST] = [failure(429, retryable=True, retry_after=10), b"at last"]
    gone = w.submit(HOST)["id"]
    w.run()
    assert w.request("DELETE", f"/jobs/{gone}").status_code == 204
    job_id = w.submit(HOST)["id"]
    run_for(w, MINUTE, lambda: w.job(job_id)["status"] == "succeeded")
    run_for(w, 5 * SECOND)
    assert (w.job(job_id)["status"], w.job(job_id)["attempts"], w.site.requests[HOST]) == ("succeeded", 1, 2)
    assert not w.more_will_come


def test_an_expired_job_takes_no_turn(w: World) -> None:
    """Its copy comes too late: nothing is asked, and nothing comes back."""
    w.site.answers[HOST] = [failure(429, retryable=True, retry_after=1), b"at last"]
    w.submit(HOST)
    w.run()
    copies = w.copies()
    w.pass_time(8 * DAY)
    w.sweep()
    assert w.deliver(copies) == []
    assert not w.more_will_come
    assert w.site.requests[HOST] == 1
