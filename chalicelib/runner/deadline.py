"""How long a fetch may take, and sockets whose reads and writes keep to it.

A socket's timeout is for one read, so a site that sends a byte now and then would never be cut off. Here each call may
last for what is left of the whole fetch: no thread watches, and a connection that went back to its pool is no longer
under the deadline of the fetch that used it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from io import RawIOBase
from typing import Any, Protocol, TypeVar

from chalicelib.runner import failures
from chalicelib.runner.failures import Stopped
from chalicelib.runner.incoming import Incoming, Source
from chalicelib.runner.tls import TLSSocket

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a fetch must end."""

    seconds: float  # the limit that it was made from
    at: float  # by the clock `now`
    now: Callable[[], float]

    def seconds_left(self) -> float:
        """The seconds that are left, more than 0; raises Stopped with a timeout after that."""
        left = self.at - self.now()
        if left <= 0:
            raise Stopped(failures.out_of_time(self.seconds))
        return left


@dataclass(slots=True)
class Exchange:
    """One request and its answer: what the connection must know about the fetch, and what it finds out."""

    deadline: Deadline
    host: str = failures.SUBMITTED_HOST  # what sentences call the host
    fresh: bool = False  # no kept-alive connection may be used
    reused: bool = False  # a kept-alive connection was used
    received: int = 0  # bytes of the answer so far
    address: str | None = None  # the last one checked
    reason: str | None = None  # why it was refused

    def within(self, call: Callable[[], T], sock: socket.socket | TLSSocket) -> T:
        """What `call` does with the socket, within the deadline."""
        sock.settimeout(self.deadline.seconds_left())
        try:
            return call()
        except TimeoutError:
            raise Stopped(failures.out_of_time(self.deadline.seconds)) from None

    def receive(self, read: Callable[[], int | None], sock: socket.socket | TLSSocket) -> int | None:
        """One read from the socket, within the deadline."""
        count = self.within(read, sock)
        self.received += count or 0
        return count


class Exchanging(Protocol):
    """Knows the exchange of the calling thread."""

    @property
    def exchange(self) -> Exchange:
        """The exchange of this thread."""


@dataclass(slots=True)
class TimedSocket:
    """A connected socket, plain or TLS, as far as http.client and urllib3 use one after it is connected."""

    sock: socket.socket | TLSSocket
    exchanging: Exchanging
    at_rest: bool = True  # all that was asked for was answered, and no more was received

    def incoming(self) -> Incoming:
        """What arrives from now on."""
        return Incoming(_TimedSource(self.sock, self.exchanging))

    def sendall(self, data: Any) -> None:
        """Send it all, within the deadline: the timeout of sendall, unlike that of recv, is for the whole call."""
        self.at_rest = False
        self.exchanging.exchange.within(lambda: self.sock.sendall(data), self.sock)

    def settimeout(self, seconds: float | None) -> None:
        """Ignored: each call has what is left of the fetch."""

    def fileno(self) -> int:
        """To see whether the site has closed a kept-alive connection."""
        return self.sock.fileno()

    def close(self) -> None:
        """Close it once the stream is closed too."""
        self.sock.close()


class _TimedSource(Source):
    def __init__(self, sock: socket.socket | TLSSocket, exchanging: Exchanging) -> None:
        self._sock = sock
        self._raw: RawIOBase = sock.makefile("rb", buffering=0)
        self._exchanging = exchanging

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._exchanging.exchange.receive(lambda: self._raw.readinto(buffer), self._sock)
        self.received += count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
