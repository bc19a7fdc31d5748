"""CI runs what was looked at: an action's tag can be moved, its commit cannot."""

from __future__ import annotations

import re
from pathlib import Path

WORKFLOWS = sorted((Path(__file__).parent.parent / ".github" / "workflows").glob("*.y*ml"))


def test_every_action_is_pinned_by_its_commit() -> None:
    """With its version beside it, for whoever brings it up to date."""
    used = [line for path in WORKFLOWS for line in path.read_text().splitlines() if re.search(r"\buses:", line)]
    assert len(used) >= 2
    for line in used:
        assert re.fullmatch(r" *(- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line
