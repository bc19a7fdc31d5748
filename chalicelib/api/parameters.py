"""The query parameters and headers of the API, each declared once: what routes read and send, what the OpenAPI document
says, and what pages of other origins may send and read all follow from these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from chalicelib.api import requests
from chalicelib.api.requests import CURSOR_PATTERN
from chalicelib.jobs.entities import ErrorType, Status
from chalicelib.service.lists import LONGEST_LIST

T = TypeVar("T")

_ERROR_TYPES = "|".join(ErrorType)


@dataclass(frozen=True, kw_only=True)  # a generic class takes no slots
class Parameter(Generic[T]):
    """Something that a request may carry, besides its body."""

    name: str
    where: Literal["path", "query", "header"]
    says: str
    read: Callable[[str | None], T]  # None: it was not given; raises ProblemError
    schema: dict[str, Any] = field(hash=False)
    example: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerHeader:
    """A header of answers."""

    name: str
    says: str

    def of(self, value: object) -> dict[str, str]:
        """The header with a value."""
        return {self.name: str(value)}


JOB_ID = Parameter[str | None](
    name="job_id",
    where="path",
    says="A job's id: 32 hexadecimal digits, followed by `-` and the job's number if it is in a batch.",
    read=requests.as_given,
    schema={"type": "string", "pattern": "^[0-9a-f]{32}(-(0|[1-9][0-9]{0,2}))?$"},
    example="6f1ed002ab5595859014ebf0951522d9",
)
BATCH_ID = Parameter[str | None](
    name="batch_id",
    where="path",
    says="A batch's id: 32 hexadecimal digits.",
    read=requests.as_given,
    schema={"type": "string", "pattern": "^[0-9a-f]{32}$"},
    example="423dad4e84c146830615e07874201b1d",
)
CURSOR = Parameter[int](
    name="cursor",
    where="query",
    says="Where the page begins, as given by the previous page.",
    read=requests.cursor,
    schema={"type": "string", "pattern": "^[0-9]{1,4}$"},
)
STATUS = Parameter[Status | None](
    name="status",
    where="query",
    says="Only jobs with this status.",
    read=requests.status,
    schema={"type": "string", "enum": list(Status)},
)
ONLY = Parameter[frozenset[ErrorType]](
    name="only",
    where="query",
    says="Only jobs that failed with these error types, with commas between them.",
    read=requests.error_types,
    schema={"type": "string", "pattern": f"^({_ERROR_TYPES})(,({_ERROR_TYPES}))*$"},
    example="timeout,connection",
)
LIST_CURSOR = Parameter[str | None](
    name="cursor",
    where="query",
    says="Where the page begins, as given by the previous page.",
    read=requests.list_cursor,
    schema={"type": "string", "pattern": f"^{CURSOR_PATTERN}$"},
)
LIMIT = Parameter[int](
    name="limit",
    where="query",
    says="How many are on a page at most.",
    read=requests.limit,
    schema={"type": "integer", "minimum": 1, "maximum": LONGEST_LIST, "default": LONGEST_LIST},
)
WAIT = Parameter[int | None](
    name="wait",
    where="query",
    says="Seconds to wait for the job to finish; more than {most_wait} counts as {most_wait}.",
    read=requests.wait,
    schema={"type": "integer", "minimum": 0, "maximum": 9999},
)
PREFER = Parameter[int | None](
    name="Prefer",
    where="header",
    says="`wait=20` does the same as `?wait=20`.",
    read=requests.preferred_wait,
    schema={"type": "string"},
)
IDEMPOTENCY_KEY = Parameter[str | None](
    name="Idempotency-Key",
    where="header",
    says="The same key and request give the same answer, and nothing is fetched twice. A UUID will do.",
    read=requests.idempotency_key,
    schema={"type": "string", "pattern": '^([!#-~]{1,255}|"[!#-~]{1,255}")$'},
)
IF_NONE_MATCH = Parameter[str | None](
    name="If-None-Match",
    where="header",
    says="An ETag that the client has.",
    read=requests.as_given,
    schema={"type": "string"},
)
IN_PATHS = (JOB_ID, BATCH_ID)

LOCATION = AnswerHeader("Location", "Where to find it.")
RETRY_AFTER = AnswerHeader("Retry-After", "Seconds to wait before asking again.")
ETAG = AnswerHeader("ETag", "The SHA-256 of the bytes, in quotes.")
LINK = AnswerHeader("Link", 'The next page, `rel="next"`; none on the last one.')
PREFERENCE_APPLIED = AnswerHeader("Preference-Applied", "The part of `Prefer` that was applied.")
RATE_LIMIT_POLICY = AnswerHeader(
    "RateLimit-Policy", "The quota: so many URLs (`q`) in so many seconds (`w`). Only if there is one."
)
RATE_LIMIT = AnswerHeader(
    "RateLimit", "How much of it is left (`r`), and for how many seconds (`t`). Only if there is one."
)
WWW_AUTHENTICATE = AnswerHeader("WWW-Authenticate", "The kind of access that is needed.")
ALLOW = AnswerHeader("Allow", "The methods that are allowed.")
