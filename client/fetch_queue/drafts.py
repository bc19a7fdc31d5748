"""Files being written: each is written beside its place and moved there once it is complete."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO


def begin(path: Path) -> BinaryIO:
    """A new file, for writing and reading.

    A file of this name is removed, such as the draft of a killed run. A link is removed too, and not followed: whoever
    can write to the directory may have put it there, and it could lead anywhere. Raises OSError.
    """
    path.unlink(missing_ok=True)
    return path.open("x+b")  # exclusively: open(2) follows no link then
