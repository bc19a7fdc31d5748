"""Reading: a job's status is that of its fetch, which is read after the job, both strongly consistent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from chalicelib.jobs import ids
from chalicelib.jobs.entities import FINISHED, Batch, ErrorType, Fetch, Job, Standing, Status
from chalicelib.jobs.errors import Unavailable
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
    def failed_as(self) -> ErrorType | None:
        """Why it failed."""
        return None if self.fetch is None or self.fetch.error is None else self.fetch.error.type

    @property
    def standing(self) -> Standing:
        """Where it stands."""
        return Standing(
            job_id=self.job.id,
            host_key=self.job.host_key,
            status=self.status,
            place=None if self.fetch is None else self.fetch.place,
            lease_until=None if self.fetch is None else self.fetch.lease_until,
        )


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
    frozen = batch.frozen
    if frozen is not None and (status is None or frozen.get(status, 0) in (0, batch.size)):
        listed = batch.job_ids()[cursor:] if status is None or frozen.get(status, 0) else []
        page, standings = _show(service, batch, listed[:PAGE]), list[Standing]()
        counts = {each: frozen.get(each, 0) for each in Status}
    else:
        listed, page, standings = _read_all(service, batch, cursor, status)
        counts = {each: sum(one.status is each for one in standings) for each in Status}
    found = BatchPage(
        batch=batch,
        counts=counts,
        waiting_for_host=sum(one.in_line for one in standings),
        jobs=page,
        next=number(listed[PAGE - 1]) + 1 if len(listed) > PAGE else None,
        quiet_until=_quiet_until(service, standings),
    )
    _freeze(service, found)
    return found


def _read_all(
    service: Service, batch: Batch, cursor: int, status: Status | None
) -> tuple[list[str], list[Shown], list[Standing]]:
    """The jobs that are listed from `cursor` on, the first page of them, and where all of the batch stand."""
    job_ids = batch.job_ids()
    first = job_ids[cursor : cursor + PAGE] if status is None else []  # which are on the page, unless they are deleted
    page = _show(service, batch, first)
    others = job_ids[:cursor] + job_ids[cursor + len(first) :]
    standings = service.table.standings(others, tenant=batch.tenant, now=service.clock())
    more = [one.job_id for one in standings if status in (None, one.status) and number(one.job_id) >= cursor]
    listed = [*(one.job.id for one in page), *more]
    page += _show(service, batch, more[: PAGE - len(page)])
    shown = {one.job.id for one in page}  # those stand where they are shown
    return listed, page, [*(one.standing for one in page), *(one for one in standings if one.job_id not in shown)]


def _freeze(service: Service, found: BatchPage) -> None:
    """Keep the counts of a finished batch in its row, if that saves reading: a page of it is read anyway."""
    batch = found.batch
    is_new = batch.frozen is None and not batch.thawed
    if found.finished and is_new and found.total == batch.size > PAGE:
        with suppress(Unavailable):  # then they are counted again
            service.table.freeze_batch(batch, {status: count for status, count in found.counts.items() if count})


def _quiet_until(service: Service, standings: Sequence[Standing]) -> int | None:
    """Until when all unfinished jobs wait; None if there is none, or one may change at any time."""
    unfinished = [one for one in standings if one.status not in FINISHED]
    if any(one.status is Status.RUNNING or one.lease_until is None for one in unfinished):
        return None
    times = _next_attempts(service, unfinished)
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
    fetches = service.table.fetches(linked, now=service.clock()) if linked else {}
    return show_with(service, jobs, fetches)


def show_with(service: Service, jobs: Sequence[Job], fetches: Mapping[str, Fetch]) -> list[Shown]:
    """The jobs with those of these fetches that they share, in order; those whose fetch is not there are left out."""
    with_fetch = [
        (job, None if job.fetch_id is None else fetches[job.fetch_id])
        for job in jobs
        if job.fetch_id is None or job.fetch_id in fetches
    ]
    shown = [Shown(job, fetch) for job, fetch in with_fetch]
    times = _next_attempts(service, [one.standing for one in shown])
    return [replace(one, next_attempt_at=time) if time else one for one, time in zip(shown, times, strict=True)]


def _next_attempts(service: Service, standings: Sequence[Standing]) -> list[int | None]:
    hosts = {one.host_key for one in standings if one.in_line and one.host_key}
    paces = service.lines.read(hosts) if hosts else {}
    now = service.clock()
    return [_next_attempt(one, paces.get(one.host_key or ""), now) for one in standings]


def _next_attempt(standing: Standing, pace: Pace | None, now: int) -> int | None:
    if standing.status is not Status.QUEUED or standing.lease_until is None:
        return None
    turn = 0 if pace is None or standing.place is None else due(pace, standing.place)
    at = max(standing.lease_until, turn)
    return at if at > now else None


def show_batch(service: Service, batch: Batch) -> list[Shown]:
    """The batch's jobs with their fetches, in order; deleted ones are left out."""
    return _show(service, batch, batch.job_ids())


def _show(service: Service, batch: Batch, job_ids: Sequence[str]) -> list[Shown]:
    found = service.table.jobs(job_ids, tenant=batch.tenant)
    jobs = [job for job in (found.get(job_id) for job_id in job_ids) if isinstance(job, Job)]
    return show(service, jobs)


def number(job_id: str) -> int:
    """A job's place in its batch, from 0."""
    return int(job_id.rpartition("-")[2])
