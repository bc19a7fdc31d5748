"""The messages that ask for a fetch: for each a loop of read, decide, write; then the attempt.

A message is acknowledged only when nothing more is needed for the fetch that it
is responsible for; whatever else happens, it is left and comes back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from chalicelib.jobs import decide
from chalicelib.jobs.entities import Claim, ErrorType, FetchError, Job
from chalicelib.jobs.errors import Unavailable
from chalicelib.metrics import Metric, Metrics
from chalicelib.runner.attempt import Attempts
from chalicelib.runner.ends import Done, End, Left
from chalicelib.runner.invocation import Delivery, Invocation
from chalicelib.storage.bucket import Bucket, result_keys
from chalicelib.storage.queue import FetchMessage
from chalicelib.storage.table import Table

ROUNDS = 5  # two are enough for correctness; more only save a redelivery in a race

WORKER_LOST = FetchError(
    type=ErrorType.WORKER_LOST,
    detail="every attempt was cut short on our side before the site's answer was stored; submit the URL again",
)
NEVER_STARTED = FetchError(
    type=ErrorType.WORKER_LOST,
    detail="no attempt could be started because of an error on our side; submit the URL again",
)

log = logging.getLogger("fetch_queue.runner")


class FetchMessages:
    """The handler of FetchMessage."""

    def __init__(
        self, *, table: Table, bucket: Bucket, attempts: Attempts, clock: Callable[[], int], metrics: Metrics
    ) -> None:
        self.table = table
        self.bucket = bucket
        self.attempts = attempts
        self.clock = clock
        self.metrics = metrics

    def take(self, deliveries: Sequence[Delivery], invocation: Invocation) -> _Taken:
        """Read for all of them in one request, and start together what can be started at the first look."""
        messages = [_message_of(delivery) for delivery in deliveries]
        asked = [(message.job_id, message.url_key) for message in messages]
        first = dict(zip(messages, self.table.seen(asked, now=self.clock()), strict=True))
        taken = _Taken(self, invocation, first)
        if not invocation.dead_letters:
            taken.start_together(deliveries)
        return taken

    def take_each(self, invocation: Invocation) -> _Taken:
        """Nothing is read or started together."""
        return _Taken(self, invocation, {})


@dataclass(frozen=True, slots=True)
class _Taken:
    """An invocation's messages, with what was read and started for all of them."""

    by: FetchMessages
    invocation: Invocation
    first: dict[FetchMessage, decide.Seen]  # the first look
    started: dict[Delivery, Job] = field(default_factory=dict)

    def goes_last(self, delivery: Delivery) -> bool:
        """True for started messages and repeats of them: those that join go first, to share a fetch while it exists."""
        return delivery.message in {delivery.message for delivery in self.started}

    def handle(self, delivery: Delivery) -> End:
        """Work on one message."""
        message = _message_of(delivery)
        job = self.started.get(delivery)
        if job is not None:
            return self.by.attempts.first(job, self.invocation)
        return self._work_on(message, self.first.get(message) or self._look(message))

    def start_together(self, deliveries: Sequence[Delivery]) -> None:
        """Start in one write what can be started at the first look, one job of a URL.

        This saves most of a request per job. If it is refused, nothing has happened: each goes alone, and learns why.
        Other jobs of the same URLs get the new claims in `first`.
        """
        now = self.by.clock()
        starting: dict[Delivery, Job] = {}
        repeats: list[FetchMessage] = []
        for delivery in deliveries:
            message = _message_of(delivery)
            match decide.decide(self.first[message], now=now, rules=self.by.table.rules):
                case decide.Start(job) if job in starting.values():
                    pass  # the message came twice
                case decide.Start(job) if job.url_key in {other.url_key for other in starting.values()}:
                    repeats.append(message)
                case decide.Start(job):
                    starting[delivery] = job
        if len(starting) + len(repeats) < 2 or not self.invocation.has_time:
            return
        try:
            started = self.by.table.start_all(list(starting.values()), now=now)
        except Unavailable:
            return
        self.started.update((delivery, job) for delivery, job in starting.items() if job in started)
        claims = _claims_of(started)
        for message in repeats:  # they join what was just started, without being refused first
            if message.url_key in claims:
                self.first[message] = replace(self.first[message], claim=claims[message.url_key])

    def _work_on(self, message: FetchMessage, seen: decide.Seen) -> End:
        """The loop: a refused write is a reason to look again, not to acknowledge."""
        looked = False
        claimed_id: str | None = None
        table, now = self.by.table, self.by.clock()
        for number in range(ROUNDS):
            if number:
                seen = table.seen_again(message.job_id, message.url_key, claimed_id, now=self.by.clock())
                now = self.by.clock()
            claimed_id = None if seen.claim is None else seen.claim.fetch_id
            dead_letter = self.invocation.dead_letters
            decision = decide.decide(seen, now=now, rules=table.rules, looked=looked, dead_letter=dead_letter)
            looked = looked or isinstance(decision, decide.LookAgain)
            end = self._carry_out(decision, message, now)
            if end is not None:
                return end
        return Left(now)

    def _carry_out(self, decision: decide.Decision, message: FetchMessage, now: int) -> End | None:
        """None if a write was refused, or none was asked for: then the loop looks again."""
        table = self.by.table
        match decision:
            case decide.Acknowledge(remove):
                if remove:
                    self.by.bucket.delete(result_keys(message.job_id, table.rules.max_attempts))
                return Done()
            case decide.LookAgain():
                return None
            case decide.Wait(until):
                return Left(until)
            case decide.Start() | decide.Resume() if not self.invocation.has_time:
                return Left()  # AWS is slow, which must use up no more deliveries than an outage
            case decide.Start(job, dead):
                return self.by.attempts.first(job, self.invocation) if table.start(job, now=now, dead=dead) else None
            case decide.Resume(fetch):
                return self.by.attempts.next(fetch, self.invocation) if table.resume(fetch, now=now) else None
            case decide.Join(job, fetch_id):
                return self._joined(fetch_id) if table.join(job, fetch_id) else None
            case decide.GiveUp(fetch):
                return self._failed(fetch.attempt) if table.give_up(fetch, WORKER_LOST, now=now) else None
            case decide.Fail(job):
                return self._failed(0) if table.fail_unstarted(job, NEVER_STARTED, now=now) else None

    def _joined(self, fetch_id: str) -> End:
        self.by.metrics.add(Metric.REUSED)
        log.info("fetch reused", extra={"fetch_id": fetch_id})
        return Done()

    def _failed(self, attempts: int) -> End:
        self.by.metrics.add(Metric.FAILED, error_type=ErrorType.WORKER_LOST)
        log.error("fetch given up" if attempts else "job failed before its first attempt", extra={"attempt": attempts})
        return Done()

    def _look(self, message: FetchMessage) -> decide.Seen:
        (seen,) = self.by.table.seen([(message.job_id, message.url_key)], now=self.by.clock())
        return seen


def _message_of(delivery: Delivery) -> FetchMessage:
    if not isinstance(delivery.message, FetchMessage):
        raise TypeError(f"{delivery.message!r} asks for no fetch")
    return delivery.message


def _claims_of(started: Sequence[Job]) -> dict[str, Claim]:
    """The claims that were put when these jobs were started, by url_key."""
    return {job.url_key: Claim(url_key=job.url_key, fetch_id=job.id, submitted_at=job.submitted_at) for job in started}
