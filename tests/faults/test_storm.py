"""The service while a fifth of its calls to AWS fails, in every way: nothing lost, nothing asked for twice, nothing
wrongly answered. `python -m tests.faults` runs longer, and with more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.depth import depth
from tests.faults import scenario

pytestmark = pytest.mark.emulator


def test_a_storm(tmp_path: Path) -> None:
    """A fifth of all calls; what is broken is listed, and `pytest -s` prints all that was counted."""
    report = scenario.run(tmp_path, seed=2, rate=0.2, jobs=depth(60, 200), storm_seconds=depth(10, 30))
    assert not report.broken
