"""Histories of jobs that wait for their host, or are refused by it, while another worker does not know."""

from __future__ import annotations

from chalicelib.jobs.access import LOCAL_TENANT
from chalicelib.jobs.pace import NO_WISH
from chalicelib.jobs.target import Target
from tests.crash.scenarios import URL, Stage
from tests.crash.stepping import Operation
from tests.crash.test_traces import LOOKS, READ, WRITE, end
from tests.world import SECOND, failure

TAKE = 1  # the call that takes a place in a line


def slowed(s: Stage, *, seconds: int) -> None:
    """The host of the URL objected to another of its URLs, and is left alone for so long."""
    key = Target(URL).host_key(LOCAL_TENANT)
    s.w.service.lines.slow(None, key, sent_at=s.w.now, now=s.w.now, cooling=seconds * SECOND, wish=NO_WISH)


def lining_up(s: Stage) -> tuple[str, Operation, Operation]:
    """A worker that is slower than its lease, and another that saw the lease over: it has a place for the fetch now,
    which is to be written down next."""
    job_id, records = s.message()
    slow = s.run("slow", records)
    s.conductor.begin(slow, READ + WRITE)
    slowed(s, seconds=300)
    s.w.pass_time(s.w.settings.lease_ms)
    s.ledger.excused[URL] += 1
    other = s.run("other", records)
    s.conductor.begin(other, LOOKS + TAKE)
    return job_id, slow, other


def test_what_has_ended_does_not_wait_for_its_host(s: Stage) -> None:
    """Its holder finished it after all: nobody fetches it again."""
    job_id, slow, other = lining_up(s)
    s.conductor.finish(slow)
    s.conductor.finish(other)
    assert s.w.job(job_id)["status"] == "succeeded"
    end(s)
    assert s.w.site.requests[URL] == 1


def test_a_turn_does_not_end_a_pause(s: Stage) -> None:
    """Its holder asked for a longer pause after all, and it is kept though the turn comes sooner."""
    s.w.site.answers[URL] = [failure(503, retryable=True, retry_after=600), b"at last " + URL.encode()]
    job_id, slow, other = lining_up(s)
    s.conductor.finish(slow)
    pause = s.w.job(job_id)["next_attempt_at"]
    s.conductor.finish(other)
    assert s.w.job(job_id)["next_attempt_at"] == pause
    end(s)


def test_two_workers_find_places_for_one_fetch(s: Stage) -> None:
    """It keeps the first one: the copy that was sent for it is not in vain."""
    job_id, records = s.crashed()
    slowed(s, seconds=300)
    s.w.pass_time(s.w.settings.lease_ms)
    one, two = s.run("one", records), s.run("two", records)
    s.conductor.begin(one, LOOKS + TAKE)
    s.conductor.begin(two, LOOKS + TAKE)
    s.conductor.finish(one)
    place = s.w.items()[f"FETCH#{job_id}"]["place"]
    s.conductor.finish(two)
    assert s.w.items()[f"FETCH#{job_id}"]["place"] == place
    end(s)
