"""How far the long searches go. `pytest` and `make test` walk a part of each; DEPTH=full, which `make check` and `make
prove` set, walks them whole."""

from __future__ import annotations

import os

FULL = os.environ.get("DEPTH") == "full"


def depth(part: int, full: int, variable: str = "") -> int:
    """How many cases a search tries; the environment variable, if there is one and it is set, stands above both."""
    asked = os.environ.get(variable) if variable else None
    return int(asked) if asked else full if FULL else part
