"""The types of requests and answers over HTTP. They parse, validate and render."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from chalicelib.jobs.entities import ErrorType, FetchError, Status
from chalicelib.jobs.submitted import LONGEST_REFERENCE, LONGEST_VALUE, MOST_HEADERS, NAME, REFERENCE, VALUE
from chalicelib.jobs.webhooks import LONGEST_URL

Timestamp = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]  # RFC 3339, UTC

# `jobs.urls` decides what is accepted; this is for readers of the OpenAPI document.
Url = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uri", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"})]
# A URL as it was given, in `url`, is any text.
Path = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uri-reference"})]  # of this API

Excerpt = Annotated[
    str,
    msgspec.Meta(
        max_length=1000, description="The beginning of what the site says about it in its own words, as text."
    ),
]


# `jobs.submitted` decides what is accepted; this is for readers, as above.
HeaderName = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^{NAME}$"})]
HeaderValue = Annotated[
    str, msgspec.Meta(extra_json_schema={"pattern": f"^{VALUE}$", "maxLength": LONGEST_VALUE, "writeOnly": True})
]
Headers = Annotated[
    dict[HeaderName, HeaderValue],
    msgspec.Meta(
        extra_json_schema={"maxProperties": MOST_HEADERS},
        description="Sent to the URL's own scheme, host and port, and to no other. Values are never shown again.",
    ),
]
Reference = Annotated[
    str,
    msgspec.Meta(
        extra_json_schema={"minLength": 1, "maxLength": LONGEST_REFERENCE, "pattern": f"^{REFERENCE}$"},
        description="What you call the URL: it is shown with the job, and means nothing to the service.",
    ),
]

# `jobs.webhooks` decides what is accepted; this is for readers, as above.
WebhookUrl = Annotated[
    str,
    msgspec.Meta(extra_json_schema={"format": "uri", "pattern": "^[Hh][Tt][Tt][Pp][Ss]://", "maxLength": LONGEST_URL}),
]


class WebhookRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who is to be told."""

    url: WebhookUrl
    each: bool = False  # of each job of a batch too, not only of the batch


ToldTo = Annotated[
    WebhookUrl | WebhookRequest,
    msgspec.Meta(description="Who is sent an event, by Standard Webhooks 1.0, when all that is submitted is finished."),
]


class JobRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The body of `POST /jobs`."""

    url: Url
    headers: Headers | None = None
    reference: Reference | None = None
    webhook: ToldTo | None = None


class BatchURL(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A URL of a batch that has headers or a reference of its own."""

    url: Url
    headers: Headers | None = None
    reference: Reference | None = None


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The body of `POST /batches`."""

    urls: Annotated[list[Url | BatchURL], msgspec.Meta(min_length=1, max_length=1000)]
    headers: Headers | None = None  # of all URLs, unless one has the same header itself
    reference: Reference | None = None  # of all URLs that have none
    webhook: ToldTo | None = None


class NoMembers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request that says nothing more: `{}`."""


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


class BatchLinks(msgspec.Struct, frozen=True, kw_only=True):
    """Where a batch is."""

    self: Path


class BatchAccepted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to `POST /batches`: all of its jobs, in the order given."""

    id: str
    submitted_at: Timestamp
    expires_at: Timestamp
    total: int
    jobs: list[JobView]
    rejected: list[Rejected]
    links: BatchLinks
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
    webhook: WebhookView | None = None


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
