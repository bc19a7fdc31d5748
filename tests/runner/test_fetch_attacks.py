"""What a hostile site can do to time and memory: one table of attacks, the limit that each meets, and what happened.

The fetches run in a process of their own, ten of an attack at once, so that its peak memory is theirs alone; the sites
run here. These are the only tests that take real time. None of them hangs on the machine's speed: where the deadline is
what ends an attack it is short and the attack endless, and everywhere else it is far away.
"""

from __future__ import annotations

import gzip
import json
import resource
import ssl
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import trustme

from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.runner.fetcher import Fetcher, FetchLimits
from chalicelib.runner.head import HEAD_BYTES
from chalicelib.runner.outcome import Fetched
from tests.runner.sites import Answer, Dropped, Visit, entry, response, site
from tests.runner.tls_records import CIPHER_CHANGE, HANDSHAKE, HELLO_REQUEST, TICKET, WARNING, Records

AT_ONCE = 10
MIB = 2**20
SHORT, LONG = 0.5, 300  # seconds of a limit that is what ends an attack, and of one that is not
FLOOD_SECONDS = 240  # then a flood hangs up: a fetch that it still holds ends as another failure than expected
LATEST = 60  # seconds by which a short limit has ended a fetch, on however busy a machine
MAX_MEMORY = 200 * MIB
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP_CHUNKED = OK + b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"

OVERHEAD = ": the site keeps sending TLS messages instead of data"
UNSPOKEN = ": the site does not speak TLS, or only versions that are not safe"
MALFORMED = ": the site's TLS messages are malformed"


@dataclass(frozen=True)
class Attack:
    name: str
    limit: str  # which limit ends it
    expected: str  # the error's type
    answer: Answer | None = None
    at_once: bool = False  # answers before it has read anything
    url: str = ""  # where it is not the site's own

    @property
    def sentence(self) -> str:
        """How what the submitter is told ends: a handshake that fails for another reason is `tls` too."""
        return {"TLS overhead": OVERHEAD, "OpenSSL's, of handshakes": UNSPOKEN, "OpenSSL's, of records": MALFORMED}.get(
            self.limit, ""
        )

    @property
    def limits(self) -> FetchLimits:
        """Those it is fetched under."""
        connect = SHORT if self.limit == "seconds to connect" else LONG
        total = SHORT if self.limit == "total seconds" else LONG
        return FetchLimits(connect_seconds=connect, total_seconds=total, max_bytes=8 * MIB)


def _then_hang(data: bytes) -> Answer:
    def answer(visit: Visit) -> None:
        visit.send(data)
        visit.hang()

    return answer


def _drip(start: bytes, endless: bytes) -> Answer:
    """`start` at once, then a few bytes every now and then, for ever."""

    def answer(visit: Visit) -> None:
        visit.send(start)
        while True:
            visit.drip(endless)

    return answer


def _flood(start: bytes, endless: bytes) -> Answer:
    """`start`, then the same again and again as fast as it goes."""
    block = endless * max(1, 65536 // len(endless))

    def answer(visit: Visit) -> None:
        visit.send(start)
        _for_ever(visit, lambda: visit.send(block))

    return answer


def _for_ever(visit: Visit, send: Callable[[], None]) -> None:
    until = time.monotonic() + FLOOD_SECONDS
    while not visit.site.ending.is_set() and time.monotonic() < until:
        send()


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


@cache
def _certificate() -> trustme.LeafCert:
    return _authority().issue_cert("127.0.0.1")


def _tls_flood(start: bytes, endless: Callable[[Records], bytes]) -> Answer:
    """`start` over TLS, then records that are made again and again as fast as it goes."""

    def answer(visit: Visit) -> None:
        records = Records(visit.sock, _certificate())
        records.send(records.record(start))
        _for_ever(visit, lambda: records.send(*(endless(records) for _ in range(100))))

    return answer


def _hello_then_flood(endless: bytes) -> Answer:
    """The first record of a handshake, then the same again and again."""

    def answer(visit: Visit) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _certificate().configure_cert(context)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        incoming.write(visit.sock.recv(65536))
        with suppress(ssl.SSLWantReadError):
            context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
        flight = outgoing.read()
        visit.send(flight[: 5 + int.from_bytes(flight[3:5], "big")])
        _for_ever(visit, lambda: visit.send(endless * 999))

    return answer


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@cache
def _bomb() -> bytes:
    """400 MiB of zeros in 398 KiB."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(b"\0" * MIB) for _ in range(400)) + packer.flush()


def _bomb_answer(coding: str, layers: int, status: str = "200 OK") -> Answer:
    def answer(visit: Visit) -> None:
        body = _bomb()
        for _ in range(layers - 1):
            body = gzip.compress(body)
        head = f"HTTP/1.1 {status}\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n"
        location = "Location: /there\r\n" if visit.target != "/there" else ""
        visit.send(response() if "302" in status and not location else (head + location + "\r\n").encode() + body)

    return answer


GZIP_START = b"\x1f\x8b\x08" + bytes(7)
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"  # a stored block of length 0: a stream of them never brings a byte


def _nothing_in_layers() -> bytes:
    """16 MiB of empty members, for each few KiB sent."""
    return gzip.compress(gzip.compress(b"") * (16 * MIB // 20))


_turns = count()


def _around(pause: float) -> Answer:
    def answer(visit: Visit) -> None:
        visit.site.ending.wait(pause)
        visit.send(response(b"", 302, {"Location": f"/{next(_turns)}"}))

    return answer


def _head(*headers: bytes, before: bytes = b"") -> Answer:
    """An answer without a body, whose head is within the limit."""
    head = before + OK + b"Content-Length: 0\r\n" + b"".join(header + b"\n" for header in headers) + b"\r\n"
    assert len(head) <= HEAD_BYTES
    return lambda visit: visit.send(head)


SERVER_HELLO = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"

TABLE = [
    # time
    Attack("never answers", "total seconds", "timeout", lambda visit: visit.hang()),
    Attack("accepts and says nothing, TLS", "seconds to connect", "timeout", lambda visit: visit.hang(), True, "https"),
    Attack("drips its TLS handshake", "seconds to connect", "timeout", _drip(SERVER_HELLO, b"\0"), True, "https"),
    Attack("drips its status line", "total seconds", "timeout", _drip(b"HTTP/1.1 200 ", b"O")),
    Attack("drips its headers", "total seconds", "timeout", _drip(OK, b"X: y\r\n")),
    Attack("drips 100 Continue", "total seconds", "timeout", _drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    Attack("drips its body", "total seconds", "timeout", _drip(OK + b"Content-Length: 9999\r\n\r\n", b"x")),
    Attack("drips its body in chunks", "total seconds", "timeout", _drip(CHUNKED, b"1\r\nx\r\n")),
    Attack("drips its body without a length", "total seconds", "timeout", _drip(OK + b"\r\n", b"x")),
    Attack(
        "drips a gzip stream", "total seconds", "timeout", _drip(GZIP_CHUNKED + _chunk(GZIP_START), _chunk(EMPTY_BLOCK))
    ),
    Attack("drips chunk trailers", "total seconds", "timeout", _drip(CHUNKED + b"0\r\n", b"X: y\r\n")),
    Attack("stops in the middle", "total seconds", "timeout", _then_hang(OK + b"Content-Length: 9\r\n\r\nhalf")),
    Attack("redirects for ever, slowly", "total seconds", "timeout", _around(0.15)),
    Attack("redirects for ever", "redirects", "too-many-redirects", _around(0)),
    Attack("its name server is silent", "seconds to connect", "dns", url="http://silent.test/"),
    # TLS: OpenSSL ends the floods that it counts, and does not count requests to negotiate, tickets and new keys
    Attack(
        "drips requests to negotiate TLS", "seconds to connect", "timeout", _drip(b"", HELLO_REQUEST), True, "https"
    ),
    Attack("endless requests to negotiate TLS", "TLS overhead", "tls", _flood(b"", HELLO_REQUEST), True, "https"),
    Attack("endless TLS warnings", "OpenSSL's, of handshakes", "tls", _flood(b"", WARNING), True, "https"),
    Attack(
        "endless changes of the cipher", "OpenSSL's, of handshakes", "tls", _flood(b"", CIPHER_CHANGE), True, "https"
    ),
    Attack(
        "endless changes of the cipher in a handshake",
        "OpenSSL's, of handshakes",
        "tls",
        _hello_then_flood(CIPHER_CHANGE),
        True,
        "https",
    ),
    Attack(
        "endless session tickets before an answer",
        "TLS overhead",
        "tls",
        _tls_flood(b"", lambda records: records.record(TICKET * 900, HANDSHAKE)),
        True,
        "https",
    ),
    Attack(
        "endless session tickets in an answer",
        "TLS overhead",
        "tls",
        _tls_flood(OK + b"\r\nhalf", lambda records: records.record(TICKET, HANDSHAKE)),
        True,
        "https",
    ),
    Attack(
        "endless new TLS keys, each to be answered",
        "TLS overhead",
        "tls",
        _tls_flood(OK + b"\r\nhalf", lambda records: records.key_update(answered=True)),
        True,
        "https",
    ),
    Attack(
        "endless TLS records without data",
        "OpenSSL's, of records",
        "tls",
        _tls_flood(OK + b"\r\nhalf", lambda records: records.record(b"")),
        True,
        "https",
    ),
    # memory
    Attack("redirect with a gzip bomb as its body", "none needed", "fetched", _bomb_answer("gzip", 1, "302 Found")),
    Attack("gzip bomb", "bytes", "too-large", _bomb_answer("gzip", 1)),
    Attack("gzip bomb in gzip", "bytes", "too-large", _bomb_answer("gzip, gzip", 2)),
    Attack("gzip bomb in gzip in gzip", "bytes", "too-large", _bomb_answer("gzip, gzip, gzip", 3)),
    Attack(
        "gzip that never brings a byte",
        "total seconds",
        "timeout",
        _flood(GZIP_CHUNKED + _chunk(GZIP_START), _chunk(EMPTY_BLOCK * 999)),
    ),
    Attack(
        "gzip of gzip that never brings a byte",
        "total seconds",
        "timeout",
        _flood(
            OK + b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip, gzip\r\n\r\n", _chunk(_nothing_in_layers())
        ),
    ),
    Attack(
        "garbage for ever after a gzip stream",
        "total seconds",
        "timeout",
        _flood(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x", mtime=0), b"x" * 65536),
    ),
    Attack("endless body", "bytes", "too-large", _flood(OK + b"\r\n", b"x" * 65536)),
    Attack("endless refusal", "bytes of an excerpt", "http-status", _flood(b"HTTP/1.1 404 No\r\n\r\n", b"x" * 65536)),
    Attack("gzip bomb as a refusal", "bytes of an excerpt", "http-status", _bomb_answer("gzip", 1, "503 No")),
    Attack("says that it is 1 TiB", "bytes", "too-large", _then_hang(response(b"x", length=2**40))),
    Attack("endless status line", "size of the head", "invalid-response", _flood(b"HTTP/1.1 200 ", b"x" * 65536)),
    Attack("endless header", "size of the head", "invalid-response", _flood(OK + b"X: ", b"x" * 65536)),
    Attack(
        "headers of 60 KiB each", "size of the head", "invalid-response", _flood(OK, b"X: " + b"y" * 61_000 + b"\r\n")
    ),
    Attack(
        "endless 100 Continue", "size of the head", "invalid-response", _flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n")
    ),
    Attack("endless header without a colon", "size of the head", "invalid-response", _flood(OK, b"x" * 65536)),
    Attack("43,000 headers", "none needed", "fetched", _head(*(b"%x:" % number for number in range(43_000)))),
    Attack("32,000 equal headers", "none needed", "fetched", _head(*[b"ETag:"] * 32_000)),
    Attack("a header of 85,000 lines", "none needed", "fetched", _head(b"ETag:", *[b" "] * 85_000)),
    Attack("a header of 250,000 elements", "none needed", "fetched", _head(b"Connection:" + b"," * 250_000)),
    Attack("white space in the head", "none needed", "fetched", _head(b"X" + b" " * 250_000 + b"x:")),
    Attack("9,000 interim answers", "none needed", "fetched", _head(before=b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9000)),
    Attack("endless chunk size", "one line", "invalid-response", _flood(CHUNKED, b"0" * 65536)),
    Attack("endless chunk extension", "one line", "invalid-response", _flood(CHUNKED + b"1;", b"x" * 65536)),
    Attack("a chunk of length -1", "none is read", "invalid-response", _flood(CHUNKED + b"-1\r\n", b"x" * 65536)),
    Attack("chunks of one byte", "total seconds", "timeout", _flood(CHUNKED, b"1\r\nx\r\n")),
    Attack(
        "chunk trailers for ever", "size of the trailers", "invalid-response", _flood(CHUNKED + b"0\r\n", b"X: y\r\n")
    ),
    Attack("cookies", "none needed", "fetched", lambda visit: visit.send(_cookies())),
]


def _cookies() -> bytes:
    return (
        OK
        + b"Content-Length: 0\r\n"
        + b"".join(
            b"Set-Cookie: c%d=%b; expires=%b; Path=/\r\n" % (number, b"v" * 1000, b"1 " * 500) for number in range(90)
        )
        + b"\r\n"
    )


# The process that fetches


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage on Linux counts what the parent had when it started this process
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fetch_all(fetches: list[dict[str, Any]], authority: str, at_once: int = AT_ONCE) -> list[dict[str, Any]]:
    """Fetch each URL `at_once` times at once; what came, the seconds of the slowest, and the peak memory so far."""
    over = Event()

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host == "silent.test":
            over.wait()
        return [entry("127.0.0.1", port)]

    policy = AddressPolicy(loopback_allowed=True)
    tls = ssl.create_default_context(cadata=authority)

    def one(fetcher: Fetcher, url: str) -> tuple[str, str, float]:
        started = time.monotonic()
        outcome = fetcher.fetch(url, Dropped())
        took = time.monotonic() - started
        if isinstance(outcome, Fetched):
            return "fetched", "", took
        return str(outcome.error.type), outcome.error.detail, took

    rows = []
    with ThreadPoolExecutor(at_once) as pool:
        for fetch in fetches:
            limits = FetchLimits(**fetch["limits"])
            fetcher = Fetcher(limits=limits, policy=policy, user_agent="test", getaddrinfo=getaddrinfo, tls=tls)
            results = list(pool.map(partial(one, fetcher), [fetch["url"]] * at_once))
            fetcher.close()
            outcomes, details, seconds = zip(*results, strict=True)
            row = {"outcomes": sorted(set(outcomes)), "details": sorted(set(details))}
            rows.append({**row, "seconds": max(seconds), "peak": _peak()})
    over.set()
    return rows


def _in_a_process(fetches: list[tuple[str, FetchLimits]], at_once: int = AT_ONCE) -> list[dict[str, Any]]:
    root = Path(__file__).parent.parent.parent
    code = "import json, sys; from tests.runner.test_fetch_attacks import fetch_all; "
    code += "print(json.dumps(fetch_all(**json.load(sys.stdin))))"
    arguments = {
        "fetches": [{"url": url, "limits": asdict(limits)} for url, limits in fetches],
        "authority": _authority().cert_pem.bytes().decode(),
        "at_once": at_once,
    }
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=root, input=json.dumps(arguments), capture_output=True, text=True, timeout=900
    )
    assert ran.returncode == 0, ran.stderr
    rows: list[dict[str, Any]] = json.loads(ran.stdout)
    return rows


@pytest.fixture(scope="module")
def happened() -> dict[str, dict[str, Any]]:
    """What each attack did, printed as a table (pytest -s shows it)."""
    _bomb()  # and the certificate: once, before there are threads that want them
    _certificate()
    with ExitStack() as sites:
        fetches = []
        for attack in TABLE:
            url = attack.url
            if attack.answer is not None:
                running = sites.enter_context(site(attack.answer, at_once=attack.at_once))
                url = f"{attack.url or 'http'}://127.0.0.1:{running.port}/"
            fetches.append((url, attack.limits))
        half = len(TABLE) // 2  # those that wait, and those that work: two processes, to save time
        with ThreadPoolExecutor(2) as two:
            first, second = two.map(_in_a_process, [fetches[:half], fetches[half:]])
        rows = dict(zip([attack.name for attack in TABLE], first + second, strict=True))
    print(f"\n{'attack':44} {'limit':24} {'what happened':20} {'seconds':>7} {'peak MiB':>8}")
    for attack in TABLE:
        row = rows[attack.name]
        what = ", ".join(row["outcomes"])
        print(f"{attack.name:44} {attack.limit:24} {what:20} {row['seconds']:7.2f} {row['peak'] / MIB:8.0f}")
    return rows


@pytest.mark.parametrize("attack", TABLE, ids=lambda attack: attack.name)
def test_attack(attack: Attack, happened: dict[str, dict[str, Any]]) -> None:
    """The fetch ends by the limit that it meets, in bounded memory, as the failure that it is."""
    row = happened[attack.name]
    assert row["outcomes"] == [attack.expected]
    assert all(detail.endswith(attack.sentence) for detail in row["details"])
    assert row["seconds"] < LATEST or SHORT not in (attack.limits.connect_seconds, attack.limits.total_seconds)
    assert row["peak"] < MAX_MEMORY


def test_a_gibibyte_streams_through() -> None:
    """Under the same bound, where the limit allows it."""
    block = b"x" * MIB

    def answer(visit: Visit) -> None:
        visit.send(response(b"", length=1024 * MIB))
        for _ in range(1024):
            visit.send(block)

    with site(answer) as running:
        limits = FetchLimits(connect_seconds=LONG, total_seconds=600, max_bytes=2 * 2**30)
        [row] = _in_a_process([(running.url, limits)], at_once=1)
    assert row["outcomes"] == ["fetched"]
    assert row["peak"] < MAX_MEMORY
    print(f"\n1 GiB: {row['seconds']:.1f} s, peak {row['peak'] / MIB:.0f} MiB")
