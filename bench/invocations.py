"""One process of the job runner under load: what its invocations take. A child of `bench.worker`.

    python -m bench.invocations {"batches": [[url, ...], ...], "at_once": 1}

as JSON from standard input; it prints figures as JSON. The runner is the one that `chalicelib.wiring` makes; AWS is
what AWS_ENDPOINT_URL says.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import aws
from bench.peers.processes import on_one_core
from chalicelib import wiring
from chalicelib.jobs.submitted import NO_HEADERS, RequestHeaders
from chalicelib.runner.fetcher import Fetcher
from chalicelib.runner.outcome import Failure, Fetched, Sink

WARM_UP = 1  # batch that makes connections and fills caches


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a load took; seconds and bytes."""

    jobs: int
    seconds: float
    cpu: float
    over_slowest: list[float]  # of each batch: its time over that of its slowest fetch
    memory: int  # the most, of the whole process


def _most_memory() -> int:
    """Bytes, resident. Not by getrusage, which tells the parent's where that was larger when it began."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    """Run what standard input names."""
    on_one_core()
    load = json.load(sys.stdin)
    slowest: dict[str, float] = {}
    fetch = Fetcher.fetch

    def timed(self: Fetcher, url: str, sink: Sink, request_headers: RequestHeaders = NO_HEADERS) -> Fetched | Failure:
        began = time.perf_counter()
        outcome = fetch(self, url, sink, request_headers)
        slowest[url] = time.perf_counter() - began
        if not isinstance(outcome, Fetched):
            raise RuntimeError(f"{url} was not fetched: {outcome}")
        return outcome

    Fetcher.fetch = timed  # type: ignore[method-assign]
    runner = wiring.runner()

    def invoke(urls: list[str]) -> float:
        began = time.perf_counter()
        left = runner.run_jobs(aws.records(urls), lambda: 1000.0)
        if left:
            raise RuntimeError(f"{len(left)} of {len(urls)} messages were left")
        return (time.perf_counter() - began) / max(slowest[url] for url in urls)

    with ThreadPoolExecutor(load["at_once"]) as pool:
        batches = load["batches"]
        warm_up = WARM_UP * load["at_once"]
        list(pool.map(invoke, batches[:warm_up]))
        cpu, began = time.process_time(), time.perf_counter()
        over_slowest = list(pool.map(invoke, batches[warm_up:]))
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    taken = Taken(
        jobs=sum(map(len, batches[warm_up:])),
        seconds=seconds,
        cpu=cpu,
        over_slowest=over_slowest,
        memory=_most_memory(),
    )
    print(json.dumps(asdict(taken)))


if __name__ == "__main__":
    main()
