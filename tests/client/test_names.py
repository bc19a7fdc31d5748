"""File names from URLs: readable for the usual ones, harmless for the others."""

from __future__ import annotations

import pytest
from fetch_queue.names import _DEVICES, key, numbered, of
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.jobs.filenames import file_name

TEXT = "text/plain; charset=utf-8"
LONG = "x" * 3000


def name(url: str, content_type: str = TEXT) -> str:
    return numbered(*of(url, content_type), 1)


@pytest.mark.parametrize(
    ("url", "content_type", "expected"),
    [
        ("https://example.com/", "text/html; charset=utf-8", "example.com.html"),
        ("https://example.com", "", "example.com.bin"),
        ("http://127.0.0.1:8008/page/17", TEXT, "127.0.0.1_8008_page_17.txt"),
        ("https://example.com/a/b/photo.JPG", "image/jpeg", "example.com_a_b_photo.JPG"),
        ("https://example.com/photo.png?w=2&h=3", "image/png", "example.com_photo_w_2_h_3.png"),
        ("https://example.com/search?q=one+two", "text/html", "example.com_search_q_one_two.html"),
        ("https://example.com/v1.5", "application/json", "example.com_v1.5.json"),
        ("https://example.com/feed", "application/atom+xml", "example.com_feed.xml"),
        ("https://example.com/x", "no type at all", "example.com_x.bin"),
        ("https://example.com/caf%C3%A9/x.txt", TEXT, "example.com_café_x.txt"),
        ("https://ja.wikipedia.org/wiki/東京", "text/html", "ja.wikipedia.org_wiki_東京.html"),
        # Hostile ones
        ("https://x/../../etc/passwd", TEXT, "x_etc_passwd.txt"),
        ("https://x/%2e%2e/%2e%2e/etc/passwd", TEXT, "x_etc_passwd.txt"),
        ("https://x/..%2f..%2fetc%2fpasswd", TEXT, "x_etc_passwd.txt"),
        ("https://x/..\\..\\boot.ini", TEXT, "x_boot.ini"),
        ("https://x/a%00b.txt", TEXT, "x_a_b.txt"),
        ("https://x/%1b%5b31m", TEXT, "x_31m.txt"),
        ("https://x/a%E2%80%AEtxt.exe", TEXT, "x_a_txt.exe"),
        ("https://con/", "text/html", "_con.html"),
        ("https://AUX.example.com/x", TEXT, "_AUX.example.com_x.txt"),
        ("https://com%C2%B9/x", TEXT, "com1_x.txt"),
        ("https://-rf/", TEXT, "rf.txt"),
        ("https://.bashrc/", TEXT, "bashrc.txt"),
        ("https://x/.htaccess", TEXT, "x_.htaccess.txt"),
        ("https://x/trailing...", TEXT, "x_trailing.txt"),
        ("https://x/\U0001f600/\U0001f600", TEXT, "x.txt"),
        ("https://\U0001f600/", TEXT, "result.txt"),
        ("http://[::1]:8008/x", TEXT, "1_8008_x.txt"),
        ("http://[broken/x", TEXT, "http_broken_x.txt"),
        ("https://user:secret@example.com/x", TEXT, "example.com_x.txt"),
        (f"https://example.com/{LONG}", TEXT, f"example.com_{LONG}"[:120] + ".txt"),
        ("https://x/" + "é" * 200, TEXT, "x_" + "é" * 59 + ".txt"),
    ],
)
def test_names(url: str, content_type: str, expected: str) -> None:
    """Host, path and query; what no file system minds."""
    assert name(url, content_type) == expected


@given(st.text(), st.text())
def test_any_text_gives_a_harmless_name(path: str, content_type: str) -> None:
    """It is one step of a path, is not hidden, is no device, is short, and can be written."""
    for url in (path, f"https://{path}", f"https://example.com/{path}"):
        made = name(url, content_type)
        assert not set(made) & set('/\\:*?"<>|\0')
        assert made.isprintable()
        assert not made.startswith((".", "-"))
        assert not made.endswith((".", " "))
        assert made.partition(".")[0].casefold() not in _DEVICES
        assert len(made.encode()) <= 143


def test_numbers_come_before_the_extension() -> None:
    """So that the second file is opened by the same program."""
    assert numbered("page", ".html", 2) == "page-2.html"


@pytest.mark.parametrize(("one", "other"), [("A.TXT", "a.txt"), ("ﬁ", "fi"), ("e\u0301", "é"), ("STRASSE", "straße")])
def test_what_some_file_systems_take_for_one(one: str, other: str) -> None:
    """Case and Unicode's forms make no difference there."""
    assert key(one) == key(other)


TYPES = [TEXT, "text/html", "application/json", "application/atom+xml", "image/webp", "application/x-none", "", "a/b/c"]


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "http://127.0.0.1:8008/page/17?a=b#c",
        "https://example.com/a/b/photo.JPG",
        "https://ja.wikipedia.org/wiki/東京",
        "https://x/..%2f..%2fetc%2fpasswd",
        "https://AUX.example.com/x",
        "https://x/.htaccess",
        "https://\U0001f600/",
        "http://[broken/x",
        "https://user:secret@example.com/x",
        f"https://example.com/{LONG}",
        "https://x/" + "é" * 200,
    ],
)
def test_the_service_names_a_result_as_the_command_line_does(url: str, content_type: str) -> None:
    """In a link to it; the first of its name, for the service knows of no others."""
    assert file_name(url, content_type) == name(url, content_type)


@given(st.text(), st.text() | st.sampled_from(TYPES))
def test_the_service_names_anything_as_the_command_line_does(text: str, content_type: str) -> None:
    """Neither package can import the other; so this holds them together."""
    for url in (text, f"https://{text}", f"https://example.com/{text}"):
        assert file_name(url, content_type) == name(url, content_type)
