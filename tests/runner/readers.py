"""What an answer says, read by us and by two parsers of other making: status and body, or None where it is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import h11
import httptools

from chalicelib.runner.failures import Stopped
from chalicelib.runner.framing import framing_of
from chalicelib.runner.head import read_head
from chalicelib.runner.incoming import Incoming, Source

Reading = tuple[int, bytes] | None
INTERIM = frozenset(range(100, 200)) - {101}


class Pieces(Source):
    """A stream that brings one piece a read, each of at least a byte."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._pieces:
            return 0
        piece = self._pieces[0][: len(buffer)]
        self._pieces[0] = self._pieces[0][len(piece) :]
        if not self._pieces[0]:
            del self._pieces[0]
        buffer[: len(piece)] = piece
        self.received += len(piece)
        return len(piece)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The data cut at these places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


def ours(data: bytes, cuts: Sequence[int] = (), reads: Sequence[int] = (1000,)) -> Reading:
    """As a fetch reads it that comes in these pieces, with reads of these sizes in turn."""
    incoming = Incoming(Pieces(pieces(data, cuts)))
    try:
        head = read_head(incoming)
        body = framing_of(head).body(incoming)
        return head.status, b"".join(_reads(body, reads))
    except Stopped:
        return None
    finally:
        incoming.close()


def _reads(body: Any, sizes: Sequence[int]) -> Iterator[bytes]:
    turn = 0
    while not body.over:
        size = sizes[turn % len(sizes)]
        data = body.read(size)
        assert len(data) == size or body.over
        turn += 1
        yield data


def by_h11(data: bytes) -> Reading:
    """As h11 reads it, the end of the connection included."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a.test")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, []
    try:
        connection.receive_data(data)
        ended = False
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA and not ended:
                connection.receive_data(b"")
                ended = True
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return status, b"".join(body)
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None


@dataclass
class _Answers:
    """What httptools calls, for each answer that it finds on the connection."""

    found: list[list[bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    whole: int = 0
    parser: Any = None

    def on_headers_complete(self) -> None:
        self.statuses.append(self.parser.get_status_code())
        self.found.append([])

    def on_body(self, data: bytes) -> None:
        self.found[-1].append(data)

    def on_message_complete(self) -> None:
        self.whole += 1


def by_llhttp(data: bytes) -> Reading:
    """As llhttp, Node's parser, reads it. It is not told of the end: a body that it waits for counts as it is."""
    answers = _Answers()
    answers.parser = httptools.HttpResponseParser(answers)
    failed = False
    try:
        answers.parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        failed = True
    for number, status in enumerate(answers.statuses):
        if status not in INTERIM:
            whole = number < answers.whole
            return (status, b"".join(answers.found[number])) if whole or not failed else None
    return None
