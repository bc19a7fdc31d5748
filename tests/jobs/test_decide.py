"""The job runner's decision: one table of cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.jobs.decide import (
    Acknowledge,
    Decision,
    Fail,
    GiveUp,
    Join,
    LookAgain,
    LookAtClaim,
    Resume,
    Rules,
    Seen,
    Start,
    Wait,
    decide,
    is_dead,
)
from chalicelib.jobs.entities import Claim, Fetch, Job, Status

RULES = Rules(window=100, retention=1000, max_attempts=4, skew=10, wait=300)
NOW = 5000
JOB = Job(id="j", tenant="local", url="https://example.com/", url_key="k", submitted_at=4900)
LINKED = replace(JOB, fetch_id="other")
EXPIRED = replace(JOB, submitted_at=NOW - 1000)
OWN = Fetch(
    id="j", url=JOB.url, url_key="k", status=Status.RUNNING, jobs=1, attempt=1, lease_until=NOW + 1, submitted_at=4900
)
OVER = replace(OWN, lease_until=NOW)
SPENT = replace(OVER, attempt=4)
CLAIM = Claim(url_key="k", fetch_id="f", submitted_at=4801)
OLD_CLAIM = replace(CLAIM, submitted_at=4800)
CLAIMED = replace(OWN, id="f", submitted_at=4801)
OLD_FETCH = replace(CLAIMED, status=Status.QUEUED, submitted_at=4501)
FAILED_BEFORE = replace(CLAIMED, status=Status.FAILED, failed_at=4909)  # clocks may differ by 10
FAILED_THEN = replace(CLAIMED, status=Status.FAILED, failed_at=4910)


def seen(
    job: Job | None = JOB,
    claim: Claim | None = None,
    own: Fetch | None = None,
    claimed: Fetch | None = None,
    claimed_id: str | None = None,
) -> Seen:
    return Seen(job=job, claim=claim, own=own, claimed=claimed, claimed_id=claimed_id)


@pytest.mark.parametrize(
    ("case", "what", "expected", "in_dead_letters"),
    [
        ("own fetch succeeded", seen(own=replace(OVER, status=Status.SUCCEEDED)), Acknowledge(), Acknowledge()),
        ("own fetch failed", seen(own=replace(OVER, status=Status.FAILED)), Acknowledge(), Acknowledge()),
        ("own fetch under a live lease", seen(own=OWN), Wait(NOW + 1), Wait(NOW + 1)),
        (
            "a pause before the next attempt",
            seen(own=replace(OWN, status=Status.QUEUED)),
            Wait(NOW + 1),
            Wait(NOW + 1),
        ),
        ("lease over, attempts left", seen(own=OVER), Resume(OVER), GiveUp(OVER)),
        ("lease over, attempts spent", seen(own=SPENT), GiveUp(SPENT), GiveUp(SPENT)),
        ("the job is gone, its fetch is not", seen(job=None, own=OVER), Resume(OVER), GiveUp(OVER)),
        ("the job has expired, its fetch is open", seen(job=EXPIRED, own=OVER), Resume(OVER), GiveUp(OVER)),
        ("another fetch has the claim by now", seen(own=OVER, claim=CLAIM), Resume(OVER), GiveUp(OVER)),
        ("the job is gone", seen(job=None), LookAgain(), LookAgain()),
        ("the job has expired", seen(job=EXPIRED), LookAgain(), LookAgain()),
        ("the job shares another fetch", seen(job=LINKED, claim=CLAIM), LookAgain(), LookAgain()),
        ("no claim", seen(), Start(JOB), Fail(JOB)),
        ("a claim past its window", seen(claim=OLD_CLAIM), LookAtClaim(), LookAtClaim()),
        (
            "a claim past its window on a finished fetch",
            seen(claim=OLD_CLAIM, claimed=replace(OLD_FETCH, status=Status.SUCCEEDED), claimed_id="f"),
            Start(JOB, over="f"),
            Fail(JOB),
        ),
        (
            "a claim past its window on a fetch that is gone",
            seen(claim=OLD_CLAIM, claimed_id="f"),
            Start(JOB, over="f"),
            Fail(JOB),
        ),
        (
            "a claim past its window on a fetch that is not finished",
            seen(claim=OLD_CLAIM, claimed=OLD_FETCH, claimed_id="f"),
            Join(JOB, "f", renew=True),
            Join(JOB, "f", renew=True),
        ),
        (
            "and that should have been long ago",
            seen(claim=OLD_CLAIM, claimed=replace(OLD_FETCH, submitted_at=4500), claimed_id="f"),
            Start(JOB, over="f"),
            Fail(JOB),
        ),
        ("a claim inside its window", seen(claim=CLAIM), Join(JOB, "f"), Join(JOB, "f")),
        (
            "a claim on a running fetch",
            seen(claim=CLAIM, claimed=CLAIMED, claimed_id="f"),
            Join(JOB, "f"),
            Join(JOB, "f"),
        ),
        ("a claim on a fetch that is gone", seen(claim=CLAIM, claimed_id="f"), Start(JOB, dead="f"), Fail(JOB)),
        (
            "a claim on a fetch that failed before the submission",
            seen(claim=CLAIM, claimed=FAILED_BEFORE, claimed_id="f"),
            Start(JOB, dead="f"),
            Fail(JOB),
        ),
        (
            "a claim on a fetch that failed at the submission",
            seen(claim=CLAIM, claimed=FAILED_THEN, claimed_id="f"),
            Join(JOB, "f"),
            Join(JOB, "f"),
        ),
        ("the claim moved on since", seen(claim=CLAIM, claimed_id="e"), Join(JOB, "f"), Join(JOB, "f")),
    ],
)
def test_decision(case: str, what: Seen, expected: Decision, in_dead_letters: Decision) -> None:
    """What the runner does next follows from what it read."""
    assert decide(what, now=NOW, rules=RULES) == expected, case
    assert decide(what, now=NOW, rules=RULES, dead_letter=True) == in_dead_letters, case


@pytest.mark.parametrize("what", [seen(job=None), seen(job=EXPIRED), seen(job=LINKED)])
def test_a_second_look_acknowledges(what: Seen) -> None:
    """A job that is gone, expired or linked is acknowledged when it was seen so before."""
    assert decide(what, now=NOW, rules=RULES, looked=True) == Acknowledge()


def test_a_deleted_jobs_results_are_removed_first() -> None:
    """Its worker may have stored one after the deletion, and died."""
    deleted = Seen(job=None, deleted=True, claim=None, own=None)
    assert decide(deleted, now=NOW, rules=RULES) == LookAgain()
    assert decide(deleted, now=NOW, rules=RULES, looked=True) == Acknowledge(remove=True)
    shared = replace(deleted, own=replace(OWN, status=Status.SUCCEEDED))
    assert decide(shared, now=NOW, rules=RULES, looked=True) == Acknowledge()


def test_a_second_look_that_finds_the_own_fetch_leads_it() -> None:
    """The own fetch counts, whatever a round before saw."""
    assert decide(seen(job=LINKED, own=OVER), now=NOW, rules=RULES, looked=True) == Resume(OVER)


def test_the_last_moment_of_retention() -> None:
    """A job lives until its retention has passed, to the millisecond."""
    alive = replace(JOB, submitted_at=NOW - 999)
    assert decide(seen(job=alive), now=NOW, rules=RULES) == Start(alive)


def test_dead_is_final() -> None:
    """A fetch that succeeded or runs is never dead; one that is gone is."""
    assert is_dead(None, JOB, RULES)
    assert not is_dead(CLAIMED, JOB, RULES)
    assert not is_dead(replace(CLAIMED, status=Status.SUCCEEDED), JOB, RULES)


def test_repeats_in_a_batch_share_its_failure() -> None:
    """None of a batch's jobs was submitted after another's failure, whatever the clocks say."""
    job = replace(JOB, id="b-1", batch_id="b")
    failed = replace(FAILED_BEFORE, failed_at=4890)  # by a clock that is behind
    assert not is_dead(replace(failed, id="b-0"), job, RULES)
    assert is_dead(replace(failed, id="bb-0"), job, RULES)
    assert is_dead(replace(failed, id="b-0", failed_at=4889), job, RULES)  # of an older life of the same id
