"""Every error that the API answers with, as application/problem+json (RFC 9457). A `detail` says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from chalicelib.api.types import ErrorView, FieldError, Problem
from chalicelib.jobs.errors import FetchQueueError

CONTENT_TYPE = "application/problem+json"
TYPE_BASE = "https://fetch-queue.dev/problems/"  # identifiers only; there are no pages there


@dataclass(frozen=True, slots=True)
class Kind:
    """A problem's name, status and title: the stable part."""

    name: str
    status: int
    title: str


MALFORMED = Kind("malformed-request", 400, "The request cannot be read")
INVALID_KEY = Kind("invalid-idempotency-key", 400, "The Idempotency-Key is not valid")
UNAUTHORIZED = Kind("unauthorized", 401, "An access token is needed")
NOT_FOUND = Kind("not-found", 404, "Not found")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The method is not allowed here")
IN_PROGRESS = Kind("in-progress", 409, "The first request with this key is still being stored")
DELETED = Kind("deleted", 409, "What was submitted with this key is gone")
NOT_FINISHED = Kind("job-not-finished", 409, "The job is not finished")
NOTHING_FAILED = Kind("nothing-failed", 409, "There is nothing to retry")
JOB_FAILED = Kind("job-failed", 409, "The job failed")
NOTHING_TO_SEND = Kind("nothing-to-send", 409, "There is no event to be sent")
TOO_LARGE = Kind("body-too-large", 413, "The body is too large")
UNSUPPORTED_TYPE = Kind("unsupported-media-type", 415, "The Content-Type is not JSON")
MISDIRECTED = Kind("misdirected-request", 421, "The request was meant for another host")
INVALID = Kind("invalid-request", 422, "The request is not valid")
KEY_REUSED = Kind("idempotency-key-reused", 422, "The Idempotency-Key was used with another body")
QUOTA_EXCEEDED = Kind("quota-exceeded", 429, "The quota is used up")
INTERNAL = Kind("internal-error", 500, "Something went wrong on our side")
UNAVAILABLE = Kind("unavailable", 503, "The service cannot do this now")

KINDS = (
    MALFORMED,
    INVALID_KEY,
    UNAUTHORIZED,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    IN_PROGRESS,
    DELETED,
    NOT_FINISHED,
    JOB_FAILED,
    NOTHING_FAILED,
    NOTHING_TO_SEND,
    TOO_LARGE,
    UNSUPPORTED_TYPE,
    MISDIRECTED,
    INVALID,
    KEY_REUSED,
    QUOTA_EXCEEDED,
    INTERNAL,
    UNAVAILABLE,
)


class ProblemError(FetchQueueError):
    """Ends a request with a problem."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        error: ErrorView | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = problem(kind, detail, errors=errors, error=error)
        self.headers = dict(headers or {})


def problem(kind: Kind, detail: str, *, errors: Sequence[FieldError] = (), error: ErrorView | None = None) -> Problem:
    """The problem's body."""
    return Problem(
        type=TYPE_BASE + kind.name,
        title=kind.title,
        status=kind.status,
        detail=detail,
        errors=list(errors),
        error=error,
    )


def render(body: Problem) -> str:
    """The problem as JSON text."""
    return msgspec.json.encode(body).decode() + "\n"


def at(pointer: str, detail: str) -> ProblemError:
    """The problem that a member of the body, or a query parameter, is wrong."""
    return ProblemError(INVALID, detail, errors=[FieldError(pointer=pointer, detail=detail)])
