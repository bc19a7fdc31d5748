"""A run: every batch of a list is submitted, waited for, and its results saved. Whatever ends it, the next run with the
same manifest goes on where it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from fetch_queue.client import NOT_FOUND, FetchQueue, is_of_batch
from fetch_queue.errors import ProblemError, UnexpectedAnswer
from fetch_queue.folder import Folder
from fetch_queue.manifest import GONE, QUEUED, REJECTED, SUCCEEDED, Entry, Manifest, Planned
from fetch_queue.models import Batch, Job
from fetch_queue.request import reference_of, url_of
from fetch_queue.saving import Saver, Saving

ACTIVE = 2  # batches that are asked about in turn; the service works in order, so the others can wait
PAGE = 100  # jobs in a page of results
DELETED = "deleted"  # the problem's name: the key is that of something that is gone
KEEP_SECONDS = 1.0  # at most, until what was saved is written down


class Watcher(Protocol):
    """Receives the progress of a run."""

    def accepted(self, batch: Planned, jobs: int, rejected: int) -> None:
        """A batch is submitted, now or before."""

    def became(self, entry: Entry) -> None:
        """It is known what became of a URL; if the entry is final, for good."""

    def fetched(self, count: int, batches: Sequence[Batch]) -> None:
        """How many URLs are finished at the service, and how the batches are that are waited for."""


@dataclass(slots=True)
class Watched:
    """A batch that is waited for."""

    batch: Planned
    indexes: list[int]  # of its jobs' URLs in the list, by the jobs' numbers
    due: float  # when to ask again
    open: set[int]  # numbers of the jobs of which it is not known what became of them
    done: int  # jobs that are finished at the service
    read: int  # the same, when its results were last read
    seen: Batch | None = None  # how it was when it was asked about last


class Run:
    """The submission of a list, from wherever it is."""

    def __init__(
        self,
        queue: FetchQueue,
        manifest: Manifest,
        folder: Folder | None,
        watcher: Watcher,
        headers: Mapping[str, str] | None = None,
        webhook: str | None = None,
    ) -> None:
        self._queue = queue
        self._headers = headers  # that are sent with every URL
        self._webhook = webhook  # that is told when a batch is finished
        self._manifest = manifest
        self._folder = folder
        self._watcher = watcher
        self._saver = None if folder is None else Saver(queue, folder)
        self._settled = 0  # URLs of which it is known what became of them
        self._waiting: list[Watched] = []
        self._due: dict[int, float] = {}  # when to ask about a batch first, by its first URL; at once if it is old

    def submit(self) -> None:
        """Submit every batch that has no answer yet, with the key that the manifest has for it."""
        for batch in self._manifest.batches:
            if not batch.answered:
                self._submit(batch)
            jobs = len(self._manifest.accepted(batch)) if batch.id else 0
            self._watcher.accepted(batch, jobs, batch.size - jobs)
            for index in batch.indexes:
                entry = self._manifest.entries.get(index)
                if entry is not None and self._is_settled(entry):
                    self._became(entry)

    def note(self) -> None:
        """If nobody waits: record the jobs about which nothing is known yet."""
        queued = [
            self._entry(batch, index, number, QUEUED)
            for batch in self._manifest.batches
            for number, index in enumerate(self._manifest.accepted(batch))
            if index not in self._manifest.entries
        ]
        self._manifest.record(queued)
        for index in range(len(self._manifest.urls)):
            entry = self._manifest.entries[index]
            if not self._is_settled(entry):
                self._watcher.became(entry)

    def wait(self) -> None:
        """Wait for the end of every job, and save each result if there is a folder."""
        self._waiting = [watched for batch in self._manifest.batches if (watched := self._watch(batch)).open]
        while self._waiting:
            watched = min(self._waiting[:ACTIVE], key=lambda one: one.due)
            if (pause := watched.due - self._queue.timing.clock()) > 0:
                self._queue.timing.sleep(pause)
            if self._look(watched):
                self._waiting.remove(watched)

    def close(self) -> None:
        """Begin nothing more."""
        if self._saver is not None:
            self._saver.close()

    def _submit(self, batch: Planned) -> None:
        urls = self._manifest.urls[batch.first : batch.first + batch.size]
        try:
            answer = self._queue.submit(urls, batch.key, headers=self._headers, webhook=self._webhook)
        except ProblemError as error:
            if error.name == DELETED:
                raise _gone_before_its_answer_came(batch, error) from error
            reasons = error.rejections(len(urls))
            if reasons is None:
                raise
            batch_id = None
        else:
            batch_id = answer.id
            self._due[batch.first] = self._queue.timing.clock() + answer.retry_after
            reasons = {one.index: one.detail for one in answer.rejected}
        rejected = [
            Entry(
                index=batch.first + at,
                url=url_of(urls[at]),
                reference=reference_of(urls[at]),
                batch_id=batch_id,
                job_id=None,
                status=REJECTED,
                error_type=REJECTED,
                error=reason,
            )
            for at, reason in sorted(reasons.items())
        ]
        self._manifest.answer(batch, batch_id, rejected)

    def _watch(self, batch: Planned) -> Watched:
        entries = self._manifest.entries
        jobs = self._manifest.accepted(batch)
        still_open = {
            number for number, index in enumerate(jobs) if index not in entries or not self._is_settled(entries[index])
        }
        done = len(jobs) - len(still_open)
        due = self._due.get(batch.first, self._queue.timing.clock())
        return Watched(batch, jobs, due, still_open, done, done)

    def _is_settled(self, entry: Entry) -> bool:
        """True if nothing is left to do for a URL."""
        if entry.status == SUCCEEDED and self._folder is not None:
            return self._folder.holds(entry.file, entry.size)
        return entry.final

    def _look(self, watched: Watched) -> bool:
        """Ask how a batch is doing, and read its results when there is a page of new ones; True at its end."""
        batch_id = watched.batch.id or ""
        try:
            batch = self._queue.batch(batch_id)
            watched.done, watched.seen = batch.done, batch
            self._tell()
            if batch.finished or watched.done - watched.read >= PAGE:
                for page in self._queue.pages(batch_id):
                    self._take(watched, page)
                watched.read = batch.done
            if not batch.finished:
                watched.due = self._queue.timing.clock() + batch.retry_after
                return False
        except ProblemError as error:
            if error.name != NOT_FOUND:
                raise
        # What is not among the results of a finished batch, or of one that is not found, was deleted or has expired.
        self._keep(watched, [self._gone(watched, number) for number in sorted(watched.open)])
        return True

    def _tell(self) -> None:
        done = self._settled + sum(max(0, one.done - one.read) for one in self._waiting)
        self._watcher.fetched(done, [one.seen for one in self._waiting if one.seen is not None])

    def _take(self, watched: Watched, jobs: Sequence[Job]) -> None:
        """Find out what became of some jobs, if not yet known, and save their results."""
        known: list[Entry] = []
        to_save: list[Saving] = []
        for job in jobs:
            number = _number(job.id)
            if number not in watched.open or not job.finished:
                continue
            entry = self._finished(watched, number, job)
            if self._folder is None or job.result is None:
                known.append(entry)
            else:
                to_save.append(Saving(job, entry, self._folder.place(job.url, job.result)))
        self._keep(watched, known)
        if self._saver is not None and to_save:
            self._keep_as_they_come(watched, self._saver.saved(to_save))

    def _keep_as_they_come(self, watched: Watched, entries: Iterable[Entry]) -> None:
        clock = self._queue.timing.clock
        kept = clock()
        pending: list[Entry] = []
        try:
            for entry in entries:
                pending.append(entry)
                if clock() - kept >= KEEP_SECONDS:
                    self._keep(watched, pending)
                    pending, kept = [], clock()
        finally:
            self._keep(watched, pending)

    def _keep(self, watched: Watched, entries: Sequence[Entry]) -> None:
        """Write down what became of jobs, and say so."""
        self._manifest.record(entries)
        for entry in entries:
            self._became(entry)
        watched.open -= {_number(entry.job_id) for entry in entries if entry.job_id is not None}

    def _became(self, entry: Entry) -> None:
        self._settled += 1
        self._watcher.became(entry)

    def _entry(self, batch: Planned, index: int, number: int, status: str) -> Entry:
        one = self._manifest.urls[index]
        return Entry(
            index=index,
            url=url_of(one),
            batch_id=batch.id,
            job_id=f"{batch.id}-{number}",
            status=status,
            reference=reference_of(one),
        )

    def _gone(self, watched: Watched, number: int) -> Entry:
        entry = self._entry(watched.batch, watched.indexes[number], number, GONE)
        return replace(entry, error_type=GONE, error="the job is gone: it was deleted, or it has expired")

    def _finished(self, watched: Watched, number: int, job: Job) -> Entry:
        entry = self._entry(watched.batch, watched.indexes[number], number, job.status)
        if job.url != entry.url:
            raise UnexpectedAnswer(f"job {job.id} is for {job.url}, but {entry.url} was submitted as that job")
        if job.error is not None:
            entry = replace(entry, error_type=job.error.type, error=job.error.detail)
        if job.result is not None:
            found = job.result
            entry = replace(entry, size=found.size, sha256=found.sha256, content_type=found.content_type)
        return entry


def _number(job_id: str) -> int:
    """A job's place in its batch, from 0."""
    if not is_of_batch(job_id):
        raise UnexpectedAnswer(f"{job_id} is not the id of a job in a batch")
    return int(job_id.rpartition("-")[2])


def _gone_before_its_answer_came(batch: Planned, error: ProblemError) -> ProblemError:
    first, last = batch.first + 1, batch.first + batch.size
    urls = f"URL {first:,} was" if first == last else f"URLs {first:,} to {last:,} were"
    detail = (
        f"{urls} submitted before, and that batch is gone: it was deleted, or it has expired. "
        "Start over with another directory or manifest."
    )
    return ProblemError(error.status, error.name, detail)
