"""Says how a run goes: to a person, or to a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fetch_queue import console, waits
from fetch_queue.manifest import QUEUED, SUCCEEDED, Entry, Planned
from fetch_queue.models import Batch
from fetch_queue.progress import Display

MOST_SHOWN = 20  # URLs that did not succeed


class Teller:
    """Is told by a run, and counts."""

    def __init__(self, *, in_json: bool, saves: bool) -> None:
        self.meter: Display | None = None
        self.batches = 0  # that are submitted
        self._in_json = in_json
        self._saves = saves
        self._counts: Counter[str] = Counter()  # of what became of URLs
        self._settled = 0
        self._fetched = 0
        self._waits = ""  # what is said of jobs that wait for their host

    @property
    def unsuccessful(self) -> int:
        """How many URLs failed, or were rejected, or are gone."""
        return self._settled - self._counts[SUCCEEDED]

    def say(self, text: str) -> None:
        """A line for a person."""
        if self.meter is None:
            console.err(text)
        else:
            self.meter.say(text)

    def accepted(self, batch: Planned, jobs: int, rejected: int) -> None:
        """A batch is submitted, now or before."""
        self.batches += batch.id is not None
        if batch.id is not None and not self._in_json:
            also = f", {rejected:,} rejected" if rejected else ""
            console.out(f"{batch.id}  {console.count(jobs, 'URL')} accepted{also}")

    def became(self, entry: Entry) -> None:
        """What became of a URL."""
        what = (entry.error_type or "") if entry.status == SUCCEEDED and entry.error else entry.status
        self._counts[what] += 1
        self._settled += what != QUEUED
        if self._in_json:
            console.document(entry.record())
        elif what not in (SUCCEEDED, QUEUED):
            self._show(what, entry)
        self._move()

    def fetched(self, count: int, batches: Sequence[Batch]) -> None:
        """How many URLs are finished at the service, and how the batches are that are waited for."""
        self._fetched, self._waits = count, waits.of_batches(batches)
        self._move()

    def summary(self, seconds: float) -> str:
        """The end of it."""
        parts = ", ".join(f"{count:,} {what}" for what, count in self._counts.most_common() if count)
        return f"{console.count(self._counts.total(), 'URL')}: {parts}, in {console.duration(seconds)}."

    def _show(self, what: str, entry: Entry) -> None:
        if self.unsuccessful <= MOST_SHOWN:
            self.say(f"{console.status(what, 8)}  {console.plain(entry.url)}  ({console.plain(entry.error or '')})")
        elif self.unsuccessful == MOST_SHOWN + 1:
            self.say("... and more that are not shown here")

    def _move(self) -> None:
        if self.meter is None:
            return
        notes = [f"{self._settled - self.unsuccessful:,} saved"] if self._saves else []
        if self.unsuccessful:
            notes.append(f"{self.unsuccessful:,} failed")
        if self._waits:
            notes.append(self._waits)
        self.meter.show(max(self._fetched, self._settled), ", ".join(notes))
