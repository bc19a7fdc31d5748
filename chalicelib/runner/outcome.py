"""The outcome of one attempt at a URL: bytes in a sink, or a failure. Failures are values, not exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from chalicelib.jobs.entities import FetchError
from chalicelib.jobs.submitted import NO_HEADERS, RequestHeaders


class Sink(Protocol):
    """Where the body of the final answer goes, decoded, in order. What it raises passes through the fetcher."""

    def begin(self, content_type: str) -> None:
        """Called once, before the first `write`, when the answer's head is known."""

    def write(self, data: bytes) -> None:
        """Take the next bytes of the body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A complete body, which went to the sink."""

    content_type: str  # bounded, printable; application/octet-stream if the site named none
    size: int  # bytes, decoded
    sha256: str
    http_status: int
    final_url: str
    headers: Mapping[str, str] = field(default_factory=dict)  # the allow-listed ones
    text: bool  # at most 1 MiB of UTF-8 without control characters except tab, LF and CR


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No body, or not all of it."""

    error: FetchError
    retryable: bool
    retry_after: float | None = None  # seconds, from the site's Retry-After header
    refused: bool = False  # the host wants to be asked later, or more slowly
    overloaded: bool = False  # the host took too long, or failed: it may be asked too fast


class Fetches(Protocol):
    """Fetches a URL's bytes into a sink."""

    def fetch(self, url: str, sink: Sink, request_headers: RequestHeaders = NO_HEADERS) -> Fetched | Failure:
        """One attempt at the URL. The headers are for the URL's origin, and for no other."""
