"""A host that takes so many requests a second and refuses the rest, on the running stack: how long its URLs take.

    python -m bench.pace                            # about seven minutes
    python -m bench.pace --urls 1000 --rates 10 50  # others
    python -m bench.pace --interval                 # a host that is asked every HOST_INTERVAL_MS

The local stack runs with BACKOFF_CAP_SECONDS=10. The site is a process of its own; each row has another port, and so a
host of which nothing is known. `--log FILE` keeps what the workers said.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.limited_site import LimitedSite, Told, serving
from bench.peers.client import ask, checked
from bench.peers.errors import BenchError, told
from bench.peers.processes import Disturbance, interruptible
from bench.peers.systems import Running, fetch_queue
from bench.tables import Table, machine

CAP_SECONDS = 10
RATES = (2.0, 10.0, 50.0)
COUNTS = (20, 60, 200)
INTERVAL_MS = 500
INTERVAL_URLS = 40

_OVER_IDEAL, _MORE_SECONDS = 2.5, 20.0  # what is aimed at, and the cap for each wave of refusals
_MOST_REFUSALS = 2  # for each URL
_PAUSE_SECONDS = 1.0  # between two questions for the batch's progress
_LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of a batch."""

    urls: int
    rate: float
    succeeded: int
    failed: int
    seconds: float
    told: Told

    @property
    def ideal(self) -> float:
        """How long it takes at the site's rate."""
        return self.urls / self.rate

    @property
    def limit(self) -> float:
        """How long it may take."""
        return _OVER_IDEAL * self.ideal + _MORE_SECONDS + CAP_SECONDS * self.told.waves

    @property
    def holds(self) -> bool:
        """Whether all came through in time, and few were refused."""
        all_came = self.succeeded == self.urls and not self.failed
        return all_came and self.seconds <= self.limit and len(self.told.refused) <= _MOST_REFUSALS * self.urls


def measure(
    counts: Sequence[int] = COUNTS, rates: Sequence[float] = RATES, retry_after: str = "1", log: Path | None = None
) -> list[Table]:
    """Run everything. Raises BenchError; nothing that it started is left then. Of the main thread only."""
    before, disturbance, rows = machine(), Disturbance(), list[Row]()
    with interruptible(), fetch_queue({"BACKOFF_CAP_SECONDS": str(CAP_SECONDS)}) as running:
        try:
            for rate in rates:
                for count in counts:
                    with serving(rate, retry_after) as site:
                        rows.append(_row(running, site, count, rate))
                        _say(str(_cells(rows[-1])))
        finally:
            _keep(running, log)
    others = f"{disturbance.percent:.0f}% of the cores' time went to other programs meanwhile"
    return [_table(rows, retry_after, f"Measured on {before}; {others}.")]


def measure_interval(log: Path | None = None) -> list[Table]:
    """The same for a host that is asked every HOST_INTERVAL_MS, and takes whatever comes."""
    settings = {"BACKOFF_CAP_SECONDS": str(CAP_SECONDS), "HOST_INTERVAL_MS": str(INTERVAL_MS)}
    with interruptible(), fetch_queue(settings) as running, serving(1e6) as site:
        row = _row(running, site, INTERVAL_URLS, 1000 / INTERVAL_MS)
        _keep(running, log)
    gaps = row.told.gaps
    cells = [row.urls, row.succeeded, f"{row.seconds:.1f}", f"{row.ideal:.1f}"]
    cells += [f"{seconds * 1000:.0f}" for seconds in (min(gaps), row.told.median_gap, max(gaps))]
    return [
        Table(
            f"A host that is asked every {INTERVAL_MS} ms (HOST_INTERVAL_MS), as it sees it itself",
            ["URLs", "succeeded", "seconds", "ideal", "least gap, ms", "median gap", "largest gap"],
            [cells],
            ["A gap is the time between two requests, by the site's clock."],
        )
    ]


def _row(running: Running, site: LimitedSite, count: int, rate: float) -> Row:
    began = time.perf_counter()
    try:
        batch = json.loads(checked(ask("POST", f"{running.api}/batches", {"urls": site.urls(count)}), 202))
        while not (seen := json.loads(checked(ask("GET", f"{running.api}/batches/{batch['id']}"), 200)))["finished"]:
            running.check()
            if time.perf_counter() - began > _LONGEST_SECONDS:
                raise BenchError(f"after {_LONGEST_SECONDS:g} s: {seen['counts']}")
            time.sleep(_PAUSE_SECONDS)
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"the API does not answer: {error}") from error
    seconds, counts = time.perf_counter() - began, seen["counts"]
    return Row(
        urls=count,
        rate=rate,
        succeeded=counts["succeeded"],
        failed=counts["failed"],
        seconds=seconds,
        told=site.told(),
    )


def _cells(row: Row) -> list[object]:
    return [
        f"{row.urls:,}",
        f"{row.rate:g}",
        f"{row.succeeded:,}",
        row.failed,
        len(row.told.refused),
        row.told.waves,
        f"{row.seconds:.1f}",
        f"{row.ideal:.1f}",
        f"{row.seconds / row.ideal:.2f}",
        f"{row.limit:.0f}",
        "met" if row.holds else "missed",
    ]


def _table(rows: Sequence[Row], retry_after: str, note: str) -> Table:
    says = f"`Retry-After: {retry_after}`" if retry_after else "no Retry-After"
    return Table(
        f"A host with a limit: 429, {says}, BACKOFF_CAP_SECONDS={CAP_SECONDS}",
        ["URLs", "a second", "succeeded", "failed", "refused", "waves", "seconds", "ideal", "ratio", "aim", ""],
        [_cells(row) for row in rows],
        [
            note,
            "- ideal: URLs over what the site takes in a second. waves: how often it began to refuse.",
            f"- aim, in seconds: {_OVER_IDEAL} of the ideal, {_MORE_SECONDS:g} more, and {CAP_SECONDS} for each wave;",
            f"  all succeed, and at most {_MOST_REFUSALS} refusals for each URL.",
            f"- The client asks every {_PAUSE_SECONDS:g} s whether all are done.",
        ],
    )


def _keep(running: Running, log: Path | None) -> None:
    if log is not None:
        log.write_text(running.words(), encoding="utf-8")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.pace", description=__doc__.partition("\n")[0])
    parser.add_argument("--urls", type=int, nargs="+", default=COUNTS, help="of a batch")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="requests a second that the site takes")
    parser.add_argument("--retry-after", default="1", help="what the site says; empty: nothing")
    parser.add_argument("--interval", action="store_true", help=f"with HOST_INTERVAL_MS={INTERVAL_MS} instead")
    parser.add_argument("--log", type=Path, help="where to keep what the stack said")
    given = parser.parse_args()
    with told():
        if given.interval:
            tables = measure_interval(given.log)
        else:
            tables = measure(given.urls, given.rates, given.retry_after, given.log)
    print("\n\n".join(str(table) for table in tables))


if __name__ == "__main__":
    main()
