"""What a receiver is sent, and what it cannot do: lead elsewhere, take long, or be another machine than was judged."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from chalicelib.jobs.addresses import PUBLIC_ONLY, AddressPolicy
from chalicelib.runner.poster import MOST_BYTES, Poster, Reply
from tests.runner.sites import Answer, Site, Visit, always, names, response, site

LOOPBACK = AddressPolicy(loopback_allowed=True)
WALL = 1_800_000_000.0
HEADERS = {"webhook-id": "evt_1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
BODY = '{"type":"job.finished","url":"https://a.example/ü"}'.encode()


def poster(**changes: Any) -> Poster:
    settings = {
        "policy": LOOPBACK,
        "user_agent": "Test/1",
        "connect_seconds": 60,
        "total_seconds": 120,
        "getaddrinfo": names({}),
        "wall": lambda: WALL,
    }
    return Poster(**{**settings, **changes})


@pytest.fixture
def taken() -> list[tuple[str, dict[str, str], bytes]]:
    return []


@pytest.fixture
def receiver(taken: list[tuple[str, dict[str, str], bytes]]) -> Iterator[Site]:
    """Takes whatever it is told."""

    def answer(visit: Visit) -> None:
        taken.append((visit.head.split(b" ")[0].decode(), visit.headers, visit.body))
        visit.send(response(b"", 204))

    with site(answer) as running:
        yield running


def replied(answer: Answer | bytes, **changes: Any) -> tuple[Reply, Site]:
    """What comes of a try at a receiver."""
    with site(always(answer) if isinstance(answer, bytes) else answer) as running:
        return poster(**changes).post(running.url, HEADERS, BODY), running


def test_what_is_sent(receiver: Site, taken: list[tuple[str, dict[str, str], bytes]]) -> None:
    """The body as it is, its headers, and ours; nothing else says anything."""
    assert poster().post(f"{receiver.url}/told?a=b", HEADERS, BODY) == Reply(status=204)
    ((method, headers, body),) = taken
    assert (method, body, receiver.targets) == ("POST", BODY, ["/told?a=b"])
    assert {name: headers.pop(name) for name in HEADERS} == HEADERS
    assert headers.pop("Host") == f"127.0.0.1:{receiver.port}"
    assert headers.pop("Accept-Encoding") == "identity"
    ours = {"User-Agent": "Test/1", "Content-Type": "application/json", "Connection": "close"}
    assert headers == {**ours, "Content-Length": str(len(BODY))}


def test_each_try_has_a_connection_of_its_own(receiver: Site) -> None:
    """One that was kept alive may be dead, and nobody could tell whether the receiver has read what was sent on it."""
    sender = poster()
    for _ in range(2):
        sender.post(receiver.url, HEADERS, BODY)
    assert receiver.connections == 2


@pytest.mark.parametrize("status", [200, 202, 301, 302, 303, 307, 308, 401, 404, 410, 500])
def test_the_status_is_the_answer(status: int) -> None:
    """A redirect leads nowhere."""
    with site(always(response())) as elsewhere:
        reply, running = replied(response(b"", status, {"Location": elsewhere.url}))
        assert (reply.status, len(running.heads), elsewhere.connections) == (status, 1, 0)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("120", 120.0), ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0), ("soon", None), ("9" * 400, float("inf"))],
)
def test_retry_after(given: str, seconds: float | None) -> None:
    """In both of its forms."""
    reply, _ = replied(response(b"", 503, {"Retry-After": given}))
    assert reply.retry_after == seconds


def test_a_name_that_turned_private_is_not_connected_to(receiver: Site) -> None:
    """It is looked up and judged at each try, and the socket goes to what was judged."""
    sender = poster(policy=PUBLIC_ONLY, getaddrinfo=names({"told.example": ["127.0.0.1"]}))
    reply = sender.post(f"https://told.example:{receiver.port}/", HEADERS, BODY)
    assert reply.status is None
    assert "not public" in reply.detail
    assert receiver.connections == 0


@pytest.mark.parametrize("url", ["http://told.example/", "https://10.0.0.1/", "http://127.0.0.1:9001/"])
def test_a_url_that_may_not_be_told_any_more_is_not_asked(url: str) -> None:
    """What is allowed may have changed since it was submitted."""
    reply = poster().post(url, HEADERS, BODY)
    assert reply.status is None
    assert reply.detail


def test_no_proxy_is_used(receiver: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with site(always(response(b"", 500))) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert poster().post(receiver.url, HEADERS, BODY).status == 204
        assert proxy.connections == 0


def test_the_certificate_is_checked() -> None:
    """A receiver that nobody vouches for is told nothing."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("told.example").configure_cert(context)
    zone = {"told.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with site(always(response()), tls=context) as running:
        sender = poster(getaddrinfo=names(zone), tls=trusting)
        assert sender.post(f"https://told.example:{running.port}/", HEADERS, BODY).status == 200
        assert sender.post(f"https://other.example:{running.port}/", HEADERS, BODY).status is None
        stranger = poster(getaddrinfo=names(zone))
        assert stranger.post(f"https://told.example:{running.port}/", HEADERS, BODY).status is None
        assert len(running.heads) == 1


def test_one_that_sleeps_is_left() -> None:
    """After the time that it has for all of it."""
    began = time.monotonic()
    reply, running = replied(lambda visit: visit.hang(), total_seconds=0.3)
    assert reply.status is None
    assert len(running.heads) == 1
    assert time.monotonic() - began < 30


def test_one_that_talks_slowly_is_left() -> None:
    """A byte now and then does not lengthen the time."""
    reply, _ = replied(lambda visit: visit.drip(response(), every=0.1), total_seconds=0.3)
    assert reply.status is None


@pytest.mark.parametrize("answer", [b"", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello"])
def test_what_is_no_answer(answer: bytes) -> None:
    """Nor one that readers could understand in different ways."""
    reply, _ = replied(always(answer, close=True))
    assert reply.status is None


def test_an_endless_answer_is_not_read() -> None:
    """Its head is all that is wanted; a little more is read, so that a good receiver is not cut off."""
    sent = 0

    def answer(visit: Visit) -> None:
        nonlocal sent
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
        while True:
            visit.send(b"x" * MOST_BYTES)
            sent += MOST_BYTES

    reply, _ = replied(answer)
    assert reply.status == 200
    assert sent < 16 * 2**20  # what the machine's own buffers take


def test_an_answer_whose_body_hangs_is_an_answer() -> None:
    """Whoever says 200 has taken it."""

    def answer(visit: Visit) -> None:
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        visit.hang()

    began = time.monotonic()
    reply, _ = replied(answer)
    assert reply.status == 200
    assert time.monotonic() - began < 30
