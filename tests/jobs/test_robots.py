"""What a robots.txt allows us: RFC 9309, case by case."""

from __future__ import annotations

import time

import pytest

from chalicelib import wiring
from chalicelib.jobs.pace import Wish
from chalicelib.jobs.robots import DAY, MOST_BYTES, PRODUCT, Permissions, RobotsFile, text_key, whole_lines, wish_of
from chalicelib.settings import Settings

SITE = "https://example.com"
ALL = "disallow: /"


def allows(text: str, path: str = "/page") -> bool:
    """Whether a path may be fetched."""
    return Permissions(text.encode()).allow(SITE + path)


def test_the_user_agent_begins_with_the_name() -> None:
    """So that the owner of a site finds it in the log."""
    assert wiring.user_agent(Settings(contact_url="https://example.com/")).startswith(f"{PRODUCT}/")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("FetchQueue", True),
        ("fetchqueue", True),
        ("FETCHQUEUE/1.0", True),
        ("FetchQueue # that one", True),
        ("*", True),
        ("* # all", True),
        ("Fetch", False),
        ("F", False),
        ("FetchQueueBot", False),
        ("FetchQueue-News", False),
        ("MyFetchQueue", False),
        ("Googlebot", False),
        ("other", False),
    ],
)
@pytest.mark.parametrize("line", ["User-agent: {}", "USER-AGENT:{}", "  useragent : {}", "User agent: {}"])
def test_whose_rules_are_ours(line: str, name: str, ours: bool) -> None:
    """Those of our name, whatever its case and version, or of everybody; not those of names that begin alike."""
    assert allows(f"{line.format(name)}\n{ALL}\n") is not ours


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_our_own_group_counts_alone(end: str) -> None:
    """Where there is one, everybody's does not; groups of one name are one, and a group may have several names."""
    own = end.join(["user-agent: *", ALL, "", "user-agent: Other", "user-agent: FetchQueue", "disallow: /a"])
    more = end.join(["", "user-agent: Third", ALL, "user-agent: fetchqueue", "disallow: /b", ""])
    assert [allows(own + more, path) for path in ("/a", "/b", "/c")] == [False, False, True]
    assert allows(f"user-agent: fetchqueue\ndisallow:\nuser-agent: *\n{ALL}", "/")


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("", "/", True),
        (ALL, "/robots.txt", True),
        ("disallow:", "/", True),
        ("disallow: /a\nallow: /a/b", "/a/b/c", True),
        ("allow: /a/b\ndisallow: /a", "/a/c", False),
        ("disallow: /a\nallow: /a", "/a", True),
        ("disallow: /A", "/a", True),
        ("disallow: /*.gif$", "/x.gif", False),
        ("disallow: /*.gif$", "/x.gif?y", True),
        ("disallow: /*?q=", "/x?q=1", False),
        ("disallow: /%7Ea", "/~a", False),
        ("disallow: /ä", "/%C3%A4", False),
        ("disallow: /%c3%a4", "/%C3%A4", False),
        ("disallow: /a # not this", "/a", False),
        ("nonsense\n\x00: \x01\ndisallow: /a", "/a", False),
        ("sitemap: https://example.com/s\ndisallow: /a", "/a", False),
    ],
)
def test_which_rule_counts(rules: str, path: str, allowed: bool) -> None:
    """The longest, and of two the one that allows."""
    assert allows(f"user-agent: *\n{rules}\n", path) is allowed


def test_bytes_that_are_no_utf_8() -> None:
    """A mark at the beginning is none of the text, and what cannot be read spoils its line alone."""
    assert not Permissions(b"\xef\xbb\xbfuser-agent: *\ndisallow: /a").allow(f"{SITE}/a")
    assert not Permissions(b"user-agent: *\ndisallow: /\xff\ndisallow: /a").allow(f"{SITE}/a")


@pytest.mark.parametrize(
    ("value", "delay"),
    [
        ("10", 10_000),
        ("0.5", 500),
        ("0.0001", 1),
        ("1e9", DAY),
        ("-1", 0),
        ("nan", 0),
        ("inf", 0),
        ("soon", 0),
        ("", 0),
    ],
)
def test_the_delay_between_requests(value: str, delay: int) -> None:
    """Milliseconds, at most a day; what makes no sense says nothing."""
    assert Permissions(f"user-agent: *\ncrawl-delay: {value}\n{ALL}".encode()).delay == delay
    assert Permissions(f"user-agent: else\ncrawl-delay: {value}".encode()).delay == 0


def test_a_cut_text_ends_with_a_whole_line() -> None:
    """Half a rule may forbid everything."""
    assert whole_lines(b"a\nb\r\nc") == b"a\nb\r\n"
    assert whole_lines(b"a\rb") == b"a\r"
    assert whole_lines(b"abc") == b""


def test_a_host_wishes_what_its_origins_do() -> None:
    """The longest delay of http and https, after the last robots.txt."""

    def file(delay: int, at: int) -> RobotsFile:
        return RobotsFile(key="k", asked_until=0, valid_until=9, delay=delay, fetched_at=at)

    assert wish_of([]) == wish_of([file(0, 5)]) == Wish()
    assert wish_of([file(100, 5), file(300, 2)]) == Wish(300, 305)


def test_a_text_is_kept_for_its_tenant_origin_and_day() -> None:
    """Under a name that tells none of them."""
    keys = {text_key(key, at) for key in ("a/https://b", "c/https://b", "a/http://b") for at in (1, 2)}
    assert len(keys) == 6
    assert all(key.startswith("robots/") and "https" not in key for key in keys)


def test_a_hostile_text_takes_seconds_at_most() -> None:
    """Many names and many rules are not multiplied."""
    names = b"".join(b"user-agent:%x\n" % number for number in range(15_000))
    text = (names + b"".join(b"allow:/%x\n" % number for number in range(60_000)))[:MOST_BYTES]
    began = time.process_time()
    assert Permissions(text).allow(f"{SITE}/" + "a" * 8000)
    assert time.process_time() - began < 10
