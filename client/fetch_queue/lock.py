"""Keeping other processes out, for as long as this one lives: what a kill leaves behind locks nobody out."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from fetch_queue.errors import ManifestError


def locked(path: Path, what: Path) -> FileLock:
    """A held lock. Raises ManifestError where another process holds it, OSError where it cannot be made."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ManifestError(f"another fetch-queue is at work with {what}; wait for its end, or end it") from error
    return lock
