"""Heads and framing, in memory: any cut into reads gives the same, and nobody reads otherwise what we take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.runner.readers import Reading, by_h11, by_llhttp, ours

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CUTS = st.lists(st.integers(0, 10_000), max_size=40)
READS = st.lists(st.integers(1, 50), min_size=1, max_size=5)


def _chunk(data: bytes, zeros: int, upper: bool, extension: bytes) -> bytes:
    size = b"0" * zeros + (b"%X" if upper else b"%x") % len(data)
    return size + extension + b"\r\n" + data + b"\r\n"


EXTENSIONS = st.sampled_from([b"", b";a", b' ; a = "b;c"', b"  ", b";\xff"])
CHUNKS = st.lists(st.tuples(st.binary(min_size=1, max_size=70), st.integers(0, 5), st.booleans(), EXTENSIONS))
LAST = st.sampled_from([b"0\r\n\r\n", b"000;a\r\n\r\n", b"0\r\nX: y\r\nno colon\r\n\r\n", b"0\r\n", b"0\r\nX: y\r\n"])


@given(CHUNKS, LAST, CUTS, READS)
def test_chunks_are_the_same_however_they_arrive_and_are_read(
    chunks: list[tuple[bytes, int, bool, bytes]], last: bytes, cuts: list[int], reads: list[int]
) -> None:
    """Cut anywhere, and read by pieces of any size."""
    whole = b"".join(data for data, *_ in chunks)
    sent = CHUNKED + b"".join(_chunk(*chunk) for chunk in chunks) + last
    assert ours(sent, cuts, reads) == (200, whole)


@given(CHUNKS.filter(bool), st.data())
def test_chunks_cut_short_are_refused(chunks: list[tuple[bytes, int, bool, bytes]], data: st.DataObject) -> None:
    """At any byte before the end of the last one."""
    sent = CHUNKED + b"".join(_chunk(*chunk) for chunk in chunks) + b"0\r\n"
    assert ours(sent[: data.draw(st.integers(0, len(sent) - 1))]) is None


@given(st.binary(max_size=200), CUTS, READS)
def test_bodies_with_a_length_and_without_one_too(body: bytes, cuts: list[int], reads: list[int]) -> None:
    """And what comes after a length is no part of the body."""
    sized = OK + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert ours(sized, cuts, reads) == ours(sized + b"more", cuts, reads) == (200, body)
    assert ours(OK + b"\r\n" + body, cuts, reads) == (200, body)
    assert not body or ours(sized[:-1], cuts, reads) is None


STATUS_LINES = [
    *[b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 X", b"HTTP/1.1 200"],
    *[
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 020 OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/2 200",
    ],
    *[
        b"HTTP/1.1 200\tOK",
        b"HTTP/1.2 200 OK",
        b"HTTP/0.9 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/1.1 999 X",
        b"ICY 200 OK",
    ],
    *[
        b" HTTP/1.1 200 OK",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nHTTP/1.1 200 OK",
        b"HTTP/1.10 200 OK",
    ],
]
NAMES = [b"Content-Length", b"Transfer-Encoding", b"content-length", b"TRANSFER-ENCODING", b"X", b"Content-Type"]
ODD_NAMES = [
    b"Content-Length ",
    b"Transfer-Encoding\t",
    b"Transfer\xad-Encoding",
    b"Content_Length",
    b"X\xe2",
    b"",
    b"a b",
]
COLONS = [b":", b": ", b":\t", b" :", b"", b":\r\n "]
VALUES = [
    *[b"5", b"3", b"05", b"5, 5", b"5,3", b"5 5", b"+5", b"-1", b"0x5", b"5_0", b"", b"99999999999999999999", b"5;a"],
    *[
        b"chunked",
        b"Chunked",
        b"chunked ",
        b"gzip, chunked",
        b"chunked, gzip",
        b"chunked, chunked",
        b"identity",
        b"xchunked",
    ],
    *[b'"chunked"', b"chunked;a=b", b"chunked\x0b", b",chunked", b"a", b"\xff"],
]
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\r\n", b"\r", b"\0\r\n", b"\r\n ", b"\r\n\t\r\n"]
BODIES = [
    *[b"hello", b"hello world", b"", b"5\r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"5\r\nhello\r\n-0\r\n\r\n"],
    *[
        b"5\r\nhelloXX0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    ],
    *[b"5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\nHTTP/1.1 404 Not Found\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n"],
    *[
        b"5\r\nhello\r\n0\r\n",
        b"5\r\nhello\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5\r\n\r\nhello0\r\n\r\n",
    ],
]


def _usually(usual: list[bytes], odd: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(*[st.sampled_from(usual)] * 3, st.sampled_from(odd))


LINES = st.tuples(
    _usually(NAMES, ODD_NAMES), _usually([b": "], COLONS), st.sampled_from(VALUES), _usually([b"\r\n"], ENDS)
).map(b"".join)
ANSWERS = st.tuples(
    _usually(STATUS_LINES[:1], STATUS_LINES),
    _usually([b"\r\n"], ENDS),
    st.lists(LINES, max_size=3).map(b"".join),
    _usually([b"\r\n"], ENDS),
    st.sampled_from(BODIES),
).map(b"".join)


@pytest.mark.parametrize("theirs", [by_h11, by_llhttp])
def test_no_other_parser_reads_an_answer_that_we_take_differently(theirs: Callable[[bytes], Reading]) -> None:
    """Status and body are the same wherever both take it, so what two of them read differently is refused."""
    count: Counter[tuple[bool, bool]] = Counter()

    @settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
    @given(ANSWERS)
    @example(OK + b"X: a\rTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    @example(OK + b"Transfer-Encoding : chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    @example(OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    @example(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    def check(sent: bytes) -> None:
        mine, other = ours(sent), theirs(sent)
        count[mine is not None, other is not None] += 1
        assert mine is None or other is None or mine == other

    check()
    assert count[True, True] > 100, count  # or nothing was compared
