"""A site that takes so many requests a second and refuses the rest: a process of its own, on loopback.

`/told` says what it has been asked, as JSON; every other path is a page. A bucket of tokens holds as many as the site
takes in a second, and is full at first.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.bucket import Bucket
from bench.connection import Connection
from bench.peers.client import ask, checked
from bench.peers.processes import started
from local_stack import lifeline, sockets

WAVE_SECONDS = 1.5  # refusals that are further apart are of two waves: a host that refused is left alone for 2 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the site has seen. Times are seconds since its first request."""

    taken: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    @property
    def waves(self) -> int:
        """How often it began to refuse."""
        before = [float("-inf"), *self.refused]
        return sum(at - last > WAVE_SECONDS for last, at in zip(before, self.refused, strict=False))

    @property
    def gaps(self) -> list[float]:
        """The seconds between two requests, whatever it answered."""
        asked = sorted([*self.taken, *self.refused])
        return [later - earlier for earlier, later in itertools.pairwise(asked)]

    @property
    def median_gap(self) -> float:
        """The middle one of the gaps, in seconds."""
        return median(self.gaps)


class Client(Connection):
    """One client of the site."""

    def __init__(self, bucket: Bucket, told: dict[str, list[float]], retry_after: str) -> None:
        super().__init__()
        self._bucket = bucket
        self._told = told
        self._retry_after = retry_after

    def asked(self, path: str) -> None:
        """Answer a request for a path."""
        now = time.monotonic()
        if path == "/told":
            self._send("200 OK", json.dumps(self._told))
        elif self._bucket.take(now):
            self._told["taken"].append(now)
            self._send("200 OK", f"This is {path}.\n")
        else:
            self._told["refused"].append(now)
            wait = f"Retry-After: {self._retry_after}\r\n" if self._retry_after else ""
            self._send("429 Too Many Requests", "Not so fast.\n", wait)

    def _send(self, status: str, body: str, header: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{header}Content-Length: {len(body)}\r\n\r\n"
        self.send(head + body)


class LimitedSite:
    """The site's process, as others see it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def urls(self, count: int) -> list[str]:
        """So many pages."""
        return [f"{self.url}/{number}" for number in range(count)]

    def told(self) -> Told:
        """What it has seen."""
        seen: dict[str, Any] = json.loads(checked(ask("GET", f"{self.url}/told"), 200))
        first = min([*seen["taken"], *seen["refused"]], default=0.0)
        return Told(**{name: [at - first for at in times] for name, times in seen.items()})


@contextmanager
def serving(rate: float, retry_after: str = "1") -> Iterator[LimitedSite]:
    """The site, in a process that ends with the block. An empty `retry_after`: it does not say how long to wait."""
    with sockets.listen(0, "SITE_PORT") as listener:
        command = [sys.executable, "-m", "bench.limited_site", "--descriptor", str(listener.fileno())]
        command += ["--rate", str(rate), "--retry-after", retry_after]
        with started("the limited site", command, descriptors=[listener.fileno()], stdin=subprocess.PIPE):
            yield LimitedSite(sockets.url_of(listener))


async def _serve(listener: socket.socket, rate: float, retry_after: str) -> None:
    bucket = Bucket.full(rate, time.monotonic())
    told: dict[str, list[float]] = {"taken": [], "refused": []}
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    lifeline.watch(lambda: loop.call_soon_threadsafe(ended.set))
    server = await loop.create_server(lambda: Client(bucket, told, retry_after), sock=listener, backlog=1024)
    await ended.wait()
    server.close()


def main() -> None:
    """Serve until told to end, or until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.limited_site", description=__doc__)
    parser.add_argument("--descriptor", type=int, required=True, help="accept on this listening socket")
    parser.add_argument("--rate", type=float, required=True, help="requests a second that it takes")
    parser.add_argument("--retry-after", default="", help="what it says to who is refused")
    given = parser.parse_args()
    asyncio.run(_serve(socket.socket(fileno=given.descriptor), given.rate, given.retry_after))


if __name__ == "__main__":
    main()
