"""The protocol: every conditional write of the service, with each clause of its condition by name.

      submit            start                 finish
    --------> JOB free --------> FETCH running --------> succeeded | failed
                 |                 |      ^
                 | join            | retry | resume (lease over)
                 v                 v      |
              shares a          FETCH queued -----> failed (give up)
              standing fetch

      delete, no fetch yet   JOB free -> mark
      delete, shared         JOB tied -> mark,                FETCH jobs - k
      delete, last           JOB tied -> mark with the fetch, FETCH gone; then results and claim go, the mark is bare

A write of several items is one transaction: either all of its conditions hold
and all of it happens, or nothing does. docs/protocol.md says for each clause
what goes wrong without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chalicelib.jobs.decide import shares_failures_from
from chalicelib.jobs.entities import Batch, Claim, Fetch, FetchError, Job, Mark, Result, Status
from chalicelib.storage import items
from chalicelib.storage.expressions import Operation, Write, all_of, any_of, delete, put, update
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
FETCH_OTHERS_STAY = "jobs > :leaving"
FETCH_NONE_STAY = "jobs = :leaving"
# URL
CLAIM_FREE = "attribute_not_exists(pk)"
CLAIM_PAST_WINDOW = "submitted_at <= :window_start"
CLAIM_OF_DEAD = "fetch_id = :dead"
CLAIM_OF_FETCH = "fetch_id = :fetch"
# BATCH, and any item that is put for the first time
ABSENT = "attribute_not_exists(pk)"
BATCH_LEASE_OVER = "lease_until <= :now"
BATCH_LEASE_MINE = "holder = :mine"
BATCH_ACCEPTED = "attribute_exists(accepted)"


# Submitting


def submit_job(job: Job, terms: Terms) -> Write:
    """Put a job for the first time."""
    return [put(items.item_of(job, terms.sweep_at(job.submitted_at)), ABSENT)]


def submit_batch(batch: Batch, terms: Terms) -> Write:
    """Put a batch for the first time, under a lease: one handler at a time writes its rows."""
    return [put(items.item_of(batch, terms.sweep_at(batch.submitted_at)), ABSENT)]


def take_over_batch(batch: Batch, *, now: int) -> Write:
    """Continue, with the lease and as the holder in `batch`, after a handler ended before the batch was accepted."""
    return [
        update(
            items.batch_key(batch.id),
            "SET lease_until = :lease_until, holder = :holder",
            BATCH_LEASE_OVER,
            {":lease_until": batch.lease_until, ":holder": batch.holder, ":now": now},
        )
    ]


def release_batch(batch: Batch, *, now: int) -> Write:
    """End the lease of a handler that writes nothing more, so that a repeat of its request need not wait."""
    return [
        update(
            items.batch_key(batch.id),
            "SET lease_until = :now",
            BATCH_LEASE_MINE,
            {":now": now, ":mine": batch.holder},
        )
    ]


def accept_batch(batch: Batch) -> Write:
    """Record that every row and message of the batch is durable."""
    return [
        update(
            items.batch_key(batch.id),
            "SET accepted = :true",
            BATCH_LEASE_MINE,
            {":true": True, ":mine": batch.holder},
        )
    ]


# Running


def start(job: Job, *, now: int, terms: Terms, dead: str | None) -> Write:
    """Link the job to its own fetch, begin the first attempt, claim the URL."""
    fetch = Fetch(
        id=job.id,
        url=job.url,
        url_key=job.url_key,
        status=Status.RUNNING,
        jobs=1,
        attempt=1,
        lease_until=now + terms.lease,
        submitted_at=job.submitted_at,
        started_at=now,
    )
    claim = Claim(url_key=job.url_key, fetch_id=job.id, submitted_at=job.submitted_at)
    sweep_at = terms.sweep_at(job.submitted_at)
    return [
        _link(job, fetch.id),
        put(items.item_of(fetch, sweep_at), FETCH_ABSENT, {":now_seconds": now // 1000}),
        put(
            items.item_of(claim, sweep_at),
            any_of(CLAIM_FREE, CLAIM_PAST_WINDOW, *([] if dead is None else [CLAIM_OF_DEAD])),
            {":window_start": job.submitted_at - terms.rules.window, ":dead": dead},
        ),
    ]


def join(job: Job, fetch_id: str, terms: Terms) -> Write:
    """Link the job to an existing fetch and count it there."""
    return [
        _link(job, fetch_id),
        update(
            items.fetch_key(fetch_id),
            "SET jobs = jobs + :one",
            all_of(FETCH_SHARED, FETCH_NOT_DEAD),
            {":one": 1, ":none": 0, ":shared_from": shares_failures_from(job, fetch_id, terms.rules)},
        ),
    ]


def resume(fetch: Fetch, *, now: int, terms: Terms) -> Write:
    """Begin the next attempt of a fetch that nobody holds."""
    return [
        update(
            items.fetch_key(fetch.id),
            "SET attempt = :next, #status = :running, lease_until = :lease_until",
            all_of(FETCH_UNCHANGED, FETCH_UNFINISHED, FETCH_LEASE_OVER),
            {":next": fetch.attempt + 1, ":lease_until": now + terms.lease, ":now": now, **_statuses(fetch.attempt)},
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
    """End the attempt that this worker holds, and the fetch, with a result."""
    return [
        update(
            items.fetch_key(fetch_id),
            "SET #status = :succeeded, finished_at = :now, #result = :result",
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
    )
    sweep_at = terms.sweep_at(job.submitted_at)
    return [
        _link(job, fetch.id),
        put(items.item_of(fetch, sweep_at), FETCH_ABSENT, {":now_seconds": now // 1000}),
    ]


# Deleting


def delete_unlinked(job: Job, terms: Terms) -> Write:
    """Turn a job without a fetch into its mark."""
    return [put(items.item_of(mark_of(job, terms)), all_of(JOB_LIVES, JOB_UNLINKED))]


def delete_shared(jobs: Sequence[Job], fetch: Fetch, terms: Terms) -> Write:
    """Turn some of the jobs that share a fetch into marks; the fetch stays for the others."""
    return [
        *(_untie(mark_of(job, terms), fetch) for job in jobs),
        update(
            items.fetch_key(fetch.id),
            "SET jobs = jobs - :leaving",
            FETCH_OTHERS_STAY,
            {":leaving": len(jobs)},
        ),
    ]


def delete_last(jobs: Sequence[Job], fetch: Fetch, terms: Terms) -> Write:
    """Turn the last jobs of a fetch into marks that say what is still to be removed, and delete the fetch."""
    return [
        *(_untie(unfinished_mark_of(job, fetch, terms), fetch) for job in jobs),
        delete(
            items.fetch_key(fetch.id),
            all_of(FETCH_NONE_STAY, FETCH_UNCHANGED),
            {":leaving": len(jobs), ":attempt": fetch.attempt},
        ),
    ]


def delete_claim(url_key: str, fetch_id: str) -> Write:
    """Remove the claim of a deleted fetch, unless a newer fetch has it by now."""
    return [delete(items.claim_key(url_key), CLAIM_OF_FETCH, {":fetch": fetch_id})]


def delete_batch(batch: Batch, terms: Terms) -> Write:
    """Turn a batch into its mark, after its jobs."""
    return [put(items.batch_mark_item(batch, terms.sweep_at(batch.submitted_at)), BATCH_ACCEPTED)]


def mark_of(job: Job, terms: Terms) -> Mark:
    """The bare mark that a deleted job leaves."""
    return Mark(id=job.id, tenant=job.tenant, sweep_at=terms.sweep_at(job.submitted_at))


def unfinished_mark_of(job: Job, fetch: Fetch, terms: Terms) -> Mark:
    """The mark of a job that was its fetch's last: it says what is still to be removed."""
    return replace(mark_of(job, terms), fetch_id=fetch.id, url_key=job.url_key, attempts=fetch.attempt)


# The forms


def _link(job: Job, fetch_id: str) -> Operation:
    return update(
        items.job_key(job.id),
        "SET fetch_id = :fetch",
        all_of(JOB_LIVES, JOB_UNLINKED),
        {":fetch": fetch_id},
    )


def _untie(mark: Mark, fetch: Fetch) -> Operation:
    return put(items.item_of(mark), all_of(JOB_LIVES, JOB_TIED), {":fetch": fetch.id})


def _statuses(attempt: int) -> dict[str, object]:
    return {":attempt": attempt} | {f":{status}": str(status) for status in Status}
