"""What can go wrong, as one tree. Each error's text is one line for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class FetchQueueError(Exception):
    """The base of them all.

    FetchQueueError
    +-- ProblemError       the service refused
    +-- Unreachable        no answer, or "not now", for too long
    +-- UnexpectedAnswer   what answers is no Fetch Queue
    +-- CorruptResult      the bytes that came are not those that the service fetched
    +-- ManifestError      the manifest cannot be gone on with
    """


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A part of a request that is at fault."""

    pointer: str  # RFC 6901, into the body: /urls/3
    detail: str


class ProblemError(FetchQueueError):
    """The service refused a request (RFC 9457). `name` is the end of the problem's type, such as `not-found`."""

    def __init__(
        self, status: int, name: str, detail: str, errors: tuple[FieldProblem, ...] = (), *, repeated: bool = False
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail
        self.errors = errors
        self.repeated = repeated  # the same request went out before, and what became of it is not known

    def rejections(self, urls: int) -> Mapping[int, str] | None:
        """Why each of a batch's URLs was rejected, by its index, where that is the reason for all of them."""
        found = {
            int(error.pointer.removeprefix("/urls/")): error.detail
            for error in self.errors
            if error.pointer.removeprefix("/urls/").isdecimal()
        }
        return found if self.name == "invalid-request" and set(found) == set(range(urls)) else None


class Unreachable(FetchQueueError):
    """No answer came, or only "not now", for as long as was to be tried."""


class UnexpectedAnswer(FetchQueueError):
    """Something answers, but not as a Fetch Queue does."""


class CorruptResult(FetchQueueError):
    """The bytes of a result are not those that its size and SHA-256 are of, however often they are read."""


class ManifestError(FetchQueueError):
    """The manifest is in use, damaged, or of other URLs or another service."""
