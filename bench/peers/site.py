"""The site that every system fetches from: a process of its own that does next to nothing and counts what it is asked.

`/<set>/<milliseconds>/<bytes>/<number>` is a page of so many bytes, answered after so many milliseconds;
`/counts/<set>` says how often each page of a set was asked for. The local stack's sample site starts a thread for each
connection and answers some thousand requests a second, which would be a part of what is measured.

It listens on as many ports as there are requests in flight, and URLs take them by turns: each port is a host. Otherwise
Fetch Queue's care for one host would be measured, and not its speed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from bench.connection import Connection
from bench.peers.client import ask, checked
from bench.peers.processes import started
from local_stack import lifeline, sockets

PAGE_BYTES = 1024
HOSTS = 64  # a host's pool of connections is kept by who has no more of them than this

_PROBES = 20_000  # requests that find out how fast it is
_PROBES_AT_ONCE = 100


class Client(Connection):
    """One client of the site."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()
        self._counts = counts

    def asked(self, path: str) -> None:
        """Answer a request for a path."""
        name, _, rest = path[1:].partition("/")
        if name == "counts":
            self._send(json.dumps({page: n for page, n in self._counts.items() if page.startswith(f"/{rest}/")}))
            return
        self._counts[path] += 1
        if milliseconds := int(rest.partition("/")[0]):
            asyncio.get_running_loop().call_later(milliseconds / 1000, self._send, page(path))
        else:
            self._send(page(path))

    def _send(self, body: str) -> None:
        self.send(answer(body))


def answer(body: str) -> str:
    """An HTTP answer."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n{body}"


def page(path: str) -> str:
    """What is served at `path`: it names the path, so that a result tells whose it is."""
    return path.ljust(int(path.split("/")[3]), ".")


def url_of(hosts: Sequence[str], path: str) -> str:
    """The URL of a page: its number says which host has it."""
    return f"{hosts[int(path.rpartition('/')[2]) % len(hosts)]}{path}"


class Site:
    """The site's process, as others see it."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.hosts = hosts  # the beginnings of its URLs

    def urls(self, name: str, number: int, milliseconds: int = 0, size: int = PAGE_BYTES) -> list[str]:
        """So many pages of the set `name`, of all hosts by turns."""
        return [url_of(self.hosts, f"/{name}/{milliseconds}/{size}/{n}") for n in range(number)]

    def urls_of_one_host(self, name: str, number: int, milliseconds: int = 0) -> list[str]:
        """So many pages of the set `name`, all of one host."""
        return self.urls(name, number * len(self.hosts), milliseconds)[:: len(self.hosts)]

    def page(self, url: str) -> bytes:
        """What is served at `url`."""
        return page(urlsplit(url).path).encode()

    def requests(self, name: str) -> dict[str, int]:
        """How often each URL of the set `name` was asked for."""
        counts: dict[str, int] = json.loads(checked(ask("GET", f"{self.hosts[0]}/counts/{name}"), 200))
        return {url_of(self.hosts, path): count for path, count in counts.items()}

    def requests_per_second(self) -> float:
        """How fast it is: a burst of pipelined requests, so that the asking costs next to nothing."""
        host, port = self.hosts[0].removeprefix("http://").split(":")
        burst = b"GET /probe/0/1024/0 HTTP/1.1\r\nHost: site\r\n\r\n" * _PROBES_AT_ONCE
        answers = len(answer(page("/probe/0/1024/0"))) * _PROBES_AT_ONCE
        began = time.perf_counter()
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            for _ in range(0, _PROBES, _PROBES_AT_ONCE):
                connection.sendall(burst)
                missing = answers
                while missing:
                    missing -= len(connection.recv(missing))
        return _PROBES / (time.perf_counter() - began)


@contextmanager
def serving() -> Iterator[Site]:
    """The site, in a process that ends with the block."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(sockets.listen(0, "SITE_PORT")) for _ in range(HOSTS)]
        descriptors = [listener.fileno() for listener in listeners]
        command = [sys.executable, "-m", "bench.peers.site", "--descriptors", *map(str, descriptors)]
        stack.enter_context(started("the site", command, descriptors=descriptors, stdin=subprocess.PIPE))
        yield Site([sockets.url_of(listener) for listener in listeners])


async def _serve(listeners: Sequence[socket.socket]) -> None:
    counts: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    lifeline.watch(lambda: loop.call_soon_threadsafe(ended.set))
    servers = [await loop.create_server(lambda: Client(counts), sock=listener, backlog=1024) for listener in listeners]
    await ended.wait()
    for server in servers:
        server.close()


def main() -> None:
    """Serve until told to end, or until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.site", description=__doc__)
    parser.add_argument("--descriptors", type=int, nargs="+", required=True, help="accept on these listening sockets")
    asyncio.run(_serve([socket.socket(fileno=descriptor) for descriptor in parser.parse_args().descriptors]))


if __name__ == "__main__":
    main()
