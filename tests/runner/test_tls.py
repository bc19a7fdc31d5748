"""TLS as the fetcher speaks it: what a site may send besides data, for how long, and what is left of it afterwards."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Any

import pytest
import trustme

from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.entities import ErrorType
from chalicelib.runner.deadline import Deadline, Exchange, TimedSocket
from chalicelib.runner.failures import Stopped
from chalicelib.runner.fetcher import Fetcher, FetchLimits
from chalicelib.runner.outcome import Failure, Fetched
from chalicelib.runner.tls import OVERHEAD_BYTES, TLSSocket
from tests.runner.sites import Answer, Close, Kept, Visit, names, response, site
from tests.runner.tls_records import HANDSHAKE, HELLO_REQUEST, TICKET, Records

LIMITS = FetchLimits(connect_seconds=60, total_seconds=120)  # no test waits for them
AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("a.test")
OK = b"HTTP/1.1 200 OK\r\n"
NEARLY = OVERHEAD_BYTES * 9 // 10


def make(**changes: Any) -> Fetcher:
    trusted = ssl.create_default_context()
    AUTHORITY.configure_trust(trusted)
    settings = {
        "limits": LIMITS,
        "policy": AddressPolicy(loopback_allowed=True),
        "user_agent": "test",
        "getaddrinfo": names({"a.test": ["127.0.0.1"]}),
        "tls": trusted,
        **changes,
    }
    return Fetcher(**settings)


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    fetcher = make()
    yield fetcher
    fetcher.close()


def fetched(fetcher: Fetcher, answer: Answer) -> tuple[Fetched | Failure, bytes]:
    """The outcome of one fetch of a site that does its TLS itself, and what the sink got."""
    sink = Kept()
    with site(answer, at_once=True) as running:
        return fetcher.fetch(f"https://a.test:{running.port}/", sink), sink.body


# Time


class Clock:
    """A clock that moves only when it is looked at, once it has been told to."""

    def __init__(self) -> None:
        self.time = 0.0
        self.step = 0.0

    def __call__(self) -> float:
        self.time += self.step
        return self.time


def _requests_to_negotiate(visit: Visit, start: Callable[[], None]) -> None:
    visit.sock.recv(65536)
    start()
    visit.send(HELLO_REQUEST * (NEARLY // len(HELLO_REQUEST)))


def _tickets(visit: Visit, start: Callable[[], None]) -> None:
    records = Records(visit.sock, CERTIFICATE)
    start()
    for _ in range(NEARLY // 2**14):
        records.send(records.record(TICKET * 900, HANDSHAKE))


NO_CONNECTION = "this host did not accept a connection within 50 seconds"
NO_ANSWER = "the site did not send its whole answer within the limit of 100 seconds"


@pytest.mark.parametrize(
    ("flood", "connect_seconds", "detail"),
    [(_requests_to_negotiate, 50, NO_CONNECTION), (_requests_to_negotiate, 200, NO_ANSWER), (_tickets, 50, NO_ANSWER)],
)
def test_the_clock_is_looked_at_while_records_arrive(
    flood: Callable[[Visit, Callable[[], None]], None], connect_seconds: float, detail: str
) -> None:
    """Before each piece, and not only when there is none to be had."""
    clock = Clock()

    def start() -> None:
        clock.step = 20

    def answer(visit: Visit) -> None:
        flood(visit, start)
        raise Close

    fetcher = make(limits=FetchLimits(connect_seconds=connect_seconds, total_seconds=100), now=clock)
    outcome, _ = fetched(fetcher, answer)
    assert isinstance(outcome, Failure)
    assert (outcome.error.type, outcome.error.detail, outcome.retryable) == (ErrorType.TIMEOUT, detail, True)
    fetcher.close()


@pytest.mark.parametrize("secure", [False, True])
def test_sending_ends_by_the_deadline(secure: bool) -> None:
    """To a site that reads nothing more."""
    ours, theirs = socket.socketpair()
    deadline = Deadline(0.1, time.monotonic() + 0.1, time.monotonic)
    sock: socket.socket | TLSSocket = ours
    if secure:
        sock = _secured(ours, theirs)
        deadline = Deadline(0.1, time.monotonic() + 0.1, time.monotonic)
    with ours, theirs, pytest.raises(Stopped) as stopped:
        TimedSocket(sock, _Exchanging(Exchange(deadline))).sendall(bytes(64 * 2**20))
    assert stopped.value.failure.error.type is ErrorType.TIMEOUT


@dataclass
class _Exchanging:
    exchange: Exchange


def _secured(ours: socket.socket, theirs: socket.socket) -> TLSSocket:
    """A connection whose other end has agreed on keys, and does nothing more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    site = Thread(target=lambda: context.wrap_socket(theirs.dup(), server_side=True).close())
    site.start()
    trusted = ssl.create_default_context()
    AUTHORITY.configure_trust(trusted)
    sock = TLSSocket(ours, trusted, "a.test", time.monotonic)
    sock.settimeout(60)
    sock.handshake()
    site.join()
    return sock


# What is not data


def _whole(fetcher: Fetcher, answer: Callable[[Records], list[bytes]]) -> bytes:
    """The body of a site that answers with these records."""

    def serve(visit: Visit) -> None:
        records = Records(visit.sock, CERTIFICATE)
        records.send(*answer(records))
        visit.gone()

    outcome, body = fetched(fetcher, serve)
    assert isinstance(outcome, Fetched), outcome
    return body


def test_what_tls_adds_to_a_large_answer_is_no_matter(fetcher: Fetcher) -> None:
    """However much of it there is, as long as the data keeps pace: here as many bytes of tickets as of data."""
    piece, pieces = b"x" * 2**14, 40

    def answer(records: Records) -> list[bytes]:
        body = [records.record(OK + b"Content-Length: %d\r\n\r\n" % (len(piece) * pieces))]
        for _ in range(pieces):
            body += [records.record(TICKET * 900, HANDSHAKE), records.record(piece)]
        return body

    assert pieces * 2**14 > 2 * OVERHEAD_BYTES
    assert _whole(fetcher, answer) == piece * pieces


def test_small_records_are_no_matter(fetcher: Fetcher) -> None:
    """Two bytes in each: a site that writes its answer as it comes to its mind."""
    pieces = 20_000

    def answer(records: Records) -> list[bytes]:
        head = records.record(OK + b"Content-Length: %d\r\n\r\n" % (2 * pieces))
        return [head, *(records.record(b"xy") for _ in range(pieces))]

    assert _whole(fetcher, answer) == b"xy" * pieces


def test_records_of_a_byte_for_ever(fetcher: Fetcher) -> None:
    """They end by themselves: what TLS adds is 22 times the data."""

    def answer(visit: Visit) -> None:
        records = Records(visit.sock, CERTIFICATE)
        records.send(records.record(OK + b"\r\n"))
        while not visit.site.ending.is_set():
            records.send(*(records.record(b"x") for _ in range(1000)))

    outcome, body = fetched(fetcher, answer)
    assert isinstance(outcome, Failure)
    assert (outcome.error.type, outcome.retryable) == (ErrorType.TLS, False)
    assert outcome.error.detail == (
        "no secure connection to this host: the site keeps sending TLS messages instead of data"
    )
    assert len(body) < 100_000


def test_what_nobody_asked_for_is_no_next_answer(fetcher: Fetcher) -> None:
    """It is seen although TLS has taken it from the connection already."""

    def answer(visit: Visit) -> None:
        records = Records(visit.sock, CERTIFICATE)
        records.send(records.record(response(b"asked for")), records.record(response(b"not asked for")))
        visit.gone()

    with site(answer, at_once=True) as running:
        for _ in range(2):
            sink = Kept()
            assert isinstance(fetcher.fetch(f"https://a.test:{running.port}/", sink), Fetched)
            assert sink.body == b"asked for"
    assert running.connections == 2


# Versions and certificates


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(fetcher: Fetcher, version: ssl.TLSVersion) -> None:
    """Both that are safe; http/1.1 is offered, and the connection is kept."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    CERTIFICATE.configure_cert(context)
    spoken = set()

    def answer(visit: Visit) -> None:
        assert isinstance(visit.sock, ssl.SSLSocket)
        spoken.add((visit.sock.version(), visit.sock.selected_alpn_protocol()))
        visit.send(response(b"x" * 100_000))

    with site(answer, tls=context) as running:
        for _ in range(3):
            outcome = fetcher.fetch(f"https://a.test:{running.port}/", Kept())
            assert isinstance(outcome, Fetched), outcome
            assert outcome.size == 100_000
    assert spoken == {(version.name.replace("_", "."), "http/1.1")}
    assert running.connections == 1


def test_the_site_is_told_why(fetcher: Fetcher) -> None:
    """A certificate that does not pass is answered by an alert. RFC 8446, 6.2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("a.test").configure_cert(context)
    told: list[str] = []

    def answer(visit: Visit) -> None:
        with pytest.raises(ssl.SSLError) as raised:
            context.wrap_socket(visit.sock.dup(), server_side=True)
        told.append(raised.value.reason)

    outcome, _ = fetched(fetcher, answer)
    assert isinstance(outcome, Failure)
    assert told == ["TLSV1_ALERT_UNKNOWN_CA"]
