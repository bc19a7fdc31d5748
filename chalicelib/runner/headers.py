"""What is kept of an answer's headers: they come from strangers, so each is bounded and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime

KEPT = ("ETag", "Last-Modified", "Content-Language", "Cache-Control", "Date")
# All the headers that a fetch reads, in lower case, besides those that frame the body.
READ = frozenset(
    name.lower() for name in (*KEPT, "Content-Type", "Content-Encoding", "Content-Range", "Location", "Retry-After")
)
MAX_VALUE = 1024  # characters
MAX_CONTENT_TYPE = 255
UNKNOWN_TYPE = "application/octet-stream"

_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_BEYOND_ASCII = re.compile(r"[\x80-\xff]")
_SECONDS = re.compile(r"[0-9]+")


def content_type_of(values: Sequence[str]) -> str:
    """The Content-Type, or application/octet-stream if there is none that can be repeated.

    Of several the last, as in browsers: a field that may appear only once (RFC 9110, 5.3) cannot be joined.
    """
    for value in reversed([value.strip() for value in values]):
        if len(value) <= MAX_CONTENT_TYPE and _PRINTABLE.fullmatch(value):
            return value
    return UNKNOWN_TYPE


def is_whole(content_range: str, size: int | None) -> bool:
    """Whether a part of `size` bytes is the whole after all, by its Content-Range (RFC 9110, 14.4)."""
    return size is not None and content_range.strip().lower() == f"bytes 0-{size - 1}/{size}"


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those of KEPT that are printable ASCII and not too long."""
    found = {name: headers.get(name, "") for name in KEPT}
    return {name: value for name, value in found.items() if len(value) <= MAX_VALUE and _PRINTABLE.fullmatch(value)}


def retry_after_of(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds from `now` (since the epoch) that Retry-After asks for, in either form of RFC 9110, 10.2.3.

    None if there is no such header or it makes no sense; 0 for a date in the past. Not capped: the retry policy does
    that.
    """
    value = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)  # a number that is too long becomes infinity
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)


def location_of(values: list[str]) -> str | None:
    """The target of a redirect, or None without one. Raises ValueError for several or a damaged one.

    It is ASCII: other bytes are percent-encoded as they came, whatever charset they are in. http.client reads headers
    as Latin-1, so each character is one byte.
    """
    targets = {value.strip(" \t") for value in values}
    if len(targets) > 1:
        raise ValueError("several targets")
    target = targets.pop() if targets else ""
    if _CONTROLS.search(target):
        raise ValueError("control characters")
    return _BEYOND_ASCII.sub(lambda byte: f"%{ord(byte[0]):02X}", target) or None
