"""The whole local stack beside the same job on Celery, taskiq and RQ, and beside bare `requests` as the floor.

    python -m bench.stack [--runs N] [--urls 1000] [--no-peers] [--quick] [--plot [PNG]]

Each run starts every system afresh, one after another, in an order that moves on by one from run to run. The medians
of the runs are shown; a ratio is the median of the runs' own ratios. The peers need redis-server, and bring their
libraries into `.bench` the first time.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bench.peers import environment
from bench.peers.errors import BenchError, told
from bench.peers.processes import PROJECT, Disturbance, interruptible
from bench.peers.report import Results, middle, speed_of_new, speed_of_slow, tables
from bench.peers.runs import SLOW_MILLISECONDS, Figures, Load, run, run_bare
from bench.peers.site import Site, serving
from bench.peers.systems import System, other_libraries, ours
from bench.tables import Table, machine

BARE = "bare requests, 32 threads"

_MOST_URLS = 1000  # a batch of Fetch Queue
_SINGLE_JOBS = 20  # in all runs together, at the least
_QUICK = Load(urls=200, of_one_host=100, single_jobs=5)
PLOT = PROJECT / "docs" / "images" / "bench-stack.png"
_PLOT_SECONDS = 60


def measure(runs: int, peers: bool, *, load: Load | None = None, plot: Path | None = None) -> list[Table]:
    """Run everything, and draw the plot when a path is given. Raises BenchError; nothing that it started is left then,
    nor after Ctrl-C, SIGTERM or SIGHUP, each of which is KeyboardInterrupt while it runs.

    It takes some two minutes a run with the peers on two idle cores, and half a minute without.
    """
    load = load or Load(single_jobs=math.ceil(_SINGLE_JOBS / runs))
    systems = [ours(), *(_others() if peers else [])]
    before, disturbance = machine(), Disturbance()
    with interruptible(), serving() as site:
        speed = site.requests_per_second()
        results = _results(systems, load, site, runs)
    others = f"{disturbance.percent:.0f}% of the cores' time went to other programs meanwhile"
    if plot is not None:
        _draw(results, plot)
    return tables(results, [f"Measured on {before}; {others}. Runs: {runs}.", _about_site(speed)])


def _others() -> list[System]:
    redis = environment.redis_server()
    return other_libraries(environment.install(_say), redis)


def _results(systems: Sequence[System], load: Load, site: Site, runs: int) -> dict[str, list[Figures]]:
    results: dict[str, list[Figures]] = {name: [] for name in [*(system.name for system in systems), BARE]}
    for number in range(runs):
        first = number % len(systems)
        for system in [*systems[first:], *systems[:first]]:
            key = f"{number}-{systems.index(system)}"
            results[system.name].append(_told(number, system.name, partial(run, system, load, site, key)))
        results[BARE].append(_told(number, BARE, partial(run_bare, load, site, f"{number}-bare")))
    return results


def _told(number: int, name: str, measured: Callable[[], Figures]) -> Figures:
    began = time.monotonic()
    figures = measured()
    speeds = f"{figures.new.jobs_per_second:,.0f} and {figures.slow.jobs_per_second:,.0f} jobs/s"
    _say(f"run {number + 1}, {name}: {speeds}, {time.monotonic() - began:.0f} s")
    return figures


def _about_site(speed: float) -> str:
    return f"The site, a process of its own, answers {speed:,.0f} requests a second when they are pipelined."


def _draw(results: Results, path: Path) -> None:
    """Draw the speeds, in the environment that has the library for it."""
    python = environment.install(_say) / "python"
    facts = {
        "systems": list(results),
        "series": {
            "the site takes 0 ms": [middle(speed_of_new, figures) for figures in results.values()],
            f"the site takes {SLOW_MILLISECONDS} ms": [middle(speed_of_slow, figures) for figures in results.values()],
        },
    }
    command = [str(python), "-m", "bench.peers.apps.plot", str(path.resolve())]
    try:
        subprocess.run(  # noqa: S603 - a program of the benchmark's own
            command, cwd=PROJECT, input=json.dumps(facts), text=True, check=True, timeout=_PLOT_SECONDS
        )
    except subprocess.SubprocessError as error:
        raise BenchError(f"the plot was not drawn: {error}") from error


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.stack", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="how often everything is measured; medians are shown")
    parser.add_argument("--urls", type=int, default=_MOST_URLS, help="of a batch, 1,000 at the most")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="the other libraries too")
    parser.add_argument("--quick", action="store_true", help="one run of few URLs, to see that it works")
    parser.add_argument("--plot", type=Path, nargs="?", const=PLOT, help=f"draw the speeds, as a PNG: {PLOT}")
    arguments = parser.parse_args()
    if arguments.runs < 1 or not 1 <= arguments.urls <= _MOST_URLS:
        parser.error(f"at least one run, and 1 to {_MOST_URLS} URLs")
    return arguments


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    runs, load = arguments.runs, Load(urls=arguments.urls, single_jobs=math.ceil(_SINGLE_JOBS / arguments.runs))
    if arguments.quick:
        runs, load = 1, _QUICK
    with told():
        tables = measure(runs, arguments.peers, load=load, plot=arguments.plot)
    print("\n\n".join(str(table) for table in tables))


if __name__ == "__main__":
    main()
