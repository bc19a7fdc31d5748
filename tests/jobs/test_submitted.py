"""Headers and references that clients give with their URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.jobs.submitted import (
    LONGEST_REFERENCE,
    LONGEST_VALUE,
    MOST_BYTES,
    MOST_HEADERS,
    InvalidMember,
    RequestHeaders,
    SubmittedURL,
    checked_headers,
    checked_reference,
)

OURS = [
    *("Host", "CONTENT-LENGTH", "transfer-encoding", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "Expect"),
    *("Accept-Encoding", "If-Match", "If-None-Match", "If-Modified-Since", "If-Range", "Range", "Via", "Forwarded"),
    *("Proxy-Authorization", "Proxy-Anything", "X-Forwarded-For", "X-Forwarded-Host"),
]
CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "text/html"},
        {"authorization": "Bearer a.b-c_d~e+f/g=="},
        {"Cookie": "a=1; b=2"},
        {"X-~!#$%&'*+.^_`|": "!"},
        {"User-Agent": "mine"},
        {"X": "v" * LONGEST_VALUE},
        {f"X-{number}": str(number) for number in range(MOST_HEADERS)},
    ],
)
def test_what_is_sent_as_it_is(headers: dict[str, str]) -> None:
    assert dict(checked_headers(headers)) == headers


@pytest.mark.parametrize("name", OURS)
def test_what_is_the_services_own(name: str) -> None:
    with pytest.raises(InvalidMember, match="the service's own") as caught:
        checked_headers({"Accept": "a", name: "secret"})
    assert caught.value.path == ("headers", name)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "ä", "a\r\nb", "a\0", "(a)", "a/b", '"a"', "a\n"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(InvalidMember) as caught:
        checked_headers({name: "v"})
    assert caught.value.path == ("headers", name)


@pytest.mark.parametrize(
    "value", ["", " ", " a", "a ", "a\r\nX: y", "a\n", "a\nb", "a\rb", "a\0b", "a\tb", "ä", "a\x7f", "v" * 1025]
)
def test_what_is_no_value(value: str) -> None:
    """It is refused, and not mended; and it may be a secret, so it is not repeated."""
    with pytest.raises(InvalidMember) as caught:
        checked_headers({"X": value})
    assert caught.value.path == ("headers", "X")
    assert len(value.strip()) < 2 or value not in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [
        {f"X-{number}": "v" for number in range(MOST_HEADERS + 1)},
        {f"X-{number}": "v" * 1000 for number in range(5)},
        {"X" * (MOST_BYTES - 100): "v" * 101},
    ],
)
def test_too_many(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidMember, match="at most") as caught:
        checked_headers(headers)
    assert caught.value.path == ("headers",)


def test_one_name_in_two_cases() -> None:
    """Nobody can know which is meant."""
    with pytest.raises(InvalidMember, match="give it once"):
        checked_headers({"X-A": "1", "x-a": "2"})


@given(st.text())
def test_no_value_gets_through_that_would_end_its_line(value: str) -> None:
    try:
        headers = checked_headers({"X": value})
    except InvalidMember:
        return
    assert headers["X"].isascii()
    assert headers["X"].isprintable()


def test_headers_that_make_the_same_request_are_equal() -> None:
    """By any order and case."""
    one, other = RequestHeaders({"X-A": "1", "B": "2"}), RequestHeaders({"b": "2", "x-a": "1"})
    assert (one, hash(one)) == (other, hash(other))
    assert one != RequestHeaders({"X-A": "1"})
    assert one != {"X-A": "1", "B": "2"}


def test_names_and_values_are_told_apart() -> None:
    """No list of headers looks like another."""
    assert RequestHeaders({"a": "b", "c": "d"}) != RequestHeaders({"a": "b,c", "d": "d"})


def test_values_are_not_shown() -> None:
    """In a traceback or a log of whoever forgets that they may be secret."""
    headers = RequestHeaders({"Authorization": "canary"})
    assert "canary" not in repr(headers) + str(headers) + f"{SubmittedURL(url='u', headers=headers)}"
    assert "Authorization" in repr(headers)


def test_a_urls_own_go_over_the_defaults() -> None:
    """By name, whatever its case."""
    defaults = SubmittedURL(url="", headers=RequestHeaders({"A": "1", "B": "2"}), reference="all")
    own = SubmittedURL(url="u", headers=RequestHeaders({"b": "3"}))
    assert own.over(defaults) == SubmittedURL(url="u", headers=RequestHeaders({"A": "1", "b": "3"}), reference="all")
    assert SubmittedURL(url="u", reference="own").over(defaults).reference == "own"


def test_too_many_with_the_defaults() -> None:
    """Each alone would do."""
    many = [RequestHeaders({f"{letter}-{number}": "v" for number in range(20)}) for letter in "AB"]
    with pytest.raises(InvalidMember, match="at most 32"):
        many[0].over(many[1])


@pytest.mark.parametrize(
    "reference", ["a", "ä 1/2", " ", "x" * LONGEST_REFERENCE, "\U0001f600" * LONGEST_REFERENCE, None]
)
def test_what_may_be_a_reference(reference: str | None) -> None:
    assert checked_reference(reference) == reference


@pytest.mark.parametrize(
    "reference", ["", "x" * (LONGEST_REFERENCE + 1), "a\n", *(f"a{control}b" for control in CONTROLS)]
)
def test_what_may_not(reference: str) -> None:
    with pytest.raises(InvalidMember, match="a reference has 1 to 256 characters") as caught:
        checked_reference(reference)
    assert caught.value.path == ("reference",)
