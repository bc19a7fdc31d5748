"""Keeping other processes out while this one lives: what a killed process leaves behind locks nobody out."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from fetch_queue.errors import ManifestError


def locked(path: Path, what: Path) -> FileLock:
    """A held lock. Raises ManifestError if another process holds it or a link is in its place, else OSError."""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise ManifestError(f"another fetch-queue is using {what}; wait until it ends, or end it") from error
    except OSError as error:
        if path.is_symlink():
            raise linked(path) from error
        raise
    return lock


def linked(path: Path) -> ManifestError:
    """The error for a symbolic link in the place of a file that is kept open."""
    return ManifestError(f"{path} is a symbolic link, and its target is not written to; move the link away")
