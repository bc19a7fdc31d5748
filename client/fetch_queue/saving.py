"""Saving results, several at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

from fetch_queue.client import NOT_FOUND, FetchQueue
from fetch_queue.errors import CorruptResult, ProblemError
from fetch_queue.folder import Folder, Place
from fetch_queue.manifest import GONE, Entry
from fetch_queue.models import Job

AT_ONCE = 8
CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class Saving:
    """A result that is to be saved."""

    job: Job
    entry: Entry  # what is known of it so far
    place: Place


class Saver:
    """Threads that save results in a folder."""

    def __init__(self, queue: FetchQueue, folder: Folder) -> None:
        self._queue = queue
        self._folder = folder
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="save")

    def saved(self, to_save: Sequence[Saving]) -> Iterator[Entry]:
        """Save results, and yield what became of each as soon as it is known.

        Raises OSError, and what `FetchQueue.download` does unless it concerns only a single result.
        """
        for future in as_completed([self._pool.submit(self._save, one) for one in to_save]):
            yield future.result()

    def close(self) -> None:
        """Begin nothing more. What is under way is left alone; it is not a result until it is complete."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _save(self, one: Saving) -> Entry:
        try:
            if not one.place.there:
                self._folder.save(self._queue, one.job, one.place)
        except CorruptResult as error:
            return replace(one.entry, error_type=CORRUPT, error=str(error))
        except ProblemError as error:
            if error.name != NOT_FOUND:
                raise
            return replace(one.entry, status=GONE, error_type=GONE, error=str(error))
        return replace(one.entry, file=one.place.name)
