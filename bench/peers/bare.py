"""The floor: `requests` with so many threads, 32 where nothing is said, that do nothing but fetch.

    python -m bench.peers.bare [threads [cores]]

Reads URLs as JSON from standard input, fetches them once, and prints what that took as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import requests
from requests.adapters import HTTPAdapter

from bench.peers.processes import memory_bytes, on_one_core
from bench.peers.site import HOSTS

THREADS = 32


def main(threads: int = THREADS, cores: int = 0) -> None:
    """Fetch what standard input names, on one core where that is said."""
    if cores == 1:
        on_one_core()
    urls: list[str] = json.load(sys.stdin)
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_connections=HOSTS, pool_maxsize=threads))

    def fetch(url: str) -> bytes:
        answer = session.get(url, timeout=30)
        answer.raise_for_status()
        return answer.content

    cpu, began = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(fetch, urls))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    sizes = sum(len(result) for result in results)
    print(json.dumps({"seconds": seconds, "cpu": cpu, "bytes": sizes, "memory": memory_bytes([os.getpid()])}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
