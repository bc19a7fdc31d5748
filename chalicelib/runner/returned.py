"""Webhooks' messages that became dead letters: they go back to their queue while what they are about is still there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from chalicelib.jobs.entities import Mark
from chalicelib.jobs.webhooks import Subject
from chalicelib.runner.ends import Done, End
from chalicelib.runner.invocation import Delivery, Invocation
from chalicelib.runner.subjects import lives
from chalicelib.storage.queue import MAX_DELAY_SECONDS, DeliverMessage, Queue, WatchMessage
from chalicelib.storage.table import Table

log = logging.getLogger("fetch_queue.webhooks")


class ReturnedMessages:
    """The handler of the dead letters' runner for WatchMessage and DeliverMessage."""

    def __init__(self, *, table: Table, queue: Queue, clock: Callable[[], int]) -> None:
        self._table = table
        self._queue = queue  # the webhooks'
        self._clock = clock

    def take(self, deliveries: Sequence[Delivery], invocation: Invocation) -> ReturnedMessages:  # noqa: ARG002
        """Do nothing together."""
        return self

    def take_each(self, invocation: Invocation) -> ReturnedMessages:  # noqa: ARG002
        """Each is handled alone."""
        return self

    def goes_last(self, _: Delivery) -> bool:
        """None waits for others."""
        return False

    def handle(self, delivery: Delivery) -> End:
        """Send a copy that comes as late as it can: what failed ten times needs time."""
        message = delivery.message
        if not isinstance(message, WatchMessage | DeliverMessage):
            raise TypeError(f"{message!r} is not about a webhook")
        is_job = Subject(message.subject) is Subject.JOB
        row = self._table.job(message.subject_id) if is_job else self._table.batch(message.subject_id)
        if isinstance(row, Mark) or lives(
            row, now=self._clock(), rules=self._table.rules
        ):  # of a mark it may be removed
            self._queue.send_later([(message.copy(), MAX_DELAY_SECONDS)])
            log.warning("a webhook's message is tried again later")
        return Done()
