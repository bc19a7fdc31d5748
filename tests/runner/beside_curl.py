"""Random answers, fetched by the fetcher and by curl: where does the fetcher store bytes that curl does not?

    python -m tests.runner.beside_curl [answers] [seed]

Each difference must be a decision that docs/fetching.md names; one that is none ends the program with 1,
and prints the answer. The same seed makes the same answers.
"""

from __future__ import annotations

import gzip
import random
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote_to_bytes

from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.runner.fetcher import Fetcher, FetchLimits
from chalicelib.runner.outcome import Fetched
from tests.runner.sites import Close, Kept, Visit, response, site

CURL = ["curl", "--compressed", "--location", "--max-redirs", "10", "--max-time", "60", "--http1.1", "--silent"]
AT_ONCE = 500  # URLs in one run of curl


@dataclass(frozen=True)
class Sent:
    """An answer, and which of its parts are odd."""

    data: bytes
    odd: frozenset[str]


@dataclass
class Maker:
    """Makes answers: most have nothing odd, or one thing."""

    random: random.Random
    odd: set[str] = field(default_factory=set)

    def answer(self) -> Sent:
        """The next one."""
        self.odd = set()
        self.oddity = self.random.choice([0.0, 0.05, 0.15])
        if self.random.random() < 0.2:
            data = self._redirect()
        else:
            body = self._content()
            lines, coded = self._coded(body)
            framing, framed = self._framed(coded)
            lines += framing + self._others()
            self.random.shuffle(lines)
            data = self._status("200 OK") + self._joined(lines) + framed
        return Sent(data, frozenset(self.odd))

    def _pick(self, usual: Sequence[bytes], odd: Mapping[str, Sequence[bytes]]) -> bytes:
        if self.random.random() >= self.oddity:
            return self.random.choice(usual)
        name = self.random.choice(list(odd))
        self.odd.add(name)
        return self.random.choice(odd[name])

    def _content(self) -> bytes:
        size = self.random.choice([0, 1, 5, 100, 5_000, 70_000])
        if self.random.random() < 0.5:
            return (b"The quick brown fox. " * (size // 21 + 1))[:size]
        return self.random.randbytes(size)

    def _status(self, usual: str) -> bytes:
        return self._pick(
            [b"HTTP/1.1 " + usual.encode() + b"\r\n"],
            {
                "version": [b"HTTP/1.0 200 OK\r\n"],
                "interim": [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n"],
                "status line": [
                    *[b"HTTP/1.1 200\r\n", b"HTTP/1.1  200 OK\r\n", b"HTTP/1.1 200 \r\n", b"HTTP/1.1 2000 OK\r\n"],
                    *[
                        b"HTTP/2 200\r\n",
                        b"HTTP/1.2 200 OK\r\n",
                        b"http/1.1 200 OK\r\n",
                        b"ICY 200 OK\r\n",
                        b"200 OK\r\n",
                    ],
                    *[b"HTTP/0.9 200 OK\r\n", b"HTTP/1.1 200 OK\n", b"\r\nHTTP/1.1 200 OK\r\n", b"HTTP/1.1 020 OK\r\n"],
                ],
                "other status": [b"HTTP/1.1 %d Reason\r\n" % self.random.choice([201, 203, 204, 206, 404, 500])],
            },
        )

    def _coded(self, body: bytes) -> tuple[list[bytes], bytes]:
        coding = self.random.choice(["", "", "gzip", "deflate"])
        kind = self._pick([b"text/plain"], {"gzip file": [b"application/gzip"], "no type": [b""]})
        types = [b"Content-Type: " + kind] if kind else []
        if not coding:
            header = self._pick(
                [b""],
                {
                    "no coding": [b"UTF-8", b"none", b"binary", b"aws-chunked", b"identity", b"x", b"identity, none"],
                    "foreign": [b"br", b"zstd", b"compress", b"exi"],
                    "not in it": [b"gzip", b"deflate", b"x-gzip"],
                },
            )
            return [*types, *([b"Content-Encoding: " + header] if header else [])], body
        coded = gzip.compress(body, 1) if coding == "gzip" else zlib.compress(body, 1)
        if coding == "deflate" and self.random.random() < 0.3:
            self.odd.add("no frame of zlib's")
            packer = zlib.compressobj(wbits=-15)
            coded = packer.compress(body) + packer.flush()
        half = self.random.randrange(len(coded))
        member = gzip.compress(b"more")
        coded = self._pick(
            [coded],
            {
                "cut": [coded[:half], coded[:-1]],
                "damaged": [coded[:half] + bytes([coded[half] ^ 0x55]) + coded[half + 1 :]],
                "after the coding": [coded + b"\0" * 10, coded + b"more", coded + b"\x1f\x8b"],
                "member": [coded + member, coded + gzip.compress(b""), coded + member[:-4], coded + member[:12]],
                "twice": [gzip.compress(coded)],
            },
        )
        header = {"gzip": b"gzip", "deflate": b"deflate"}[coding]
        header = self._pick([header], {"spelling": [header.upper(), b"x-gzip", header + b", none", b" , " + header]})
        if "twice" in self.odd:
            header += b", gzip"
        return [*types, b"Content-Encoding: " + header], coded

    def _framed(self, body: bytes) -> tuple[list[bytes], bytes]:
        size = len(body)
        framing = self.random.choice(["length", "length", "chunks", "end"])
        if framing == "end":
            return [], body
        if framing == "length":
            value = self._pick(
                [b"%d" % size],
                {
                    "length": [
                        *[b"%d, %d" % (size, size), b"%d,%d" % (size, size + 1), b"-1", b"abc", b"", b"+%d" % size],
                        *[b"0%d" % size, b"%d " % size, b"%d;a" % size, b"0x%x" % size, b"9" * 20, b"%d.0" % size],
                    ],
                    "too long": [b"%d" % (size + 1)],
                    "too short": [b"%d" % max(0, size - 1)],
                },
            )
            return [b"Content-Length: " + value], body
        value = self._pick(
            [b"chunked"],
            {
                "transfer coding": [
                    *[b"Chunked", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"identity", b"xchunked"],
                    *[b"chunked;a", b'"chunked"', b"chunked, identity", b"identity, chunked", b"", b"gzip"],
                ]
            },
        )
        lines = [b"Transfer-Encoding: " + value]
        if self.random.random() < self.oddity:
            self.odd.add("length beside chunks")
            lines.append(b"Content-Length: %d" % size)
        return lines, self._chunks(body)

    def _chunks(self, body: bytes) -> bytes:
        sent, at = b"", 0
        while at < len(body):
            piece = body[at : at + self.random.choice([1, 10, 1_000, 20_000])] if at < 50 else body[at:]
            at += len(piece)
            size = self._pick(
                [b"%x" % len(piece), b"%X" % len(piece)],
                {
                    "extension": [b"%x;a=b" % len(piece), b'%x ; a = "b;c"' % len(piece)],
                    "chunk size": [
                        *[b"+%x" % len(piece), b"0x%x" % len(piece), b"%x " % len(piece), b" %x" % len(piece)],
                        *[
                            b"%x" % (len(piece) + 1),
                            b"%x" % (len(piece) - 1),
                            b"",
                            b"-%x" % len(piece),
                            b"%x,1" % len(piece),
                        ],
                        b"0" * 17 + b"%x" % len(piece),
                    ],
                },
            )
            ends = {"chunk end": [b"\n", b"\r", b"", b"XX", b"\r\n\r\n"]}
            sent += size + self._pick([b"\r\n"], ends) + piece + self._pick([b"\r\n"], ends)
        return sent + self._pick(
            [b"0\r\n\r\n", b"000\r\n\r\n", b"0\r\nX: y\r\n\r\n"],
            {
                "last empty line": [b"0\r\n"],
                "last chunk": [
                    b"",
                    b"0",
                    b"-0\r\n\r\n",
                    b"0\n\n",
                    b"0\r\nX: y\r\n",
                    b"0\r\nno colon\r\n\r\n",
                    b"0;a\r\n\r\n",
                ],
                "after the body": [b"0\r\n\r\nmore", b"0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"],
            },
        )

    def _others(self) -> list[bytes]:
        lines = [b"Server: a", b"Date: Thu, 01 Jan 2026 00:00:00 GMT", b"Set-Cookie: a=b"]
        lines = self.random.sample(lines, self.random.randrange(4))
        line = self._pick(
            [b""],
            {
                "no colon": [b"no colon", b"<!-- made by a script -->", b"HTTP/1.1 200 OK"],
                "name": [b"X\xe2: a", b"a b: c", b": no name", b"X\x80-Y: 1"],
                "space before the colon": [b"X : y"],
                "fold": [b"X: a\r\n b", b"X: a\r\n\tContent-Length: 3"],
                "bare CR": [b"X: a\rContent-Length: 3", b"X: a\r"],
                "NUL": [b"X: a\0b"],
                "connection": [b"Connection: close", b"Connection: keep-alive", b"Keep-Alive: timeout=5"],
                "many": [b"\r\n".join(b"X-Debug-%d: %d" % (at, at) for at in range(150))],
                "range": [b"Content-Range: bytes 0-4/5"],
            },
        )
        return lines + ([line] if line else [])

    def _redirect(self) -> bytes:
        usual = [
            b"b",
            b"/b",
            b"../b",
            b"?q",
            b"b?q#f",
            b"//127.0.0.1:PORT/b",
            b"http://127.0.0.1:PORT/c/../b",
            b"./.",
            b"..//b",
        ]
        target = self._pick(
            usual,
            {
                "reference": [
                    b"",
                    b"?",
                    b"#f",
                    b"/a//b",
                    b"b//c",
                    b"http:b",
                    b"/..",
                    b"a/./b/..",
                    b"/a/http://x/../b",
                    b";p",
                ],
                "beyond ASCII": [b"/jos\xe9", b"/caf\xc3\xa9?\xe9", b"/\x83\x65"],
                "escapes": [b"/%7Ea", b"/%2e%2e/b", b"/a%2fb", b"/%", b"/%zz", b"/a b", b"/a|b", b"/{a}", b'/"a"'],
                "backslash": [b"\\b", b"/a\\b", b"\\\\127.0.0.1:PORT\\b"],
                "scheme": [b"HTTP://127.0.0.1:PORT/b", b"ftp://127.0.0.1:PORT/b", b"file:///etc/passwd", b"mailto:a@b"],
            },
        )
        status = self.random.choice([301, 302, 303, 307, 308])
        lines = [b"Location: " + target, b"Content-Length: 0", *self._others()]
        return b"HTTP/1.1 %d Moved\r\n" % status + self._joined(lines)

    def _joined(self, lines: Iterable[bytes]) -> bytes:
        ends = {"bare LF": [b"\n"], "line end": [b"\r\r\n", b"\r"]}
        mild = self.oddity
        self.oddity = mild / 5  # for every line
        joined = b"".join(line + self._pick([b"\r\n"], ends) for line in lines) + self._pick([b"\r\n"], ends)
        self.oddity = mild
        return joined


def _is_odd(sent: Sent, code: int, codes: set[int], *parts: str) -> bool:
    return code in codes and not sent.odd.isdisjoint(parts)


CHUNKS = ("last chunk", "chunk size", "chunk end")
# docs/fetching.md names them. Each holds where the answer has an odd part that it is about, and curl
# ended with an exit code that says so; 0 where it stores other bytes.
DECISIONS: dict[str, Callable[[Sent, int], bool]] = {
    "a line that cannot be read is passed over": lambda s, code: _is_odd(s, code, {8, 43}, "no colon", "name", *CHUNKS),
    "the last empty line may be missing": lambda s, code: _is_odd(s, code, {18}, "last empty line", *CHUNKS),
    "a name of no coding says nothing": lambda s, code: _is_odd(s, code, {61}, "no coding", "spelling"),
    "a gzip file is kept": lambda s, code: _is_odd(s, code, {0, 61, 23}, "gzip file"),
    "another gzip member counts": lambda s, code: _is_odd(s, code, {0, 23, 56, 61}, "member"),
    "what is no member is ignored": lambda s, code: _is_odd(s, code, {0, 23, 56, 61}, "after the coding"),
    "backslashes are slashes": lambda s, code: _is_odd(s, code, {0, 3, 6}, "backslash"),
    "deflate may lack the frame of zlib, in any pieces": lambda s, code: _is_odd(s, code, {61}, "no frame of zlib's"),
    "escaped dots are dots": lambda s, code: b"%2e" in s.data and code == 0,
    "http: before a relative reference": lambda s, code: b"Location: http:b" in s.data and code == 3,
}


@dataclass
class Result:
    """What came of a run."""

    counts: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """Answers of which both stored the same bytes."""
        return self.counts["both store the same"]


def compare(answers: int, seed: int) -> Result:
    """Fetch so many answers with both."""
    maker = Maker(random.Random(seed))
    all_sent = [maker.answer() for _ in range(answers)]
    result = Result()

    def answer(visit: Visit) -> None:
        path = visit.target
        number = re.fullmatch(r"/d/(\d+)", path)
        if number:
            visit.send(all_sent[int(number[1])].data.replace(b"PORT", b"%d" % visit.site.port))
        else:
            visit.send(response(b"at " + _decoded(path), headers={"Connection": "close"}))
        raise Close

    limits = FetchLimits(connect_seconds=60, total_seconds=120, max_bytes=2**20)
    fetcher = Fetcher(limits=limits, policy=AddressPolicy(loopback_allowed=True), user_agent="test")
    with site(answer) as running, tempfile.TemporaryDirectory() as folder:
        for start in range(0, answers, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, answers))
            for number, (code, theirs) in zip(numbers, by_curl(running.port, numbers, Path(folder)), strict=True):
                sink = Kept()
                fetched = fetcher.fetch(f"{running.url}/d/{number}", sink)
                ours = sink.body if isinstance(fetched, Fetched) else None
                _judge(result, f"{seed}:{number}", all_sent[number], ours, code, theirs)
    fetcher.close()
    return result


def _decoded(path: str) -> bytes:
    """Escaped or not is the same here, but for a slash: curl sends what came, we send the normal form."""
    return b"%2F".join(map(unquote_to_bytes, re.split("%2f", path, flags=re.IGNORECASE)))


def by_curl(port: int, numbers: Sequence[int], folder: Path) -> list[tuple[int, bytes | None]]:
    """For each answer the exit code, and the bytes where curl ended with 0 and the status is 2xx.

    Each has a host name of its own: what came too much on one connection must not be taken for the next answer.
    """
    found: list[tuple[int, bytes | None]] = []
    while len(found) < len(numbers):
        at = len(found)
        config = "".join(
            f'url = "http://a{number}.test:{port}/d/{number}"\noutput = "{folder / str(number)}"\n'
            for number in numbers[at:]
        )
        ran = subprocess.run(
            [
                *CURL,
                "--connect-to",
                f"::127.0.0.1:{port}",
                "--write-out",
                "%{exitcode} %{http_code}\\n",
                "--config",
                "-",
            ],
            input=config,
            capture_output=True,
            text=True,
            check=False,  # its exit code is that of the last URL
        )
        for line in ran.stdout.splitlines():
            code, status = map(int, line.split())
            path = folder / str(numbers[len(found)])
            body = path.read_bytes() if path.exists() else b""
            path.unlink(missing_ok=True)
            found.append((code, body if code == 0 and 200 <= status < 300 else None))
        if len(found) == at:  # some errors end the whole run, after the line of their URL
            raise RuntimeError(f"curl printed nothing, and ended with {ran.returncode}: {ran.stderr}")
    return found


def _judge(result: Result, name: str, sent: Sent, ours: bytes | None, code: int, theirs: bytes | None) -> None:
    if ours is None:
        result.counts["neither stores" if theirs is None else "only curl stores"] += 1
    elif ours == theirs:
        result.counts["both store the same"] += 1
    else:
        why = next((why for why, holds in DECISIONS.items() if holds(sent, code)), None)
        result.counts[f"we store what curl does not: {why}"] += 1
        if why is None:
            result.unexplained.append(f"{name} {sorted(sent.odd)} curl {code}: {sent.data[:600]!r}")
            result.unexplained[-1] += f"\n    ours {ours[:60]!r}, curl's {theirs and theirs[:60]!r}"


def version() -> str:
    """The first line of `curl --version`; nothing where there is no curl."""
    if shutil.which("curl") is None:
        return ""
    return subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def main(answers: int = 10_000, seed: int = 1) -> int:
    """Compare and print; 1 where a difference is no decision."""
    print(version())
    result = compare(answers, seed)
    for name, count in result.counts.most_common():
        print(f"{count:7,}  {name}")
    print(*result.unexplained, sep="\n")
    return bool(result.unexplained)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
