"""The protocol's writes that delete; the clauses of their conditions are in `protocol`.

thaw, before these     BATCH without its counts, for good
delete, no fetch yet   JOB free -> mark
delete, shared         JOB tied -> mark,                FETCH jobs - k
delete, last           JOB tied -> mark with the fetch, FETCH gone; then results and claim go, the mark is bare
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chalicelib.jobs.entities import Batch, Fetch, Job, Mark
from chalicelib.storage import items
from chalicelib.storage.expressions import Operation, Write, all_of, delete, put, update
from chalicelib.storage.protocol import (
    BATCH_ACCEPTED,
    BATCH_LIVES,
    CLAIM_OF_FETCH,
    FETCH_NONE_STAY,
    FETCH_OTHERS_STAY,
    FETCH_UNCHANGED,
    JOB_LIVES,
    JOB_TIED,
    JOB_UNLINKED,
)
from chalicelib.storage.terms import Terms


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


def thaw_batch(batch_id: str) -> Write:
    """Forget how many jobs of each status a batch has, before one of them becomes a mark, and never keep it again."""
    return [update(items.batch_key(batch_id), "SET thawed = :true REMOVE frozen", BATCH_LIVES, {":true": True})]


def delete_batch(batch: Batch, terms: Terms) -> Write:
    """Turn a batch into its mark, after its jobs."""
    return [put(items.batch_mark_item(batch, terms.sweep_at(batch.submitted_at)), BATCH_ACCEPTED)]


def mark_of(job: Job, terms: Terms) -> Mark:
    """The bare mark that a deleted job leaves."""
    return Mark(id=job.id, tenant=job.tenant, sweep_at=terms.sweep_at(job.submitted_at))


def unfinished_mark_of(job: Job, fetch: Fetch, terms: Terms) -> Mark:
    """The mark of a job that was its fetch's last: it says what is still to be removed."""
    return replace(mark_of(job, terms), fetch_id=fetch.id, url_key=job.url_key, attempts=fetch.spent)


def _untie(mark: Mark, fetch: Fetch) -> Operation:
    return put(items.item_of(mark), all_of(JOB_LIVES, JOB_TIED), {":fetch": fetch.id})
