"""Reading: a job's status is that of its fetch, which is read after the job, both strongly consistent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chalicelib.jobs import ids
from chalicelib.jobs.entities import FINISHED, Batch, Fetch, Job, Status
from chalicelib.jobs.pace import Pace, due
from chalicelib.service.errors import NotFound
from chalicelib.service.service import Service

PAGE = 100  # jobs


@dataclass(frozen=True, slots=True)
class Shown:
    """A job and the fetch that it shares; None before it has one."""

    job: Job
    fetch: Fetch | None
    next_attempt_at: int | None = None  # None if it is not known; milliseconds

    @property
    def status(self) -> Status:
        """The job's status."""
        return Status.QUEUED if self.fetch is None else self.fetch.status

    @property
    def finished(self) -> bool:
        """True when the status will not change any more."""
        return self.status in FINISHED

    @property
    def waits_for_host(self) -> bool:
        """True while it waits for its turn at its host."""
        return self.fetch is not None and self.fetch.in_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Up to PAGE of a batch's jobs, from some number on, and where the next ones begin."""

    batch: Batch
    jobs: list[Shown]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPage:
    """A batch's jobs: counted over the whole, listed for one page."""

    batch: Batch
    counts: dict[Status, int]
    waiting_for_host: int  # how many of the queued ones wait for their turn at their host
    jobs: list[Shown]
    next: int | None  # where the next page begins
    quiet_until: int | None  # nothing will change before then; None if something may at any time; milliseconds

    @property
    def total(self) -> int:
        """How many jobs it has; deleted ones do not count."""
        return sum(self.counts.values())

    @property
    def finished(self) -> bool:
        """True when no job's status will change any more."""
        return self.counts[Status.QUEUED] == self.counts[Status.RUNNING] == 0


def await_job(service: Service, tenant: str, job_id: str, seconds: int) -> Shown:
    """The job as soon as it is finished, or as it is after this many seconds; it is read once a second."""
    until = service.clock() + seconds * 1000
    while not (shown := read_job(service, tenant, job_id)).finished:
        left = until - service.clock()
        if left <= 0:
            break
        service.sleep(min(left / 1000, 1.0))
    return shown


def read_job(service: Service, tenant: str, job_id: str) -> Shown:
    """The job. Raises NotFound for one that is unknown, deleted, expired or another tenant's."""
    if ids.is_job_id(job_id):
        job = service.table.job(job_id, tenant=tenant)
        if isinstance(job, Job) and not service.is_gone(job, tenant):
            shown = show(service, [job])
            if shown:
                return shown[0]
    raise NotFound("job")


def read_batch(service: Service, tenant: str, batch_id: str) -> Batch:
    """The batch itself. Raises NotFound as `read_job` does, and for one that is not wholly accepted."""
    if ids.is_batch_id(batch_id):
        batch = service.table.batch(batch_id, tenant=tenant)
        if isinstance(batch, Batch) and batch.accepted and not service.is_gone(batch, tenant):
            return batch
    raise NotFound("batch")


def read_page(service: Service, tenant: str, batch_id: str, *, cursor: int, status: Status | None) -> BatchPage:
    """The batch's counts and the page of its jobs, of one status or of all, that begins at `cursor`."""
    batch = read_batch(service, tenant, batch_id)
    shown = show_batch(service, batch)
    counts = dict.fromkeys(Status, 0)
    for one in shown:
        counts[one.status] += 1
    listed = [one for one in shown if status in (None, one.status) and number(one.job) >= cursor]
    page = listed[:PAGE]
    more = len(listed) > PAGE
    return BatchPage(
        batch=batch,
        counts=counts,
        waiting_for_host=sum(one.waits_for_host for one in shown),
        jobs=page,
        next=number(page[-1].job) + 1 if more else None,
        quiet_until=quiet_until(shown),
    )


def quiet_until(jobs: Sequence[Shown]) -> int | None:
    """Until when all unfinished jobs wait; None if there is none, or one may change at any time."""
    times = [one.next_attempt_at for one in jobs if not one.finished]
    known = [time for time in times if time is not None]
    return min(known) if known and len(known) == len(times) else None


def read_jobs_from(service: Service, tenant: str, batch_id: str, *, cursor: int) -> Rest:
    """The batch's jobs from number `cursor` on; no others are read."""
    batch = read_batch(service, tenant, batch_id)
    end = cursor + PAGE
    jobs = _show(service, batch, batch.job_ids()[cursor:end])
    return Rest(batch=batch, jobs=jobs, next=end if end < batch.size else None)


def show(service: Service, jobs: Sequence[Job]) -> list[Shown]:
    """The jobs with their fetches, in order; those whose fetch is gone are left out."""
    linked = {job.fetch_id for job in jobs if job.fetch_id is not None}
    now = service.clock()
    fetches = service.table.fetches(linked, now=now) if linked else {}
    with_fetch = [
        (job, None if job.fetch_id is None else fetches[job.fetch_id])
        for job in jobs
        if job.fetch_id is None or job.fetch_id in fetches
    ]
    hosts = {job.host_key for job, fetch in with_fetch if job.host_key and fetch is not None and fetch.in_line}
    paces = service.lines.read(hosts) if hosts else {}
    return [
        Shown(job, fetch, _next_attempt(service, fetch, paces.get(job.host_key or ""))) for job, fetch in with_fetch
    ]


def _next_attempt(service: Service, fetch: Fetch | None, pace: Pace | None) -> int | None:
    if fetch is None or fetch.status is not Status.QUEUED:
        return None
    turn = 0 if pace is None or fetch.place is None else due(pace, fetch.place)
    at = max(fetch.lease_until, turn)
    return at if at > service.clock() else None


def show_batch(service: Service, batch: Batch) -> list[Shown]:
    """The batch's jobs with their fetches, in order; deleted ones are left out."""
    return _show(service, batch, batch.job_ids())


def _show(service: Service, batch: Batch, job_ids: Sequence[str]) -> list[Shown]:
    found = service.table.jobs(job_ids, tenant=batch.tenant)
    jobs = [job for job in (found.get(job_id) for job_id in job_ids) if isinstance(job, Job)]
    return show(service, jobs)


def number(job: Job) -> int:
    """A job's place in its batch, from 0."""
    return int(job.id.rpartition("-")[2])
