"""The headers that a client gives with a URL, as its site and others see them."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import closing

import pytest
import trustme

from chalicelib.jobs.submitted import RequestHeaders
from chalicelib.runner.outcome import Fetched
from tests.runner.sites import Kept, Visit, response, site
from tests.runner.test_fetcher import make

GIVEN = RequestHeaders({"authorization": "Bearer secret", "Accept": "text/x", "User-Agent": "mine", "X-Zero": "0"})


def has_secret(visits: Sequence[Visit]) -> list[tuple[str, bool]]:
    """Which paths were asked for, and whether with the client's header."""
    return [(visit.target, b"secret" in visit.head) for visit in visits]


def test_they_go_out_once_each() -> None:
    """Over our own of the same name; what is ours alone stays, and the connection's next request has none of them."""
    visits: list[Visit] = []

    def answer(visit: Visit) -> None:
        visits.append(Visit(visit.site, visit.sock, visit.head))
        visit.send(response())

    with site(answer) as running, closing(make()) as fetcher:
        assert isinstance(fetcher.fetch(running.url, Kept(), GIVEN), Fetched)
        assert isinstance(fetcher.fetch(running.url, Kept()), Fetched)
        assert running.connections == 1
    head = visits[0].head.decode().lower()
    for line in ("authorization: bearer secret", "accept: text/x", "user-agent: mine", "x-zero: 0"):
        assert head.count(f"\r\n{line}\r\n") == 1
        assert head.count(f"\r\n{line.partition(':')[0]}:") == 1
    assert "\r\naccept-encoding: gzip, deflate\r\n" in head
    assert visits[1].headers["User-Agent"].startswith("Test/1")
    assert [name for name in visits[1].headers if name.lower() in ("authorization", "x-zero")] == []


@pytest.mark.parametrize("name", ["another port", "another host"])
def test_they_stay_with_their_origin(name: str) -> None:
    """They go with a redirect to the same origin, not to another, and not back from there."""
    visits: list[Visit] = []

    def answer(visit: Visit) -> None:
        visits.append(Visit(visit.site, visit.sock, visit.head))
        there = f"http://127.0.0.1:{other.port}" if name == "another port" else f"http://b.test:{first.port}"
        way = {"/": "/again", "/again": f"{there}/other", "/other": f"http://127.0.0.1:{first.port}/back"}
        to = way.get(visit.target)
        visit.send(response(b"", 302, {"Location": to}) if to else response())

    with site(answer) as first, site(answer) as other, closing(make()) as fetcher:
        outcome = fetcher.fetch(f"{first.url}/", Kept(), GIVEN)
    assert isinstance(outcome, Fetched)
    assert has_secret(visits) == [("/", True), ("/again", True), ("/other", False), ("/back", False)]
    assert all(visit.headers["User-Agent"].startswith("Test/1") for visit in visits[2:])


def test_they_do_not_go_from_https_to_http() -> None:
    """Where everybody could read them."""
    authority, visits = trustme.CA(), list[Visit]()
    trusted, server = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(trusted)
    authority.issue_cert("a.test").configure_cert(server)

    def answer(visit: Visit) -> None:
        visits.append(Visit(visit.site, visit.sock, visit.head))
        to = f"http://a.test:{plain.port}/plain"
        visit.send(response(b"", 302, {"Location": to}) if visit.target == "/" else response())

    with site(answer) as plain, site(answer, tls=server) as safe, closing(make(tls=trusted)) as fetcher:
        outcome = fetcher.fetch(f"https://a.test:{safe.port}/", Kept(), GIVEN)
    assert isinstance(outcome, Fetched)
    assert has_secret(visits) == [("/", True), ("/plain", False)]


def test_the_spelling_of_an_origin_makes_no_difference() -> None:
    """A redirect to the same host in capitals stays there."""
    visits: list[Visit] = []

    def answer(visit: Visit) -> None:
        visits.append(Visit(visit.site, visit.sock, visit.head))
        to = f"HTTP://A.TEST:0{running.port}/again"
        visit.send(response(b"", 302, {"Location": to}) if visit.target == "/" else response())

    with site(answer) as running, closing(make()) as fetcher:
        outcome = fetcher.fetch(f"http://a.test:{running.port}/", Kept(), GIVEN)
    assert isinstance(outcome, Fetched)
    assert has_secret(visits) == [("/", True), ("/again", True)]
