"""The messages that deliver an event: a try under a lease, then what its answer asks for.

The message is acknowledged when the event needs no try any more, or when a copy of it is on the queue that comes when
the next try is due. A copy that comes too early, or meets another's try, is copied again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from chalicelib.jobs.webhooks import Event, EventState, Subject, signed_headers
from chalicelib.metrics import Metric, Metrics
from chalicelib.runner.ends import Done, End
from chalicelib.runner.invocation import Delivery, Invocation
from chalicelib.runner.poster import Posts
from chalicelib.runner.slots import Slots
from chalicelib.runner.subjects import lives
from chalicelib.storage.events import Events
from chalicelib.storage.queue import DeliverMessage, Queue
from chalicelib.storage.table import Table
from chalicelib.storage.webhook_secrets import WebhookSecrets

RECEIVER_PARALLEL = 4  # tries of one process at a tenant's receivers of one host at the same time
SHORT_PAUSE = 3000  # ms; for a slot, or where another worker has changed the event

log = logging.getLogger("fetch_queue.webhooks")


class DeliverMessages:
    """The handler of DeliverMessage."""

    def __init__(
        self,
        *,
        table: Table,
        events: Events,
        secrets: WebhookSecrets,
        key: bytes,  # the service's own, from which secrets are derived
        queue: Queue,
        poster: Posts,
        slots: Slots,
        lease: int,  # ms; longer than a worker lives
        clock: Callable[[], int],
        metrics: Metrics,
    ) -> None:
        self._table = table
        self._events = events
        self._secrets = secrets
        self._key = key
        self._queue = queue
        self._poster = poster
        self._slots = slots
        self._lease = lease
        self._clock = clock
        self._metrics = metrics

    def take(self, deliveries: Sequence[Delivery], invocation: Invocation) -> _Delivering:  # noqa: ARG002
        """Do nothing together."""
        return self.take_each(invocation)

    def take_each(self, invocation: Invocation) -> _Delivering:
        """Each is handled alone."""
        return _Delivering(self, invocation)

    def deliver(self, message: DeliverMessage, invocation: Invocation) -> End:
        """Try once, if a try is due."""
        subject, now = Subject(message.subject), self._clock()
        event, row = self._events.with_subject(subject, message.subject_id, now=now)
        if not lives(row, now=now, rules=self._table.rules):
            self._events.remove([message.subject_id])
            return Done()
        if event is None:  # a DELETE has announced itself, and came no further: what watches makes the event
            return Done()
        if event.state is not EventState.PENDING:
            return Done()
        if event.lease_until > now:
            return self._come_back(message, event.lease_until)
        if event.spent:
            return self._ended(event, event.given_up(), message)
        if not invocation.has_time:
            return self._come_back(message, now + SHORT_PAUSE)
        receiver = f"{event.tenant}/{(urlsplit(event.url).hostname or '').rstrip('.')}"
        if not self._slots.take(receiver):
            return self._come_back(message, now + SHORT_PAUSE)
        try:
            return self._try(event, message, now)
        finally:
            self._slots.give_back(receiver)

    def _try(self, event: Event, message: DeliverMessage, now: int) -> End:
        body = event.payload.encode()
        secrets = self._secrets.read(event.tenant).secrets(self._key, now=now)
        begun = event.begun(now=now, lease=self._lease)
        if not self._events.change(event, begun):
            return self._come_back(message, now + SHORT_PAUSE)
        reply = self._poster.post(event.url, signed_headers(event.id, body, secrets, now=now), body)
        after = begun.tried(reply.status, reply.retry_after, now=self._clock())
        log.info(
            "event tried",
            extra={"try": begun.tries, "http_status": reply.status, "state": str(after.state), "detail": reply.detail},
        )
        return self._ended(begun, after, message)

    def _ended(self, seen: Event, after: Event, message: DeliverMessage) -> End:
        """Keep how a try has ended, and come back for the next one."""
        if not self._events.change(seen, after):  # it is deleted, or was asked for again, or this worker was too slow
            return self._come_back(message, self._clock() + SHORT_PAUSE)
        if after.state is EventState.PENDING:
            return self._come_back(message, after.lease_until)
        self._metrics.add(Metric.DELIVERED if after.state is EventState.DELIVERED else Metric.UNDELIVERED)
        return Done()

    def _come_back(self, message: DeliverMessage, until: int) -> End:
        """Send the copy, which does not come too early: only then may the message be acknowledged."""
        self._queue.send_later([(message.copy(), math.ceil((until - self._clock()) / 1000))])
        return Done()


@dataclass(frozen=True, slots=True)
class _Delivering:
    """An invocation's messages."""

    by: DeliverMessages
    invocation: Invocation

    def goes_last(self, _: Delivery) -> bool:
        """None waits for others."""
        return False

    def handle(self, delivery: Delivery) -> End:
        """Deliver the event of one of them."""
        if not isinstance(delivery.message, DeliverMessage):
            raise TypeError(f"{delivery.message!r} delivers nothing")
        return self.by.deliver(delivery.message, self.invocation)
