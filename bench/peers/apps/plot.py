"""Draws bars of speeds: reads the figures as JSON from standard input and writes a PNG to the path given."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

_THICKNESS = 0.38


def main(path: Path) -> None:
    """Draw."""
    facts = json.load(sys.stdin)
    figure, axes = pyplot.subplots(figsize=(8, 0.8 + 0.7 * len(facts["systems"])), layout="constrained")
    for number, (label, values) in enumerate(facts["series"].items()):
        places = [place + (number - 0.5) * _THICKNESS for place in range(len(values))]
        bars = axes.barh(places, values, _THICKNESS, label=label)
        axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set_yticks(range(len(facts["systems"])), facts["systems"])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("new URLs a second, from the first POST until every result can be read (logarithmic)")
    axes.margins(x=0.12)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
