"""What the service stores: jobs, marks, batches, claims, fetches and their results.

Times are integers, milliseconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from chalicelib.jobs.submitted import NO_HEADERS, RequestHeaders


class Status(StrEnum):
    """Where a job stands; read through its fetch."""

    QUEUED = "queued"  # waiting for its first attempt or between two attempts
    RUNNING = "running"  # a worker holds the fetch
    SUCCEEDED = "succeeded"  # the result can be read
    FAILED = "failed"  # no attempt brought a result and none will follow


FINISHED = frozenset({Status.SUCCEEDED, Status.FAILED})


class ErrorType(StrEnum):
    """Why a fetch failed; the whole list, part of the HTTP contract."""

    HTTP_STATUS = "http-status"  # the site answered with a status outside 200 to 299
    TIMEOUT = "timeout"  # connecting, reading, or the whole fetch took too long
    CONNECTION = "connection"  # refused, reset, or cut before the body was whole
    DNS = "dns"  # the host name has no address, or its name server did not answer
    TLS = "tls"  # certificate or handshake
    BLOCKED = "blocked"  # the address, port or scheme may not be fetched
    TOO_LARGE = "too-large"  # the decoded body passed the limit
    TOO_MANY_REDIRECTS = "too-many-redirects"
    INVALID_RESPONSE = "invalid-response"  # not HTTP, or a redirect or encoding that cannot be followed
    HOST_BUSY = "host-busy"  # its host wants to be asked so slowly that its turn would not have come in time
    ROBOTS = "robots"  # the site's robots.txt does not allow it
    WORKER_LOST = "worker-lost"  # every attempt ended with its worker


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchError:
    """Why a fetch failed, in words for the person who submitted the URL."""

    type: ErrorType
    detail: str
    http_status: int | None = None
    excerpt: str | None = None  # the beginning of the site's answer in its own words, at most 1,000 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a fetch brought back. The bytes are in the bucket under `key`."""

    content_type: str
    size: int  # bytes, decoded
    sha256: str  # of the decoded bytes, hexadecimal
    http_status: int
    final_url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fetched_at: int
    key: str
    text: bool  # at most 1 MiB of UTF-8 without control characters: may be served inline


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One submission of one URL."""

    id: str
    tenant: str
    url: str  # as it was given
    url_key: str  # names its claim
    host_key: str | None = None  # names its host's pace; None if an older version stored it
    submitted_at: int
    batch_id: str | None = None
    fetch_id: str | None = None  # once linked
    reference: str | None = None  # what the client calls it
    header_names: str | None = None  # of the headers that were given, separated by commas
    request_headers: RequestHeaders = NO_HEADERS  # until it is linked
    webhook: str | None = None  # the URL that is told when it is finished
    watched: bool = False  # its batch's webhook is told so

    def linked(self, fetch_id: str) -> Job:
        """The job once it shares a fetch, which has the headers, or has had them."""
        return replace(self, fetch_id=fetch_id, request_headers=NO_HEADERS)

    @property
    def has_event(self) -> bool:
        """True if somebody is told when it is finished."""
        return self.webhook is not None or self.watched

    @property
    def header_count(self) -> int:
        """How many headers were given."""
        return len(self.header_names.split(",")) if self.header_names else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What stays of a deleted job until it would have expired.

    While it has a `fetch_id` the deletion is not complete: claim and results
    may still have to be removed.
    """

    id: str
    tenant: str
    sweep_at: int  # seconds since the epoch
    fetch_id: str | None = None
    url_key: str | None = None
    attempts: int = 0  # how many attempts of the fetch may have stored a result


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Which fetch stands for a URL during the window."""

    url_key: str
    fetch_id: str
    submitted_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """One retrieval of one URL, shared by one or more jobs."""

    id: str  # the id of the job that started it
    url: str  # of the job that started it; its normal form is what is sent
    url_key: str
    status: Status
    jobs: int  # how many share it
    attempt: int  # how many began, the refused ones included
    refused: int = 0  # how many of them the host refused, so that they do not count
    place: int | None = None  # in the line of its host, while it waits there
    lease_until: int
    submitted_at: int  # of the job that started it
    started_at: int | None = None
    finished_at: int | None = None
    failed_at: int | None = None
    result: Result | None = None
    error: FetchError | None = None
    request_headers: RequestHeaders = NO_HEADERS  # that are sent to the origin of the URL; until it has succeeded

    @property
    def spent(self) -> int:
        """How many attempts count."""
        return self.attempt - self.refused

    @property
    def in_line(self) -> bool:
        """True while it waits for its turn at its host."""
        return self.status is Status.QUEUED and self.place is not None

    @property
    def finished(self) -> bool:
        """True when nothing more will happen to it."""
        return self.status in FINISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What decides where a job stands, without the rest of it and of its fetch."""

    job_id: str
    host_key: str | None
    status: Status
    place: int | None  # of its fetch, in the line of its host
    lease_until: int | None  # of its fetch; None before it has one

    @property
    def in_line(self) -> bool:
        """True while it waits for its turn at its host."""
        return self.status is Status.QUEUED and self.place is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Several URLs submitted in one request; its jobs are `<id>-0` to `<id>-<size - 1>`."""

    id: str
    tenant: str
    size: int  # how many jobs
    digest: str  # of the URLs as given
    submitted_at: int
    lease_until: int
    holder: str = ""  # the request that has the lease; two requests never share one
    accepted: bool = False
    frozen: Mapping[str, int] | None = None  # how many jobs of each status, once all are finished
    thawed: bool = False  # a job of it was deleted, or is about to be: it is never frozen again
    retry_of: str | None = None  # the batch whose failed jobs it submits again
    chosen: str | None = None  # which of them: a bit for each number, in hexadecimal
    retried_by: str | None = None  # the batch that retries it, of several the one that was accepted last
    webhook: str | None = None  # the URL that is told when all jobs are finished
    each: bool = False  # it is told of each job too

    def job_ids(self) -> list[str]:
        """The ids of its jobs, in the order given."""
        return [f"{self.id}-{n}" for n in range(self.size)]
