"""One URL that everybody submits at once, on the running stack: how many a second, and that its site is asked once.

    python -m bench.storm                   # about two minutes
    python -m bench.storm --submissions 500

The local stack runs as a person starts it; the site is a process of its own. First 50 clients submit a URL that nobody
has asked for yet; then so many submissions join its fetch, in batches of up to 1,000 and one by one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.peers.client import ask, checked
from bench.peers.errors import BenchError, told
from bench.peers.processes import interruptible
from bench.peers.site import serving
from bench.peers.systems import fetch_queue
from bench.tables import Table, machine

CLIENTS = 50
A_BATCH = 1000  # URLs
_SECONDS = 60.0  # for the first fetch


def measure(submissions: int) -> Table:
    """Submit, and count what the site sees. Raises BenchError for an answer but 202, and for a second request."""
    rows = []
    with serving() as site, fetch_queue() as running:
        (url,) = site.urls("storm", 1)

        def post(path: str, body: object) -> Any:
            return json.loads(checked(ask("POST", running.api + path, body), 202))

        def one(_: object) -> Any:
            return post("/jobs", {"url": url})

        def several(count: int) -> Any:
            return post("/batches", {"urls": [url] * count})

        rows.append(_row("a URL that is new", one, range(CLIENTS), CLIENTS))
        _await_first(running.api, one(None)["id"])
        batches = [min(A_BATCH, submissions - at) for at in range(0, submissions, A_BATCH)]
        rows.append(_row("its repeats, in batches", several, batches, submissions))
        rows.append(_row("its repeats, one by one", one, range(submissions), submissions))
        if sum(site.requests("storm").values()) != 1:
            raise BenchError(f"the site was asked more than once: {site.requests('storm')}")
    return Table(
        title="One URL that everybody submits at once",
        columns=["what", "submissions", "clients", "seconds", "a second"],
        rows=rows,
        notes=[f"On {machine()}. Every answer was a 202, and the site was asked once."],
    )


def _row(what: str, submit: Callable[[Any], Any], given: Sequence[Any], submissions: int) -> list[str]:
    clients = min(CLIENTS, len(given))
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(submit, given))
    seconds = time.perf_counter() - began
    return [what, f"{submissions:,}", str(clients), f"{seconds:.1f}", f"{submissions / seconds:,.0f}"]


def _await_first(api: str, job_id: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while json.loads(checked(ask("GET", f"{api}/jobs/{job_id}"), 200))["status"] != "succeeded":
        if time.monotonic() > deadline:
            raise BenchError(f"the URL was not fetched within {_SECONDS:g} s")
        time.sleep(0.1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.storm", description=__doc__.partition("\n")[0])
    parser.add_argument("--submissions", type=int, default=5000, help="that join the fetch, each way")
    given = parser.parse_args()
    if given.submissions < 1:
        parser.error("at least one submission")
    with told(), interruptible():
        print(measure(given.submissions))


if __name__ == "__main__":
    main()
