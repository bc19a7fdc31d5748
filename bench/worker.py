"""The job runner beside bare `requests`: invocations of ten messages, AWS answered by a stub, sites that take a while.

    python -m bench.worker [--runs N]

Each case is a process of its own: `bench.invocations`, the runner as `chalicelib.wiring` makes it, or
`bench.peers.bare`, threads that do nothing but fetch. They take turns; medians of the runs are shown, and a ratio is
the median of the runs' own ratios.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from bench import aws
from bench.invocations import WARM_UP, Taken
from bench.peers.bare import THREADS
from bench.peers.errors import told
from bench.peers.processes import Disturbance, interruptible, told_by
from bench.peers.site import Site, serving
from bench.tables import Table, machine
from local_stack.environment import scrubbed

BATCH = 10  # messages of an invocation
AT_ONCE = 3  # invocations in one process, for the comparison with 32 threads
SITE_MILLISECONDS = (0, 50, 500)
SIZES = (1024, 100 * 1024)
AWS_MILLISECONDS = (0, 5)
BATCHES = {0: 20, 50: 12, 500: 5}  # that are measured, by the site's milliseconds
RUNS = 3

# At sites that answer in 500 ms
MOST_OVER_SLOWEST, LEAST_OVER_BARE = 1.2, 0.9
MOST_CPU_MILLISECONDS = 3.5  # a new job

_NAMES = {"TABLE_NAME": "fetch-queue", "BUCKET_NAME": "fetch-queue", "FUNCTION_ROLE": "runner"}


@dataclass(frozen=True, slots=True)
class Bare:
    """What fetching alone took; seconds, and CPU seconds."""

    jobs: int
    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A site's pages."""

    milliseconds: int
    size: int

    @property
    def text(self) -> str:
        """As a table has it."""
        return f"{self.milliseconds} ms, {self.size // 1024} KiB"


@dataclass(slots=True)
class Measured:
    """What one case took, run by run."""

    ten: list[Bare] = field(default_factory=list)  # with as many threads as a batch has messages
    many: list[Bare] = field(default_factory=list)  # with 32 threads
    one: dict[int, list[Taken]] = field(default_factory=dict)  # one invocation at a time, by AWS's milliseconds
    three: dict[int, list[Taken]] = field(default_factory=dict)


class _Loads:
    """Starts the processes, with URLs that nobody has fetched."""

    def __init__(self, site: Site, endpoints: dict[int, str]) -> None:
        self._site = site
        self._endpoints = endpoints
        self._sets = 0

    def bare(self, case: Case, threads: int) -> Bare:
        urls = self._urls(case, BATCH * BATCHES[case.milliseconds] * max(1, threads // BATCH))
        reported = told_by(["bench.peers.bare", str(threads), "1"], urls)
        return Bare(len(urls), reported["seconds"], reported["cpu"])

    def runner(self, case: Case, aws_milliseconds: int, at_once: int) -> Taken:
        count = (BATCHES[case.milliseconds] + WARM_UP) * at_once
        urls = self._urls(case, BATCH * count)
        batches = [urls[at : at + BATCH] for at in range(0, len(urls), BATCH)]
        endpoint = self._endpoints[aws_milliseconds]
        queues = dict.fromkeys(("QUEUE_URL", "DEAD_LETTER_QUEUE_URL"), f"{endpoint}/queue")
        reported = told_by(
            ["bench.invocations"],
            {"batches": batches, "at_once": at_once},
            {**scrubbed(os.environ, endpoint), **_NAMES, **queues},
        )
        return Taken(**reported)

    def _urls(self, case: Case, number: int) -> list[str]:
        self._sets += 1
        return self._site.urls(f"set{self._sets}", number, case.milliseconds, case.size)


def measure(runs: int = RUNS) -> list[Table]:
    """Run everything. Raises BenchError; nothing that it started is left then. Of the main thread only.

    It takes about a minute a run.
    """
    before, disturbance = machine(), Disturbance()
    cases = [Case(milliseconds=milliseconds, size=size) for milliseconds in SITE_MILLISECONDS for size in SIZES]
    measured = {case: Measured() for case in cases}
    with interruptible(), serving() as site, ExitStack() as stack:
        endpoints = {ms: stack.enter_context(aws.answering(site.hosts, ms)) for ms in AWS_MILLISECONDS}
        loads = _Loads(site, endpoints)
        for number in range(runs):
            for case, m in measured.items():
                print(f"run {number + 1} of the worker, {case.text}", file=sys.stderr, flush=True)
                m.ten.append(loads.bare(case, BATCH))
                for aws_milliseconds in AWS_MILLISECONDS:
                    m.one.setdefault(aws_milliseconds, []).append(loads.runner(case, aws_milliseconds, 1))
                m.many.append(loads.bare(case, THREADS))
                for aws_milliseconds in AWS_MILLISECONDS:
                    m.three.setdefault(aws_milliseconds, []).append(loads.runner(case, aws_milliseconds, AT_ONCE))
    others = f"{disturbance.percent:.0f}% of the cores' time went to other programs meanwhile"
    return [_worker(measured, f"Measured on {before}; {others}. Runs: {runs}."), _aims(measured)]


def _speed(one: Taken | Bare) -> float:
    return one.jobs / one.seconds


def _cpu(some: Sequence[Taken | Bare]) -> float:
    return median(one.cpu / one.jobs for one in some) * 1000


def _over_bare(taken: Sequence[Taken], bare: Sequence[Bare]) -> float:
    return median(_speed(ours) / _speed(theirs) for ours, theirs in zip(taken, bare, strict=True))


def _over_slowest(taken: Sequence[Taken]) -> float:
    return median(median(one.over_slowest) for one in taken)


def _worker(measured: dict[Case, Measured], note: str) -> Table:
    rows = []
    for case, m in measured.items():
        for aws_milliseconds in AWS_MILLISECONDS:
            one, three = m.one[aws_milliseconds], m.three[aws_milliseconds]
            rows.append(
                [
                    case.text,
                    f"{aws_milliseconds} ms",
                    f"{_over_slowest(one):.2f}",
                    f"{median(map(_speed, one)):,.0f}",
                    f"{_over_bare(one, m.ten):.2f}",
                    f"{median(map(_speed, three)):,.0f}",
                    f"{_over_bare(three, m.many):.2f}",
                    f"{_cpu(one):.1f}",
                    f"{_cpu(m.ten):.1f}",
                    f"{median(taken.memory for taken in [*one, *three]) / 2**20:.0f}",
                ]
            )
    return Table(
        "The worker: invocations of ten new URLs",
        [
            "site",
            "an AWS call",
            "batch over its slowest fetch",
            "jobs/s",
            f"over {BATCH} bare threads",
            f"{AT_ONCE} at once: jobs/s",
            f"over {THREADS} bare threads",
            "CPU ms a job",
            "CPU ms, bare",
            "peak MiB",
        ],
        rows,
        [
            note,
            f"{AT_ONCE} invocations at once in one process have {AT_ONCE * BATCH} fetches in flight: {THREADS} threads",
            f"could be {THREADS / AT_ONCE / BATCH:.2f} times as fast. AWS is a stub on loopback, without TLS; its CPU",
            "is not counted, the runner's calls to it are. Each process has one core, as a function of",
            "less than 1,769 MB has at the most; a site of 0 ms measures CPU alone.",
        ],
    )


def _aims(measured: dict[Case, Measured]) -> Table:
    rows = []
    for size in SIZES:
        m = measured[Case(milliseconds=500, size=size)]
        for aws_milliseconds in AWS_MILLISECONDS:
            one = m.one[aws_milliseconds]
            over_slowest, over_bare = _over_slowest(one), _over_bare(one, m.ten)
            where = f"500 ms, {size // 1024} KiB, an AWS call {aws_milliseconds} ms"
            rows.append([f"a batch over its slowest fetch: {where}", f"{over_slowest:.2f}", f"{MOST_OVER_SLOWEST}"])
            rows[-1].append(_met(over_slowest <= MOST_OVER_SLOWEST))
            rows.append([f"jobs/s over {BATCH} bare threads: {where}", f"{over_bare:.2f}", f"{LEAST_OVER_BARE}"])
            rows[-1].append(_met(over_bare >= LEAST_OVER_BARE))
    cpu = _cpu(measured[Case(milliseconds=0, size=SIZES[0])].one[0])
    rows.append(["CPU ms a new job: 0 ms, 1 KiB", f"{cpu:.1f}", f"{MOST_CPU_MILLISECONDS}"])
    rows[-1].append(_met(cpu <= MOST_CPU_MILLISECONDS))
    return Table("The worker's aims", ["what", "measured", "aim", ""], rows)


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="how often everything is measured; medians are shown")
    with told():
        tables = measure(parser.parse_args().runs)
    print("\n\n".join(str(table) for table in tables))


if __name__ == "__main__":
    main()
