"""A job's result: its text, or a link to its bytes that is valid for a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.jobs.entities import Job, Result
from chalicelib.jobs.filenames import file_name
from chalicelib.service.errors import JobFailed, NotFinished, NotFound
from chalicelib.service.read import Shown, read_job, read_jobs_from
from chalicelib.service.service import Service
from chalicelib.storage.links import LINK_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The client already has it."""

    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """The bytes, which are UTF-8 text."""

    result: Result
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Where the bytes can be read."""

    result: Result
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedPage:
    """Some of a batch's jobs, in order, each with a link to its result, and where the next ones begin."""

    jobs: list[tuple[Shown, str | None]]  # no link without a result
    links_until: int  # when they end
    next: int | None
    submitted_at: int  # the batch

    @property
    def finished(self) -> bool:
        """True when no job's status will change any more."""
        return all(shown.finished for shown, _ in self.jobs)


def read_result(
    service: Service,
    tenant: str,
    job_id: str,
    *,
    is_known: Callable[[Result], bool],
    may_be_inline: Callable[[Result], bool],
) -> Known | Inline | Elsewhere:
    """The result of a finished job, in the form that the caller can use: text may be sent inline.

    Raises NotFound, and NotFinished or JobFailed for a job that has no result.
    """
    shown = read_job(service, tenant, job_id)
    fetch = shown.fetch
    if fetch is not None and fetch.error is not None:
        raise JobFailed(fetch.error)
    if fetch is None or fetch.result is None:
        raise NotFinished(shown.status)
    result = fetch.result
    if is_known(result):
        return Known(result=result)
    if not result.text or not may_be_inline(result):
        return Elsewhere(result=result, url=_link_to(service, shown.job, result))
    data = service.bucket.read(result.key)
    if data is None:  # deleted since the job was read
        raise NotFound("result")
    return Inline(result=result, text=data.decode())


def read_links(service: Service, tenant: str, batch_id: str, *, cursor: int) -> LinkedPage:
    """The batch's jobs from number `cursor` on, each with a link to its result. Raises NotFound."""
    page = read_jobs_from(service, tenant, batch_id, cursor=cursor)
    until = service.clock() + LINK_SECONDS * 1000
    return LinkedPage(
        jobs=[(shown, _link_of(service, shown)) for shown in page.jobs],
        links_until=until,
        next=page.next,
        submitted_at=page.batch.submitted_at,
    )


def _link_of(service: Service, shown: Shown) -> str | None:
    result = None if shown.fetch is None else shown.fetch.result
    return None if result is None else _link_to(service, shown.job, result)


def _link_to(service: Service, job: Job, result: Result) -> str:
    """A URL by which anybody can read a job's result for a while; the job's URL decides its file name."""
    return service.links.link(result.key, file_name(job.url, result.content_type))
