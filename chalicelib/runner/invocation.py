"""One invocation: messages of any kind are received together, handled concurrently, and acknowledged or left.

A message has a kind, and each kind has a handler; what all kinds have in common is here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chalicelib.jobs.errors import Unavailable
from chalicelib.logs import log_context
from chalicelib.metrics import Metrics
from chalicelib.runner.ends import Done, End, Later, Left
from chalicelib.runner.retry import RetryPolicy
from chalicelib.storage.calls import Parallel
from chalicelib.storage.queue import Message, Queue

log = logging.getLogger("fetch_queue.runner")


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """A message as it was received; if it is received twice, that makes two deliveries."""

    message_id: str
    receipt_handle: str
    message: Message | None  # None if it cannot be read
    body: str
    count: int  # how often the message was delivered, this time included
    first_at: int | None  # when it was delivered first, milliseconds since the epoch

    @staticmethod
    def of(record: Mapping[str, Any]) -> Delivery:
        """The delivery of an SQS event's record."""
        attributes, body = record.get("attributes", {}), record["body"]
        first_at = attributes.get("ApproximateFirstReceiveTimestamp")
        return Delivery(
            message_id=record["messageId"],
            receipt_handle=record["receiptHandle"],
            message=Message.parse(body),
            body=body,
            count=int(attributes.get("ApproximateReceiveCount", 1)),
            first_at=None if first_at is None else int(first_at),
        )

    def copy(self) -> Message:
        """The message to be sent in its place."""
        if self.message is None:
            raise TypeError("a message that cannot be read has no copy")
        return self.message.copy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What is known about the invocation that a message came with."""

    queue: Queue
    seconds_left: Callable[[], float]  # how long it may still take
    seconds_needed: float  # from the sending of a request to the end of the attempt
    dead_letters: bool  # its messages failed before, and are brought to an end

    def send_copies(self, copies: Sequence[tuple[Delivery, int]], now: int) -> None:
        """Send copies of messages, each to come at its time. Raises Unavailable, and then some may have been sent."""
        delayed = [(delivery.copy(), (until - now) / 1000) for delivery, until in copies]
        self.queue.send_later(delayed)

    @property
    def has_time(self) -> bool:
        """False if the worker might be ended before an attempt is: then no request is sent."""
        return self.seconds_left() >= self.seconds_needed


class Work(Protocol):
    """One kind's messages of an invocation, after what is done for all of them together."""

    def handle(self, delivery: Delivery) -> End:
        """Handle one of them. If it raises, that is logged and the message is left; Unavailable leaves it too."""

    def goes_last(self, delivery: Delivery) -> bool:
        """Whether other messages must be handled first."""


class Handler(Protocol):
    """What is done with the messages of a kind."""

    def take(self, deliveries: Sequence[Delivery], invocation: Invocation) -> Work:
        """Do what is done for all of them together. Raises Unavailable, and then nothing has been done."""

    def take_each(self, invocation: Invocation) -> Work:
        """Do nothing together: each is handled alone."""


class _Unavailable:
    """Something that all messages of a kind need does not answer: each is left. Other kinds go on."""

    def handle(self, _: Delivery) -> End:
        raise Unavailable("what all messages of a kind need does not answer")

    def goes_last(self, _: Delivery) -> bool:
        return False


class Runner:
    """Runs invocations. One instance serves all invocations of its process, from any thread."""

    def __init__(
        self,
        *,
        handlers: Mapping[str, Handler],  # by the kind of message
        queue: Queue,
        dead_letters: Queue,
        retries: RetryPolicy,
        clock: Callable[[], int],
        parallel: Parallel,
        metrics: Metrics,
    ) -> None:
        self.handlers = handlers
        self._queue = queue
        self._dead_letters = dead_letters
        self._retries = retries
        self._clock = clock
        self._parallel = parallel
        self._metrics = metrics

    def run_jobs(self, records: Sequence[Mapping[str, Any]], seconds_left: Callable[[], float]) -> list[str]:
        """Handle an invocation's messages concurrently.

        `seconds_left` says how long the invocation may still take. Returns the ids of the messages that are left.
        """
        return self._run(records, self._queue, seconds_left, dead_letters=False)

    def run_dead_letters(self, records: Sequence[Mapping[str, Any]], seconds_left: Callable[[], float]) -> list[str]:
        """Bring failed messages to an end: the job fails, and so do those that share its fetch."""
        return self._run(records, self._dead_letters, seconds_left, dead_letters=True)

    def _run(
        self,
        records: Sequence[Mapping[str, Any]],
        queue: Queue,
        seconds_left: Callable[[], float],
        *,
        dead_letters: bool,
    ) -> list[str]:
        needed = self._retries.fetch_seconds + self._retries.margin_seconds
        invocation = Invocation(
            queue=queue, seconds_left=seconds_left, seconds_needed=needed, dead_letters=dead_letters
        )
        try:
            return self._handle([Delivery.of(record) for record in records], invocation)
        finally:
            self._metrics.flush()

    def _handle(self, deliveries: Sequence[Delivery], invocation: Invocation) -> list[str]:
        work = dict(self._take(deliveries, invocation))
        in_order = sorted(deliveries, key=lambda delivery: delivery in work and work[delivery].goes_last(delivery))
        done = self._parallel(lambda delivery: self._is_done(delivery, work.get(delivery), invocation), in_order)
        return [delivery.message_id for delivery, is_done in zip(in_order, done, strict=True) if not is_done]

    def _take(self, deliveries: Sequence[Delivery], invocation: Invocation) -> Iterator[tuple[Delivery, Work]]:
        for kind, handler in self.handlers.items():
            of_kind = [each for each in deliveries if each.message is not None and each.message.kind == kind]
            if not of_kind:
                continue
            try:
                work: Work = handler.take(of_kind, invocation)
            except Unavailable:
                work = _Unavailable()
            except Exception:  # a bug that one message triggers must not make the others come back
                log.exception("messages could not be handled together")
                work = handler.take_each(invocation)
            yield from ((delivery, work) for delivery in of_kind)

    def _is_done(self, delivery: Delivery, work: Work | None, invocation: Invocation) -> bool:
        if delivery.message is None or work is None:
            log.error(
                "a message cannot be read, or its kind is not known",
                extra={"message_id": delivery.message_id, "body": delivery.body[:1000]},
            )
            return invocation.dead_letters and not Message.is_later(delivery.body)
        with log_context(**delivery.message.ids()):
            try:
                end = work.handle(delivery)
            except Unavailable:
                end = Left()
            except Exception:
                log.exception("a message could not be handled")
                return False
            if isinstance(end, Later):
                end = self._later(invocation, delivery, end)
            if isinstance(end, Left):
                log.info("message left", extra={"until": end.until, "dead_letter": invocation.dead_letters})
                self._leave(invocation, delivery, end)
            return isinstance(end, Done)

    def _later(self, invocation: Invocation, delivery: Delivery, later: Later) -> End:
        """Send the copy: only then may the message be acknowledged."""
        try:
            invocation.send_copies([(delivery, later.until)], self._clock())
        except Unavailable:
            return Left(later.until)
        log.info("message waits as a copy", extra={"until": later.until})
        return Done()

    def _leave(self, invocation: Invocation, delivery: Delivery, left: Left) -> None:
        if left.until is not None:
            seconds = (left.until - self._clock()) / 1000
        elif not invocation.dead_letters and delivery.count > 1:  # an outage must not use up the deliveries
            seconds = self._pause(delivery)
        else:
            return  # it comes back by itself
        try:
            invocation.queue.hide(delivery.receipt_handle, seconds)
        except Unavailable:
            log.warning("a message comes back later than necessary", extra={"message_id": delivery.message_id})

    def _pause(self, delivery: Delivery) -> float:
        """Twice as long each time, so that an outage does not use up the deliveries.

        But no longer than the message has been tried: if the count went up quickly, by deliveries that were lost, a
        short outage must not become a long one.
        """
        least = self._retries.visibility_seconds
        doubled: float = least * 2 ** (delivery.count - 1)
        if delivery.first_at is None:
            return doubled
        return min(doubled, max(least, (self._clock() - delivery.first_at) / 1000))
