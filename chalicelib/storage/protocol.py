"""The protocol: every conditional write of the service, with each clause of its condition by name.

      submit            start                 finish
    --------> JOB free --------> FETCH running --------> succeeded | failed
                 |                 |      ^
                 | join            | retry | resume (lease over)
                 v                 v      |
              shares a          FETCH queued -----> failed (give up)
              standing fetch

Writes that submit are in `protocol_submit`, those that delete in `protocol_delete`.

A write of several items is one transaction: either all of its conditions hold
and all of it happens, or nothing does. docs/protocol.md says for each clause
what goes wrong without it.
"""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.jobs.decide import Join, Start, shares_failures_from
from chalicelib.jobs.entities import Claim, Fetch, FetchError, Job, Result, Status
from chalicelib.jobs.pace import Turn
from chalicelib.storage import items
from chalicelib.storage.expressions import Operation, Write, all_of, any_of, put, update
from chalicelib.storage.terms import Terms

# JOB
JOB_LIVES = "attribute_exists(#url)"  # a mark has none
JOB_UNLINKED = "attribute_not_exists(fetch_id)"
JOB_TIED = "fetch_id = :fetch"
# FETCH
FETCH_ABSENT = "(attribute_not_exists(pk) OR sweep_at <= :now_seconds)"
FETCH_UNCHANGED = "attempt = :attempt"  # since it was read
FETCH_UNFINISHED = "#status IN (:queued, :running)"
FETCH_LEASE_OVER = "lease_until <= :now"
FETCH_RUNNING = "#status = :running"
FETCH_SHARED = "jobs > :none"
FETCH_NOT_DEAD = "(attribute_not_exists(failed_at) OR failed_at >= :shared_from)"
FETCH_NOT_FAILED = "attribute_not_exists(failed_at)"
FETCH_OTHERS_STAY = "jobs > :leaving"
FETCH_NONE_STAY = "jobs = :leaving"
# URL
CLAIM_FREE = "attribute_not_exists(pk)"
CLAIM_PAST_WINDOW = "submitted_at <= :window_start"
CLAIM_OF_OVER = "fetch_id = :over"
CLAIM_OF_DEAD = "fetch_id = :dead"
CLAIM_OF_FETCH = "fetch_id = :fetch"
CLAIM_OLDER = "submitted_at < :submitted_at"
# BATCH, and any item that is put for the first time
ABSENT = "attribute_not_exists(pk)"
BATCH_LEASE_OVER = "lease_until <= :now"
BATCH_LEASE_MINE = "holder = :mine"
BATCH_ACCEPTED = "attribute_exists(accepted)"
BATCH_LIVES = "attribute_exists(digest)"  # a mark has none
BATCH_NOT_THAWED = "attribute_not_exists(thawed)"


# Running


def start(beginning: Start, *, now: int, terms: Terms, turn: Turn | None) -> Write:
    """Link the job to its own fetch, claim the URL, and begin the first attempt, unless its turn is to come."""
    job = beginning.job
    fetch = Fetch(
        id=job.id,
        url=job.url,
        url_key=job.url_key,
        status=Status.RUNNING if turn is None else Status.QUEUED,
        jobs=1,
        attempt=1 if turn is None else 0,
        lease_until=now + terms.lease if turn is None else turn.at,
        place=None if turn is None else turn.place,
        submitted_at=job.submitted_at,
        started_at=now if turn is None else None,
        request_headers=job.request_headers,
    )
    claim = Claim(url_key=job.url_key, fetch_id=job.id, submitted_at=job.submitted_at)
    sweep_at = terms.sweep_at(job.submitted_at)
    return [
        _link(job, fetch.id),
        put(items.item_of(fetch, sweep_at), FETCH_ABSENT, {":now_seconds": now // 1000}),
        put(
            items.item_of(claim, sweep_at),
            any_of(CLAIM_FREE, *_replaceable(beginning)),
            {
                ":window_start": job.submitted_at - terms.rules.window,
                ":dead": beginning.dead,
                ":over": beginning.over,
            },
        ),
    ]


def _replaceable(beginning: Start) -> list[str]:
    if beginning.dead is not None:
        return [CLAIM_OF_DEAD]
    of_over = all_of(CLAIM_PAST_WINDOW, CLAIM_OF_OVER)
    return [] if beginning.over is None else [f"({of_over})"]


def join(joins: Sequence[Join], terms: Terms) -> Write:
    """Link jobs to one existing fetch and count them there; where its claim stands past its window, renew it."""
    fetch_id = joins[0].fetch_id
    renewals = [
        update(
            items.claim_key(joining.job.url_key),
            "SET submitted_at = :submitted_at",
            all_of(CLAIM_OF_FETCH, CLAIM_OLDER),
            {":submitted_at": joining.job.submitted_at, ":fetch": fetch_id},
        )
        for joining in joins
        if joining.renew
    ]
    shared_from = max(shares_failures_from(joining.job, fetch_id, terms.rules) for joining in joins)
    return [
        *(_link(joining.job, fetch_id) for joining in joins),
        update(
            items.fetch_key(fetch_id),
            "SET jobs = jobs + :joining",
            all_of(FETCH_SHARED, FETCH_NOT_DEAD),
            {":joining": len(joins), ":none": 0, ":shared_from": shared_from},
        ),
        *renewals,
    ]


def resume(fetch: Fetch, *, now: int, terms: Terms) -> Write:
    """Begin the next attempt of a fetch that nobody holds."""
    return [
        update(
            items.fetch_key(fetch.id),
            "SET attempt = :next, #status = :running, lease_until = :lease_until, "
            "started_at = if_not_exists(started_at, :now) REMOVE place",
            all_of(FETCH_UNCHANGED, FETCH_UNFINISHED, FETCH_LEASE_OVER),
            {":next": fetch.attempt + 1, ":lease_until": now + terms.lease, ":now": now, **_statuses(fetch.attempt)},
        )
    ]


def line_up(fetch: Fetch, turn: Turn, *, now: int) -> Write:
    """Let a fetch that nobody holds wait for its turn at its host."""
    return [
        update(
            items.fetch_key(fetch.id),
            "SET #status = :queued, lease_until = :until, place = :place",
            all_of(FETCH_UNCHANGED, FETCH_UNFINISHED, FETCH_LEASE_OVER),
            {":until": turn.at, ":place": turn.place, ":now": now, **_statuses(fetch.attempt)},
        )
    ]


def give_up(fetch: Fetch, error: FetchError, *, now: int) -> Write:
    """Fail a fetch that nobody holds."""
    return [
        update(
            items.fetch_key(fetch.id),
            "SET #status = :failed, failed_at = :now, finished_at = :now, #error = :error",
            all_of(FETCH_UNCHANGED, FETCH_UNFINISHED, FETCH_LEASE_OVER),
            {":now": now, ":error": items.values_of(error), **_statuses(fetch.attempt)},
        )
    ]


def finish(fetch_id: str, attempt: int, result: Result, *, now: int) -> Write:
    """End the attempt that this worker holds, and the fetch, with a result. The headers are not needed any more."""
    return [
        update(
            items.fetch_key(fetch_id),
            "SET #status = :succeeded, finished_at = :now, #result = :result REMOVE request_headers",
            all_of(FETCH_UNCHANGED, FETCH_RUNNING),
            {":now": now, ":result": items.values_of(result), **_statuses(attempt)},
        )
    ]


def fail(fetch_id: str, attempt: int, error: FetchError, *, now: int) -> Write:
    """End the attempt that this worker holds, and the fetch, with an error."""
    return [
        update(
            items.fetch_key(fetch_id),
            "SET #status = :failed, failed_at = :now, finished_at = :now, #error = :error",
            all_of(FETCH_UNCHANGED, FETCH_RUNNING),
            {":now": now, ":error": items.values_of(error), **_statuses(attempt)},
        )
    ]


def retry(fetch_id: str, attempt: int, *, until: int) -> Write:
    """End the attempt that this worker holds; nobody begins the next one before `until`."""
    return [
        update(
            items.fetch_key(fetch_id),
            "SET #status = :queued, lease_until = :until",
            all_of(FETCH_UNCHANGED, FETCH_RUNNING),
            {":until": until, **_statuses(attempt)},
        )
    ]


def defer(fetch_id: str, attempt: int, turn: Turn) -> Write:
    """End the attempt that this worker holds, which the host refused; it does not count, and waits for its turn."""
    return [
        update(
            items.fetch_key(fetch_id),
            "SET #status = :queued, lease_until = :until, place = :place, "
            "refused = if_not_exists(refused, :none) + :one",
            all_of(FETCH_UNCHANGED, FETCH_RUNNING),
            {":until": turn.at, ":place": turn.place, ":none": 0, ":one": 1, **_statuses(attempt)},
        )
    ]


def fail_unstarted(job: Job, error: FetchError, *, now: int, terms: Terms) -> Write:
    """Give a job that never started a failed fetch, without a claim: only for dead letters."""
    fetch = Fetch(
        id=job.id,
        url=job.url,
        url_key=job.url_key,
        status=Status.FAILED,
        jobs=1,
        attempt=0,
        lease_until=now,
        submitted_at=job.submitted_at,
        finished_at=now,
        failed_at=now,
        error=error,
        request_headers=job.request_headers,
    )
    sweep_at = terms.sweep_at(job.submitted_at)
    return [
        _link(job, fetch.id),
        put(items.item_of(fetch, sweep_at), FETCH_ABSENT, {":now_seconds": now // 1000}),
    ]


# The forms


def _link(job: Job, fetch_id: str) -> Operation:
    """Link a job; the headers, which may be secret, are with the fetch then, or were never needed."""
    return update(
        items.job_key(job.id),
        "SET fetch_id = :fetch REMOVE request_headers",
        all_of(JOB_LIVES, JOB_UNLINKED),
        {":fetch": fetch_id},
    )


def _statuses(attempt: int) -> dict[str, object]:
    return {":attempt": attempt} | {f":{status}": str(status) for status in Status}
