"""The list of hostile and harmless URLs, fetched by the production policy as it is.

Names are resolved from the list's own zone, and the connect call is replaced: it leads every address to a site on
loopback and records which address was asked for. Public addresses lead to a site that redirects as the list expects,
all others to one that says INTERNAL-SECRET. A breach is a connection to anything else than the list's public addresses.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme
import urllib3.util.connection

from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.entities import ErrorType
from chalicelib.runner.fetcher import Fetcher, FetchLimits
from chalicelib.runner.outcome import Failure, Fetched
from tests.runner.sites import Close, Kept, Site, Visit, always, entry, response, site

LIST = json.loads((Path(__file__).parent.parent / "data" / "hostile_urls.json").read_text("utf-8"))
DEAD = [ip_network(block) for block in LIST["dead_addresses"]]
PUBLIC = {"93.184.216.34", "151.101.1.69", "2606:2800:220:1:248:1893:25c8:1946"}
TLS_PORTS, PLAIN_PORTS = {443, 8443}, {80, 8080}
SECRET = b"INTERNAL-SECRET"
LIMITS = FetchLimits(connect_seconds=60, total_seconds=120)  # no test waits for them


def _is_dead(address: str) -> bool:
    return any(ip_address(address) in block for block in DEAD)


def _reached(text: str) -> str:
    """Which host a connection to this address ends at: a mapped or NAT64 address is its IPv4 address."""
    address = ip_address(text)
    carries = isinstance(address, IPv6Address) and (address.ipv4_mapped or address in ip_network("64:ff9b::/96"))
    return str(IPv4Address(int(address) & 0xFFFFFFFF) if carries else address)


@dataclass
class World:
    """The Internet of the list: who is asked for which name, and where sockets lead."""

    public: Site
    public_tls: Site
    internal: Site
    internal_tls: Site
    dns: dict[str, list[list[str]]] = field(default_factory=dict)  # answers by look-up number
    looked_up: list[str] = field(default_factory=list)
    asked: list[tuple[str, int]] = field(default_factory=list)
    patience: list[float] = field(default_factory=list)  # seconds that each connection was given

    def addresses(self, host: str) -> list[str]:
        if host in self.dns:
            answers = self.dns[host]
            answer = answers[min(self.looked_up.count(host), len(answers) - 1)]
        elif host in LIST["zone"]:
            answer = LIST["zone"][host]
        else:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        self.looked_up.append(host)
        return answer

    def getaddrinfo(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [entry(address, port) for address in self.addresses(host)]

    def connect(self, address: tuple[str, int], timeout: Any = None, *_: Any, **__: Any) -> socket.socket:
        host, port = address
        try:
            asked = _reached(host.strip("[]"))
        except ValueError:  # a name: whoever asks has judged nothing, so it is led where the name leads now
            asked = _reached(self.addresses(host)[0])
        self.asked.append((asked, port))
        self.patience.append(timeout)
        if _is_dead(asked):
            raise OSError(errno.EHOSTUNREACH, "No route to host")
        plain, tls = (self.public, self.public_tls) if asked in PUBLIC else (self.internal, self.internal_tls)
        return socket.create_connection(("127.0.0.1", (tls if port in TLS_PORTS else plain).port), 5)

    @property
    def breaches(self) -> list[tuple[str, int]]:
        """Connections that should not have been tried."""
        known = [(address, port) for address, port in self.asked if address in PUBLIC or _is_dead(address)]
        return [each for each in self.asked if each not in known or each[1] not in TLS_PORTS | PLAIN_PORTS]


@contextmanager
def led_by(world: World) -> Iterator[None]:
    """Sockets lead where `world` says."""
    module: Any = urllib3.util.connection
    original = module.create_connection
    module.create_connection = world.connect
    try:
        yield
    finally:
        module.create_connection = original


def _public(visit: Visit) -> None:
    path, _, query = visit.target.partition("?")
    _, first, *rest = path.split("/")
    match first:
        case "redir" if rest[0].isdigit():
            visit.send(response(b"", int(rest[0]), {"Location": parse_qs(query)["to"][0]}))
        case "cookie":
            to = {"Location": parse_qs(query)["to"][0]} if query else {}
            visit.send(response(b"public", int(rest[0]), {"Set-Cookie": "id=1; Path=/; Domain=public.test"} | to))
        case "loop":
            visit.send(response(b"", 302, {"Location": "/loop"}))
        case "loop2":
            visit.send(response(b"", 302, {"Location": "http://other.test/loop2b"}))
        case "loop2b":
            visit.send(response(b"", 302, {"Location": "http://public.test/loop2"}))
        case "chain" if rest[0] != "0":
            visit.send(response(b"", 302, {"Location": f"/chain/{int(rest[0]) - 1}"}))
        case "refresh":
            visit.send(response(b"public", 200, {"Refresh": "0; url=http://127.0.0.1/"}))
        case "close":
            visit.send(response(b"public", 200, {"Connection": "close"}))
            raise Close
        case _:
            visit.send(response(b"public"))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusted(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def _serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def _signed_by_itself() -> ssl.SSLContext:
    """The certificate of an authority, shown as a site's own."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.cert_pem.tempfile() as certificate, authority.private_key_pem.tempfile() as key:
        context.load_cert_chain(certificate, key)
    return context


def _wrong_certificates(authority: trustme.CA) -> dict[str, ssl.SSLContext]:
    """What a site shows by the name that it is asked for."""

    def issued(name: str, first: int, last: int) -> ssl.SSLContext:
        not_before, not_after = (datetime(year, 1, 1, tzinfo=UTC) for year in (first, last))
        return _serving(authority.issue_cert(name, not_before=not_before, not_after=not_after))

    return {
        "self-signed.test": _signed_by_itself(),
        "stranger-signed.test": _serving(trustme.CA().issue_cert("stranger-signed.test")),
        "expired.test": issued("expired.test", 2001, 2002),
        "too-early.test": issued("too-early.test", 2901, 2902),
    }


@pytest.fixture(scope="module")
def sites(authority: trustme.CA) -> Iterator[tuple[Site, Site, Site, Site]]:
    wrong = _wrong_certificates(authority)
    plain_name = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z]+")  # trustme issues for no other
    hosts = [name for name in LIST["zone"] if plain_name.fullmatch(name) and name not in {*wrong, "wrong-cert.test"}]
    # Metadata addresses too: then nothing but the guard keeps a fetch from them.
    tls = _serving(authority.issue_cert("rebind.test", *hosts, "93.184.216.34", "169.254.169.254", "127.0.0.1"))

    def choose(sock: ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        sock.context = wrong.get(name or "", tls)

    tls.sni_callback = choose  # type: ignore[assignment]  # typeshed has it return an int, but None lets the handshake go on
    secret = always(response(SECRET))
    with (
        site(_public) as public,
        site(_public, tls=tls) as public_tls,
        site(secret) as internal,
        site(secret, tls=tls) as internal_tls,
    ):
        yield public, public_tls, internal, internal_tls


@pytest.fixture
def world(sites: tuple[Site, Site, Site, Site]) -> Iterator[World]:
    world = World(*sites)
    for each in sites:
        each.heads.clear()
    with led_by(world):
        yield world


@pytest.fixture
def fetcher(world: World, trusted: ssl.SSLContext) -> Iterator[Fetcher]:
    fetcher = Fetcher(
        limits=LIMITS, policy=AddressPolicy(), user_agent="test", getaddrinfo=world.getaddrinfo, tls=trusted
    )
    yield fetcher
    fetcher.close()


def _ids(record: dict[str, Any]) -> str:
    return str(record["id"])


@pytest.mark.parametrize("record", [r for r in LIST["urls"] if r["expected"] == "block"], ids=_ids)
def test_hostile(record: dict[str, Any], world: World, fetcher: Fetcher) -> None:
    """No connection goes where it must not, and nothing is fetched unless from the public address that was judged."""
    world.dns = record.get("dns", {})
    outcomes = []
    for _ in range(record.get("repeat", 1)):
        sink = Kept()
        outcomes.append(fetcher.fetch(record["url"], sink))
        assert SECRET not in sink.body
    assert world.breaches == []
    if "error" in record:
        assert [outcome.error.type for outcome in outcomes if isinstance(outcome, Failure)] == [record["error"]]
        assert world.public_tls.heads == []
    if not record.get("pinned_ok"):
        assert isinstance(outcomes[0], Failure), outcomes[0]
        assert not outcomes[0].retryable


@pytest.mark.parametrize("record", [r for r in LIST["urls"] if r["expected"] == "allow"], ids=_ids)
def test_harmless(record: dict[str, Any], world: World, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that is as it should be is refused; no proxy of the environment is asked, and no cookie goes back."""
    for name, value in record.get("environment", {}).items():
        monkeypatch.setenv(name, value)
    for _ in range(record.get("repeat", 1)):
        sink = Kept()
        outcome = fetcher.fetch(record["url"], sink)
        assert isinstance(outcome, Fetched), outcome
        assert sink.body == b"public"
    assert world.breaches == []
    assert not any(b"\r\ncookie:" in head.lower() for head in world.public.heads + world.public_tls.heads)


def test_the_list_is_whole() -> None:
    """A list that lost its entries would pass too."""
    assert len(LIST["urls"]) == 258
    assert sum(record["expected"] == "block" for record in LIST["urls"]) == 220


def test_a_kept_alive_connection_stays_where_it_was_judged(world: World, fetcher: Fetcher) -> None:
    """A name that changes to loopback is not looked up again while its connection is open."""
    world.dns = {"rebind.test": [["93.184.216.34"], ["127.0.0.1"]]}
    assert isinstance(fetcher.fetch("http://rebind.test/", Kept()), Fetched)
    assert isinstance(fetcher.fetch("http://rebind.test/", Kept()), Fetched)
    assert world.looked_up == ["rebind.test"]


def test_one_look_up_for_a_connection(world: World, fetcher: Fetcher) -> None:
    """What was judged is what is connected to: there is no second answer to take."""
    world.dns = {"rebind.test": [["93.184.216.34"], ["127.0.0.1"]]}
    assert isinstance(fetcher.fetch("http://rebind.test/close", Kept()), Fetched)
    assert world.asked == [("93.184.216.34", 80)]
    after = fetcher.fetch("http://rebind.test/close", Kept())
    assert isinstance(after, Failure)
    assert after.error.type is ErrorType.BLOCKED
    assert world.asked == [("93.184.216.34", 80)]


def test_ipv4_comes_first_and_every_address_has_its_turn(world: World, fetcher: Fetcher) -> None:
    """Eight dead IPv6 addresses before a living IPv4 one cost nothing, and two dead ones do not end the fetch."""
    assert isinstance(fetcher.fetch("http://dead8v6.test/", Kept()), Fetched)
    assert world.asked == [("93.184.216.34", 80)]
    world.asked.clear()
    assert isinstance(fetcher.fetch("http://dead4.test/", Kept()), Fetched)
    assert [address for address, _ in world.asked] == ["93.184.0.1", "93.184.0.2", "93.184.216.34"]
    first, second, third = world.patience[1:]
    assert first <= second <= LIMITS.connect_seconds / 2 < third  # one that is silent leaves time for the others


@pytest.mark.parametrize("url", ["https://wrong-cert.test/", "https://151.101.1.69/"])
def test_the_certificate_is_that_of_the_name(url: str, world: World, fetcher: Fetcher) -> None:
    """The socket goes to an address, but the certificate must be for what the URL says."""
    outcome = fetcher.fetch(url, Kept())
    assert isinstance(outcome, Failure)
    assert outcome.error.type is ErrorType.TLS
    assert outcome.error.detail == "no secure connection to this host: its certificate is for another name"


def test_host_and_sni_keep_the_name(world: World, fetcher: Fetcher) -> None:
    """The site sees the name that was asked for, over TLS too."""
    for scheme, seen in (("http", world.public), ("https", world.public_tls)):
        assert isinstance(fetcher.fetch(f"{scheme}://www.public.test/x", Kept()), Fetched)
        assert b"\r\nHost: www.public.test\r\n" in seen.heads[-1]


def test_loopback_is_for_a_stage_that_allows_it_and_never_the_runtime_api(world: World) -> None:
    """A policy that allows loopback still refuses Lambda's runtime API, other private addresses, and by default all."""
    fetchers = [
        Fetcher(limits=LIMITS, policy=policy, user_agent="test", getaddrinfo=world.getaddrinfo)
        for policy in (AddressPolicy(), AddressPolicy(loopback_allowed=True))
    ]
    outcomes = {
        url: [type(fetcher.fetch(url, Kept())) for fetcher in fetchers]
        for url in ("http://loop.test/", "http://loop.test:9001/", "http://private.test/", "http://127.0.0.1:9001/")
    }
    assert outcomes == {
        "http://loop.test/": [Failure, Fetched],
        "http://loop.test:9001/": [Failure, Failure],
        "http://private.test/": [Failure, Failure],
        "http://127.0.0.1:9001/": [Failure, Failure],
    }
    assert world.asked == [("127.0.0.1", 80)]
    for fetcher in fetchers:
        fetcher.close()


def test_no_address_that_dns_gave_is_shown(world: World, fetcher: Fetcher) -> None:
    """The submitter learns that the host is not public, not which address it has."""
    cases = {
        "http://private.test/": "the address of this host is not public, so it is not fetched",
        "http://public.test/redir/302?to=http://private.test/": (
            "the address of the host that a redirect led to is not public, so it is not fetched"
        ),
        "http://public.test/redir/302?to=http://10.1.2.3/": (
            "a redirect led to a URL that may not be fetched: it is not a public http or https address"
        ),
    }
    for url, detail in cases.items():
        outcome = fetcher.fetch(url, Kept())
        assert isinstance(outcome, Failure)
        assert (outcome.error.type, outcome.error.detail) == (ErrorType.BLOCKED, detail)


def test_every_hop_is_logged(world: World, fetcher: Fetcher, caplog: pytest.LogCaptureFixture) -> None:
    """One record for each: where to, which address, the verdict and its reason; no query, user name or password.

    As deployed, only those that sent no request: what was sent shows in the fetch's own line.
    """
    with caplog.at_level(logging.DEBUG, logger="fetch_queue.fetch"):
        fetcher.fetch("http://public.test/redir/302?to=http://mixed.test/x%3Ftoken=1", Kept())
        fetcher.fetch("http://me:secret@public.test/?token=1", Kept())
        fetcher.fetch("http://unknown.test/?token=1", Kept())
    logged = [
        tuple(getattr(record, name) for name in ("url", "address", "verdict", "reason")) for record in caplog.records
    ]
    assert logged == [
        ("http://public.test/redir/302", "93.184.216.34", "allowed", None),
        ("http://mixed.test/x", "10.0.0.5", "refused", "private"),
        ("http://public.test/", None, "refused", "invalid URL"),
        ("http://unknown.test/", None, "unresolved", None),
    ]
    verdicts = [getattr(record, "verdict", "") for record in caplog.records if record.levelno >= logging.INFO]
    assert verdicts == ["refused", "refused", "unresolved"]


def test_a_refresh_header_is_not_followed(world: World, fetcher: Fetcher) -> None:
    """It is for browsers."""
    assert isinstance(fetcher.fetch("http://public.test/refresh", Kept()), Fetched)
    assert world.asked == [("93.184.216.34", 80)]
