"""The bar that a terminal shows."""

from __future__ import annotations

import io

from fetch_queue.progress import Bar
from rich.console import Console


def test_a_note_is_shown_as_it_is() -> None:
    """It may name a host, and whatever stands in a URL is no markup."""
    shown = io.StringIO()
    with Bar(Console(file=shown, force_terminal=True, width=120, color_system=None), "Fetched", 1) as bar:
        bar.show(0, "waits for http://[bold]x until 14:05")
    assert "0/1 waits for http://[bold]x until 14:05" in shown.getvalue()
