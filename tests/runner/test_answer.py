"""How an answer is read off the wire: what real sites send amiss is whole or refused, never damaged."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from threading import Event

import pytest

from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.entities import ErrorType
from chalicelib.runner.fetcher import Fetcher, FetchLimits
from chalicelib.runner.head import HEAD_BYTES
from chalicelib.runner.outcome import Failure, Fetched
from tests.runner.sites import Answer, Close, Kept, Visit, always, chunked, paths, response, site

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    limits = FetchLimits(connect_seconds=60, total_seconds=120, max_bytes=2**20)  # no test waits for the seconds
    fetcher = Fetcher(limits=limits, policy=AddressPolicy(loopback_allowed=True), user_agent="test")
    yield fetcher
    fetcher.close()


def fetched(fetcher: Fetcher, answer: bytes | Answer) -> tuple[Fetched | Failure, bytes]:
    """The outcome where a site answers so and keeps the connection open, and what was stored."""
    sink = Kept()
    with site(always(answer) if isinstance(answer, bytes) else answer) as running:
        return fetcher.fetch(running.url, sink), sink.body


def refused(fetcher: Fetcher, answer: bytes | Answer, detail: str) -> None:
    outcome, _ = fetched(fetcher, answer)
    assert isinstance(outcome, Failure), outcome
    assert (outcome.error.type, outcome.retryable) == (ErrorType.INVALID_RESPONSE, False)
    assert detail in outcome.error.detail


# Heads


@pytest.mark.parametrize(
    "line",
    [
        b"X\xe2\x80\x91Frame: DENY",
        b"no colon",
        b": no name",
        b"a b: c",
        b"X-Powered-By : PHP",
        b"X: a\r\n folded: b",
        b"HTTP/1.1 200 OK",
        b"<!-- made by a script -->",
    ],
)
def test_a_line_that_cannot_be_read_hides_no_other(fetcher: Fetcher, line: bytes) -> None:
    """Neither those before it nor those after, by which the body's end is known."""
    outcome, body = fetched(fetcher, OK + b"ETag: v1\r\n" + line + b"\r\nContent-Type: text/html\r\n" + CHUNKED)
    assert isinstance(outcome, Fetched), outcome
    assert (outcome.content_type, outcome.headers, body) == ("text/html", {"ETag": "v1"}, b"hello world")


@pytest.mark.parametrize(
    "line",
    [
        b"X: a\rb",
        b"X: a\r",
        b"X: a\rTransfer-Encoding: gzip",
        b"X: a\0b",
        b"Content-Length : 5",
        b"Transfer\xad-Encoding: chunked",
        b"Transfer-Encoding",
        b"Transfer-Encoding:\r\n gzip",
    ],
)
def test_a_head_that_readers_may_take_differently_is_refused(fetcher: Fetcher, line: bytes) -> None:
    """They end a line elsewhere, or do not see a header that says where the body ends."""
    refused(fetcher, OK + line + b"\r\n" + CHUNKED, "malformed: ")
    refused(fetcher, OK + b" continues: nothing\r\n" + CHUNKED, "malformed: ")


def test_headers_that_are_spelt_oddly_count(fetcher: Fetcher) -> None:
    """White space before the colon is removed (RFC 9112, 5.1), folded lines are joined (5.2), LF alone ends a line."""
    head = b"HTTP/1.1 200\nContent-Type : text/html;\r\n  charset=utf-8\n \t\r\netag:v1\r\nContent-Length:2\n\n"
    outcome, body = fetched(fetcher, head + b"hi")
    assert isinstance(outcome, Fetched), outcome
    assert (outcome.content_type, outcome.headers, body) == ("text/html; charset=utf-8", {"ETag": "v1"}, b"hi")


def test_the_head_is_limited_in_bytes_and_not_in_lines(fetcher: Fetcher) -> None:
    """To 256 KiB, however many headers that are."""
    many = "".join(f"X-Debug-{number}: {number}\r\n" for number in range(5000)).encode()
    start, end = OK + b"Content-Length: 5\r\n", b"\r\n\r\n"
    filler = b"X: " + b"y" * (HEAD_BYTES - len(start + b"X: " + end))
    for head in (start + many + b"\r\n", start + filler + end):
        outcome, body = fetched(fetcher, head + b"hello")
        assert isinstance(outcome, Fetched), outcome
        assert body == b"hello"
    refused(fetcher, start + filler + b"y" + end + b"hello", "the head of the site's answer is over 256 KiB")


@pytest.mark.parametrize("line", [b"HTTP/1.1 200", b"HTTP/1.1  200 OK", b"HTTP/1.1 200\t", b"HTTP/1.0 200 \xff"])
def test_status_lines_that_can_be_read(fetcher: Fetcher, line: bytes) -> None:
    """With no phrase, or more white space than the standard has."""
    outcome, body = fetched(fetcher, line + b"\r\nContent-Length: 5\r\n\r\nhello")
    assert isinstance(outcome, Fetched), outcome
    assert (outcome.http_status, body) == (200, b"hello")


@pytest.mark.parametrize(
    "line",
    [
        *[
            b"HTTP/2 200",
            b"HTTP/2.0 200 OK",
            b"HTTP/1.2 200 OK",
            b"HTTP/0.9 200 OK",
            b"HTTP/1.10 200 OK",
            b"ICY 200 OK",
        ],
        *[
            b"HTTP/1.1 2000 OK",
            b"HTTP/1.1 200OK",
            b"HTTP/1.1 +20 OK",
            b"HTTP/1.1 2_0 OK",
            b"HTTP/1.1 000 No",
            b"HTTP/1.1",
        ],
        *[
            b" HTTP/1.1 200 OK",
            b"\r\nHTTP/1.1 200 OK",
            b"http/1.1 200 OK",
            b"<html>",
            b"HTTP/1.1 200 O\rK",
            b"HTTP/1.1200",
        ],
    ],
)
def test_what_is_no_status_line_of_http_1(fetcher: Fetcher, line: bytes) -> None:
    """Refused by its first line, whatever else comes or does not."""
    refused(fetcher, line + b"\r\nContent-Length: 5\r\n\r\nhello", "the site's answer is not HTTP")


def test_a_head_that_is_no_http_is_known_before_its_line_ends(fetcher: Fetcher) -> None:
    """A server of another protocol may wait for ever after a few bytes."""
    refused(fetcher, b"\x05\x00\x00\x0b\x08", "the site's answer is not HTTP")


# Where a body ends


@pytest.mark.parametrize(
    "chunks",
    [
        b"6\nhello \n5\nworld\n0\n\n",
        b"6\r\nhello \r\n-0\r\n\r\n",
        b"+6\r\nhello \r\n0\r\n\r\n",
        b"0x6\r\nhello \r\n0\r\n\r\n",
        b"0_6\r\nhello \r\n0\r\n\r\n",
        b" 6\r\nhello \r\n0\r\n\r\n",
        b"\r\nhello \r\n0\r\n\r\n",
        b"1" + b"0" * 15 + b"\r\nhello",
        b"6;\n\r\nhello \r\n0\r\n\r\n",
        b"5\r\nhello \r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\n\n0\r\n\r\n",
        b"6\r\nhello \r\n0\r\nX: y\n\n",
    ],
)
def test_chunks_whose_framing_is_wrong_are_refused(fetcher: Fetcher, chunks: bytes) -> None:
    """RFC 9112, 7.1, to the letter: a guess would store the wrong bytes."""
    refused(fetcher, OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, "malformed: ")


@pytest.mark.parametrize(
    "chunks",
    [
        b"6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n",
        b'0006;a=b\r\nhello \r\n5 ; x="y;z"\r\nworld\r\n000;last\r\nETag: t\r\nX\r\n\r\n',
        b"B  \r\nhello world\r\n0\r\n",  # the connection ends
    ],
)
def test_chunks_are_taken_whole(fetcher: Fetcher, chunks: bytes) -> None:
    """With extensions, trailers, which are no headers, and without the empty line that some sites leave out."""
    sent = OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks
    outcome, body = fetched(fetcher, always(sent, close=True))
    assert isinstance(outcome, Fetched), outcome
    assert (body, outcome.headers) == (b"hello world", {})


@pytest.mark.parametrize(
    "coding",
    [
        *[
            "gzip, chunked",
            "gzip",
            "chunked, gzip",
            "chunked, chunked",
            "chunked\r\nTransfer-Encoding: chunked",
            "xchunked",
        ],
        *["chunked;a=b", '"chunked"', "chunked\x0b", "chunked, identity, chunked", ""],
    ],
)
def test_a_transfer_coding_is_not_taken_for_content(fetcher: Fetcher, coding: str) -> None:
    """None but chunked may be used where none was offered (RFC 9112, 6.1)."""
    body = chunked(gzip.compress(b"hello")).partition(b"\r\n\r\n")[2]
    head = OK + f"Transfer-Encoding: {coding}\r\n\r\n".encode()
    refused(fetcher, head + body, "a transfer coding that was not asked for")


def test_http_1_0_knows_no_transfer_coding(fetcher: Fetcher) -> None:
    """RFC 9112, 6.1: its framing is faulty. Chromium would take the sizes of the chunks for content, curl would not."""
    refused(fetcher, b"HTTP/1.0 200 OK\r\n" + CHUNKED, "HTTP/1.0")


@pytest.mark.parametrize("coding", ["identity", "Identity "])
def test_the_identity_coding_is_none(fetcher: Fetcher, coding: str) -> None:
    """HTTP/1.1 had it until 2014, and old sites send it. With a length too, curl and Chromium would differ."""
    head = OK + f"Transfer-Encoding: {coding}\r\n".encode()
    assert fetched(fetcher, always(head + b"\r\nhello", close=True))[1] == b"hello"
    refused(fetcher, head + b"Content-Length: 3\r\n\r\nhello", "malformed: it gives both a length and a coding")


@pytest.mark.parametrize(
    "length", ["-1", "+5", "abc", "", "5, 6", "5,", "5 5", "0x5", "5_0", "5.0", "5\r\nContent-Length: 6", "9" * 19]
)
def test_an_invalid_length_is_refused_at_once(fetcher: Fetcher, length: str) -> None:
    """Though the site keeps the connection open: nobody waits, and nobody asks again."""
    refused(fetcher, OK + f"Content-Length: {length}\r\n\r\nhello".encode(), "malformed: it")
    refused(fetcher, OK + f"Content-Length: {length}\r\n".encode() + CHUNKED, "malformed: it")


@pytest.mark.parametrize("length", ["5", "5, 5", "5,5 ,5", "5\r\nContent-Length: 5", "005", "5\t"])
def test_equal_lengths_are_one(fetcher: Fetcher, length: str) -> None:
    """RFC 9112, 6.3. The connection, which the site keeps open, carries the next fetch too."""
    with site(always(OK + f"Content-Length: {length}\r\n\r\nhello".encode())) as running:
        for _ in range(2):
            sink = Kept()
            assert isinstance(fetcher.fetch(running.url, sink), Fetched)
            assert sink.body == b"hello"
    assert running.connections == 1


# What the connection carries next


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (OK + b"Content-Length: 5\r\n\r\nhello", True),
        (OK + b"Content-Length: 5\r\nConnection: x, Close\r\n\r\nhello", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\nhello", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", True),
        (OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", False),
        (OK + b"Content-Length: 5\r\n\r\nhello" + response(b"another"), False),
        (OK + b"Content-Length: 5\r\n\r\nhello!", False),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_a_connection_is_kept_where_nothing_else_can_come(fetcher: Fetcher, sent: bytes, kept: bool) -> None:
    """A body that is announced in two ways, or where none can be, and bytes beyond it, may be the next one's answer."""
    with site(paths({"/first": sent, "/": response(b"its own")})) as running:
        first, second = Kept(), Kept()
        assert isinstance(fetcher.fetch(f"{running.url}/first", first), Fetched)
        assert first.body == (b"" if b" 204 " in sent else b"hello")
        assert isinstance(fetcher.fetch(running.url, second), Fetched)
        assert second.body == b"its own"
    assert running.connections == (1 if kept else 2)


def test_the_rest_of_an_unasked_answer_is_not_the_next_fetchs(fetcher: Fetcher) -> None:
    """Its first part came with the answer before it, and the rest comes only once the next request is out."""
    asked = Event()

    def answer(visit: Visit) -> None:
        if visit.target == "/first":
            visit.send(response(b"hello") + OK)
            asked.wait(60)
            visit.send(b"Content-Length: 7\r\n\r\nunasked")
            raise Close
        asked.set()
        visit.send(response(b"its own"))

    with site(answer) as running:
        assert isinstance(fetcher.fetch(f"{running.url}/first", Kept()), Fetched)
        sink = Kept()
        assert isinstance(fetcher.fetch(running.url, sink), Fetched)
        assert sink.body == b"its own"
