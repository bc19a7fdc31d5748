"""A server on loopback that answers as told and closes in the middle of it, as a network between us and AWS may."""

from __future__ import annotations

import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# First of all headers, so that it stands before most cuts: without it the client may send the next request on this
# connection before it sees the FIN, and that request fails without having been heard.
CLOSE = "Connection: close"


@dataclass
class Cutting:
    """What is sent: the first of `answers` to the first request, and the last one to all that follow."""

    url: str = ""
    answers: list[bytes] = field(default_factory=list)
    requests: int = 0

    def answer(self, *answers: bytes) -> None:
        """Begin anew with these answers; each is followed by FIN."""
        self.answers, self.requests = list(answers), 0

    def next(self) -> bytes:
        """What the request that came now is answered."""
        self.requests += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def cutting() -> Iterator[Cutting]:
    """The server while it runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        told = Cutting(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=_serve, args=(listener, told))
        thread.start()
        try:
            yield told
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket, told: Cutting) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, connection.makefile("rb") as lines:
            length = 0
            while (line := lines.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            lines.read(length)
            connection.sendall(told.next())


def answer(body: bytes, *headers: str, status: str = "200 OK", crc32: bool = False) -> bytes:
    """A whole answer, with its length."""
    given = [CLOSE, f"Content-Length: {len(body)}", *headers]
    if crc32:
        given.append(f"x-amz-crc32: {zlib.crc32(body)}")
    return "\r\n".join([f"HTTP/1.1 {status}", *given, "", ""]).encode() + body


def chunked(body: bytes) -> bytes:
    """A whole answer in two chunks."""
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:], b""))
    return f"HTTP/1.1 200 OK\r\n{CLOSE}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks


def cuts(whole: bytes) -> list[int]:
    """Where to cut: after how many bytes, from none to all but the last."""
    head, body = whole.index(b"\r\n\r\n") + 4, len(whole) - whole.index(b"\r\n\r\n") - 4
    places = {0, 7, 12, 17, 30, head - 3, head, head + 1, head + body // 2, len(whole) - 1}
    return sorted(place for place in places if place < len(whole))
