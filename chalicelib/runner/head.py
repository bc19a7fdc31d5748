"""The head of an answer: its status, and the headers that are used.

Every header that can be read counts, and a line that cannot is skipped, as in browsers. But if readers could disagree
about the status, or about where the body ends, the answer is refused (RFC 9112, 2.2, 4 and 5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chalicelib.runner import failures
from chalicelib.runner.failures import Stopped
from chalicelib.runner.headers import READ
from chalicelib.runner.incoming import Incoming

HEAD_BYTES = 256 * 1024  # status line and headers of one answer, and of the interim answers before it

_HTTP = b"HTTP/"
_STATUS_LINE = re.compile(rb"1\.([01])[ \t]+([1-9][0-9]{2})(?:[ \t][^\0\r]*)?\r?\n")
_NO_TOKEN = re.compile(rb"[^!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WHITE, _END = b" \t", b" \t\r\n"
_EMPTY = (b"\r\n", b"\n")

_LENGTH, _CODING, _CONNECTION = "content-length", "transfer-encoding", "connection"
_FRAMING = frozenset({_LENGTH.encode(), _CODING.encode()})
# The others are only checked, not kept: 87,000 headers fit into a head, and would take 50 MB.
_USED = {name.encode(): name for name in (*READ, _LENGTH, _CODING, _CONNECTION)}


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a final answer."""

    status: int  # 101, or 200 to 999
    minor: int  # of the version, HTTP/1.<minor>
    fields: list[tuple[str, str]]  # name in lower case, value as Latin-1; in the order sent

    @property
    def lengths(self) -> list[str]:
        """All elements of all Content-Length headers."""
        return self._elements(_LENGTH)

    @property
    def codings(self) -> list[str]:
        """All elements of Transfer-Encoding, in lower case."""
        return self._elements(_CODING)

    @property
    def connection(self) -> list[str]:
        """All elements of Connection, in lower case."""
        return self._elements(_CONNECTION)

    @property
    def others(self) -> Iterator[tuple[str, str]]:
        """The headers that are about the body, not about how it is sent."""
        return (field for field in self.fields if field[0] not in (_LENGTH, _CODING, _CONNECTION))

    def _elements(self, name: str) -> list[str]:
        values = [value for each, value in self.fields if each == name]
        return [element.strip(" \t").lower() for value in values for element in value.split(",")]


def read_head(incoming: Incoming) -> Head:
    """The first head that is not interim, such as 103 (Early Hints); RFC 9110, 15.2.

    Raises Stopped if what comes is not a head, is over HEAD_BYTES or ends early.
    """
    while True:
        minor, status = _status(incoming)
        fields = _fields(_lines(incoming))
        if status == 101 or status >= 200:  # 101 is final, though nobody asked for it
            return Head(status, minor, fields)


def malformed(what: str) -> Stopped:
    """The failure of an answer that readers could interpret differently; `what` ends the sentence."""
    return Stopped(failures.invalid_response(f"the site's answer is malformed: {what}"))


def _status(incoming: Incoming) -> tuple[int, int]:
    """The minor version and the status. What is not HTTP is detected by its first bytes: it may have no lines."""
    start = incoming.line(len(_HTTP))
    if start != _HTTP and _HTTP.startswith(start):
        raise Stopped(failures.cut(answered=incoming.taken > 0))
    found = _STATUS_LINE.fullmatch(_line(incoming)) if start == _HTTP else None
    if not found:
        raise Stopped(failures.invalid_response("the site's answer is not HTTP"))
    return int(found[1]), int(found[2])


def _lines(incoming: Incoming) -> Iterator[bytes]:
    """The lines up to the empty one."""
    while (line := _line(incoming)) not in _EMPTY:
        if b"\r" in line[:-2] or b"\0" in line:  # some readers end the line there
            raise malformed("its head contains a NUL, or a CR within a line")
        yield line


def _line(incoming: Incoming) -> bytes:
    """The next line with its end, which may be a bare LF."""
    line = incoming.line(max(HEAD_BYTES + 1 - incoming.taken, 0))
    if incoming.taken > HEAD_BYTES:
        raise Stopped(failures.invalid_response(f"the head of the site's answer is over {HEAD_BYTES // 1024} KiB"))
    if not line.endswith(b"\n"):
        raise Stopped(failures.cut(answered=True))
    return line


def _fields(lines: Iterable[bytes]) -> list[tuple[str, str]]:
    """The headers of _USED. Continuation lines are joined to theirs (RFC 9112, 5.2)."""
    fields: list[tuple[str, list[bytes]]] = []
    name, parts = None, [b""]
    for line in lines:
        if line[0] in _WHITE:
            if name is None or name in _FRAMING:
                raise malformed("its head has a continuation line where none is allowed")
            parts.append(line.strip(_END))
        else:
            name, value = _field(line)
            parts = [value]
            if name in _USED:
                fields.append((_USED[name], parts))
    return [(used, b" ".join(parts).strip(_WHITE).decode("latin-1")) for used, parts in fields]


def _field(line: bytes) -> tuple[bytes, bytes]:
    """Name in lower case, and value. An invalid name, which is skipped, is not in _USED."""
    sent, colon, value = line.partition(b":")
    name = sent.lower()
    if name not in _USED and _NO_TOKEN.search(name):
        if _NO_TOKEN.sub(b"", name) in _FRAMING:
            raise malformed("a header that says where its body ends is misspelt")
        name = name.rstrip(_WHITE)
    return (name if colon else b""), value.strip(_END)
