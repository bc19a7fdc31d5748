"""A file of JSON lines that survives a kill: it begins complete, and what is appended is on disk before it is used."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from fetch_queue import drafts
from fetch_queue.errors import ManifestError
from fetch_queue.lock import linked, locked

Record = Mapping[str, Any]


class Journal:
    """An open journal, which no other process can open meanwhile. Never a symbolic link: that could lead anywhere."""

    def __init__(self, path: Path) -> None:
        """Lock the file, which need not exist. Raises ManifestError if another process has it."""
        self.path = path
        self._file: BinaryIO | None = None
        self._lock = locked(path.with_name(f".{path.name}.lock"), path)

    def read(self) -> list[Record]:
        """The records; none if there is no file, or an empty one. Raises ManifestError."""
        if self.path.is_symlink():
            raise linked(self.path)
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        whole = data.rpartition(b"\n")[0].splitlines()
        if data and not whole:
            raise self._damaged(1)
        records: list[Record] = []
        for number, line in enumerate(whole, 1):
            try:
                record = json.loads(line)
            except ValueError as error:
                raise self._damaged(number) from error
            if not isinstance(record, dict):
                raise self._damaged(number)
            records.append(record)
        return records

    def begin(self, records: Iterable[Record]) -> None:
        """Create the file, with these records or not at all."""
        draft = self.path.with_name(f".{self.path.name}.new")
        with drafts.begin(draft) as file:
            file.write(_lines(records))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        _sync_directory(self.path.parent)

    def append(self, records: Iterable[Record]) -> None:
        """Add records; they are on the disk when this returns."""
        lines = _lines(records)
        if not lines:
            return
        if self._file is None:
            self._file = self._open()
        self._file.write(lines)
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let others have it."""
        if self._file is not None:
            self._file.close()
        self._lock.release()

    def _open(self) -> BinaryIO:
        """Open it at its end, without the incomplete line that a kill may have left there."""
        file = open(self.path, "r+b", opener=_open_no_link)  # noqa: SIM115 - it stays open
        data = file.read()
        file.seek(len(data) if data.endswith(b"\n") else data.rfind(b"\n") + 1)
        file.truncate()
        return file

    def _damaged(self, line: int) -> ManifestError:
        return ManifestError(
            f"{self.path} is not a manifest, or it is damaged, in line {line}; move it away to start over"
        )


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))  # Windows has no such flag


def _lines(records: Iterable[Record]) -> bytes:
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    return text.encode(errors="backslashreplace")  # which is what JSON calls half a surrogate pair too


def _sync_directory(directory: Path) -> None:
    """Make a new name durable, if the system can do that."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
