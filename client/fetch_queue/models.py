"""What the API answers, as types. Members that are not known yet are kept in `document`, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fetch_queue.errors import UnexpectedAnswer

Document = Mapping[str, Any]
T = TypeVar("T")

SUCCEEDED, FAILED = "succeeded", "failed"
FINISHED = (SUCCEEDED, FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What is known about a result's bytes."""

    content_type: str
    size: int  # bytes
    sha256: str  # hexadecimal
    final_url: str
    link: str | None  # anybody can read the bytes there for a minute; only in a batch's results


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a job failed."""

    type: str
    detail: str
    excerpt: str | None = None  # the beginning of what the site said about it in its own words


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One submission of one URL."""

    id: str
    url: str
    status: str  # queued, running, succeeded, failed
    submitted_at: str  # RFC 3339
    finished_at: str | None
    next_attempt_at: str | None = None  # of a queued job, as far as it is known; older services do not say it
    attempts: int
    reused: bool | None  # None until it is known
    result: Result | None
    error: Failure | None
    reference: str | None = None  # what its client calls it
    header_names: tuple[str, ...] = ()  # of the headers that are sent with its URL
    document: Document  # all of it, as it came

    @property
    def finished(self) -> bool:
        """True when the status will not change any more."""
        return self.status in FINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A URL that did not become a job, and why."""

    index: int
    url: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The answer to a batch's submission: its jobs in the order given, and the URLs that were rejected."""

    id: str
    jobs: tuple[Job, ...]
    rejected: tuple[Rejected, ...]
    retry_after: float  # seconds after which to ask how it is doing
    retry_of: str | None = None  # the batch whose failed jobs these were
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How a batch is doing."""

    id: str
    total: int
    counts: Mapping[str, int]  # by status
    waiting_for_host: int = 0  # of the queued ones; older services do not say it
    finished: bool
    jobs: tuple[Job, ...]  # the first hundred
    retry_after: float  # seconds after which to ask again
    retry_of: str | None = None  # the batch whose failed jobs these were
    retried_by: str | None = None  # the retry of it that was accepted last; it may be gone by now
    document: Document

    @property
    def done(self) -> int:
        """How many of its jobs are finished."""
        return sum(self.counts.get(status, 0) for status in FINISHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A batch in a list: what is known of it without its jobs."""

    id: str
    submitted_at: str  # RFC 3339
    expires_at: str
    submitted: int  # how many jobs it had at first
    retry_of: str | None
    retried_by: str | None
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How many URLs may be submitted in a span of time."""

    span: str  # minute, day
    limit: int
    used: int
    remaining: int
    resets_at: str  # RFC 3339
    document: Document


def parse(reader: Callable[[Any], T], document: Any) -> T:
    """Read a document by one of the functions below. Raises UnexpectedAnswer if it is not one of ours."""
    try:
        return reader(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnexpectedAnswer("the answer is not from a Fetch Queue; is the address right?") from error


def job(document: Document) -> Job:
    """A Job."""
    result, error = document["result"], document["error"]
    return Job(
        id=str(document["id"]),
        url=str(document["url"]),
        status=str(document["status"]),
        submitted_at=str(document["submitted_at"]),
        finished_at=document["finished_at"],
        next_attempt_at=document.get("next_attempt_at"),
        attempts=int(document["attempts"]),
        reused=document["reused"],
        result=None if result is None else _result(result),
        error=None if error is None else _failure(error),
        reference=document.get("reference"),
        header_names=tuple(document.get("header_names", ())),
        document=document,
    )


def accepted(document: Document, retry_after: float) -> Accepted:
    """The answer to `POST /batches` and to a retry."""
    return Accepted(
        id=str(document["id"]),
        jobs=tuple(job(one) for one in document["jobs"]),
        rejected=tuple(
            Rejected(index=int(one["index"]), url=str(one["url"]), detail=str(one["detail"]))
            for one in document["rejected"]
        ),
        retry_after=retry_after,
        retry_of=document.get("retry_of"),
        document=document,
    )


def batch(document: Document, retry_after: float) -> Batch:
    """The answer to `GET /batches/{id}`."""
    return Batch(
        id=str(document["id"]),
        total=int(document["total"]),
        counts={str(status): int(count) for status, count in document["counts"].items()},
        waiting_for_host=int(document.get("waiting_for_host", 0)),
        finished=bool(document["finished"]),
        jobs=tuple(job(one) for one in document["jobs"]),
        retry_after=retry_after,
        retry_of=document.get("retry_of"),
        retried_by=document.get("retried_by"),
        document=document,
    )


def summary(document: Document) -> Summary:
    """A batch of `GET /batches`."""
    return Summary(
        id=str(document["id"]),
        submitted_at=str(document["submitted_at"]),
        expires_at=str(document["expires_at"]),
        submitted=int(document["submitted"]),
        retry_of=document.get("retry_of"),
        retried_by=document.get("retried_by"),
        document=document,
    )


def quota(document: Document) -> Quota:
    """A quota of `GET /usage`."""
    return Quota(
        span=str(document["span"]),
        limit=int(document["limit"]),
        used=int(document["used"]),
        remaining=int(document["remaining"]),
        resets_at=str(document["resets_at"]),
        document=document,
    )


def _failure(document: Document) -> Failure:
    words = document.get("excerpt")
    return Failure(
        type=str(document["type"]),
        detail=str(document["detail"]),
        excerpt=None if words is None else str(words),
    )


def _result(document: Document) -> Result:
    link = document.get("link")
    return Result(
        content_type=str(document["content_type"]),
        size=int(document["size"]),
        sha256=str(document["sha256"]),
        final_url=str(document["final_url"]),
        link=None if link is None else str(link),
    )
