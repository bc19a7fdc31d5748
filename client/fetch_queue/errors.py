"""What can go wrong, as one tree. The text of each error is one line for a person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class FetchQueueError(Exception):
    """The base of them all.

    FetchQueueError
    +-- ProblemError       the service refused
    +-- Unreachable        no answer, or "not now", for too long
    +-- UnexpectedAnswer   what answers is not a Fetch Queue
    +-- CorruptResult      the bytes that came are not those that the service fetched
    +-- ManifestError      a run cannot go on from the manifest
    """


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A part of a request that is wrong."""

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
        """Why each of a batch's URLs was rejected, by its index, if that is why the batch was refused."""
        found = {
            int(error.pointer.removeprefix("/urls/")): error.detail
            for error in self.errors
            if error.pointer.removeprefix("/urls/").isdecimal()
        }
        return found if self.name == "invalid-request" and set(found) == set(range(urls)) else None


class Unreachable(FetchQueueError):
    """No answer came, or only "not now", until the time for trying was over."""


class UnexpectedAnswer(FetchQueueError):
    """Something answers, but not as a Fetch Queue does."""


class CorruptResult(FetchQueueError):
    """The bytes of a result do not match its size and SHA-256, however often they are read."""


class ManifestError(FetchQueueError):
    """The manifest is in use, damaged, or for other URLs or another service."""
