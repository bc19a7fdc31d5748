"""What the guards of the fetcher cost: its time over that of plain `requests`, both with kept-alive connections.

    python -m bench.fetch_overhead [rounds] [fetches]

A site on loopback, in a process of its own, answers bodies of 1 KiB and of 1 MiB. The two take turns; the medians of
the rounds are compared.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from statistics import median
from threading import Thread

import requests

from bench.tables import Table
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.runner.fetcher import Fetcher, FetchLimits
from chalicelib.runner.outcome import Fetched

SIZES = {"1 KiB": 1024, "1 MiB": 1024 * 1024}


class Counted:
    """A sink that keeps nothing."""

    def begin(self, content_type: str) -> None:
        """The head has come."""

    def write(self, data: bytes) -> None:
        """A piece has come."""


def serve(port: Connection) -> None:
    """Answer each request with as many bytes as its path says, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    port.send(listener.getsockname()[1])
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Thread(target=_answer, args=(sock,), daemon=True).start()


def _answer(sock: socket.socket) -> None:
    while head := sock.recv(65536):
        size = int(head.split(b" ", 2)[1][1:])
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)


def timed(fetch: Callable[[], object], fetches: int) -> float:
    """Microseconds a fetch."""
    started = time.perf_counter()
    for _ in range(fetches):
        fetch()
    return (time.perf_counter() - started) / fetches * 1e6


def measure(rounds: int = 15, fetches: int = 200) -> list[Table]:
    """Fetch from a site that is started and ended here."""
    ours_end, theirs_end = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs_end,), daemon=True)
    server.start()
    try:
        rows = _rows(f"http://127.0.0.1:{ours_end.recv()}", rounds, fetches)
    finally:
        server.terminate()
        server.join()
    return [
        Table(
            "The safe fetch over plain requests",
            ["body", "fetcher, us", "requests, us", "ratio"],
            rows,
            [f"One thread, kept-alive connections, medians of {rounds} rounds in which the two take turns."],
        )
    ]


def _rows(base: str, rounds: int, fetches: int) -> list[list[str]]:
    policy = AddressPolicy(loopback_allowed=True)
    fetcher = Fetcher(limits=FetchLimits(), policy=policy, user_agent="bench")
    session = requests.Session()
    session.trust_env = False  # it costs 120 microseconds a request, and nobody should fetch strangers' URLs with it
    rows = []
    for name, size in SIZES.items():
        url = f"{base}/{size}"

        def guarded(url: str = url) -> None:
            if not isinstance(fetcher.fetch(url, Counted()), Fetched):
                raise RuntimeError("the fetch failed")

        def plain(url: str = url) -> None:
            digest = hashlib.sha256()  # both do the same work with the bytes
            with session.get(url, stream=True, timeout=30) as answer:
                answer.raise_for_status()
                for piece in answer.iter_content(16 * 1024):
                    digest.update(piece)

        count = fetches if size < 2**20 else max(1, fetches // 10)
        guarded()
        plain()
        pairs = [(timed(guarded, count), timed(plain, count)) for _ in range(rounds)]
        ours, theirs = median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)
        ratio = median(pair[0] / pair[1] for pair in pairs)
        rows.append([name, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ratio:.2f}"])
    fetcher.close()
    session.close()
    return rows


def main(rounds: int = 15, fetches: int = 200) -> None:
    """Print the table."""
    for table in measure(rounds, fetches):
        print(table)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
