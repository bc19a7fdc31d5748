"""Lists of URLs: what is read, and how it is cut."""

from __future__ import annotations

import io

import pytest
from fetch_queue.client import body
from fetch_queue.lists import MOST_BYTES, ListError, cut, gather, read


def test_reading() -> None:
    """Blank lines and comments are skipped; ends of lines, spaces and a byte order mark are no part of a URL."""
    file = io.BytesIO(b"\xef\xbb\xbfhttps://a/\r\n\n  # not this\n https://b/#part \n\t\nhttps://c/")
    assert read("list", file) == ["https://a/", "https://b/#part", "https://c/"]


def test_what_is_no_text_is_refused() -> None:
    """A picture that was given by mistake is named, with the line."""
    with pytest.raises(ListError, match=r"photo\.png is not UTF-8 in line 2"):
        read("photo.png", io.BytesIO(b"https://a/\n\x89PNG\xff"))


def test_arguments_come_before_files() -> None:
    """Each in its order; a URL that is there twice is submitted twice."""
    assert gather(["https://a/", "https://b/"], [io.BytesIO(b"https://a/\n")]) == [
        "https://a/",
        "https://b/",
        "https://a/",
    ]


@pytest.mark.parametrize("given", [[], ["\udcff"]])
def test_nothing_to_submit(given: list[str]) -> None:
    """No URL, or one that is no text."""
    with pytest.raises(ListError):
        gather(given, [])


@pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (1000, [1000]), (1001, [1000, 1]), (2500, [1000, 1000, 500])])
def test_cutting_by_number(count: int, sizes: list[int]) -> None:
    """At most a thousand in a batch."""
    assert [len(part) for part in cut(["https://a/"] * count)] == sizes


def test_cutting_by_size() -> None:
    """No body is over a mebibyte, whatever its characters are, and no URL is lost."""
    urls = [f"https://example.com/{number}/" + 'é東"\\' * 1000 for number in range(1000)]
    parts = cut(urls)
    assert [index for part in parts for index in part] == list(range(1000))
    sizes = [len(body([urls[index] for index in part])) for part in parts]
    assert max(sizes) <= 1024 * 1024
    assert min(sizes[:-1]) > MOST_BYTES - 10_000


def test_a_url_that_cannot_be_sent() -> None:
    """Nothing is cut off: it is no URL."""
    with pytest.raises(ListError, match=r"URL 2 is 1,000,000 characters long"):
        cut(["https://a/", "x" * 1_000_000])
