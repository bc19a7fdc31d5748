"""The long runs, each with another share of failing calls."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults import scenario

Run = tuple[int, int, int, float]  # seed, per cent of calls, jobs, seconds of storm after all is submitted
LONG: list[Run] = [(1, 5, 500, 60.0), (2, 20, 500, 60.0), (3, 50, 500, 30.0)]


def prove(runs: Sequence[Run] = LONG) -> int:
    """Make the runs, print what each showed, and return 1 where anything was broken."""
    status = 0
    for seed, per_cent, jobs, seconds in runs:
        directory = Path(tempfile.mkdtemp(prefix="fetch-queue-faults-"))
        report = scenario.run(directory, seed=seed, rate=per_cent / 100, jobs=jobs, storm_seconds=seconds)
        if not report.broken:
            shutil.rmtree(directory)
            continue
        status = 1
        for sentence in report.broken:
            print(f"  BROKEN: {sentence}")
        print(f"  Again: python -m tests.faults {seed} {per_cent} {jobs} {seconds:g}; logs: {directory}", flush=True)
    return status
