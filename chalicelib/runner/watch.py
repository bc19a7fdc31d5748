"""The messages that watch a job or a batch: when it is finished, they make its event, once, and ask for its delivery.

A batch is walked in order, by pages: what was seen to be finished is counted in the message and not read again. While
something is unfinished the message comes back as a copy of itself, which is sent before it is acknowledged.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from chalicelib.jobs.entities import Batch, Fetch, Job, Mark, Status
from chalicelib.jobs.webhooks import Event, Subject, watch_pause
from chalicelib.runner import payload
from chalicelib.runner.ends import Done, End
from chalicelib.runner.invocation import Delivery, Invocation
from chalicelib.runner.subjects import lives
from chalicelib.storage.events import Events
from chalicelib.storage.queue import DeliverMessage, Queue, WatchMessage
from chalicelib.storage.table import Table

PAGE = 100  # jobs that are read in one request
BETWEEN_PAGES = 1000  # ms, where each job has an event: a batch must not fill the queue before others' events

log = logging.getLogger("fetch_queue.webhooks")


@dataclass(frozen=True, slots=True)
class _Finished:
    """A job that is finished, with its fetch."""

    job: Job
    fetch: Fetch


class WatchMessages:
    """The handler of WatchMessage."""

    def __init__(self, *, table: Table, events: Events, queue: Queue, clock: Callable[[], int]) -> None:
        self._table = table
        self._events = events
        self._queue = queue
        self._clock = clock

    def take(self, deliveries: Sequence[Delivery], invocation: Invocation) -> _Watching:  # noqa: ARG002
        """Do nothing together."""
        return self.take_each(invocation)

    def take_each(self, invocation: Invocation) -> _Watching:
        """Each is handled alone."""
        return _Watching(self, invocation)

    def watch_job(self, message: WatchMessage) -> End:
        """Look at a job."""
        row, now = self._table.job(message.subject_id), self._clock()
        job = row if isinstance(row, Job) and lives(row, now=now, rules=self._table.rules) else None
        url = None if job is None else self._url_of(job)
        if job is None or url is None:
            return self._forget(message)
        if message.is_older(job.submitted_at):
            return Done()
        (seen,) = self._seen([job])
        if not isinstance(seen, _Finished):  # where it is deleted, the next look finds its mark
            return self._come_back(message, now + watch_pause(now - job.submitted_at))
        return self._tell([self._event(seen, url)], job.submitted_at)

    def watch_batch(self, message: WatchMessage, invocation: Invocation) -> End:
        """Look at a batch's jobs, from the first one on that was not seen to be finished."""
        batch, now, rules = self._table.batch(message.subject_id), self._clock(), self._table.rules
        if not isinstance(batch, Batch) or batch.webhook is None or not lives(batch, now=now, rules=rules):
            return self._forget(message)
        if message.is_older(batch.submitted_at):
            return Done()
        if not batch.accepted:
            # Who stores it has a lease, and cannot accept it after that. Who takes it over sends another message.
            is_over = now > batch.lease_until + rules.skew
            return Done() if is_over else self._come_back(message, now + watch_pause(0))
        size = 1  # a look at one is enough where nothing has changed
        while message.position < batch.size and invocation.has_time:
            page = batch.job_ids()[message.position : message.position + size]
            ended, whole = self._page(batch, page)
            if batch.each:
                finished = [each for each in ended if each is not None]
                self._tell([self._event(each, batch.webhook) for each in finished], batch.submitted_at)
            message = _counted(message, ended)
            if not whole:
                return self._come_back(message, now + watch_pause(now - batch.submitted_at))
            if batch.each and size == PAGE:
                break
            size = PAGE
        if message.position < batch.size:
            return self._come_back(message, now + BETWEEN_PAGES)
        return self._tell([payload.batch_event(batch, batch.webhook, message, now=now)], batch.submitted_at)

    def _page(self, batch: Batch, job_ids: Sequence[str]) -> tuple[list[_Finished | None], bool]:
        """The jobs up to the first unfinished one, None for deleted ones; and whether these are all."""
        rows = self._table.jobs(job_ids, tenant=batch.tenant)
        ended: list[_Finished | None] = []
        for seen in self._seen([rows.get(job_id) for job_id in job_ids]):
            if isinstance(seen, Job):
                return ended, False
            ended.append(seen)
        return ended, True

    def _seen(self, rows: Sequence[Job | Mark | None]) -> Iterator[_Finished | Job | None]:
        """Each job with its fetch, or by itself while it is unfinished; None where it is deleted."""
        linked = {row.fetch_id for row in rows if isinstance(row, Job) and row.fetch_id is not None}
        fetches = self._table.fetches(linked, now=self._clock()) if linked else {}
        for row in rows:
            if not isinstance(row, Job):
                yield None
            elif row.fetch_id is None:
                yield row
            else:
                fetch = fetches.get(row.fetch_id)  # where it is gone since, the job is a mark by now
                yield None if fetch is None else _Finished(row, fetch) if fetch.finished else row

    def _url_of(self, job: Job) -> str | None:
        if job.webhook is not None or job.batch_id is None:
            return job.webhook
        batch = self._table.batch(job.batch_id)
        return batch.webhook if isinstance(batch, Batch) else None

    def _event(self, finished: _Finished, url: str) -> Event:
        return payload.job_event(finished.job, finished.fetch, url, now=self._clock())

    def _tell(self, events: Sequence[Event], submitted_at: int) -> End:
        """Make events, and ask for their delivery: again, if that was done before, which is not known here."""
        self._events.make(events, submitted_at, now=self._clock())
        self._queue.send([DeliverMessage(event.subject, event.subject_id) for event in events])
        if events:
            log.info("events made", extra={"events": len(events)})
        return Done()

    def _come_back(self, message: WatchMessage, until: int) -> End:
        """Send the copy: only then may the message be acknowledged."""
        self._queue.send_later([(message.copy(), math.ceil((until - self._clock()) / 1000))])
        return Done()

    def _forget(self, message: WatchMessage) -> End:
        """The job or the batch is gone: its event goes too, which another message may have made meanwhile."""
        self._events.remove([message.subject_id])
        return Done()


@dataclass(frozen=True, slots=True)
class _Watching:
    """An invocation's messages."""

    by: WatchMessages
    invocation: Invocation

    def goes_last(self, _: Delivery) -> bool:
        """None waits for others."""
        return False

    def handle(self, delivery: Delivery) -> End:
        """Look at what one of them watches."""
        message = delivery.message
        if not isinstance(message, WatchMessage):
            raise TypeError(f"{message!r} watches nothing")
        if Subject(message.subject) is Subject.JOB:
            return self.by.watch_job(message)
        return self.by.watch_batch(message, self.invocation)


def _counted(message: WatchMessage, ended: Sequence[_Finished | None]) -> WatchMessage:
    """The message that knows of these jobs too."""
    fetches = [each.fetch for each in ended if each is not None]
    succeeded = sum(fetch.status is Status.SUCCEEDED for fetch in fetches)
    return replace(
        message,
        position=message.position + len(ended),
        succeeded=message.succeeded + succeeded,
        failed=message.failed + len(fetches) - succeeded,
        finished_at=max([message.finished_at, *(fetch.finished_at or 0 for fetch in fetches)]),
    )
