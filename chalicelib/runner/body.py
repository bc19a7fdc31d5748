"""The bytes of an answer: decoded in bounded memory, and what is recorded about them.

Not with urllib3's decoders: they take a gzip stream that was cut short as complete, and their last step, at the end of
the connection, has no bound.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from chalicelib.jobs.errors import FetchQueueError

PIECE = 16 * 1024  # bytes at a time
MAX_CODINGS = 3  # on top of each other; more is an attack
TEXT_LIMIT = 2**20  # bytes; a text up to here may be served inline

_CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
# Codings that were not asked for and cannot be undone here: the rest of IANA's registry, and others in use.
_FOREIGN = frozenset({"aes128gcm", "br", "compress", "dcb", "dcz", "exi", "pack200-gzip", "x-compress", "zstd"}) | {
    *("bzip2", "lz4", "lzma", "peerdist", "sdch", "snappy", "x-bzip2", "x-lzma", "x-xz", "xpress", "xz")
}
_GZIP_TYPES = frozenset({"application/gzip", "application/x-gzip", "application/x-gunzip", "application/x-tgz"})
_MEMBER = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")  # RFC 1952, 2.3: magic, deflate, flags
_HEAD_BYTES = 4  # needed to tell
_SHORTEST_MEMBER = 20  # bytes: head, an empty block, trailer
_CHECKSUM_BYTES = 4  # of the zlib format; some servers send it after a bare stream, too
_CONTROLS = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\t\n\r")
_MORE_CONTROLS = re.compile("[\x80-\x9f]")


class Undecodable(FetchQueueError):
    """The content coding was not asked for, or the bytes are not in it."""


class CutShort(FetchQueueError):
    """The bytes end before the coding's own end."""


def codings_of(header: str | None, content_type: str) -> list[str]:
    """The codings of a Content-Encoding header, in the order in which they were applied (RFC 9110, 8.4).

    Names that are not codings (`UTF-8`, `none`, `aws-chunked`) are ignored, as in browsers: the body is kept as sent.
    So is a gzip file if its type and coding both name the same compression. Raises Undecodable for a coding that was
    not asked for, and for too many.
    """
    names = [name.strip().lower() for name in (header or "").split(",")]
    if not _FOREIGN.isdisjoint(names):
        raise Undecodable
    codings = [_CODINGS[name] for name in names if name in _CODINGS]
    if len(codings) > MAX_CODINGS:
        raise Undecodable
    is_file = codings == ["gzip"] and content_type.partition(";")[0].strip().lower() in _GZIP_TYPES
    return [] if is_file else codings


def decoded(pieces: Iterable[bytes], codings: Sequence[str], tick: Callable[[], object]) -> Iterator[bytes]:
    """The body without its codings, at most PIECE bytes at a time; only one piece per coding is kept.

    `tick` is called at every step, even one that yields no bytes: it can raise to end the work. Raises Undecodable or
    CutShort.
    """
    for coding in reversed(codings):
        pieces = _inflated(pieces, tick, zlib_only=coding == "deflate")
    return iter(pieces)


def _inflated(pieces: Iterable[bytes], tick: Callable[[], object], *, zlib_only: bool) -> Iterator[bytes]:
    """One coding undone."""
    members = _Members(zlib_only=zlib_only)
    for piece in pieces:
        members.waiting += piece
        while members.begin():
            tick()
            if out := members.step():
                yield out
    while out := members.rest():
        tick()
        yield out
    members.end()


class _Members:
    """The streams of a body, one after the other: gzip may have several, deflate has one.

    Bytes after a stream with a checksum that are not a gzip member are ignored, as in all clients.
    """

    def __init__(self, *, zlib_only: bool) -> None:
        self.waiting = b""  # received and not yet decoded
        self._zlib_only = zlib_only
        self._current: _Member | None = None
        self._whole = 0
        self._over = self._bare = False

    def begin(self) -> bool:
        """True while there is something to decode; what was received may be too little to tell."""
        if self._current is None and not self._over and self._can_tell():
            self._over = self._whole > 0 and (self._zlib_only or not _MEMBER.match(self.waiting))
            if not self._over:
                self._bare = self._zlib_only and not _is_zlib(self.waiting)
                self._current = _Member(_engine(zlib_only=self._zlib_only, bare=self._bare))
        if self._bare and self._whole and len(self.waiting) > _CHECKSUM_BYTES:
            raise Undecodable  # nothing else distinguishes a bare stream from bytes without a coding
        if self._over and not self._bare:
            self.waiting = b""  # read to the end, so that the connection can be kept
        return self._current is not None and bool(self.waiting)

    def step(self) -> bytes:
        """Decode the next bytes of the current stream."""
        if self._current is None:
            return b""
        out = self._current.step(self.waiting)
        self.waiting = self._current.unread
        if self._current.engine.eof:
            self._current, self._whole = None, self._whole + 1
        return out

    def rest(self) -> bytes:
        """What the current stream has taken and not yet returned."""
        return self._current.step(b"") if self._current is not None else b""

    def end(self) -> None:
        """Nothing more comes. Raises CutShort if something is missing."""
        current = self._current
        if current is not None and not current.engine.eof and not (self._whole and current.is_none):
            raise CutShort  # within it
        if self.waiting and not self._whole:
            raise CutShort  # before the first

    def _can_tell(self) -> bool:
        return len(self.waiting) >= (_HEAD_BYTES if self._whole else 2)


class _Member:
    """A stream being decoded: a member of a gzip body, or the only stream of a deflate body."""

    def __init__(self, engine: zlib._Decompress) -> None:
        self.engine = engine
        self._taken = self._brought = 0  # bytes

    def step(self, waiting: bytes) -> bytes:
        """The next decoded bytes; `unread` is then what was not taken."""
        try:
            out = self.engine.decompress(waiting, PIECE)
        except zlib.error:
            raise Undecodable from None
        self._taken += len(waiting) - len(self.unread)
        self._brought += len(out)
        return out

    @property
    def unread(self) -> bytes:
        """What the last step has not taken."""
        return self.engine.unused_data if self.engine.eof else self.engine.unconsumed_tail

    @property
    def is_none(self) -> bool:
        """True if what came at the end is too short for a member, and decoded to nothing."""
        return self._taken < _SHORTEST_MEMBER and not self._brought


def _is_zlib(start: bytes) -> bool:
    # "deflate" means the zlib format (RFC 9110, 8.4.1.2), but some servers send the bare stream. RFC 1950, 2.2.
    return start[0] & 0x0F == 8 and (start[0] << 8 | start[1]) % 31 == 0


def _engine(*, zlib_only: bool, bare: bool) -> zlib._Decompress:
    if not zlib_only:
        return zlib.decompressobj(16 + zlib.MAX_WBITS)
    return zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS)


class Tally:
    """Size, digest and kind of the bytes that it is given, in order."""

    def __init__(self) -> None:
        self.size = 0
        self._digest = hashlib.sha256()
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text = True

    def add(self, piece: bytes) -> None:
        """Count the next bytes in."""
        self.size += len(piece)
        self._digest.update(piece)
        if self._text:
            self._text = self.size <= TEXT_LIMIT and self._is_text(piece)

    @property
    def sha256(self) -> str:
        """Of all bytes so far, hexadecimal."""
        return self._digest.hexdigest()

    def is_text(self) -> bool:
        """Whether the whole was at most TEXT_LIMIT bytes of UTF-8 without control characters; call it once, last."""
        return self._text and self._is_text(b"", final=True)

    def _is_text(self, piece: bytes, *, final: bool = False) -> bool:
        if len(piece.translate(None, _CONTROLS)) < len(piece):  # eight times as fast as a regular expression
            return False
        try:
            text = self._utf8.decode(piece, final)
        except UnicodeDecodeError:
            return False
        return text.isascii() or not _MORE_CONTROLS.search(text)
