"""The job runner: one message is a loop of read, decide, write; then the attempt, and its end.

A message is acknowledged only when nothing more is needed for the fetch that it
leads; whatever else happens, it is left and comes back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from chalicelib.jobs import decide as decisions
from chalicelib.jobs.decide import Seen, decide
from chalicelib.jobs.entities import Claim, ErrorType, Fetch, FetchError, Job, Result, Status
from chalicelib.jobs.errors import Unavailable
from chalicelib.logs import about
from chalicelib.metrics import OFF, Metric, Metrics
from chalicelib.runner import retry
from chalicelib.runner.outcome import Failure, Fetched, Sink
from chalicelib.storage import protocol
from chalicelib.storage.bucket import Bucket, result_key, result_keys
from chalicelib.storage.calls import Parallel
from chalicelib.storage.protocol import TRANSACTION_LIMIT, Operation, Write
from chalicelib.storage.queue import Message, Queue
from chalicelib.storage.table import Table

ROUNDS = 5  # two are enough for every promise; more only save a redelivery in a race

WORKER_LOST = FetchError(
    type=ErrorType.WORKER_LOST,
    detail="every attempt was cut short on our side before the site's answer was stored; submit the URL again",
)
NEVER_STARTED = FetchError(
    type=ErrorType.WORKER_LOST,
    detail="no attempt could be begun, through a fault on our side; submit the URL again",
)

log = logging.getLogger("fetch_queue.runner")


class Fetches(Protocol):
    """What brings a URL's bytes into a sink."""

    def fetch(self, url: str, sink: Sink) -> Fetched | Failure:
        """One attempt at the URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long a URL is tried, and when again, in seconds."""

    fetch_seconds: float
    margin_seconds: float  # for what follows a fetch
    backoff_seconds: float
    backoff_cap_seconds: float
    visibility_seconds: float  # after which a message comes back by itself


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """A message as it was received; the same message may be received twice, which makes two."""

    message_id: str
    receipt_handle: str
    message: Message | None  # None for one that cannot be read
    body: str
    count: int  # how often the message was delivered, this time included

    @staticmethod
    def of(record: Mapping[str, Any]) -> Delivery:
        """The delivery of an SQS event's record."""
        count = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
        body = record["body"]
        return Delivery(record["messageId"], record["receiptHandle"], Message.parse(body), body, count)


@dataclass(frozen=True, slots=True)
class Done:
    """The message needs nothing more."""


@dataclass(frozen=True, slots=True)
class Left:
    """The message comes back: at this time, or where none is known after a pause that doubles with each delivery."""

    until: int | None = None


class Runner:
    """Runs jobs. One instance serves every invocation of its process, from any thread."""

    def __init__(
        self,
        *,
        table: Table,
        queue: Queue,
        dead_letters: Queue,
        bucket: Bucket,
        fetcher: Fetches,
        retries: RetryPolicy,
        clock: Callable[[], int],
        random: Callable[[], float],
        parallel: Parallel,
        metrics: Metrics = OFF,
    ) -> None:
        self._metrics = metrics
        self._table = table
        self._queue = queue
        self._dead_letters = dead_letters
        self._bucket = bucket
        self._fetcher = fetcher
        self._rules = table.terms.rules
        self._retries = retries
        self._clock = clock
        self._random = random
        self._parallel = parallel

    def run_jobs(self, records: Sequence[Mapping[str, Any]], seconds_left: Callable[[], float]) -> list[str]:
        """Work on an invocation's messages at the same time.

        `seconds_left` tells how long the invocation may still take. Returns the ids of the messages that are left.
        """
        return self._handle(records, seconds_left, self._queue, dead_letter=False)

    def run_dead_letters(self, records: Sequence[Mapping[str, Any]], seconds_left: Callable[[], float]) -> list[str]:
        """Bring what could not be done to an end: the job fails, and whoever shares its fetch."""
        return self._handle(records, seconds_left, self._dead_letters, dead_letter=True)

    def _handle(
        self,
        records: Sequence[Mapping[str, Any]],
        seconds_left: Callable[[], float],
        queue: Queue,
        *,
        dead_letter: bool,
    ) -> list[str]:
        deliveries = [Delivery.of(record) for record in records]
        readable = [delivery.message for delivery in deliveries if delivery.message is not None]
        try:
            first = dict(zip(readable, self._look(readable), strict=True))
            started = {} if dead_letter else self._start_together(deliveries, first, seconds_left)
        except Unavailable:
            self._parallel(lambda delivery: self._leave(queue, delivery, Left()), deliveries)
            return [delivery.message_id for delivery in deliveries]
        except Exception:  # a bug that one message meets must not bring back its neighbours: each goes alone
            log.exception("messages could not be handled together")
            first, started = {}, {}

        def handle(delivery: Delivery) -> bool:
            if delivery.message is None:
                which = {"message_id": delivery.message_id, "body": delivery.body[:1000]}
                log.error("a message cannot be read", extra=which)
                return dead_letter
            try:
                seen = first.get(delivery.message)
                end = self._run(delivery.message, seen, seconds_left, dead_letter, started.get(delivery))
            except Exception:
                log.exception("a message could not be handled", extra={"job_id": delivery.message.job_id})
                return False
            if isinstance(end, Left):
                self._leave(queue, delivery, end)
            return isinstance(end, Done)

        # Who joins goes before what was started, to share it while it stands; a message that came twice goes after it.
        begun = {delivery.message for delivery in started}
        in_order = sorted(deliveries, key=lambda delivery: delivery.message in begun)
        done = self._parallel(handle, in_order)
        self._metrics.flush()
        return [delivery.message_id for delivery, is_done in zip(in_order, done, strict=True) if not is_done]

    def _start_together(
        self, deliveries: Sequence[Delivery], first: dict[Message, Seen], seconds_left: Callable[[], float]
    ) -> dict[Delivery, Job]:
        """Start in one write what can be started at the first look, one job of a URL; returns what was.

        It saves most of a request a job. Where it is refused nothing has happened: each goes alone, and learns why.
        Other jobs of the same URLs are given the claims in `first`.
        """
        now = self._clock()
        started: dict[Delivery, Job] = {}
        repeats: list[Message] = []
        write: list[Operation] = []
        for delivery in deliveries:
            if delivery.message is None:
                continue
            match decide(first[delivery.message], now=now, rules=self._rules):
                case decisions.Start(job) if job in started.values():
                    pass  # the message came twice
                case decisions.Start(job) if job.url_key in {other.url_key for other in started.values()}:
                    repeats.append(delivery.message)
                case decisions.Start(job):
                    start = protocol.start(job, now=now, terms=self._table.terms, dead=None)
                    if len(write) + len(start) <= TRANSACTION_LIMIT:
                        started[delivery] = job
                        write += start
        if len(started) + len(repeats) < 2 or not self._has_time(seconds_left):
            return {}
        try:
            if not self._table.make(write):
                return {}
        except Unavailable:
            return {}
        claims = {
            job.url_key: Claim(url_key=job.url_key, fetch_id=job.id, submitted_at=job.submitted_at)
            for job in started.values()
        }
        for message in repeats:  # they join what has just been started, and need not be refused first
            first[message] = replace(first[message], claim=claims[message.url_key])
        return started

    def _run(
        self,
        message: Message,
        seen: Seen | None,
        seconds_left: Callable[[], float],
        dead_letter: bool,
        started: Job | None,
    ) -> Done | Left:
        with about(job_id=message.job_id):
            try:
                if started is not None:
                    end = self._begin(started, seconds_left)
                else:
                    end = self._lead(message, seen or self._look([message])[0], seconds_left, dead_letter)
            except Unavailable:
                end = Left()
            if isinstance(end, Left):
                log.info("message left", extra={"until": end.until, "dead_letter": dead_letter})
            return end

    def _lead(self, message: Message, seen: Seen, seconds_left: Callable[[], float], dead_letter: bool) -> Done | Left:
        """The loop: a refused write is no reason to acknowledge, but to look again."""
        looked = False
        claimed_id: str | None = None
        now = self._clock()
        for number in range(ROUNDS):
            if number:
                seen = self._look_again(message, claimed_id)
                now = self._clock()
            claimed_id = None if seen.claim is None else seen.claim.fetch_id
            decision = decide(seen, now=now, rules=self._rules, looked=looked, dead_letter=dead_letter)
            match decision:
                case decisions.Acknowledge(remove):
                    if remove:
                        self._bucket.delete(result_keys(message.job_id, self._rules.max_attempts))
                    return Done()
                case decisions.LookAgain():
                    looked = True
                case decisions.Leave(until):
                    return Left(until)
                case decisions.Start() | decisions.Resume() if not self._has_time(seconds_left):
                    return Left()  # AWS is slow, which must use up no more deliveries than an outage
                case decisions.Start(job, dead):
                    if self._table.make(protocol.start(job, now=now, terms=self._table.terms, dead=dead)):
                        return self._begin(job, seconds_left)
                case decisions.Resume(fetch):
                    if self._table.make(protocol.resume(fetch, now=now, terms=self._table.terms)):
                        return self._attempt(fetch.id, fetch.url, fetch.attempt + 1, seconds_left)
                case decisions.Join(job, fetch_id):
                    if self._table.make(protocol.join(job, fetch_id, self._rules)):
                        self._metrics.add(Metric.REUSED)
                        log.info("fetch reused", extra={"fetch_id": fetch_id})
                        return Done()
                case decisions.GiveUp(fetch):
                    if self._table.make(protocol.give_up(fetch, WORKER_LOST, now=now)):
                        self._metrics.add(Metric.FAILED, error_type=WORKER_LOST.type)
                        log.error("fetch given up", extra={"fetch_id": fetch.id, "attempt": fetch.attempt})
                        return Done()
                case decisions.Fail(job):
                    if self._table.make(protocol.fail_unstarted(job, NEVER_STARTED, now=now, terms=self._table.terms)):
                        self._metrics.add(Metric.FAILED, error_type=WORKER_LOST.type)
                        log.error("job failed unstarted")
                        return Done()
        return Left(now)

    def _has_time(self, seconds_left: Callable[[], float]) -> bool:
        """No request is sent that the worker might not live to see the end of."""
        return seconds_left() >= self._retries.fetch_seconds + self._retries.margin_seconds

    def _begin(self, job: Job, seconds_left: Callable[[], float]) -> Done | Left:
        """The first attempt of a fetch that was just started."""
        self._metrics.add(Metric.QUEUE_AGE, self._clock() - job.submitted_at)
        return self._attempt(job.id, job.url, 1, seconds_left)

    def _attempt(self, fetch_id: str, url: str, attempt: int, seconds_left: Callable[[], float]) -> Done | Left:
        """Fetch, store, and end the attempt by a write that only its holder can make."""
        with about(fetch_id=fetch_id, attempt=attempt):
            if self._has_time(seconds_left):
                return self._fetch_and_end(fetch_id, url, attempt)
            return Left()  # the write that began the attempt took long; when the message is back, the lease is over

    def _fetch_and_end(self, fetch_id: str, url: str, attempt: int) -> Done | Left:
        key = result_key(fetch_id, attempt)
        began = self._clock()
        try:
            with self._bucket.create_result(key) as upload:
                outcome = self._fetcher.fetch(url, upload)
                if isinstance(outcome, Fetched):
                    upload.complete()
        except Unavailable:
            # The lease stands until it ends. What was stored, if anything, goes with the fetch's last job.
            self._remove(key)
            raise
        self._metrics.add(Metric.FETCH_TIME, self._clock() - began)
        if isinstance(outcome, Fetched):
            return self._finish(fetch_id, attempt, self._result(outcome, key))
        return self._fail_or_retry(fetch_id, attempt, outcome)

    def _finish(self, fetch_id: str, attempt: int, result: Result) -> Done | Left:
        if self._end(protocol.finish(fetch_id, attempt, result, now=self._clock())):
            self._metrics.add(Metric.FETCHED)
            self._metrics.add(Metric.BYTES, result.size)
            log.info("fetch succeeded", extra={"size": result.size, "http_status": result.http_status})
            return Done()
        own = self._table.fetch(fetch_id, now=self._clock())
        if own is not None and own.status is Status.SUCCEEDED and own.attempt == attempt:
            return Done()  # it was this very write, whose answer was lost
        self._bucket.delete([result.key])  # where that fails the message is left, and comes back to it
        return _lost(own)

    def _fail_or_retry(self, fetch_id: str, attempt: int, failure: Failure) -> Done | Left:
        seconds = retry.delay(
            failure,
            attempt,
            max_attempts=self._rules.max_attempts,
            base_seconds=self._retries.backoff_seconds,
            cap_seconds=self._retries.backoff_cap_seconds,
            random=self._random,
        )
        now = self._clock()
        error = {"error_type": str(failure.error.type)}
        if seconds is None:
            if self._end(protocol.fail(fetch_id, attempt, failure.error, now=now)):
                self._metrics.add(Metric.FAILED, error_type=failure.error.type)
                log.info("fetch failed", extra=error)
                return Done()
        else:
            until = now + int(seconds * 1000)
            if self._end(protocol.retry(fetch_id, attempt, until=until)):
                self._metrics.add(Metric.RETRIED)
                log.info("attempt failed, another follows", extra={**error, "seconds": seconds})
                return Left(until)
        return _lost(self._table.fetch(fetch_id, now=now))

    def _end(self, write: Write) -> bool:
        """Make the write that ends an attempt. Without it the site is asked again, so it is tried for twice as long.

        Whoever reads after a refusal finds his own write, if that was made.
        """
        try:
            return self._table.make(write)
        except Unavailable:
            return self._table.make(write)

    def _look(self, messages: Sequence[Message]) -> list[Seen]:
        """The first round's reading, one request for all: what a new job needs, whose own fetch cannot be there."""
        if not messages:
            return []
        return self._table.seen([(message.job_id, message.url_key) for message in messages], now=self._clock())

    def _look_again(self, message: Message, claimed_id: str | None) -> Seen:
        return self._table.seen_again(message.job_id, message.url_key, claimed_id, now=self._clock())

    def _leave(self, queue: Queue, delivery: Delivery, left: Left) -> None:
        if left.until is not None:
            seconds = (left.until - self._clock()) / 1000
        elif queue is self._queue and delivery.count > 1:  # an outage must not use up the deliveries
            seconds = self._retries.visibility_seconds * 2 ** (delivery.count - 1)
        else:
            return  # it comes back by itself
        try:
            queue.leave(delivery.receipt_handle, seconds)
        except Unavailable:
            log.warning("a message comes back later than it could", extra={"message_id": delivery.message_id})

    def _remove(self, key: str) -> None:
        try:
            self._bucket.delete([key])
        except Unavailable:
            log.warning("a result that no record names stays until its fetch is deleted", extra={"key": key})

    def _result(self, fetched: Fetched, key: str) -> Result:
        return Result(
            content_type=fetched.content_type,
            size=fetched.size,
            sha256=fetched.sha256,
            http_status=fetched.http_status,
            final_url=fetched.final_url,
            headers=fetched.headers,
            fetched_at=self._clock(),
            key=key,
            text=fetched.text,
        )


def _lost(own: Fetch | None) -> Done | Left:
    """The end of a worker whose attempt was taken over, deleted, or ended by a write whose answer was lost."""
    return Done() if own is None or own.finished else Left(own.lease_until)
