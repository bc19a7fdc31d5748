"""Every benchmark, one after the other, in less than a quarter of an hour: `make bench`.

    python -m bench [--runs N] [--no-peers] [--plot]

Each part prints its tables as soon as it has them. What it starts it ends, after Ctrl-C too.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from bench import api, cost, fetch_overhead, pace_simulation, stack, worker
from bench.peers.errors import told
from bench.peers.processes import interruptible
from bench.tables import Table, machine

RUNS = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--runs", type=int, default=RUNS, help="of the worker and of the local stack; medians are shown"
    )
    parser.add_argument(
        "--peers", action=argparse.BooleanOptionalAction, default=True, help="other libraries, on Redis"
    )
    parser.add_argument("--plot", action="store_true", help="draw the curves too, in docs/images")
    given = parser.parse_args()
    if given.runs < 1:
        parser.error("at least one run")

    def stack_tables() -> list[Table]:
        return stack.measure(given.runs, given.peers, plot=stack.PLOT if given.plot else None)

    parts: dict[str, Callable[[], list[Table]]] = {
        "requests and cost": lambda: cost.measure(plot=cost.IMAGE if given.plot else None),
        "the worker": lambda: worker.measure(given.runs),
        "the safe fetch": fetch_overhead.measure,
        "the API": api.measure,
        "the local stack": stack_tables,
        "a host's pace, simulated": pace_simulation.measure,
    }
    print(f"# Benchmarks\n\nOn {machine()}.\n", flush=True)
    began = time.monotonic()
    with told(), interruptible():
        for name, measure in parts.items():
            print(f"{name} ...", file=sys.stderr, flush=True)
            for table in measure():
                print(table, end="\n\n", flush=True)
            print(f"{name}: done after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(f"All of it took {(time.monotonic() - began) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
