"""Bodies undone: where a piece ends in the middle of what the coding copies, when the last bits are in already and what
they bring is not out yet, and gzip bodies of any members, cut into pieces anywhere."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.runner.body import PIECE, CutShort, Undecodable, decoded

SIZES = range(PIECE - 40, PIECE + 300)


class Bits:
    """A deflate stream by hand. RFC 1951, 3.1.1."""

    def __init__(self) -> None:
        self._bits = ""

    def number(self, value: int, width: int) -> None:
        """Least significant bit first."""
        self._bits += f"{value:0{width}b}"[::-1]

    def code(self, bits: str) -> None:
        """A Huffman code, as it is written."""
        self._bits += bits

    def stream(self) -> bytes:
        """The bytes so far, filled up with zeros."""
        return bytes(int(self._bits[at : at + 8][::-1], 2) for at in range(0, len(self._bits), 8))


def broken_after(literals: int) -> bytes:
    """So many letters, 64 copies of 258, the block's end, and a block of a type that is none. RFC 1951, 3.2.7."""
    bits = Bits()
    for value, width in ((0, 1), (2, 2), (29, 5), (0, 5), (14, 4)):  # a dynamic block of 286 and 1 codes
        bits.number(value, width)
    for length in (0, 0, 1, *[0] * 12, 2, 0, 2):  # of the codes for a run of zeros, for 2, for 1
        bits.number(length, 3)
    run, one, two = "0", "10", "11"

    def zeros(count: int) -> None:
        bits.code(run)
        bits.number(count - 11, 7)

    zeros(65)
    bits.code(two)  # the letter A
    zeros(138)
    zeros(52)
    bits.code(two)  # the block's end
    zeros(28)
    bits.code(one)  # a copy of 258
    bits.code(one)  # from one back
    bits.code("10" * literals + "00" * 64 + "11")
    bits.number(1, 1)
    bits.number(3, 2)
    return bits.stream()


def body(sent: bytes, coding: str, step: int) -> bytes:
    """What comes out when it arrives in pieces of so many bytes."""
    pieces = (sent[at : at + step] for at in range(0, len(sent), step))
    return b"".join(decoded(pieces, [coding], lambda: None))


def deflated(data: bytes, kind: int) -> bytes:
    """Compressed: 15 is with zlib's frame, 31 with gzip's, -15 with none."""
    engine = zlib.compressobj(9, zlib.DEFLATED, kind)
    return engine.compress(data) + engine.flush()


@pytest.mark.parametrize("step", [1, 7, PIECE])
@pytest.mark.parametrize(("coding", "kind"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
def test_every_size_around_a_piece(coding: str, kind: int, step: int) -> None:
    """It comes out whole, and one that lacks its last byte is cut short."""
    for size in SIZES:
        data = b"\0" * size
        sent = deflated(data, kind)
        assert body(sent, coding, step) == data, size
        with pytest.raises(CutShort):
            body(sent[:-1], coding, step)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_false_end_at_the_end_of_a_piece(coding: str) -> None:
    """However the letters before it move the bits, it is said to be broken."""
    for literals in range(1, 300):
        raw = broken_after(literals)
        sent = gzip.compress(b"")[:10] + raw if coding == "gzip" else raw
        with pytest.raises(Undecodable):
            body(sent, coding, PIECE)


MEMBERS = st.lists(st.tuples(st.binary(max_size=60), st.sampled_from([0, 9])), min_size=1, max_size=4)
NO_MEMBER = st.sampled_from([b"", b"\0" * 30, b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x08", b"\x1f\x8b\x09" + b"x" * 30])


@given(MEMBERS, NO_MEMBER, st.integers(1, 80))
def test_members_one_after_the_other(members: list[tuple[bytes, int]], after: bytes, step: int) -> None:
    """All of them count, empty ones too; what follows and is no member does not, however it arrives."""
    sent = b"".join(gzip.compress(data, level) for data, level in members)
    assert body(sent + after, "gzip", step) == b"".join(data for data, _ in members)


@given(MEMBERS, st.integers(1, 80), st.data())
def test_the_last_member_cut(members: list[tuple[bytes, int]], step: int, data: st.DataObject) -> None:
    """It is cut short, wherever that is; but of a later one so few bytes as no member has, bringing none, are none."""
    *before, last = [gzip.compress(content, level) for content, level in members]
    cut = data.draw(st.integers(1, len(last) - 1))
    sent = b"".join(before) + last[:cut]
    whole = b"".join(content for content, _ in members[:-1])
    if before and cut < 20:
        try:
            assert body(sent, "gzip", step) == whole
        except CutShort:
            assert members[-1][0]  # some of it is out already
    else:
        with pytest.raises(CutShort):
            body(sent, "gzip", step)


@pytest.mark.parametrize(("after", "whole"), [(b"", True), (b"\0" * 4, True), (b"\0" * 5, False), (b"1234567", False)])
@given(st.binary(min_size=1, max_size=50), st.data())
def test_what_follows_a_bare_stream(after: bytes, whole: bool, sent: bytes, data: st.DataObject) -> None:
    """A checksum at most: it has none of its own, and bytes that are in no coding begin like one now and then."""
    stream = deflated(sent, -15) + after
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    if whole:
        assert b"".join(decoded(pieces, ["deflate"], lambda: None)) == sent
    else:
        with pytest.raises(Undecodable):
            list(decoded(pieces, ["deflate"], lambda: None))
