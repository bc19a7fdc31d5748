"""Where the body of an answer begins and ends on the connection (RFC 9112, 6 and 7).

Strict, since a lenient reader would store the wrong bytes: a body is either exactly as its head says, or refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from chalicelib.runner import failures
from chalicelib.runner.failures import Stopped
from chalicelib.runner.head import HEAD_BYTES, Head, malformed
from chalicelib.runner.incoming import Incoming

CHUNK_LINE_BYTES = 16 * 1024  # the size of a chunk, with its extensions

_LENGTH = re.compile(r"[0-9]{1,18}")
# White space after the size occurs in practice, and every reader accepts it.
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?\r\n")
_CRLF = b"\r\n"


class Body(Protocol):
    """What is left of a body."""

    over: bool  # nothing is left

    def read(self, most: int) -> bytes:
        """The next bytes, fewer than `most` only at the end. Raises Stopped if they are damaged or cut short."""


@dataclass(frozen=True, slots=True)
class Framing:
    """How a body is framed."""

    chunked: bool
    length: int | None  # if None and not chunked, the body ends with the connection
    closes: bool  # the connection carries no other answer

    def body(self, incoming: Incoming) -> Body:
        """The body of the head that was just read."""
        if self.chunked:
            return _Chunked(incoming)
        return _ToTheEnd(incoming) if self.length is None else _Sized(incoming, self.length)


def framing_of(head: Head) -> Framing:
    """What RFC 9112, 6.3, says about an answer to a GET. Raises Stopped for an ambiguous head."""
    length, chunked = _length(head.lengths), _is_chunked(head)
    both = bool(head.codings) and length is not None
    if both and not chunked:  # curl then reads to the end, Chromium that many bytes
        raise malformed("it gives both a length and a coding that has none")
    stays = "close" not in head.connection and (head.minor > 0 or "keep-alive" in head.connection)
    if head.status in (101, 204, 304):  # never has a body, so an announced one must not be read as the next answer
        return Framing(chunked=False, length=0, closes=not stays or head.status == 101 or chunked or bool(length))
    if chunked:
        return Framing(chunked=True, length=None, closes=not stays or both)  # Transfer-Encoding overrides
    return Framing(chunked=False, length=length, closes=not stays or length is None)


def _length(values: list[str]) -> int | None:
    if len(set(values)) > 1:
        raise malformed("it gives several lengths")
    if values and not _LENGTH.fullmatch(values[0]):
        raise malformed("its length is not a number")
    return int(values[0]) if values else None


def _is_chunked(head: Head) -> bool:
    """Whether the body is chunked. No other coding is decoded: none was offered, so none may be used."""
    codings = [coding for coding in head.codings if coding != "identity"]  # from RFC 2616
    if codings not in ([], ["chunked"]):
        raise Stopped(failures.invalid_response("the site sent its answer in a transfer coding that was not asked for"))
    if codings and head.minor == 0:  # RFC 9112, 6.1
        raise malformed("it has a transfer coding, which HTTP/1.0 does not have")
    return bool(codings)


class _Sized:
    def __init__(self, incoming: Incoming, length: int) -> None:
        self._incoming = incoming
        self._left = length
        self.over = False  # an empty body is read too: urllib3 then takes its connection back

    def read(self, most: int) -> bytes:
        size = min(most, self._left)
        data = self._incoming.piece(size)
        if len(data) < size:
            raise Stopped(failures.cut(answered=True))
        self._left -= size
        self.over = not self._left
        return data


class _ToTheEnd:
    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self.over = False

    def read(self, most: int) -> bytes:
        data = self._incoming.piece(most)
        self.over = len(data) < most
        return data


class _Chunked:
    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._left = 0  # of the chunk
        self.over = False

    def read(self, most: int) -> bytes:
        pieces = []
        while most:
            if not self._left:
                self._left = self._size()
                if not self._left:
                    self._skip_trailers()
                    self.over = True
                    break
            piece = _exactly(self._incoming, min(most, self._left))
            pieces.append(piece)
            most -= len(piece)
            self._left -= len(piece)
            if not self._left and _exactly(self._incoming, len(_CRLF)) != _CRLF:
                raise malformed("a part of it is not as long as it says")
        return b"".join(pieces)

    def _size(self) -> int:
        line = self._incoming.line(CHUNK_LINE_BYTES)
        if not line.endswith(b"\n") and len(line) < CHUNK_LINE_BYTES:
            raise Stopped(failures.cut(answered=True))
        found = _CHUNK_LINE.fullmatch(line)
        if not found:
            raise malformed("the length of a part is not a number")
        return int(found[1], 16)

    def _skip_trailers(self) -> None:
        """Up to the empty line, or to the end of the connection: some sites leave that line out."""
        left = HEAD_BYTES
        while line := self._incoming.line(left + 1):
            left -= len(line)
            if left < 0:
                raise malformed(f"over {HEAD_BYTES // 1024} KiB of headers follow it")
            if not line.endswith(b"\n"):
                raise Stopped(failures.cut(answered=True))
            if not line.endswith(_CRLF):
                raise malformed("a header that follows it does not end properly")
            if line == _CRLF:
                break


def _exactly(incoming: Incoming, size: int) -> bytes:
    data = incoming.piece(size)
    if len(data) < size:
        raise Stopped(failures.cut(answered=True))
    return data
