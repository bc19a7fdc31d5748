"""The normal form: vectors as data, properties where there is algebra, and the request as a server sees it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.jobs.addresses import PUBLIC_ONLY, AddressPolicy, verdict
from chalicelib.jobs.urls import MAX_LENGTH, InvalidURL, check_single, normal_form

DATA = Path(__file__).parents[1] / "data"
VECTORS = json.loads((DATA / "urls.json").read_text())
HOSTILE = json.loads((DATA / "hostile_urls.json").read_text())
LOOPBACK = AddressPolicy(loopback_allowed=True)


def policy_of(vector: dict[str, Any]) -> AddressPolicy:
    return LOOPBACK if vector.get("loopback") else PUBLIC_ONLY


def accepted(url: str) -> str | None:
    try:
        return normal_form(url)
    except InvalidURL:
        return None


# -- vectors


@pytest.mark.parametrize("vector", [v for v in VECTORS if "normal" in v], ids=lambda v: f"{v['why']}: {v['given']!a}")
def test_normal_form(vector: dict[str, Any]) -> None:
    """A URL that can be fetched has the normal form of the list, which is its own and is what requests sends."""
    normal = normal_form(vector["given"], policy_of(vector))
    assert normal == vector["normal"]
    assert normal_form(normal, policy_of(vector)) == normal
    assert requests.Request("GET", normal).prepare().url == normal


@pytest.mark.parametrize("vector", [v for v in VECTORS if "refused" in v], ids=lambda v: f"{v['why']}: {v['given']!a}")
def test_refused(vector: dict[str, Any]) -> None:
    """A URL that cannot be fetched is refused in a sentence that says what is wrong."""
    with pytest.raises(InvalidURL, match=re.escape(vector["refused"])):
        normal_form(vector["given"], policy_of(vector))


def hostile_outcome(record: dict[str, Any]) -> str:
    """What becomes of a URL of the list: judged as text, then by what its name resolves to."""
    try:
        parts = urlsplit(normal_form(record["url"], longest=16_384))
    except InvalidURL:
        return "block"
    host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]
    literal = [host] if re.fullmatch(r"[0-9.]+|.*:.*", host) else []
    answers = literal or HOSTILE["zone"].get(host, [])
    fine = answers and not any(verdict(ip_address(answer), port, PUBLIC_ONLY) for answer in answers)
    return "allow" if fine else "block"


@pytest.mark.parametrize(
    "record",
    [r for r in HOSTILE["urls"] if r["category"] not in ("redirect", "rebind", "tls")],  # which take a fetch to be seen
    ids=lambda r: f"{r['id']}: {r['why']}",
)
def test_hostile_list(record: dict[str, Any]) -> None:
    """Every hostile URL is refused as text or for its addresses, and no harmless one is."""
    assert hostile_outcome(record) == record["expected"]


@pytest.mark.parametrize(
    "record",
    [r for r in HOSTILE["urls"] if r["category"] in ("scheme", "syntax", "v4-literal", "v4-spelling", "v6", "port")],
    ids=lambda r: f"{r['id']}: {r['why']}",
)
def test_hostile_list_at_submission(record: dict[str, Any]) -> None:
    """What needs no network to be seen as hostile is refused when it is submitted."""
    hidden_behind_a_name = record["id"] == "syntax-38"
    assert (accepted(record["url"]) is None) != hidden_behind_a_name


@pytest.mark.parametrize(
    ("line", "between"),
    [
        ("https://a.example/ https://b.example/", "a space"),
        ("https://a.example/  HTTP://b.example/", "a space"),
        ("https://a.example/?x=1 https://b.example/", "a space"),
        ("https://a.example/#x https://b.example/", "a space"),
        ("https://a.example/\nhttps://b.example/", "U+000A"),
        ("https://a.example/\r\nhttps://b.example/", "U+000A"),
        ("https://a.example/\thttps://b.example/", "U+0009"),
        ("https://a.example/,https://b.example/", "a comma"),
        ("https://a.example,https://b.example/", "a comma"),
        ("https://a.example/?x=1, https://b.example/", "a space"),
        ("https://a.example/;https://b.example/", "a semicolon"),
        ("https://a.example/ | https://b.example/", "a space"),
        ("\ufeffhttps://a.example/ https://b.example/", "a space"),
        ("https://a.example/ b https://c.example/", "a space"),
    ],
)
def test_two_urls_in_a_line(line: str, between: str) -> None:
    """They are refused in a sentence that says where they go."""
    with pytest.raises(
        InvalidURL, match=re.escape(f"two URLs, separated by {between}; send several URLs to POST /batches")
    ):
        check_single(line)


@pytest.mark.parametrize(
    "url",
    [
        "https://web.archive.org/web/2020/http://example.org/a",
        "https://img.example/w_100,h_100/https://example.com/a.png",
        "https://a.example/?to=https://b.example/",
        "https://a.example/?urls=https://b.example/,https://c.example/",
        "https://a.example/https:// x",
        "https://a.example/a b",
        "https://a.example/,http:/x",
        "see https://a.example/ https://b.example/",  # refused for what it is
        "",
    ],
)
def test_one_url_that_looks_like_two(url: str) -> None:
    """A URL within a URL is one; so are those that a query lists."""
    check_single(url)


def test_many_almost_urls_take_no_time() -> None:
    """A body of nothing but beginnings and separators: it would take minutes if each were looked at anew."""
    for part in (", ", ",https://", " ", "https://"):
        check_single("https://a.example/?" + part.strip(" ") + "," * 500_000 + "x")
        with suppress(InvalidURL):
            check_single("https://a.example/?" + part * (500_000 // len(part)))


# -- what is the same request, and what is not


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.com/", "https://example.com/"),
        ("https://example.com/", "https://example.com:80/"),
        ("https://example.com/", "https://www.example.com/"),
        ("https://example.com/a", "https://example.com/A"),
        ("https://example.com/a", "https://example.com/a/"),
        ("https://example.com/a/b", "https://example.com/a//b"),
        ("https://example.com/a/b", "https://example.com/a%2Fb"),
        ("https://example.com/?a=1&b=2", "https://example.com/?b=2&a=1"),
        ("https://example.com/?a=1", "https://example.com/?a=1&"),
        ("https://example.com/?a=+", "https://example.com/?a=%2B"),
        ("https://example.com/?a=+", "https://example.com/?a=%20"),
        ("https://example.com/?", "https://example.com/??"),
        ("https://example.com/a?b", "https://example.com/a%3Fb"),
        ("https://example.com/%", "https://example.com/%2525"),
        ("https://example.com/\u00fc", "https://example.com/u\u0308"),
        ("http://93.184.216.34/", "http://[::ffff:93.184.216.34]/"),
    ],
)
def test_other_requests_have_other_normal_forms(one: str, other: str) -> None:
    """URLs that a site can tell apart are never taken for one."""
    assert normal_form(one) != normal_form(other)


PATH_PIECES = st.sampled_from(
    [*"aZ09-._~!$&'()*+,;=:@/ \u00fc%|^[]\\", "%2F", "%c3", "%7e", "%zz", "/../", "/./", "//"]
)
PATHS = st.lists(PATH_PIECES, max_size=12).map("".join)
HOSTS = st.sampled_from(["example.com", "a_b.example", "xn--bcher-kva.example", "93.184.216.34", "[2606:2800::1]"])
PORTS = st.sampled_from(["", ":8080", ":8443"])


@st.composite
def urls(draw: st.DrawFn) -> tuple[str, str, str, str, str | None]:
    """The parts of a URL that can be fetched: scheme, host, port, path and query."""
    scheme = draw(st.sampled_from(["http", "https"]))
    path = "/" + draw(PATHS)
    query = draw(st.none() | PATHS)
    # No space at the end: it would be refused.
    return scheme, draw(HOSTS), draw(PORTS), path.rstrip(), None if query is None else query.rstrip()


def joined(scheme: str, host: str, port: str, path: str, query: str | None) -> str:
    return f"{scheme}://{host}{port}{path}" + ("" if query is None else f"?{query}")


@given(urls())
def test_normal_form_is_sent_as_it_is(parts: tuple[str, str, str, str, str | None]) -> None:
    """requests prepares a normal form to itself, and its target is the normal form's path and query."""
    normal = normal_form(joined(*parts))
    prepared = requests.Request("GET", normal).prepare()
    assert prepared.url == normal
    assert normal.endswith(prepared.path_url)
    assert normal_form(normal) == normal


def escaped_wherever_harmless(text: str) -> str:
    """Every second letter and digit as an escape in lower case, true escapes untouched."""
    pieces = re.findall(r"%[0-9A-Fa-f]{2}|.", text)
    spare = re.compile("[A-Za-z0-9]")
    # Letters behind a stray % would turn it into an escape's beginning, or out of one: leave those.
    return "".join(
        f"%{ord(piece):02x}" if spare.fullmatch(piece) and n % 2 and "%" not in pieces[max(0, n - 2) : n] else piece
        for n, piece in enumerate(pieces)
    )


@given(urls(), st.randoms(use_true_random=False), st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)))
def test_spellings_of_one_request(parts: tuple[str, str, str, str, str | None], rng: Any, fragment: str) -> None:
    """Case of scheme and host, default port, dot segments, harmless escapes and fragment do not matter, together."""
    scheme, host, port, path, query = parts
    other = joined(
        rng.choice([scheme.upper(), scheme.title()]),
        host.upper() + rng.choice(["", "."]) * (host[0] != "["),
        port or rng.choice(["", ":", ":80" if scheme == "http" else ":443"]),
        rng.choice(["", "/.", "/..", "/x/..", "/%2E", "/%2e%2E"]) + escaped_wherever_harmless(path),
        None if query is None else escaped_wherever_harmless(query),
    )
    assert normal_form(f"{other}#{fragment}") == normal_form(joined(*parts))


@given(urls())
def test_escaping_what_is_no_url_character(parts: tuple[str, str, str, str, str | None]) -> None:
    """A URL that its sender has escaped already, as a browser's address bar does, is the same request."""
    scheme, host, port, path, query = parts
    safe = "%!$&'()*+,;=:@/?-._~"
    escaped = joined(scheme, host, port, quote(path, safe), None if query is None else quote(query, safe))
    assert normal_form(escaped) == normal_form(joined(*parts))


@given(
    st.text() | st.text(st.sampled_from("htps:/\\?#[]@.%0x1a ü\u3002\u200b\t\ud800")) | st.text().map("http://".__add__)
)
@example("http://[")
@example("http://" + "9" * 5000)
@example("http://a:" + "9" * 5000)
@example("http://" + "ü" * 5000)
@example("http://xn--" + "9" * 50)
@example("http://\u0378/")
def test_any_text(text: str) -> None:
    """Any text at all is refused in a sentence or has a normal form that stays and that requests leaves alone."""
    normal = accepted(text)
    if normal is not None:
        assert normal_form(normal) == normal
        assert requests.Request("GET", normal).prepare().url == normal


@given(st.text(min_size=1, max_size=20))
def test_any_host(host: str) -> None:
    """Any text as host is refused in a sentence or has a normal form that stays, in ASCII."""
    normal = accepted(f"https://{host}/")
    if normal is not None:
        assert normal.isascii()
        assert normal_form(normal) == normal
        assert requests.Request("GET", normal).prepare().url == normal


class _Recorder(BaseHTTPRequestHandler):
    """Answers 204 and notes the request line's target and the Host header."""

    seen: list[tuple[str, str]] = []  # noqa: RUF012 - one list for each server, set below

    def do_GET(self) -> None:
        self.seen.append((self.requestline.split(" ")[1], self.headers["Host"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def recording_server() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    seen: list[tuple[str, str]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Recorder", (_Recorder,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port, seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_the_server_sees() -> None:
    """The target and the Host that reach a server are the normal form's, character by character."""
    tails = ["", "//a//b", "/%zz%41", "/%2e%2e/a", "/..//b", "/a[0]|\\;x?b[]={}^&c=%#f", "/ü ?ö=%2f", "?", "??"]
    with recording_server() as (port, seen), requests.Session() as session:
        session.trust_env = False
        policy = AddressPolicy(loopback_allowed=True, forbidden_ports=frozenset())
        sent = [normal_form(f"http://127.0.0.1:{port}{tail}", policy) for tail in tails]
        for url in sent:
            session.get(url, timeout=5)
    assert [f"http://{host}{target}" for target, host in seen] == sent


# -- limits, policy, manners


def test_length_as_given() -> None:
    """A URL of 8,192 characters is fine and one more is not; a fragment counts, for it is kept with the URL."""
    longest = "https://example.com/".ljust(MAX_LENGTH, "a")
    assert normal_form(longest) == longest
    for longer in (longest + "a", "https://example.com/#".ljust(MAX_LENGTH + 1, "a")):
        with pytest.raises(InvalidURL, match=r"at most 8192 characters; this one has 8193$"):
            normal_form(longer)


def test_length_as_sent() -> None:
    """Escapes count: what is sent is no longer than what may be given."""
    room = MAX_LENGTH - len("https://example.com/")
    assert len(normal_form("https://example.com/" + "ü" * (room // 6))) <= MAX_LENGTH
    with pytest.raises(InvalidURL, match=r"at most 8192 characters; this one has 81\d\d once percent-encoded"):
        normal_form("https://example.com/" + "ü" * (room // 6 + 1))


def test_length_of_redirects() -> None:
    """Who follows redirects may set another limit."""
    url = "https://example.com/?".ljust(12_000, "x")
    assert accepted(url) is None
    assert normal_form(url, longest=16_384) == url


@pytest.mark.parametrize(
    ("host", "fine"),
    [
        ("a" * 63 + ".example", True),
        ("a" * 64 + ".example", False),
        (".".join(["a" * 49] * 5) + ".com", True),  # 253
        (".".join(["a" * 49] * 5) + ".coma", False),
        (".".join(["a" * 49] * 5) + ".com.", True),  # the root's dot is not counted
        ("ü" * 56 + ".example", True),  # 63 as xn--...
        ("ü" * 60 + ".example", False),
    ],
)
def test_length_of_hosts(host: str, fine: bool) -> None:
    """A label has at most 63 characters and a host 253, as sent (RFC 1035, 2.3.4)."""
    assert (accepted(f"https://{host}/") is not None) is fine


def test_forbidden_port_is_the_policys() -> None:
    """Where loopback is allowed, the policy names the ports of it that are not, and others are as they were."""
    policy = AddressPolicy(loopback_allowed=True, forbidden_ports=frozenset({4566, 9001}))
    assert normal_form("http://localhost:4567/", policy)
    assert normal_form("https://example.com:4566/", policy)
    for host in ("localhost", "127.0.0.1", "127.9.9.9", "[::1]", "x.localhost"):
        with pytest.raises(InvalidURL, match="forbidden port"):
            normal_form(f"http://{host}:4566/", policy)


def test_sentences_are_for_people() -> None:
    """No sentence is long, spans lines, or shows what a person never typed: a class, a pattern, an exception."""
    hostile = [
        "x" * 9000 + "://a/",
        "https://a:" + "1" * 8000,
        "a" * 8000 + ".b",
        "a.b/" + "c" * 8000,
        "http://" + "ü" * 8000,
    ]
    for given_url in [v["given"] for v in VECTORS if "refused" in v] + hostile:
        with pytest.raises(InvalidURL) as refused:
            normal_form(given_url)
        sentence = str(refused.value)
        assert len(sentence) < 400
        assert sentence.isprintable()
        assert not re.search(r"Error|idna|re\.|None|<|\bpolicy\b|codepoint", sentence)


def test_import_is_light() -> None:
    """Neither an HTTP library nor the tables of idna are loaded by importing the module, nor by an ASCII host."""
    code = "import sys, chalicelib.jobs.urls as u; u.normal_form('https://example.com/'); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=DATA.parents[1]
    )
    assert not {"idna", "requests", "urllib3", "boto3", "http.client"} & set(loaded.stdout.split())
