"""What is shown of a refusing answer: text, bounded, without anything that a terminal or a page would obey."""

from __future__ import annotations

import gzip
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.runner.excerpt import CHARACTERS, excerpt

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
WORDS = "Доступ закрыт"  # Access is closed


@pytest.mark.parametrize(
    ("data", "content_type", "shown"),
    [
        (b"unusual traffic from your network", "text/plain", "unusual traffic from your network"),
        (b"<h1>No</h1>\r\n\t<p>&amp;</p>", "text/html; charset=utf-8", "<h1>No</h1>\n\t<p>&amp;</p>"),
        (b'{"error": "no"}', "application/json", '{"error": "no"}'),
        (b'{"title": "no"}', "application/problem+json", '{"title": "no"}'),
        (b"no", "application/octet-stream", "no"),  # or no type at all
        (b"no", "jpg", "no"),
        (WORDS.encode(), "text/plain", WORDS),
        (WORDS.encode("cp1251"), "text/plain; charset=windows-1251", WORDS),
        (WORDS.encode("koi8-r"), 'text/html;charset="KOI8-R"', WORDS),
        ("禁止".encode("shift_jis"), "text/plain; Charset=Shift_JIS", "禁止"),
        ("禁止".encode("utf-16"), "text/plain; charset=utf-16", "禁止"),
        ("禁止".encode("utf-16-le"), "text/plain; charset=utf-16", "禁止"),
        ("\ufeff禁止".encode("utf-16-be"), "text/plain", "禁止"),
        (b"caf\xe9, no coffee", "text/plain; charset=iso-8859-1", "caf\u00e9, no coffee"),
        (b"caf\xe9, no coffee", "text/plain; charset=martian", "caf\ufffd, no coffee"),
        (b"caf\xe9, no coffee", "text/plain; charset=hex", "caf\ufffd, no coffee"),
        (b"xn--a\\u0041", "text/plain; charset=unicode_escape", "xn--a\\u0041"),
        (b"\xef\xbb\xbfmarked", "text/plain", "marked"),
        (b"It is \x1b[31mred\x1b[0m, and \x07rings\x00 too.", "text/plain", "It is [31mred[0m, and rings too."),
        (b"a\xc2\x85b\x7fc and so on", "text/plain", "abc and so on"),
        (b"x" * 5000, "text/plain", "x" * CHARACTERS),
        ("€".encode() * 5000, "text/plain", "€" * CHARACTERS),
        (b"", "text/plain", None),
        (b" \r\n", "text/plain", None),
        (PNG, "image/png", None),
        (b"text after all", "image/png", None),
        (PNG, "application/octet-stream", None),
        (PNG, "text/html", None),
        (gzip.compress(bytes(range(256)) * 4, mtime=0), "text/html", None),
        (b"caf\xe9", "application/octet-stream", None),
    ],
)
def test_excerpts(data: bytes, content_type: str, shown: str | None) -> None:
    """By the charset that the type names, if it is one; else UTF-8, and what is none of it marked."""
    assert excerpt(data, content_type, whole=True) == shown


def test_a_character_that_was_cut() -> None:
    """It is no damage where more would have followed, and is left out."""
    assert excerpt("no €".encode()[:-1], "text/plain", whole=False) == "no "
    assert excerpt("no €".encode()[:-1], "application/x-unknown", whole=False) == "no "
    assert excerpt("no €".encode()[:-1], "text/plain", whole=True) == "no \ufffd"


CHARSETS = (
    "utf-16 utf-32 utf-7 utf-8-sig ascii latin1 cp1252 cp037 koi8-u macroman gbk gb18030 hz big5hkscs euc-jp iso2022jp"
)
TYPES = st.sampled_from(
    ["text/plain", "image/png", "a/b", "", *(f"text/html; charset={name}" for name in CHARSETS.split())]
)


@given(st.binary(max_size=3000) | st.text().map(str.encode), TYPES | st.text(), st.booleans())
def test_any_bytes(data: bytes, content_type: str, whole: bool) -> None:
    """Never an exception; what is shown can be stored, is bounded, and holds no control character but tab and LF."""
    shown = excerpt(data, content_type, whole=whole)
    if shown is not None:
        assert 0 < len(shown) <= CHARACTERS
        assert shown.encode()
        assert not {char for char in shown if unicodedata.category(char) == "Cc"} - {"\t", "\n"}
