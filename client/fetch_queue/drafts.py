"""Files on their way: each is written beside its place and moved there once it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO


def begin(path: Path) -> BinaryIO:
    """A new file, for writing and reading.

    What has its name goes, such as the draft of a run that was killed. A link goes too, and is not followed: who can
    write to the directory may have put it there, and it leads anywhere. Raises OSError.
    """
    path.unlink(missing_ok=True)
    return path.open("x+b")  # exclusively: open(2) follows no link then
