"""Retrying a batch: a new batch of its failed jobs, each with its headers and its reference."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from chalicelib.jobs import ids
from chalicelib.jobs.access import Access
from chalicelib.jobs.entities import Batch, ErrorType, Job, Status
from chalicelib.jobs.submitted import NO_HEADERS, SubmittedURL
from chalicelib.service.errors import KeyGone, NotFound, NothingFailed, NoValidURL
from chalicelib.service.read import Shown, number, read_batch, show, show_batch
from chalicelib.service.service import Service
from chalicelib.service.storing import AcceptedBatch, Given, store_batch
from chalicelib.service.submission import Submission


def retry_batch(
    service: Service, access: Access, batch_id: str, only: Collection[ErrorType], key: str | None
) -> AcceptedBatch:
    """Submit the failed jobs of a batch again, or `only` those with these errors; with the key, the same ones again.

    Raises NotFound and NothingFailed, and what submitting a batch does.
    """
    submission = Submission(service, access, key)
    scope = f"POST /batches/{batch_id}/retry"
    batch = submission.batch(scope, size=0, digest=ids.digest([batch_id, *sorted(only)]))
    standing = None if key is None else service.table.batch(batch.id)
    given = Given()
    if standing is None:
        failed = _failed(service, read_batch(service, access.tenant, batch_id), only)
        given = _given(submission, failed)
        if not given.valid:
            raise NoValidURL(given.rejected)
        chosen = {number(one.job.id) for one in failed} - {each.index for each in given.rejected}
        # Submitted now, after they have failed: else it would be given the failures that it is to mend.
        batch = replace(batch, retry_of=batch_id, chosen=_as_bits(chosen), submitted_at=service.clock())
    elif isinstance(standing, Batch) and not standing.accepted:  # its jobs are those that were chosen when it was begun
        given = _given(submission, _chosen(service, access.tenant, batch_id, str(standing.chosen)))
        batch = replace(batch, retry_of=standing.retry_of, chosen=standing.chosen)
    return store_batch(submission, replace(batch, size=len(given.valid)), given, standing)


def _failed(service: Service, batch: Batch, only: Collection[ErrorType]) -> list[Shown]:
    jobs = show_batch(service, batch)
    failed = [one for one in jobs if one.status is Status.FAILED and (not only or one.failed_as in only)]
    if not failed:
        raise NothingFailed(only, finished=all(one.finished for one in jobs))
    return failed


def _chosen(service: Service, tenant: str, batch_id: str, bits: str) -> list[Shown]:
    try:
        batch = read_batch(service, tenant, batch_id)
    except NotFound:
        raise KeyGone from None
    job_ids = [job_id for job_id in batch.job_ids() if int(bits, 16) >> number(job_id) & 1]
    rows = service.table.jobs(job_ids, tenant=tenant)
    return show(service, [job for job in map(rows.get, job_ids) if isinstance(job, Job)])


def _given(submission: Submission, jobs: Sequence[Shown]) -> Given:
    return Given.of(submission, ((number(one.job.id), _submitted(one)) for one in jobs))


def _submitted(shown: Shown) -> SubmittedURL:
    """What was submitted. A failed fetch has kept the headers."""
    headers = NO_HEADERS if shown.fetch is None else shown.fetch.request_headers
    return SubmittedURL(url=shown.job.url, headers=headers, reference=shown.job.reference)


def _as_bits(numbers: Iterable[int]) -> str:
    return f"{sum(1 << each for each in numbers):x}"
