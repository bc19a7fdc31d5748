"""The types of answers over HTTP: what they have, and how they are rendered."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from chalicelib.api.bodies import Reference, Url
from chalicelib.jobs.access import Span
from chalicelib.jobs.entities import ErrorType, FetchError, Status

Timestamp = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]  # RFC 3339, UTC

# A URL as it was given, in `url`, is any text.
Path = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uri-reference"})]  # of this API

Excerpt = Annotated[
    str,
    msgspec.Meta(
        max_length=1000, description="The beginning of what the site says about it in its own words, as text."
    ),
]


class WebhookStatus(StrEnum):
    """Where the telling of an event stands."""

    WAITING = "waiting"  # there is no event yet: not all is finished, or it was not noticed yet
    PENDING = "pending"  # to be tried, or tried again
    DELIVERED = "delivered"  # the receiver has answered 2xx
    FAILED = "failed"  # no try brought a 2xx, and none will follow
    ENDED = "ended"  # the receiver has answered 410


class WebhookView(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of the end of a job or a batch, and how far that is."""

    url: str
    status: WebhookStatus
    tries: int
    last_status: int | None  # HTTP status of the last try's answer; null if there was none
    next_try_at: Timestamp | None


class SecretView(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that signs your events."""

    secret: str
    old_secret_until: Timestamp | None  # until then the secret before it signs too


class ResultView(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a result; the bytes are at `href`."""

    content_type: str
    size: int
    sha256: str
    http_status: int
    final_url: Url
    fetched_at: Timestamp
    headers: dict[str, str]
    href: Path


class LinkedResultView(ResultView, frozen=True, kw_only=True):
    """A result, with a link by which anybody can read it for a while."""

    link: Url
    link_expires_at: Timestamp


class ErrorView(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job failed."""

    type: ErrorType
    detail: str
    http_status: int | None
    excerpt: Excerpt | None

    @staticmethod
    def of(error: FetchError) -> ErrorView:
        """The view of an error."""
        return ErrorView(type=error.type, detail=error.detail, http_status=error.http_status, excerpt=error.excerpt)


class JobLinks(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job, its result and its batch are."""

    self: Path
    result: Path
    batch: Path | None


class JobView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job, as the API shows it."""

    id: str
    batch_id: str | None
    url: str
    status: Status
    submitted_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    expires_at: Timestamp
    next_attempt_at: Timestamp | None  # of a queued job, as far as it is known
    attempts: int
    reused: bool | None
    result: ResultView | None
    error: ErrorView | None
    links: JobLinks
    reference: Reference | None = None  # as it was given
    header_names: list[str] = []  # of the headers that were given; their values are not shown
    webhook: WebhookView | None = None  # not in lists of jobs


class LinkedJobView(JobView, frozen=True, kw_only=True):
    """A job with a link to its result's bytes."""

    result: LinkedResultView | None


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A URL of a batch that did not become a job, and why."""

    index: int
    url: str
    detail: str


class BatchLinks(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a batch is, and those that it retries or that retry it."""

    self: Path
    retry_of: Path | None = None
    retried_by: Path | None = None


class BatchAccepted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to `POST /batches` and to a retry: all of the batch's jobs, in the order given."""

    id: str
    submitted_at: Timestamp
    expires_at: Timestamp
    total: int
    jobs: list[JobView]
    rejected: list[Rejected]
    links: BatchLinks
    retry_of: str | None = None  # the batch whose failed jobs these were
    webhook: WebhookView | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a batch's jobs have each status."""

    queued: int
    running: int
    succeeded: int
    failed: int


class BatchView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A batch, as the API shows it: counts of all its jobs, and one page of them."""

    id: str
    submitted_at: Timestamp
    expires_at: Timestamp
    total: int
    counts: Counts
    waiting_for_host: int  # of the queued ones
    finished: bool
    jobs: list[JobView]
    next: Path | None
    links: BatchLinks
    retry_of: str | None = None  # the batch whose failed jobs these were
    retried_by: str | None = None  # the retry of it that was accepted last
    webhook: WebhookView | None = None


class BatchSummary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A batch in a list: what is known of it without its jobs."""

    id: str
    submitted_at: Timestamp
    expires_at: Timestamp
    submitted: int  # how many jobs it had at first
    links: BatchLinks
    retry_of: str | None = None
    retried_by: str | None = None


class BatchList(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `GET /batches`: a page, newest first."""

    batches: list[BatchSummary]
    next: Path | None


class JobList(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `GET /jobs`: a page of the jobs that were submitted alone, newest first."""

    jobs: list[JobView]
    next: Path | None


class QuotaView(msgspec.Struct, frozen=True, kw_only=True):
    """How many URLs you may submit in a span of time."""

    span: Span
    limit: int
    used: int
    remaining: int
    resets_at: Timestamp


class UsageView(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `GET /usage`: your quotas, the shortest span first; none means no limit."""

    quotas: list[QuotaView]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `GET /health`."""

    status: str


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the body that is wrong, as an RFC 6901 pointer."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error, as RFC 9457 defines it."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []
    error: ErrorView | None = None  # of a failed job
