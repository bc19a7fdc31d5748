"""A job's result: its text, or a link to its bytes that is good for a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.jobs.entities import Job, Result
from chalicelib.jobs.filenames import file_name
from chalicelib.service.errors import JobFailed, NotFinished, NotFound
from chalicelib.service.read import read_job
from chalicelib.service.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Whoever asks has it."""

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


def read_result(
    service: Service,
    tenant: str,
    job_id: str,
    *,
    is_known: Callable[[Result], bool],
    may_be_inline: Callable[[Result], bool],
) -> Known | Inline | Elsewhere:
    """The result of a finished job, in the form that whoever asks can take: a text may be had inline.

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
        return Elsewhere(result=result, url=link_to(service, shown.job, result))
    data = service.bucket.read(result.key)
    if data is None:  # deleted since the job was read
        raise NotFound("result")
    return Inline(result=result, text=data.decode())


def link_to(service: Service, job: Job, result: Result) -> str:
    """A URL that anybody may read a job's result with for a while; it is saved by the name that its URL makes."""
    return service.bucket.link(result.key, file_name(job.url, result.content_type))
