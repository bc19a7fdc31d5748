"""TLS over memory buffers: a client socket with a timeout for a whole call, however many records arrive during it.

OpenSSL on a socket keeps reading within one call while records without data arrive (session tickets, requests to
negotiate again, alerts), and checks its timeout only when the socket is empty. Here it gets what arrived piece by
piece, with a look at the clock before each, and a limit on how much may arrive in proportion to the data in it.
"""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from chalicelib.jobs.errors import FetchQueueError

PIECE = 32 * 1024  # bytes given to OpenSSL between two looks at the clock: 60 ms of work in the worst known case

# Limits on what TLS adds to the data. OpenSSL accepts a chain of certificates of up to 100 KiB, and a record of TLS 1.3
# adds 22 bytes: with 2 bytes of data in each record, or 6 with TLS 1.2's longest padding, the limit is never met.
OVERHEAD_BYTES = 256 * 1024  # that may arrive without any data
OVERHEAD_FACTOR = 16  # and this many more for each byte of data, again up to OVERHEAD_BYTES

T = TypeVar("T")


class TooMuchOverhead(FetchQueueError, ssl.SSLError):
    """More arrived than the handshake and the data account for."""


class TLSSocket:
    """A connected socket with TLS, with what is needed to send a request and to read its answer.

    The certificate must be for `name`, as `context` says. If the connection ends without the site's closing alert, that
    is an ssl.SSLEOFError, since a body without a length may then be cut short (RFC 9112, 9.8).
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str, now: Callable[[], float]) -> None:
        self._sock = sock
        self._now = now
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._seconds = 0.0  # settimeout comes first
        self._spare = OVERHEAD_BYTES

    def settimeout(self, seconds: float) -> None:
        """How many seconds each of the next calls may take as a whole; after that a TimeoutError."""
        self._seconds = seconds

    def handshake(self) -> None:
        """Agree on keys, and check the certificate."""
        self._complete(self._tls.do_handshake)

    def readinto(self, buffer: Any) -> int:
        """Put the next bytes of data into `buffer`; returns how many, 0 at the end."""
        count: int = self._complete(lambda: self._tls.read(len(buffer), buffer))  # type: ignore[assignment]
        self._spare = min(self._spare + OVERHEAD_FACTOR * count, OVERHEAD_BYTES)
        return count

    def sendall(self, data: bytes) -> None:
        """Send it all."""
        self._complete(lambda: self._tls.write(data))

    @property
    def unread(self) -> bool:
        """Whether something has arrived that was not read."""
        return self._incoming.pending > 0 or self._tls.pending() > 0

    def makefile(self, _mode: str, *, buffering: int) -> io.RawIOBase:  # noqa: ARG002  # as a socket's is called
        """A stream of the data, which keeps the connection open until it is closed too."""
        return _Stream(self, self._sock.makefile("rb", buffering=0))

    def fileno(self) -> int:
        """The connection's."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the connection once the streams are closed too."""
        self._sock.close()

    def _complete(self, step: Callable[[], T]) -> T:
        """What `step` returns once what it needs has arrived; what it produces is sent."""
        until = self._now() + self._seconds
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                with suppress(OSError):
                    self._send(until)  # the alert that tells the site why
                raise
            else:
                self._send(until)
                return done
            self._send(until)
            self._receive(until)

    def _send(self, until: float) -> None:
        if self._outgoing.pending:
            self._sock.settimeout(self._seconds_left(until))
            self._sock.sendall(self._outgoing.read())

    def _receive(self, until: float) -> None:
        if self._spare <= 0:
            raise TooMuchOverhead("far more TLS than data")
        self._sock.settimeout(self._seconds_left(until))
        piece = self._sock.recv(PIECE)
        if piece:
            self._spare -= len(piece)
            self._incoming.write(piece)
        else:
            self._incoming.write_eof()

    def _seconds_left(self, until: float) -> float:
        left = until - self._now()
        if left <= 0:
            raise TimeoutError
        return left


class _Stream(io.RawIOBase):
    def __init__(self, tls: TLSSocket, connection: io.RawIOBase) -> None:
        self._tls = tls
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._tls.readinto(buffer)

    def close(self) -> None:
        self._connection.close()
        super().close()
