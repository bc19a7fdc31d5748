"""The output directory: each result in a file of its own, which is there complete or not at all."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fetch_queue import drafts, names
from fetch_queue.client import FetchQueue
from fetch_queue.download import BLOCK
from fetch_queue.lock import locked
from fetch_queue.models import Job, Result

LOCK = ".fetch-queue.lock"
_PARTIAL = ".fetch-queue-{}.partial"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a result goes."""

    name: str
    there: bool  # it exists already: an earlier run was ended before it could record that


class Folder:
    """A directory that results are saved in, by one process at a time."""

    def __init__(self, path: Path) -> None:
        """Lock the directory, and create it if needed. Raises OSError; ManifestError if it is in use."""
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = locked(path / LOCK, path)
        self._taken: set[str] = set()
        self._next: defaultdict[str, int] = defaultdict(lambda: 1)  # numbers below are known to be taken

    def keep(self, taken: Iterable[str | None]) -> None:
        """Reserve these names, which earlier results have."""
        self._taken |= {names.key(name) for name in taken if name is not None}

    def holds(self, name: str | None, size: int | None) -> bool:
        """True if a result that was saved is still there."""
        if name is None or Path(name).name != name:
            return False
        path = self.path / name
        return path.is_file() and path.stat().st_size == size

    def place(self, url: str, result: Result) -> Place:
        """Choose a name that is free, also on a file system that ignores case."""
        stem, extension = names.of(url, result.content_type)
        number = self._next[names.key(stem + extension)]
        while True:
            name = names.numbered(stem, extension, number)
            number += 1
            path = self.path / name
            if names.key(name) not in self._taken and (not (there := os.path.lexists(path)) or _is(path, result)):
                break
        self._next[names.key(stem + extension)] = number
        self._taken.add(names.key(name))
        return Place(name, there)

    def save(self, queue: FetchQueue, job: Job, place: Place) -> None:
        """Read a job's result into its place. Raises what `FetchQueue.download` does, and OSError."""
        partial = self.path / _PARTIAL.format(job.id)
        with drafts.begin(partial) as file:
            queue.download(job.id, file, job.result)
        partial.replace(self.path / place.name)

    def tidy(self) -> None:
        """Remove what a run that was killed had begun to write."""
        for partial in self.path.glob(_PARTIAL.format("*")):
            partial.unlink()

    def close(self) -> None:
        """Let others have it."""
        self._lock.release()


def _is(path: Path, result: Result) -> bool:
    """True for a file that holds a result."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != result.size:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest() == result.sha256
