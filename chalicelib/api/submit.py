"""Submitting: an answer is given only when every row is in the table and every message on the queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from chalicelib.api import problems
from chalicelib.api.access import Meter
from chalicelib.api.problems import ProblemError
from chalicelib.api.read import Shown, show, show_batch
from chalicelib.api.service import Service
from chalicelib.api.types import FieldError, Rejected
from chalicelib.jobs import ids
from chalicelib.jobs.entities import Batch, Job, Mark
from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.urls import InvalidURL, check_single, normal_form
from chalicelib.metrics import Metric
from chalicelib.storage import protocol
from chalicelib.storage.protocol import TRANSACTION_LIMIT, Write
from chalicelib.storage.queue import Message

JOBS_ROUTE = "POST /jobs"
BATCHES_ROUTE = "POST /batches"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A batch that was taken: its jobs in the order given, and what was not taken."""

    batch: Batch
    jobs: list[Shown]
    rejected: list[Rejected]


def submit_job(service: Service, meter: Meter, url: str, key: str | None) -> Shown:
    """Take one URL; the same key and URL again gives the same job.

    Raises ProblemError for a URL that cannot be fetched, for a key that stands for something else, and where the
    quota is used up.
    """
    tenant = meter.tenant
    try:
        url_key = _url_key(service, tenant, url)
    except InvalidURL as error:
        raise problems.at("/url", str(error)) from error
    job = Job(
        id=service.new_id() if key is None else ids.derived(tenant, JOBS_ROUTE, key),
        tenant=tenant,
        url=url,
        url_key=url_key,
        submitted_at=service.clock(),
    )
    standing = service.table.job(job.id) if meter.counts and key is not None else None
    if standing is None:
        meter.count(1)
        if _put(service, meter, job, key):
            _send(service, meter, [job], key)
            service.metrics.add(Metric.SUBMITTED)
            return Shown(job, None)
        standing = service.table.job(job.id)
        if not _is_own(standing, job):
            meter.give_back(1)
    if standing is None:
        raise Unavailable("a job's row was swept between a refused write and its reading")
    if isinstance(standing, Mark) or service.is_gone(standing, tenant):
        raise _deleted()
    if standing.url != url:
        raise _reused()
    # Whether the first handler lived to send its message is not known.
    service.queue.send([Message(standing.id, standing.url_key)])
    shown = show(service, [standing])
    if not shown:  # deleted since it was read
        raise _deleted()
    return shown[0]


def submit_batch(service: Service, meter: Meter, urls: Sequence[str], key: str | None) -> Accepted:
    """Take the valid URLs; the same key and URLs again give the same batch.

    Raises ProblemError where no URL is valid, for a key that stands for something else or is being stored, and where
    the quota is used up.
    """
    tenant = meter.tenant
    valid, rejected = _sort(tenant, urls, service)
    if not valid:
        errors = [FieldError(pointer=f"/urls/{item.index}", detail=item.detail) for item in rejected]
        detail = f"None of the {len(urls)} URLs can be fetched; nothing was stored. First: {rejected[0].detail}"
        raise ProblemError(problems.INVALID, detail, errors=errors)
    now = service.clock()
    holder = service.new_id()
    batch = Batch(
        id=holder if key is None else ids.derived(tenant, BATCHES_ROUTE, key),
        tenant=tenant,
        size=len(valid),
        digest=ids.digest(urls),
        submitted_at=now,
        lease_until=now + service.batch_lease,
        holder=holder,
    )
    standing = service.table.batch(batch.id) if meter.counts and key is not None else None
    if standing is None:
        meter.count(batch.size)
        with _unless_stored(meter, batch.size, key):
            standing = _take_lease(service, batch, protocol.submit_batch(batch, service.terms))
        if _is_held_by(standing, holder):
            return _store(service, meter, batch, _jobs(batch, valid), rejected, key, begun=False)
        meter.give_back(batch.size)
    if standing is None:
        raise Unavailable("a batch's row was swept between a refused write and its reading")
    if isinstance(standing, Mark) or service.is_gone(standing, tenant):
        raise _deleted()
    if standing.digest != batch.digest:
        raise _reused()
    if standing.accepted:
        return _replay(service, standing, rejected)
    return _take_over(service, meter, standing, holder, valid, rejected, key)


@contextmanager
def _unless_stored(meter: Meter, urls: int, key: str | None) -> Iterator[None]:
    """Give back what was counted where this ends in 503, before any message was sent: then no job of it ever runs.

    With a key it stays counted: the same request again may find what was stored, and is not counted then.
    """
    try:
        yield
    except Unavailable:
        if key is None:
            meter.give_back(urls)
        raise


def _put(service: Service, meter: Meter, job: Job, key: str | None) -> bool:
    with _unless_stored(meter, 1, key):
        return service.table.make(protocol.submit_job(job, service.terms))


def _send(service: Service, meter: Meter, jobs: Sequence[Job], key: str | None) -> None:
    """Send the jobs' messages. Where that ends in 503 and nobody can ask for the jobs again, they are withdrawn."""
    try:
        service.queue.send([Message(job.id, job.url_key) for job in jobs])
    except Unavailable:
        if key is None and meter.counts:
            _withdraw(service, meter, jobs)
        raise


def _withdraw(service: Service, meter: Meter, jobs: Sequence[Job]) -> None:
    """Turn jobs that nobody was told of into marks, so that a message that was sent starts nothing; give those back."""
    groups = [jobs[at : at + TRANSACTION_LIMIT] for at in range(0, len(jobs), TRANSACTION_LIMIT)]
    writes = [[each for job in group for each in protocol.delete_unlinked(job, service.terms)] for group in groups]
    with suppress(Unavailable):  # then they stay counted
        made = service.table.make_all(writes)
        meter.give_back(sum(len(group) for group, was_made in zip(groups, made, strict=True) if was_made))


def _is_own(standing: Job | Mark | None, put: Job) -> bool:
    """True where what refused a write may be that very write, repeated by the driver when its answer was lost.

    Then it was counted rightly. Another request of the same millisecond is counted too, which harms less than a
    submission that is not.
    """
    return isinstance(standing, Job) and standing.submitted_at == put.submitted_at


def _take_lease(service: Service, batch: Batch, write: Write) -> Batch | Mark | None:
    """The batch as it stands after a write that makes its lease ours, unless another has it.

    It is ours too where the driver repeated the write, since its answer was lost, and the repetition was refused.
    """
    try:
        return batch if service.table.make(write) else service.table.batch(batch.id)
    except Unavailable:
        _release(service, batch)
        raise


def _is_held_by(standing: Batch | Mark | None, holder: str) -> bool:
    return isinstance(standing, Batch) and standing.holder == holder


def _url_key(service: Service, tenant: str, url: str) -> str:
    """Which claim the URL goes by. Raises InvalidURL."""
    check_single(url)
    return ids.url_key(tenant, normal_form(url, service.addresses))


def _sort(tenant: str, urls: Sequence[str], service: Service) -> tuple[list[tuple[str, str]], list[Rejected]]:
    valid = []
    rejected = []
    for index, url in enumerate(urls):
        try:
            valid.append((url, _url_key(service, tenant, url)))
        except InvalidURL as error:
            rejected.append(Rejected(index=index, url=url, detail=str(error)))
    return valid, rejected


def _jobs(batch: Batch, valid: list[tuple[str, str]]) -> list[Job]:
    return [
        Job(
            id=job_id,
            tenant=batch.tenant,
            url=url,
            url_key=url_key,
            submitted_at=batch.submitted_at,
            batch_id=batch.id,
        )
        for job_id, (url, url_key) in zip(batch.job_ids(), valid, strict=True)
    ]


def _store(
    service: Service,
    meter: Meter,
    batch: Batch,
    jobs: list[Job],
    rejected: list[Rejected],
    key: str | None,
    *,
    begun: bool,
) -> Accepted:
    """Put the rows, or those that are missing of what was begun; send every message; accept.

    Where that ends in 503 the lease ends too, so that the same request may go on at once: but not while DynamoDB may
    still carry out a write of rows whose answer was not heard, for it would fall on rows that are linked by then.
    """
    try:
        with _unless_stored(meter, batch.size, key):
            written = service.table.jobs(batch.job_ids(), tenant=batch.tenant) if begun else {}
            service.table.put_jobs([job for job in jobs if job.id not in written])
    except Unavailable as error:
        if not error.late:
            _release(service, batch)
        raise
    try:
        _send(service, meter, jobs, key)
        return _accept(service, batch, jobs, rejected)
    except Unavailable:
        _release(service, batch)
        raise


def _release(service: Service, batch: Batch) -> None:
    with suppress(Unavailable):  # then it ends by itself
        service.table.make(protocol.release_batch(batch, now=service.clock()))


def _accept(service: Service, batch: Batch, jobs: list[Job], rejected: list[Rejected]) -> Accepted:
    if not service.table.make(protocol.accept_batch(batch)):
        # Another handler took over, or the batch was deleted by who was told of that one's acceptance.
        standing = service.table.batch(batch.id)
        if isinstance(standing, Mark):
            raise _deleted()
        if standing is None or not standing.accepted:
            raise _in_progress(1)
    service.metrics.add(Metric.SUBMITTED, len(jobs))
    service.metrics.add(Metric.REJECTED, len(rejected))
    return Accepted(batch=batch, jobs=[Shown(job, None) for job in jobs], rejected=rejected)


def _replay(service: Service, batch: Batch, rejected: list[Rejected]) -> Accepted:
    return Accepted(batch=batch, jobs=show_batch(service, batch), rejected=rejected)


def _take_over(
    service: Service,
    meter: Meter,
    standing: Batch,
    holder: str,
    valid: list[tuple[str, str]],
    rejected: list[Rejected],
    key: str | None,
) -> Accepted:
    """Go on where a handler died: write the rows that are missing, send every message."""
    if len(valid) != standing.size:  # what may be fetched has changed since: the ids would shift
        raise _deleted()
    now = service.clock()
    if standing.lease_until > now:
        raise _in_progress(-(-(standing.lease_until - now) // 1000))
    mine = replace(standing, lease_until=now + service.batch_lease, holder=holder)
    if not _is_held_by(_take_lease(service, mine, protocol.take_over_batch(mine, now=now)), holder):
        raise _in_progress(1)
    return _store(service, meter, mine, _jobs(mine, valid), rejected, key, begun=True)


def _deleted() -> ProblemError:
    return ProblemError(
        problems.DELETED, "What was submitted with this Idempotency-Key is gone, deleted or expired. Use a new key."
    )


def _reused() -> ProblemError:
    return ProblemError(
        problems.KEY_REUSED, "This Idempotency-Key came with another body before. Use a new key for a new body."
    )


def _in_progress(seconds: int) -> ProblemError:
    return ProblemError(
        problems.IN_PROGRESS,
        f"The first request with this Idempotency-Key is still being stored. Send the same again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )
