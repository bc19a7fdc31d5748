"""What benchmarks print: tables of ratios and counts, as Markdown that a terminal can read too."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a title; `notes` are what has to be known to read it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    notes: Sequence[str] = field(default_factory=list)

    def __str__(self) -> str:
        cells = [[str(cell) for cell in row] for row in [self.columns, *self.rows]]
        widths = [max(len(row[number]) for row in cells) for number in range(len(self.columns))]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in cells
        ]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join([f"### {self.title}", "", *lines, "", *self.notes])


def machine() -> str:
    """What it was measured on, in a line."""
    python, load = platform.python_version(), os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {python}, load before it {load:.1f}"
