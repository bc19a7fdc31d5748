"""The protocol's writes that submit; the clauses of their conditions are in `protocol`.

one       -> JOB free, then its message; or, where a fetch stands for its URL, JOB tied and FETCH jobs + k
several   -> BATCH under a lease, then JOBs without a condition, then their messages, then BATCH accepted
finished, and read by somebody   -> BATCH with its counts, until `protocol_delete.thaw_batch`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chalicelib.jobs.entities import Batch, Job, Status
from chalicelib.storage import items
from chalicelib.storage.expressions import Write, all_of, put, update
from chalicelib.storage.protocol import (
    ABSENT,
    BATCH_LEASE_MINE,
    BATCH_LEASE_OVER,
    BATCH_LIVES,
    BATCH_NOT_THAWED,
    FETCH_NOT_FAILED,
    FETCH_SHARED,
)
from chalicelib.storage.terms import Terms


def submit_job(job: Job, terms: Terms) -> Write:
    """Put a job for the first time."""
    return [put(items.item_of(job, terms.sweep_at(job.submitted_at)), ABSENT)]


def submit_joined(jobs: Sequence[Job], fetch_id: str, terms: Terms) -> Write:
    """Put jobs for the first time, linked to a fetch that stands for their URL, and count them there."""
    linked = [job.linked(fetch_id) for job in jobs]
    return [
        *(put(items.item_of(job, terms.sweep_at(job.submitted_at)), ABSENT) for job in linked),
        update(
            items.fetch_key(fetch_id),
            "SET jobs = jobs + :joining",
            all_of(FETCH_SHARED, FETCH_NOT_FAILED),
            {":joining": len(jobs), ":none": 0},
        ),
    ]


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


def accept_retry(batch: Batch) -> Write:
    """The same of a batch that retries another, which names it from then on."""
    return [
        *accept_batch(batch),
        update(
            items.batch_key(str(batch.retry_of)),
            "SET retried_by = :retry",
            BATCH_LIVES,
            {":retry": batch.id},
        ),
    ]


def freeze_batch(batch: Batch, counts: Mapping[Status, int]) -> Write:
    """Keep in its row how many jobs of each status a batch has, which will not change unless one is deleted."""
    return [
        update(
            items.batch_key(batch.id),
            "SET frozen = :counts",
            all_of(BATCH_LIVES, BATCH_NOT_THAWED),
            {":counts": {str(status): count for status, count in counts.items()}},
        )
    ]
