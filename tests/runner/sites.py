"""Web sites on loopback for the tests, well-behaved and hostile; each ends with its `with` block."""

from __future__ import annotations

import gzip
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any


@dataclass
class Visit:
    """One request as the site sees it, or a connection on which nothing was read yet."""

    site: Site
    sock: socket.socket
    head: bytes = b""
    body: bytes = b""

    @property
    def target(self) -> str:
        """The path and query of the request line."""
        return self.head.split(b" ", 2)[1].decode()

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers, names as sent."""
        lines = self.head.decode().split("\r\n")[1:]
        return dict(line.split(": ", 1) for line in lines if line)

    def send(self, data: bytes) -> None:
        """Send it all; an OSError where the visitor has gone, which ends the connection's thread."""
        self.sock.sendall(data)

    def drip(self, data: bytes, every: float = 0.05) -> None:
        """Send one byte at a time."""
        for byte in data:
            self.send(bytes([byte]))
            if self.site.ending.wait(every):
                raise ConnectionAbortedError

    def hang(self) -> None:
        """Do nothing until the test is over."""
        self.site.ending.wait()

    def gone(self, seconds: float = 60) -> bool:
        """Whether the visitor closes the connection within `seconds`."""
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True


class Close(Exception):
    """Raised by an answer to close the connection."""


Answer = Callable[[Visit], None]


@dataclass
class Site:
    """A running site and what it has seen."""

    port: int
    scheme: str
    ending: Event = field(default_factory=Event)
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    sent: int = 0

    @property
    def url(self) -> str:
        """Its address without a path, for a policy that allows loopback."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def targets(self) -> list[str]:
        """The paths that were asked for, in order."""
        return [head.split(b" ", 2)[1].decode() for head in self.heads]


@contextmanager
def site(answer: Answer, *, tls: ssl.SSLContext | None = None, at_once: bool = False) -> Iterator[Site]:
    """A site that lets `answer` answer each request; with `at_once` each connection, before anything is read."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    running = Site(listener.getsockname()[1], "https" if tls else "http")
    open_sockets: set[socket.socket] = set()
    threads: list[Thread] = []
    lock = Lock()

    def serve(sock: socket.socket) -> None:
        try:
            with suppress(OSError, Close):
                if tls and not at_once:
                    sock = _wrapped(tls, sock, open_sockets)
                if at_once:
                    answer(Visit(running, sock))
                    return
                while (request := _request(sock))[0]:
                    with lock:
                        running.heads.append(request[0])
                    answer(Visit(running, sock, *request))
        finally:
            with lock:
                open_sockets.discard(sock)
            sock.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with lock:
                    running.connections += 1
                    open_sockets.add(sock)
                thread = Thread(target=serve, args=(sock,), daemon=True)
                threads.append(thread)
                thread.start()

    accepting = Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield running
    finally:
        running.ending.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(5)
        with lock:
            left = list(open_sockets)
        for sock in left:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


def _wrapped(tls: ssl.SSLContext, sock: socket.socket, open_sockets: set[socket.socket]) -> socket.socket:
    try:
        secure = tls.wrap_socket(sock, server_side=True)
    except OSError:
        open_sockets.discard(sock)
        sock.close()
        raise
    open_sockets.discard(sock)
    open_sockets.add(secure)
    return secure


def _request(sock: socket.socket) -> tuple[bytes, bytes]:
    """A request's head and body, as long as its Content-Length says; nothing where the visitor has gone."""
    read, head, length = b"", b"", 0
    while not head or len(read) < length:
        received = sock.recv(65536)
        if not received:
            return b"", b""
        read += received
        if not head and b"\r\n\r\n" in read:
            head, _, read = read.partition(b"\r\n\r\n")
            head += b"\r\n\r\n"
            said = re.search(rb"\r\ncontent-length: ([0-9]+)\r\n", head, re.IGNORECASE)
            length = int(said[1]) if said else 0
    return head, read


def response(
    body: bytes = b"hello", status: int = 200, headers: Mapping[str, str] | None = None, *, length: int | None = None
) -> bytes:
    """A whole answer, with a Content-Length that is right unless `length` is given."""
    lines = {"Content-Type": "text/plain", "Content-Length": str(len(body) if length is None else length)}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **(headers or {})}.items())
    return f"HTTP/1.1 {status} Reason\r\n{head}\r\n".encode("latin-1") + body


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n", headers: str = "") -> bytes:
    """An answer in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode() + body + end


def always(data: bytes, *, close: bool = False) -> Answer:
    """The same bytes for every request."""

    def answer(visit: Visit) -> None:
        visit.send(data)
        if close:
            raise Close

    return answer


def paths(answers: Mapping[str, bytes | Answer]) -> Answer:
    """An answer by path; 404 for all others."""

    def answer(visit: Visit) -> None:
        chosen = answers.get(visit.target.split("?")[0], response(b"nothing here", 404))
        if isinstance(chosen, bytes):
            visit.send(chosen)
        else:
            chosen(visit)

    return answer


def names(zone: Mapping[str, list[str]]) -> Callable[..., list[Any]]:
    """A getaddrinfo that knows these names and no other."""

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host not in zone:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [entry(address, port) for address in zone[host]]

    return getaddrinfo


def entry(address: str, port: int) -> tuple[Any, ...]:
    """One of getaddrinfo's answers."""
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


@dataclass
class Kept:
    """A sink that keeps what it is given."""

    content_types: list[str] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)

    def begin(self, content_type: str) -> None:
        assert not self.pieces
        self.content_types.append(content_type)

    def write(self, data: bytes) -> None:
        assert self.content_types
        self.pieces.append(data)

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


class Dropped:
    """A sink that keeps nothing."""

    def begin(self, content_type: str) -> None:
        pass

    def write(self, data: bytes) -> None:
        pass


def gzipped(data: bytes, level: int = 9) -> bytes:
    """The same bytes at any time: gzip's own default is to write the time into its head."""
    return gzip.compress(data, level, mtime=0)
