"""The manifest: what is submitted with which key, and what became of each URL. With it a run can go on.

Its lines, in this order: one about the whole; one for each batch, written before anything is sent; then, as it goes,
what became of batches and URLs. The last line about something counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from fetch_queue.client import body
from fetch_queue.errors import ManifestError
from fetch_queue.journal import Journal, Record
from fetch_queue.request import Submitted, without_values

KIND, VERSION = "fetch-queue", 1

REJECTED = "rejected"  # it did not become a job
GONE = "gone"  # its job was deleted or has expired
SUCCEEDED, FAILED, QUEUED = "succeeded", "failed", "queued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What became of one URL."""

    index: int  # in the list, from 0
    url: str
    batch_id: str | None
    job_id: str | None
    status: str
    file: str | None = None  # in the output directory
    size: int | None = None  # bytes
    sha256: str | None = None
    content_type: str | None = None
    error_type: str | None = None  # such as http-status
    error: str | None = None  # the same for a person
    reference: str | None = None  # what its client calls it

    @property
    def final(self) -> bool:
        """True if asking again would change nothing."""
        return self.status in (SUCCEEDED, FAILED, REJECTED)

    def record(self) -> Record:
        """As it is written down: a reference only where there is one."""
        return {name: value for name, value in asdict(self).items() if name != "reference" or value is not None}


@dataclass(slots=True, kw_only=True)
class Planned:
    """A batch: URLs of the list that are submitted together, with a key of its own."""

    batch: int  # its number in the run, from 0
    first: int
    size: int
    key: str
    sha256: str  # of the body
    answered: bool = False
    id: str | None = None  # None where all its URLs were rejected

    @property
    def indexes(self) -> range:
        """Its URLs' places in the list."""
        return range(self.first, self.first + self.size)


class Manifest:
    """What is known about a run, kept in a file if there is one."""

    def __init__(self, urls: Sequence[Submitted], batches: list[Planned], journal: Journal | None) -> None:
        self.urls = urls
        self.batches = batches
        self.entries: dict[int, Entry] = {}
        self._journal = journal

    @classmethod
    def open(
        cls,
        path: Path | None,
        service: str,
        urls: Sequence[Submitted],
        cut: Callable[[Sequence[Submitted]], list[range]],
        new_key: Callable[[], str],
    ) -> Self:
        """The manifest in a file, or a new one. Raises ManifestError for one of another service or other URLs."""
        if path is None:
            return cls(urls, _plan(urls, cut(urls), new_key), None)
        journal = Journal(path)
        try:
            records = journal.read()
            if not records:
                batches = _plan(urls, cut(urls), new_key)
                head = {"manifest": KIND, "version": VERSION, "service": service, "urls": len(urls)}
                journal.begin([{**head, "batches": len(batches)}, *map(_planned_record, batches)])
                return cls(urls, batches, journal)
            _check_head(path, records[0], service, len(urls))
            return cls._read(path, urls, records, journal)
        except BaseException:
            journal.close()
            raise

    @classmethod
    def _read(cls, path: Path, urls: Sequence[Submitted], records: Sequence[Record], journal: Journal) -> Self:
        try:
            planned = records[1 : 1 + int(records[0]["batches"])]
            manifest = cls(urls, [Planned(**record) for record in planned], journal)
            for record in records[1 + len(planned) :]:
                if "index" in record:
                    manifest.entries[int(record["index"])] = Entry(**record)
                else:
                    batch = manifest.batches[record["batch"]]
                    batch.answered, batch.id = True, record["id"]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ManifestError(f"{path} is not a manifest, or it is damaged; move it away to start over") from error
        for batch in manifest.batches:
            if _digest(urls, batch.indexes) != batch.sha256:
                first, last = batch.first + 1, batch.first + batch.size
                numbers = f"number {first:,} is" if first == last else f"numbers {first:,} to {last:,} are"
                raise ManifestError(
                    f"{path} is for other URLs: {numbers} not the same. "
                    "Give the same list, or start over with another directory or manifest."
                )
        return manifest

    def answer(self, batch: Planned, batch_id: str | None, rejected: Iterable[Entry]) -> None:
        """Keep the answer to a batch's submission; its URLs that were rejected are final."""
        batch.answered, batch.id = True, batch_id
        entries = list(rejected)
        self.entries |= {entry.index: entry for entry in entries}
        # The batch's line is the last: without it, all of this is requested again.
        self._append([*(entry.record() for entry in entries), {"batch": batch.batch, "id": batch_id}])

    def record(self, entries: Iterable[Entry]) -> None:
        """Keep what became of URLs."""
        entries = list(entries)
        self.entries |= {entry.index: entry for entry in entries}
        self._append(entry.record() for entry in entries)

    def accepted(self, batch: Planned) -> list[int]:
        """The places in the list of the batch's jobs, in the order of the jobs' numbers."""
        return [index for index in batch.indexes if not self._is(index, REJECTED)]

    def _is(self, index: int, status: str) -> bool:
        entry = self.entries.get(index)
        return entry is not None and entry.status == status

    @property
    def began(self) -> bool:
        """True if an earlier run submitted something."""
        return any(batch.answered for batch in self.batches)

    def close(self) -> None:
        """Let others have the file."""
        if self._journal is not None:
            self._journal.close()

    def _append(self, records: Iterable[Record]) -> None:
        if self._journal is not None:
            self._journal.append(records)


def _plan(urls: Sequence[Submitted], ranges: Sequence[range], new_key: Callable[[], str]) -> list[Planned]:
    return [
        Planned(batch=number, first=part.start, size=len(part), key=new_key(), sha256=_digest(urls, part))
        for number, part in enumerate(ranges)
    ]


def _planned_record(batch: Planned) -> Record:
    return {name: getattr(batch, name) for name in ("batch", "first", "size", "key", "sha256")}


def _digest(urls: Sequence[Submitted], part: range) -> str:
    """Without the values of headers, which could be guessed; the service refuses other ones with the same key."""
    return hashlib.sha256(body([without_values(one) for one in urls[part.start : part.stop]])).hexdigest()


def _check_head(path: Path, head: Record, service: str, urls: int) -> None:
    if head.get("manifest") != KIND or head.get("version") != VERSION:
        raise ManifestError(f"{path} is not a manifest of this fetch-queue; give another name with --manifest")
    if head.get("service") != service:
        raise ManifestError(f"{path} is for the service at {head.get('service')}, not for {service}; see --url")
    if head.get("urls") != urls:
        raise ManifestError(
            f"{path} is for another number of URLs: {head.get('urls')}, not {urls:,}. "
            "Give the same list, or start over with another directory or manifest."
        )
