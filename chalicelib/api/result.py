"""A job's result: inline where it is a small text, else by a link that is good for a minute."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.api import problems
from chalicelib.api.problems import ProblemError
from chalicelib.api.read import read_job
from chalicelib.api.render import error_view
from chalicelib.api.service import Service
from chalicelib.jobs.entities import Job, Result
from chalicelib.jobs.filenames import file_name

POLL_SECONDS = 1

# What a browser takes for several documents, each with headers of its own, in whose place ours do not count (the
# composite types of RFC 2046, 5), and what it gives to a reader of its own, as it is.
_COMPOSITE = ("multipart/", "message/")
_READ_OTHERWISE = ("application/pdf", "application/signed-exchange", "application/x-mimearchive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """The client has it."""

    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inline:
    """The bytes, which are UTF-8 text, and to a browser nothing but that or one page."""

    etag: str
    content_type: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Where the bytes can be read."""

    etag: str
    url: str


def read_result(
    service: Service, tenant: str, job_id: str, if_none_match: str | None
) -> Unchanged | Inline | Elsewhere:
    """The result of a finished job. Raises ProblemError: 404, or 409 for a job that has no result."""
    shown = read_job(service, tenant, job_id)
    fetch = shown.fetch
    if fetch is not None and fetch.error is not None:
        raise ProblemError(
            problems.JOB_FAILED,
            f"There is no result: {fetch.error.detail}",
            error=error_view(fetch.error),
        )
    if fetch is None or fetch.result is None:
        raise ProblemError(
            problems.NOT_FINISHED,
            f"The job is {shown.status}. Ask again in {POLL_SECONDS} s.",
            headers={"Retry-After": str(POLL_SECONDS)},
        )
    result = fetch.result
    etag = f'"{result.sha256}"'
    if if_none_match is not None and _matches(if_none_match, etag):
        return Unchanged(etag=etag)
    if not result.text or not _is_one_page(result.content_type):
        return Elsewhere(etag=etag, url=link_to(service, shown.job, result))
    data = service.bucket.read(result.key)
    if data is None:  # deleted since the job was read
        raise problems.not_found("result")
    return Inline(etag=etag, content_type=result.content_type, text=data.decode())


def link_to(service: Service, job: Job, result: Result) -> str:
    """A URL that anybody may read a job's result with for a while; it is saved by the name that its URL makes."""
    return service.bucket.link(result.key, file_name(job.url, result.content_type))


def _is_one_page(content_type: str) -> bool:
    """False for a type whose document the headers of our answer would not bind.

    Of several types with commas between them, as of a repeated header, browsers take the first or the last.
    """
    types = [each.partition(";")[0].strip().lower() for each in content_type.split(",")]
    return not any(each.startswith(_COMPOSITE) or each in _READ_OTHERWISE for each in types)


def _matches(if_none_match: str, etag: str) -> bool:
    """RFC 9110, 13.1.2: a list of tags, weakly compared, or an asterisk."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags
