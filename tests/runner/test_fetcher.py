"""What a fetch brings back, which failure each kind of trouble is, and what goes out to a site.

What a plain `requests` gets wrong is also tested in test_fetch_attacks.py and test_hostile_urls.py.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import formatdate
from math import inf
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.entities import ErrorType
from chalicelib.runner.connection import Guard, GuardedAdapter, GuardedSession
from chalicelib.runner.deadline import Deadline, Exchange
from chalicelib.runner.fetcher import Fetcher, FetchLimits
from chalicelib.runner.lookup import Lookup
from chalicelib.runner.outcome import Failure, Fetched
from tests.runner.sites import (
    Answer,
    Close,
    Dropped,
    Kept,
    Visit,
    always,
    chunked,
    gzipped,
    names,
    paths,
    response,
    site,
)

NOW = 1_800_000_000.0
LIMITS = FetchLimits(connect_seconds=60, total_seconds=120, max_bytes=64 * 1024)  # no test waits for the seconds
LOOPBACK = AddressPolicy(loopback_allowed=True)
ZONE = {name: ["127.0.0.1"] for name in ("a.test", "b.test", "c.test", "d.test", "e.test", "f.test")}


def make(**changes: Any) -> Fetcher:
    settings = {
        "limits": LIMITS,
        "policy": LOOPBACK,
        "user_agent": "Test/1 (+https://example.com/)",
        "getaddrinfo": names(ZONE),
        "wall": lambda: NOW,
        **changes,
    }
    return Fetcher(**settings)


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    fetcher = make()
    yield fetcher
    fetcher.close()


def fetched(fetcher: Fetcher, answer: Answer | bytes, path: str = "/") -> tuple[Fetched | Failure, bytes]:
    """The outcome of one fetch of a site that answers so, and what the sink got."""
    sink = Kept()
    with site(always(answer) if isinstance(answer, bytes) else answer) as running:
        return fetcher.fetch(running.url + path, sink), sink.body


def failed(fetcher: Fetcher, answer: Answer | bytes, path: str = "/") -> Failure:
    outcome, _ = fetched(fetcher, answer, path)
    assert isinstance(outcome, Failure), outcome
    return outcome


# What comes back


def test_what_is_recorded(fetcher: Fetcher) -> None:
    """Type, size, digest, status, the URL that answered, and the headers on the list, in the list's spelling."""
    listed = {
        "etag": '"v1"',
        "Last-Modified": "Tue, 24 Nov 2026 10:00:00 GMT",
        "Content-Language": "de",
        "Cache-Control": "max-age=60",
        "Date": "Tue, 24 Nov 2026 11:00:00 GMT",
    }
    others = {"Content-Type": "text/html; charset=utf-8", "Set-Cookie": "a=b", "Server": "x"}
    answers = {
        "/": response(b"", 302, {"Location": "/there?q=1#top"}),
        "/there": response(b"<p>", 200, listed | others),
    }
    with site(paths(answers)) as running:
        sink = Kept()
        outcome = fetcher.fetch(running.url, sink)
        assert outcome == Fetched(
            content_type="text/html; charset=utf-8",
            size=3,
            sha256=hashlib.sha256(b"<p>").hexdigest(),
            http_status=200,
            final_url=f"{running.url}/there?q=1",
            headers={name.replace("etag", "ETag"): value for name, value in listed.items()},
            text=True,
        )
    assert (sink.content_types, sink.body) == (["text/html; charset=utf-8"], b"<p>")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("text/plain", "text/plain"),
        ("a/" + "b" * 253, "a/" + "b" * 253),
        ("a/" + "b" * 254, "application/octet-stream"),
        ("text/plän", "application/octet-stream"),
        ("text/pl\tain", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("text/html; charset", "text/html; charset"),
    ],
)
def test_the_content_type_is_bounded(fetcher: Fetcher, sent: str, kept: str) -> None:
    """What cannot be repeated in a header of ours becomes application/octet-stream."""
    outcome, _ = fetched(fetcher, response(headers={"Content-Type": sent}))
    assert isinstance(outcome, Fetched)
    assert outcome.content_type == kept


@pytest.mark.parametrize(
    ("types", "kept"),
    [
        (["text/html", "application/json"], "application/json"),
        (["text/html", ""], "text/html"),
        (["text/html", "text/plän"], "text/html"),
        (["text/html, text/plain"], "text/html, text/plain"),  # as one site sent it
    ],
)
def test_of_two_content_types_the_last_counts(fetcher: Fetcher, types: list[str], kept: str) -> None:
    """As in browsers; joined they would be no type at all."""
    lines = "".join(f"Content-Type: {kind}\r\n" for kind in types)
    outcome, body = fetched(fetcher, f"HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\n{{}}".encode())
    assert isinstance(outcome, Fetched)
    assert (outcome.content_type, body) == (kept, b"{}")


def test_headers_are_bounded(fetcher: Fetcher) -> None:
    """Too long or not printable: left out."""
    headers = {"ETag": "x" * 1024, "Cache-Control": "x" * 1025, "Content-Language": "ü", "Date": "a\tb"}
    outcome, _ = fetched(fetcher, response(headers=headers))
    assert isinstance(outcome, Fetched)
    assert outcome.headers == {"ETag": "x" * 1024}


@pytest.mark.parametrize("status", [200, 201, 203, 204, 205, 299])
def test_a_2xx_answer_without_a_body_is_fetched(fetcher: Fetcher, status: int) -> None:
    """The sink is begun, so that there is something to read."""
    sink = Kept()
    with site(always(response(b"", status, {"Content-Encoding": "gzip"}))) as running:
        outcome = fetcher.fetch(running.url, sink)
    assert isinstance(outcome, Fetched)
    assert (outcome.size, outcome.http_status, outcome.text) == (0, status, True)
    assert sink.content_types == ["text/plain"]


MIB = 2**20


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"plain\tand\r\n", True),
        ("ümläut €uro 😀".encode(), True),
        (b"a" * (16384 - 1) + "€".encode() + b"a", True),  # a character across two reads
        (b"a" * MIB, True),
        (b"a" * (MIB + 1), False),
        (b"\x00", False),
        (b"\x1b[31m", False),
        (b"\x7f", False),
        ("\x85".encode(), False),
        (b"\xff\xfe", False),
        ("€".encode()[:2], False),
        (b"\xed\xa0\x80", False),  # a surrogate
        (b"a" * 20000 + b"\x00", False),
    ],
)
def test_what_counts_as_text(body: bytes, text: bool) -> None:
    """At most 1 MiB of UTF-8 without control characters but tab, LF and CR."""
    fetcher = make(limits=FetchLimits(connect_seconds=60, total_seconds=120, max_bytes=2 * MIB))
    outcome, got = fetched(fetcher, response(body))
    assert isinstance(outcome, Fetched)
    assert (outcome.text, outcome.size, outcome.sha256) == (text, len(body), hashlib.sha256(body).hexdigest())
    assert got == body
    fetcher.close()


def test_what_the_sink_raises_passes_and_the_connection_is_closed(fetcher: Fetcher) -> None:
    """It is not the site's fault, whatever it is called."""

    class Full(Kept):
        def write(self, data: bytes) -> None:
            raise TimeoutError("the bucket is slow")

    closed = Event()

    def answer(visit: Visit) -> None:
        visit.send(response(b"x" * 20_000, length=50_000))
        if visit.gone():
            closed.set()
        raise Close

    with site(answer) as running:
        with pytest.raises(TimeoutError) as raised:
            fetcher.fetch(running.url, Full())
        assert closed.wait(60)
    assert str(raised.value) == "the bucket is slow"  # kept until here, with all that it holds on to


# What goes out


def test_each_hop_sends_the_same_three_headers_and_the_normal_form(fetcher: Fetcher) -> None:
    """Nothing of the first site's reaches the second: no Referer, cookie or Authorization, and no key of a job."""
    second_answers = {"//y/~%7C'x": response()}
    with site(paths(second_answers)) as second:
        first_answer = response(b"", 302, {"Location": f"{second.url}//y/%7e%7c'x?a=%2f&b&&"})
        with site(always(first_answer)) as first:
            assert isinstance(fetcher.fetch(f"{first.url}/a/../b c?ü", Kept()), Fetched)
    expected = (
        b"GET %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: Test/1 (+https://example.com/)\r\nAccept: */*\r\n"
        b"Accept-Encoding: gzip, deflate\r\n\r\n"
    )
    assert first.heads == [expected % (b"/b%20c?%C3%BC", first.port)]
    assert second.heads == [expected % (b"//y/~%7C'x?a=%2F&b&&", second.port)]


def test_cookies_are_neither_kept_nor_sent(fetcher: Fetcher) -> None:
    """Not to the next fetch, and not to the next hop."""
    cookie = {"Set-Cookie": "id=1; Path=/"}
    answers = {"/": response(b"", 302, cookie | {"Location": "/next"}), "/next": response(headers=cookie)}
    with site(paths(answers)) as running:
        for _ in range(2):
            assert isinstance(fetcher.fetch(running.url, Kept()), Fetched)
    assert len(running.heads) == 4
    assert not any(b"cookie" in head.lower() for head in running.heads)
    assert len(fetcher._sender._session.cookies) == 0  # a jar that fills is a leak, even where nothing is sent from it


def test_the_environment_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy, no password from a .netrc, no other authorities."""
    (tmp_path / ".netrc").write_text("machine a.test login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(tmp_path / "none.pem"))
    fetcher = make()
    with site(always(response())) as running:
        assert isinstance(fetcher.fetch(f"http://a.test:{running.port}/", Kept()), Fetched)
    assert b"authorization" not in running.heads[0].lower()
    fetcher.close()


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/there", "/there"),
        ("there?x", "/dir/there?x"),
        ("?x", "/dir/page?x"),
        ("../there", "/there"),
        ("  /there", "/there"),
        ("/a b", "/a%20b"),
        ("\\there\\x", "/there/x"),
        ("/jos\xe9-rizal", "/jos%E9-rizal"),
        ("/ünï".encode().decode("latin-1"), "/%C3%BCn%C3%AF"),
        ("/日本".encode("shift_jis").decode("latin-1"), "/%93%FA%96%7B"),
        ("/a\x85\xa0", "/a%85%A0"),
        ("/\u0085".encode().decode("latin-1"), "/%C2%85"),
        ("/x?q=\xe9", "/x?q=%E9"),
    ],
)
def test_redirects_are_followed(fetcher: Fetcher, status: int, location: str, target: str) -> None:
    """Relative ones too; bytes that are no URL's are escaped as they came, whatever charset they are in."""

    def answer(visit: Visit) -> None:
        visit.send(response() if visit.target == target else response(b"", status, {"Location": location}))

    with site(answer) as running:
        outcome = fetcher.fetch(f"{running.url}/dir/page", Kept())
        assert isinstance(outcome, Fetched), outcome
        assert outcome.final_url == running.url + target
        assert running.targets == ["/dir/page", target]


@pytest.mark.parametrize(
    ("asked", "location", "target"),
    [
        ("/web/2020/http://example.org/a", "b", "/web/2020/http://example.org/b"),
        ("/login?next=1", "?", "/login"),  # in its normal form, which has no empty query
        ("/a//b/c", "../d", "/a//d"),
    ],
)
def test_a_relative_redirect_leads_where_the_standard_says(
    fetcher: Fetcher, asked: str, location: str, target: str
) -> None:
    """Empty segments of the path before it stay, and an empty query replaces the query before it."""

    def answer(visit: Visit) -> None:
        visit.send(response(b"", 302, {"Location": location}) if visit.target == asked else response())

    with site(answer) as running:
        assert isinstance(fetcher.fetch(running.url + asked, Kept()), Fetched)
        assert running.targets == [asked, target]


def test_a_redirect_to_a_host_in_utf_8() -> None:
    """It goes by IDNA; one in another charset may not be fetched, for nobody knows which it is."""
    fetcher = make(getaddrinfo=names({"xn--bcher-kva.test": ["127.0.0.1"]}))
    for charset, kind in (("utf-8", Fetched), ("latin-1", Failure)):
        with site(always(response())) as there:
            location = f"http://bücher.test:{there.port}/".encode(charset).decode("latin-1")
            outcome, _ = fetched(fetcher, response(b"", 302, {"Location": location}))
        assert isinstance(outcome, kind)
        assert not isinstance(outcome, Failure) or outcome.error.type is ErrorType.BLOCKED
    fetcher.close()


@pytest.mark.parametrize(("hops", "kind"), [(10, Fetched), (11, Failure)])
def test_ten_redirects_and_no_more(fetcher: Fetcher, hops: int, kind: type) -> None:
    """The eleventh ends the fetch."""

    def answer(visit: Visit) -> None:
        left = int(visit.target[1:])
        visit.send(response(b"", 302, {"Location": f"/{left - 1}"}) if left else response())

    with site(answer) as running:
        outcome = fetcher.fetch(f"{running.url}/{hops}", Kept())
    assert isinstance(outcome, kind)
    if isinstance(outcome, Failure):
        assert outcome.error.type is ErrorType.TOO_MANY_REDIRECTS
        assert outcome.error.detail == "the site redirected more than 10 times"
        assert not outcome.retryable


@pytest.mark.parametrize(("length", "kind"), [(16_000, Fetched), (17_000, Failure)])
def test_a_redirect_may_be_longer_than_what_is_submitted(fetcher: Fetcher, length: int, kind: type) -> None:
    """Signed targets are long; but there is a limit."""
    long = "/" + "x" * length

    def answer(visit: Visit) -> None:
        visit.send(response() if visit.target == long else response(b"", 302, {"Location": long}))

    assert isinstance(fetched(fetcher, answer)[0], kind)


def test_the_body_of_a_redirect_is_not_read(fetcher: Fetcher) -> None:
    """It can be endless. Its connection is closed before the next request goes out."""
    closed = Event()

    def answer(visit: Visit) -> None:
        if visit.target == "/there":
            visit.send(response(b"closed" if closed.wait(60) else b"open"))
            return
        visit.send(response(b"x", 302, {"Location": "/there"}, length=10**12))
        if visit.gone():
            closed.set()
        raise Close

    outcome, body = fetched(fetcher, answer)
    assert isinstance(outcome, Fetched), outcome
    assert body == b"closed"


@pytest.mark.parametrize(
    ("locations", "error_type"),
    [
        ([], ErrorType.HTTP_STATUS),
        ([""], ErrorType.HTTP_STATUS),
        (["/a", "/b"], ErrorType.INVALID_RESPONSE),
        (["/a\x01b"], ErrorType.INVALID_RESPONSE),
        (["/a\tb"], ErrorType.INVALID_RESPONSE),
        (["http://[::1"], ErrorType.BLOCKED),
        (["ftp://example.com/"], ErrorType.BLOCKED),
        (["//me:secret@a.test/"], ErrorType.BLOCKED),
        (["http://a.test\\@b.test/"], ErrorType.BLOCKED),
    ],
)
def test_redirects_that_cannot_be_followed(fetcher: Fetcher, locations: list[str], error_type: ErrorType) -> None:
    """Judged as they were sent, before anything drops a control character or turns a backslash."""
    head = "".join(f"Location: {location}\r\n" for location in locations)
    failure = failed(fetcher, f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n{head}\r\n".encode())
    assert failure.error.type is error_type
    assert not failure.retryable
    assert "a.test" not in failure.error.detail


def test_a_url_is_judged_as_it_was_given(fetcher: Fetcher) -> None:
    """Before requests would have dropped what is wrong with it."""
    with site(always(response())) as running:
        for url in (f"http://127.0.0.1:{running.port}\\@a.test/", f"http://127.0.\n0.1:{running.port}/"):
            outcome = fetcher.fetch(url, Kept())
            assert isinstance(outcome, Failure)
            assert outcome.error.type is ErrorType.BLOCKED
    assert running.connections == 0


def test_two_equal_location_headers_are_one(fetcher: Fetcher) -> None:
    """As browsers have it."""

    def answer(visit: Visit) -> None:
        twice = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /a\r\nLocation: /a\r\n\r\n"
        visit.send(response() if visit.target == "/a" else twice)

    assert isinstance(fetched(fetcher, answer)[0], Fetched)


# Statuses


@pytest.mark.parametrize(
    ("status", "retryable", "detail"),
    [
        (300, False, "the site answered 300 Multiple Choices"),
        (302, False, "the site answered 302 Found without saying where to"),
        (304, False, "the site answered 304 Not Modified"),
        (400, False, "the site answered 400 Bad Request"),
        (404, False, "the site answered 404 Not Found"),
        (408, True, "the site answered 408 Request Timeout"),
        (410, False, "the site answered 410 Gone"),
        (425, True, "the site answered 425 Too Early"),
        (429, True, "the site answered 429 Too Many Requests"),
        (500, True, "the site answered 500 Internal Server Error"),
        (501, False, "the site answered 501 Not Implemented"),
        (502, True, "the site answered 502 Bad Gateway"),
        (503, True, "the site answered 503 Service Unavailable"),
        (504, True, "the site answered 504 Gateway Timeout"),
        (599, False, "the site answered 599"),
        (101, False, "the site answered 101 Switching Protocols"),
    ],
)
def test_other_statuses_are_failures(fetcher: Fetcher, status: int, retryable: bool, detail: str) -> None:
    """The phrase is the standard's; nothing of the body reaches the sink."""
    outcome, body = fetched(fetcher, response(b"sorry", status))
    assert isinstance(outcome, Failure)
    error = outcome.error
    assert (error.type, error.http_status, error.detail) == (ErrorType.HTTP_STATUS, status, detail)
    assert (outcome.retryable, outcome.retry_after, body) == (retryable, None, b"")


SORRY = b"Our systems have detected unusual traffic from your network."


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503, 999])
@pytest.mark.parametrize(
    "answer",
    [
        lambda status: response(SORRY, status),
        lambda status: response(gzipped(SORRY), status, {"Content-Encoding": "gzip"}),
        lambda status: chunked(SORRY[:9], SORRY[9:]).replace(b"200", b"%d" % status),
        lambda status: b"HTTP/1.1 %d No\r\n\r\n" % status + SORRY,
    ],
    ids=["length", "gzip", "chunks", "to the end"],
)
def test_what_a_refusing_site_says(fetcher: Fetcher, answer: Callable[[int], bytes], status: int) -> None:
    """Its own words are kept, apart from our sentence, which quotes nothing of them; and none of them are a result."""
    outcome, body = fetched(fetcher, always(answer(status), close=True))
    assert isinstance(outcome, Failure)
    assert (outcome.error.excerpt, body) == (SORRY.decode(), b"")
    assert "traffic" not in outcome.error.detail


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (response(b"", 404), None),
        (response(b"\x89PNG\0", 404, {"Content-Type": "image/png"}), None),
        (response(SORRY, 404, {"Content-Encoding": "br"}), None),
        (response(SORRY, 404, {"Content-Encoding": "gzip"}), None),  # which it is not
        (response(SORRY, 404, length=5000), None),  # and the connection ends within the first piece
        (response(b"\0" * 10**7, 404, {"Content-Encoding": "UTF-8"}), None),
        (response(gzipped(b"x" * 10**7), 404, {"Content-Encoding": "gzip"}), "x" * 1000),
        (response(SORRY, 302), None),  # it does not say where to
        (response(SORRY, 101), None),
    ],
)
def test_what_a_refusing_site_does_not_say(fetcher: Fetcher, answer: bytes, said: str | None) -> None:
    """No text, or damaged: then there is none, and the status stands. It is never more than a thousand characters."""
    failure = failed(fetcher, _closes(answer))
    assert (failure.error.type, failure.error.excerpt) == (ErrorType.HTTP_STATUS, said)


def test_a_refusal_that_does_not_end_is_not_waited_for() -> None:
    """A worker is held for two seconds more at most, although the fetch has two minutes; what came is shown."""
    late = [0.0]

    def answer(visit: Visit) -> None:
        visit.send(response(b"x" * 600, 503, length=9999))
        late[0] = 1.9  # the rest of the two seconds is waited for
        visit.hang()

    fetcher = make(now=lambda: time.monotonic() + late[0])
    failure = failed(fetcher, answer)
    assert (failure.error.http_status, failure.error.excerpt) == (503, "x" * 512)
    fetcher.close()


def test_a_refusal_that_was_read_whole_keeps_its_connection(fetcher: Fetcher) -> None:
    """As any whole answer does."""
    with site(always(response(SORRY, 404))) as running:
        for _ in range(3):
            assert isinstance(fetcher.fetch(running.url, Kept()), Failure)
    assert running.connections == 1


@pytest.mark.parametrize(
    ("status", "value", "seconds"),
    [
        (503, "120", 120),
        (429, " 7 ", 7),
        (503, "0", 0),
        (503, formatdate(NOW + 90, usegmt=True), 90),
        (503, formatdate(NOW - 90, usegmt=True), 0),
        (503, "Friday, 15-Jan-27 08:01:00 GMT", 60),
        (503, "Fri Jan 15 08:01:00 2027", 60),
        (503, "soon", None),
        (503, "-5", None),
        (503, "1.5", None),
        (503, "1795000000000", 1_795_000_000_000),
        (503, "9" * 5000, inf),
        (503, "٣", None),
        (503, "Fri, 99 Jan 2027 08:01:00 GMT", None),
        (503, "", None),
        (404, "120", None),
    ],
)
def test_retry_after(fetcher: Fetcher, status: int, value: str, seconds: float | None) -> None:
    """In both forms of RFC 9110, the old spellings of dates included; what makes no sense is ignored.

    Either way it says that the host wants to be asked more slowly.
    """
    head = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nRetry-After: {value}\r\n\r\n"
    outcome = failed(fetcher, head.encode())
    assert (outcome.retry_after, outcome.refused) == (seconds, status in (429, 503))


@pytest.mark.parametrize(
    ("status", "refused", "overloaded"),
    [(429, True, False), (503, False, True), (500, False, True), (504, False, True), (408, False, False)],
)
def test_what_a_status_says_of_the_host(fetcher: Fetcher, status: int, refused: bool, overloaded: bool) -> None:
    """Without a Retry-After: it refuses, or has trouble, or neither."""
    outcome = failed(fetcher, f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
    assert (outcome.refused, outcome.overloaded) == (refused, overloaded)


# Failures on the way


@pytest.mark.parametrize(
    ("problem", "retryable", "detail"),
    [
        (socket.EAI_NONAME, False, "this host does not exist: its name has no address"),
        (socket.EAI_AGAIN, True, "no name server answered for this host"),
        (socket.EAI_FAIL, True, "no name server answered for this host"),
    ],
)
def test_names_that_cannot_be_resolved(problem: int, retryable: bool, detail: str) -> None:
    """An unknown name will be unknown in a minute too; a name server that is down may be up by then."""

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(problem, "no")

    fetcher = make(getaddrinfo=getaddrinfo)
    outcome = fetcher.fetch("http://a.test/", Kept())
    assert isinstance(outcome, Failure)
    assert (outcome.error.type, outcome.retryable, outcome.error.detail) == (ErrorType.DNS, retryable, detail)
    fetcher.close()


def test_a_silent_name_server_costs_no_more_than_the_time_to_connect() -> None:
    """getaddrinfo has no time-out of its own; the look-up is abandoned."""
    over = Event()

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        over.wait()
        return []

    fetcher = make(getaddrinfo=getaddrinfo, limits=FetchLimits(connect_seconds=0.2, total_seconds=120))
    outcome = fetcher.fetch("http://a.test/", Kept())
    over.set()
    assert isinstance(outcome, Failure)
    assert (outcome.error.type, outcome.retryable) == (ErrorType.DNS, True)
    fetcher.close()


def test_a_bug_in_the_look_up_is_not_made_a_failure() -> None:
    """What is no answer of a resolver is raised."""

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        raise KeyError("bug")

    fetcher = make(getaddrinfo=getaddrinfo)
    with pytest.raises(KeyError):
        fetcher.fetch("http://a.test/", Kept())
    fetcher.close()


def test_nobody_listens(fetcher: Fetcher) -> None:
    """Refused, and worth another attempt: sites restart."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    outcome = fetcher.fetch(f"http://a.test:{port}/", Kept())
    assert isinstance(outcome, Failure)
    assert (outcome.error.type, outcome.retryable) == (ErrorType.CONNECTION, True)
    assert outcome.error.detail == "this host refused the connection"


def test_the_redirects_host_is_named_as_such(fetcher: Fetcher) -> None:
    """The submitter did not ask for it by name."""
    failure = failed(fetcher, response(b"", 302, {"Location": "http://unknown.test/"}))
    assert failure.error.detail == "the host that a redirect led to does not exist: its name has no address"


def _closes(data: bytes) -> Answer:
    return always(data, close=True)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (_closes(b""), "the connection was cut before the site answered"),
        (_closes(b"HTTP/1.1 200 OK\r\nContent-Le"), "the connection was cut before the answer was complete"),
        (_closes(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"), "the connection was cut before the answer was complete"),
        (_closes(b"HTTP/1.1 200 OK\r\n"), "the connection was cut before the answer was complete"),
        (_closes(response(b"x" * 99, length=100)), "the connection was cut before the answer was complete"),
        (_closes(response(b"x" * 30_000, length=30_001)), "the connection was cut before the answer was complete"),
        (_closes(chunked(b"x" * 100, end=b"")), "the connection was cut before the answer was complete"),
        (_closes(chunked(b"x", end=b"64\r\nhalf")), "the connection was cut before the answer was complete"),
        (_closes(chunked(b"x", end=b"6")), "the connection was cut before the answer was complete"),
    ],
)
def test_what_is_cut_short_is_never_fetched(fetcher: Fetcher, answer: Answer, detail: str) -> None:
    """Half an answer is a failure that another attempt may mend."""
    failure = failed(fetcher, answer)
    assert (failure.error.type, failure.retryable) == (ErrorType.CONNECTION, True)
    assert failure.error.detail == detail


@pytest.mark.parametrize(
    "answer",
    [
        _closes(b"SSH-2.0-OpenSSH_9.6\r\n"),
        _closes(b"\x15\x03\x01\x00\x02\x02\x16"),
        _closes(b"HTTP/1.1 abc OK\r\n\r\n"),
        _closes(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 45_000 + b"\r\n"),
        _closes(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 270_000 + b"\r\n\r\n"),
        _closes(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        _closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello"),
        _closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 70_000),
        _closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nhello"),
        _closes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-7\r\nhello"),
        *(
            _closes(response(b"hello", headers={"Content-Encoding": coding}))
            for coding in (
                *("br", "BR", "zstd", "gzip, zstd", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip"),
                *("aes128gcm", "xz", "UTF-8, br"),
            )
        ),
        _closes(response(b"hello", headers={"Content-Encoding": ", ".join(["gzip"] * 4)})),
        _closes(response(b"hello", headers={"Content-Encoding": "gzip"})),
        _closes(response(b"hello", headers={"Content-Encoding": "deflate"})),
    ],
)
def test_what_is_no_answer(fetcher: Fetcher, answer: Answer) -> None:
    """Not HTTP, or in a form that cannot be kept."""
    failure = failed(fetcher, answer)
    assert (failure.error.type, failure.retryable) == (ErrorType.INVALID_RESPONSE, False)


HEADS = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.0 302 \r\n",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"Content-Length: 5\r\n",
            b"Content-Length: -5\r\n",
            b"Content-Type: \xff; charset\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Content-Encoding: gzip, deflate\r\n",
            b"Location: http://[\r\n",
            b"Set-Cookie: =;;=\x00; expires=x\r\n",
            b"Retry-After: \xff\r\n",
            b"no colon\r\n",
            b" folded\r\n",
            b"\r\n",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"hello",
        ]
    )
    | st.binary(max_size=20),
    max_size=12,
)


def test_whatever_comes_is_fetched_or_a_failure() -> None:
    """Never an exception, whatever bytes a site sends."""
    now: list[bytes] = [b""]

    def answer(visit: Visit) -> None:
        visit.send(now[0])
        raise Close

    fetcher = make()
    with site(answer) as running:

        @settings(max_examples=300, deadline=None)
        @given(HEADS)
        def check(parts: list[bytes]) -> None:
            now[0] = b"".join(parts)
            outcome = fetcher.fetch(running.url, Dropped())
            assert isinstance(outcome, Fetched | Failure)
            assert not isinstance(outcome, Failure) or outcome.error.detail.isascii()

        check()
    fetcher.close()


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusted(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def _server(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def test_tls(authority: trustme.CA, trusted: ssl.SSLContext) -> None:
    """A certificate for the name from a trusted authority; the connection is kept."""
    fetcher = make(tls=trusted)
    with site(always(response()), tls=_server(authority.issue_cert("a.test"))) as running:
        for _ in range(3):
            assert isinstance(fetcher.fetch(f"https://a.test:{running.port}/", Kept()), Fetched)
    assert running.connections == 1
    fetcher.close()


def test_a_body_without_a_length_over_tls(authority: trustme.CA, trusted: ssl.SSLContext) -> None:
    """It is whole when the site says that it ends, and cut short when the connection just ends."""

    def answer(visit: Visit) -> None:
        visit.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it")
        if visit.target == "/whole":
            assert isinstance(visit.sock, ssl.SSLSocket)
            visit.send(b", and the rest")
            visit.sock.unwrap()
        raise Close

    fetcher = make(tls=trusted)
    with site(answer, tls=_server(authority.issue_cert("a.test"))) as running:
        sink = Kept()
        assert isinstance(fetcher.fetch(f"https://a.test:{running.port}/whole", sink), Fetched)
        assert sink.body == b"half of it, and the rest"
        outcome = fetcher.fetch(f"https://a.test:{running.port}/cut", Kept())
    assert isinstance(outcome, Failure)
    assert (outcome.error.type, outcome.retryable) == (ErrorType.CONNECTION, True)
    fetcher.close()


def test_certificates_that_do_not_pass(authority: trustme.CA, trusted: ssl.SSLContext) -> None:
    """Each with a sentence of its own; and never retried."""
    old = authority.issue_cert(
        "a.test", not_before=datetime(2001, 1, 1, tzinfo=UTC), not_after=datetime(2002, 1, 1, tzinfo=UTC)
    )
    cases = [
        (authority.issue_cert("b.test"), "its certificate is for another name"),
        (old, "its certificate has expired"),
        (trustme.CA().issue_cert("a.test"), "its certificate is from an authority that is not trusted"),
    ]
    fetcher = make(tls=trusted)
    for certificate, problem in cases:
        with site(always(response()), tls=_server(certificate)) as running:
            outcome = fetcher.fetch(f"https://a.test:{running.port}/", Kept())
        assert isinstance(outcome, Failure)
        assert (outcome.error.type, outcome.retryable) == (ErrorType.TLS, False)
        assert outcome.error.detail.startswith(f"no secure connection to this host: {problem}")
        assert running.heads == []
    fetcher.close()


def test_by_default_only_public_authorities_are_trusted(authority: trustme.CA, fetcher: Fetcher) -> None:
    """Those of certifi."""
    with site(always(response()), tls=_server(authority.issue_cert("a.test"))) as running:
        outcome = fetcher.fetch(f"https://a.test:{running.port}/", Kept())
    assert isinstance(outcome, Failure)
    assert outcome.error.type is ErrorType.TLS


def test_a_site_without_tls(fetcher: Fetcher) -> None:
    """https to a port that speaks http."""
    with site(always(b"HTTP/1.1 400 Bad Request\r\n\r\n"), at_once=True) as running:
        outcome = fetcher.fetch(f"https://a.test:{running.port}/", Kept())
    assert isinstance(outcome, Failure)
    assert (outcome.error.type, outcome.retryable) == (ErrorType.TLS, False)


def test_a_cut_in_the_handshake_is_no_fault_of_the_certificate(fetcher: Fetcher) -> None:
    """Worth another attempt."""

    def answer(visit: Visit) -> None:
        visit.sock.recv(100_000)

    with site(answer, at_once=True) as running:
        outcome = fetcher.fetch(f"https://a.test:{running.port}/", Kept())
    assert isinstance(outcome, Failure)
    assert (outcome.error.type, outcome.retryable) == (ErrorType.CONNECTION, True)


# Bodies

TEXT = b"The quick brown fox. " * 500
RAW_DEFLATE = zlib.compress(TEXT)[2:-4]
EMPTY_MEMBER = bytes.fromhex("1f8b080000000000000303000000000000000000")  # the shortest there is


@pytest.mark.parametrize(
    ("coding", "sent"),
    [
        ("identity", TEXT),
        ("gzip", gzipped(TEXT)),
        ("X-GZIP", gzipped(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", RAW_DEFLATE),
        ("gzip", gzipped(TEXT[:99]) + gzipped(TEXT[99:])),
        ("gzip", gzipped(b"") + gzipped(TEXT)),
        ("gzip", gzipped(TEXT) + b"\0" * 512),
        ("gzip", gzipped(TEXT) + b"\x1f"),
        ("gzip", gzipped(TEXT) + b"\x1f\x8b\x08\x1f\0"),
        ("gzip", gzipped(TEXT) + b"\x1f\x8b and so on, longer than the shortest member"),
        ("gzip", gzipped(TEXT) + EMPTY_MEMBER),
        ("gzip", gzipped(TEXT) + EMPTY_MEMBER[:-1]),
        ("gzip", gzipped(TEXT) + EMPTY_MEMBER + b"\0"),
        ("gzip", gzipped(TEXT) + bytes.fromhex("1f8b08000000000000ff010000ff")),
        ("gzip, gzip", gzipped(gzipped(TEXT))),
        ("deflate, identity, gzip", gzipped(zlib.compress(TEXT))),
        ("UTF-8", TEXT),
        ("binary", TEXT),
        ("none", TEXT),
        ("", TEXT),
        ("aws-chunked,gzip", gzipped(TEXT)),
        ("gzip, UTF-8", gzipped(TEXT)),
    ],
)
@pytest.mark.parametrize("framing", ["length", "chunks", "single bytes", "to the end"])
def test_bodies_are_decoded(fetcher: Fetcher, coding: str, sent: bytes, framing: str) -> None:
    """Whatever the coding and however it is cut into pieces."""
    head = f"Content-Encoding: {coding}\r\n"
    whole = {
        "length": lambda: response(sent, headers={"Content-Encoding": coding}),
        "chunks": lambda: chunked(sent[:7], sent[7:], headers=head),
        "single bytes": lambda: chunked(*(bytes([byte]) for byte in sent), headers=head),
        "to the end": lambda: f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + sent,
    }[framing]()
    outcome, body = fetched(fetcher, always(whole, close=True))
    assert isinstance(outcome, Fetched), outcome
    assert body == TEXT
    assert (outcome.size, outcome.sha256) == (len(TEXT), hashlib.sha256(TEXT).hexdigest())


@pytest.mark.parametrize(
    ("coding", "sent"),
    [
        ("gzip", gzipped(TEXT)[:-1]),
        ("gzip", gzipped(TEXT)[:40]),
        ("gzip", gzipped(TEXT)[:1]),
        ("gzip", gzipped(TEXT) + gzipped(TEXT)[:-9]),
        ("gzip", gzipped(TEXT) + gzipped(TEXT)[:20]),
        ("gzip", gzipped(TEXT) + gzipped(b"a", 0)[:19]),  # stored: the letter is out already
        ("deflate", zlib.compress(TEXT)[:-1]),
        ("deflate", RAW_DEFLATE[:-1]),
        ("gzip, gzip", gzipped(gzipped(TEXT)[:-1])),
    ],
)
def test_a_compressed_body_cut_short_is_never_fetched(fetcher: Fetcher, coding: str, sent: bytes) -> None:
    """Though its Content-Length is right: what was compressed is not whole."""
    failure = failed(fetcher, response(sent, headers={"Content-Encoding": coding}))
    assert (failure.error.type, failure.retryable) == (ErrorType.CONNECTION, True)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip"])
@pytest.mark.parametrize(
    ("content_type", "is_file"),
    [
        ("application/gzip", True),
        ("Application/X-GZIP; name=a", True),
        ("application/x-gunzip", True),
        ("application/x-tar", False),
        ("text/plain", False),
    ],
)
def test_a_gzip_file_that_is_called_gzip_twice_stays_one(
    fetcher: Fetcher, coding: str, content_type: str, is_file: bool
) -> None:
    """Type and coding name the same compression; so the digest that the file is published with holds."""
    sent = gzipped(TEXT)
    headers = {"Content-Encoding": coding, "Content-Type": content_type}
    outcome, body = fetched(fetcher, response(sent, headers=headers))
    assert isinstance(outcome, Fetched)
    assert body == (sent if is_file else TEXT)
    assert (outcome.size, outcome.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    twice = response(gzipped(zlib.compress(sent)), headers=headers | {"Content-Encoding": "deflate, gzip"})
    assert fetched(fetcher, twice)[1] == sent


@pytest.mark.parametrize(
    ("content_range", "length", "whole"),
    [
        ("bytes 0-9/10", 10, True),
        ("bytes 0-9/100", 10, False),
        ("bytes 10-19/20", 10, False),
        ("bytes 0-9/*", 10, False),
        ("bytes 0-9/10", None, False),
        ("", 10, False),
    ],
)
def test_a_part_that_nobody_asked_for(fetcher: Fetcher, content_range: str, length: int | None, whole: bool) -> None:
    """It is no result, unless it is the whole and says so: what is cut short is never one."""
    lengths = "" if length is None else f"Content-Length: {length}\r\n"
    head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: {content_range}\r\n{lengths}\r\n"
    outcome, body = fetched(fetcher, _closes(head.encode() + b"0123456789"))
    if whole:
        assert isinstance(outcome, Fetched)
        assert (outcome.http_status, body) == (206, b"0123456789")
    else:
        assert isinstance(outcome, Failure)
        assert (outcome.error.type, outcome.retryable) == (ErrorType.INVALID_RESPONSE, False)


def test_the_body_is_limited(fetcher: Fetcher) -> None:
    """To the byte, decoded, and at once where the site says that it will be more."""
    limit = LIMITS.max_bytes
    bomb = gzipped(b"\0" * 10 * limit)
    assert isinstance(fetched(fetcher, response(b"x" * limit))[0], Fetched)
    assert isinstance(
        fetched(fetcher, response(gzipped(b"x" * limit), headers={"Content-Encoding": "gzip"}))[0], Fetched
    )
    over = [
        response(b"", length=limit + 1),
        chunked(b"x" * (limit + 1)),
        response(gzipped(b"x" * (limit + 1)), headers={"Content-Encoding": "gzip"}),
        response(bomb, headers={"Content-Encoding": "gzip"}),
        response(gzipped(bomb), headers={"Content-Encoding": "gzip, gzip"}),
    ]
    for answer in over:
        outcome, body = fetched(fetcher, answer)
        assert isinstance(outcome, Failure), outcome
        assert (outcome.error.type, outcome.retryable) == (ErrorType.TOO_LARGE, False)
        assert outcome.error.detail == "the answer was larger than the limit of 64 KiB"
        assert len(body) <= limit


# Connections


def test_connections_are_kept_between_fetches(fetcher: Fetcher) -> None:
    """Twenty fetches, one connection."""
    with site(always(response())) as running:
        for _ in range(20):
            assert isinstance(fetcher.fetch(running.url, Kept()), Fetched)
    assert (running.connections, len(running.heads)) == (1, 20)


def test_32_threads_share_the_connections_to_many_hosts(fetcher: Fetcher) -> None:
    """1,536 fetches from six hosts: no answer goes to the wrong fetch, and few connections are made."""
    hosts = sorted(ZONE)

    def answer(visit: Visit) -> None:
        visit.send(response(visit.headers["Host"].encode() + visit.target.encode() + b"x" * 1000))

    with site(answer) as running:
        together = Barrier(32)

        def work(number: int) -> list[tuple[bytes, bytes]]:
            together.wait()
            answers = []
            for turn in range(48):
                address, sink = f"{hosts[turn % 6]}:{running.port}", Kept()
                assert isinstance(fetcher.fetch(f"http://{address}/{number}", sink), Fetched)
                answers.append((sink.body, f"{address}/{number}".encode() + b"x" * 1000))
            return answers

        with ThreadPoolExecutor(32) as pool:
            for answers in pool.map(work, range(32)):
                assert all(got == expected for got, expected in answers)
    assert len(running.heads) == 32 * 48
    assert running.connections <= 32 * 6


def _second_request_meets(trouble: Answer) -> Answer:
    served: set[socket.socket] = set()

    def answer(visit: Visit) -> None:
        if visit.sock in served:
            trouble(visit)
        served.add(visit.sock)
        visit.send(response())

    return answer


def _leave(_: Visit) -> None:
    raise Close


def test_a_connection_that_was_closed_as_we_sent_is_replaced_once(fetcher: Fetcher) -> None:
    """The site gave the kept-alive connection up at that moment, and never saw the request."""
    with site(_second_request_meets(_leave)) as running:
        for _ in range(3):
            assert isinstance(fetcher.fetch(running.url, Kept()), Fetched)
    assert running.connections == 3


def test_the_replacement_is_no_kept_alive_connection_either() -> None:
    """A site that restarts closes all of them at once."""
    guard = Guard(policy=LOOPBACK, lookup=Lookup(names(ZONE)), connect_seconds=60, now=time.monotonic)
    session = GuardedSession(GuardedAdapter(guard, ssl.create_default_context()))
    deadline = Deadline(120, time.monotonic() + 120, time.monotonic)
    with site(always(response())) as running:
        for fresh, connections in ((False, 1), (False, 1), (True, 2)):
            guard.exchange = Exchange(deadline, fresh=fresh)
            assert session.get(running.url).content == b"hello"
            assert (running.connections, guard.exchange.reused) == (connections, len(running.heads) == 2)
    session.close()


def test_a_fresh_connection_that_is_closed_is_not_replaced(fetcher: Fetcher) -> None:
    """That is the site's answer, and the retry policy's business."""
    with site(_leave) as running:
        outcome = fetcher.fetch(running.url, Kept())
    assert isinstance(outcome, Failure)
    assert (outcome.error.type, running.connections) == (ErrorType.CONNECTION, 1)


def test_an_answer_that_has_begun_is_not_asked_for_again(fetcher: Fetcher) -> None:
    """The site has seen the request."""

    def begin(visit: Visit) -> None:
        visit.send(b"HTTP/1.1 2")
        raise Close

    with site(_second_request_meets(begin)) as running:
        assert isinstance(fetcher.fetch(running.url, Kept()), Fetched)
        assert isinstance(fetcher.fetch(running.url, Kept()), Failure)
    assert running.connections == 1


def test_interim_answers(fetcher: Fetcher) -> None:
    """They come before the answer, however many, and are none; their headers are not the answer's."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nETag: early\r\n\r\n"
    several = b"HTTP/1.1 100 Continue\r\n\r\n" + early + b"HTTP/1.1 102 Processing\r\n\r\n" + early
    for before in (early, several):
        with site(always(before + response(b"the answer"))) as running:
            for _ in range(2):
                sink = Kept()
                outcome = fetcher.fetch(running.url, sink)
                assert isinstance(outcome, Fetched)
                assert (outcome.http_status, outcome.headers, sink.body) == (200, {}, b"the answer")
        assert running.connections == 1


def test_interim_answers_without_end(fetcher: Fetcher) -> None:
    """They count as one head."""

    def answer(visit: Visit) -> None:
        while True:
            visit.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)

    with site(answer) as running:
        outcome = fetcher.fetch(running.url, Kept())
    assert isinstance(outcome, Failure)
    assert outcome.error.type is ErrorType.INVALID_RESPONSE


def test_the_next_fetch_does_not_get_what_the_last_one_left(fetcher: Fetcher) -> None:
    """A connection goes back to its pool only after a whole answer."""
    first = [response(b"x" * 100_000, 404), response(b"", 101), response(b"x" * 100, 302), response(b"x" * 99_999)]
    for left in first:
        answers = {"/left": left, "/": response(b"fresh")}
        with site(paths(answers)) as running:
            assert isinstance(fetcher.fetch(f"{running.url}/left", Kept()), Failure)
            sink = Kept()
            assert isinstance(fetcher.fetch(running.url, sink), Fetched)
            assert (sink.body, running.connections) == (b"fresh", 2)


def test_ports(fetcher: Fetcher) -> None:
    """Any port where web sites listen; not those of mail, shells and databases."""
    for port in (22, 25, 6379, 3306):
        outcome = fetcher.fetch(f"http://a.test:{port}/", Kept())
        assert isinstance(outcome, Failure)
        assert outcome.error.type is ErrorType.BLOCKED


def test_invalid_host_names() -> None:
    """Underscores and edge hyphens are in use."""
    fetcher = make(getaddrinfo=names({"my_bucket.-x-.test": ["127.0.0.1"]}))
    with site(always(response())) as running:
        assert isinstance(fetcher.fetch(f"http://my_bucket.-x-.test:{running.port}/", Kept()), Fetched)
    fetcher.close()


def test_unassigned_ipv6() -> None:
    """Outside 2000::/3 nothing is public, and Azure's in-between service is an IPv4 address that looks so."""
    for address in ("400::1", "::ffff:0:7f00:1", "2001:20::1", "168.63.129.16"):
        fetcher = make(getaddrinfo=names({"a.test": [address]}))
        outcome = fetcher.fetch("http://a.test/", Kept())
        assert isinstance(outcome, Failure)
        assert outcome.error.type is ErrorType.BLOCKED
        fetcher.close()
