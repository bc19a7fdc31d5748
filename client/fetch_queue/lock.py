"""Keeping other processes out, for as long as this one lives: what a kill leaves behind locks nobody out."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from fetch_queue.errors import ManifestError


def locked(path: Path, what: Path) -> FileLock:
    """A held lock. Raises ManifestError where another process holds it, or a link is in its place, else OSError."""
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
    """The error for a file that is kept open, and has a symbolic link in its place."""
    return ManifestError(f"{path} is a symbolic link, and its target is not written to; move the link away")
