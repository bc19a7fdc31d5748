"""The messages that ask for a fetch: for each a loop of read, decide, write; then the attempt.

A message is acknowledged only when nothing more is needed for the fetch that it
is responsible for; whatever else happens, it is left and comes back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chalicelib.jobs import decide
from chalicelib.jobs.entities import ErrorType, Fetch, FetchError
from chalicelib.jobs.pace import Turn
from chalicelib.metrics import Metric, Metrics
from chalicelib.runner.attempt import Attempt, Attempts
from chalicelib.runner.ends import Done, End, Later, Left
from chalicelib.runner.failures import NEVER_STARTED, WORKER_LOST
from chalicelib.runner.invocation import Delivery, Invocation
from chalicelib.runner.outcome import Failure
from chalicelib.runner.robots import Allowed, Asked, Forbidden, Permits, Robots, Unknown, Unreadable
from chalicelib.runner.slots import Slots
from chalicelib.runner.together import Together
from chalicelib.runner.turns import IN_WORKER, HostBusy, Turns
from chalicelib.storage.bucket import Bucket, result_keys
from chalicelib.storage.lines import Lines
from chalicelib.storage.queue import FetchMessage
from chalicelib.storage.table import Table

ROUNDS = 5  # two are enough for correctness; more only save a redelivery in a race
MOST_COPIES = 1000  # of a message that waits for its host; far more than the longest wait needs
ROBOTS_PAUSE = 2000  # ms; for another worker that asks for a robots.txt
SLOT_SECONDS = 3.0  # for another request of this process at the same host to end

log = logging.getLogger("fetch_queue.runner")


class FetchMessages:
    """The handler of FetchMessage."""

    def __init__(
        self,
        *,
        table: Table,
        lines: Lines,
        slots: Slots,
        bucket: Bucket,
        attempts: Attempts,
        robots: Robots | None,
        clock: Callable[[], int],
        sleep: Callable[[float], object],
        metrics: Metrics,
    ) -> None:
        self.table = table
        self.lines = lines
        self.slots = slots
        self.bucket = bucket
        self.attempts = attempts
        self.robots = robots  # None: robots.txt is not read
        self.clock = clock
        self.sleep = sleep
        self.metrics = metrics

    def take(self, deliveries: Sequence[Delivery], invocation: Invocation) -> _Taken:
        """Read for all of them in one request, and do together what can be done at the first look."""
        messages = [_message_of(delivery) for delivery in deliveries]
        taken = self.take_each(invocation)
        seen = self.table.seen(messages, now=self.clock(), robots=taken.permits is not None)
        first = dict(zip(messages, seen, strict=True))
        for message in first:
            taken.saw(message, first[message])
        together = Together(self.table, self.slots, taken.turns, invocation, self.clock, first, taken.permits)
        if not invocation.dead_letters:
            together.begin({delivery: _message_of(delivery) for delivery in deliveries})
            if together.paced:
                self.metrics.add(Metric.PACED, together.paced)
        redelivered = frozenset(_message_of(delivery) for delivery in deliveries if delivery.count > 1)
        return replace(taken, first=first, together=together, redelivered=redelivered)

    def take_each(self, invocation: Invocation) -> _Taken:
        """Nothing is read or started together."""
        turns = Turns(self.lines, self.clock)
        reads = self.robots is not None and not invocation.dead_letters
        permits = Permits(self.robots, turns) if self.robots and reads else None
        return _Taken(self, invocation, turns, permits, {}, None, frozenset())


@dataclass(frozen=True, slots=True)
class _Taken:
    """An invocation's messages, with what was read and begun for all of them."""

    by: FetchMessages
    invocation: Invocation
    turns: Turns
    permits: Permits | None  # None: robots.txt is not read
    first: dict[FetchMessage, decide.Seen]  # the first look
    together: Together | None
    redelivered: frozenset[FetchMessage]  # messages that were delivered before

    def saw(self, message: FetchMessage, seen: decide.Seen) -> None:
        """Remember what was read of the message's host."""
        self.turns.saw(message.host_key, seen.pace)
        if self.permits is not None:
            self.permits.saw(message.host_key, list(seen.robots))

    def goes_last(self, delivery: Delivery) -> bool:
        """True for started messages and repeats of them: those that join go first, to share a fetch while it exists."""
        return self.together is not None and delivery.message in self.together.started_messages

    def handle(self, delivery: Delivery) -> End:
        """Work on one message."""
        message = _message_of(delivery)
        if self.together is not None:
            if delivery in self.together.copied:
                return Done()
            if delivery in self.together.joined:
                return self._joined(self.together.joined[delivery])
            attempt = self.together.started.get(delivery)
            if attempt is not None:
                return self._carry_out_begun(attempt, message)
        return self._work_on(message, self.first.get(message) or self._look(message))

    def _work_on(self, message: FetchMessage, seen: decide.Seen) -> End:
        """The loop: a refused write is a reason to look again, not to acknowledge."""
        looked = False
        claimed_id: str | None = None
        table, now = self.by.table, self.by.clock()
        for number in range(ROUNDS):
            if number:
                reads = self.permits is not None
                seen = table.seen_again(message, claimed_id, now=self.by.clock(), robots=reads)
                self.saw(message, seen)
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
            case decide.LookAgain() | decide.LookAtClaim():
                return None
            case decide.Wait(until, Fetch() as waiting) if not self.invocation.dead_letters:
                turn = self._kept(message, waiting)
                in_time = turn is not None and turn.at <= self.turns.latest(waiting.submitted_at)
                at = max(until, turn.at) if turn is not None and in_time else until
                return Later(at) if at > now + IN_WORKER else self._begin(decide.Resume(waiting), message, now)
            case decide.Wait(until):
                return Left(until)
            case decide.Start() | decide.Resume():
                return self._begin(decision, message, now)
            case decide.Join(_, fetch_id):
                return self._joined(fetch_id) if table.join(decision) else None
            case decide.GiveUp(fetch):
                return self._failed(WORKER_LOST, fetch.attempt) if table.give_up(fetch, WORKER_LOST, now=now) else None
            case decide.Fail(job):
                return self._failed(NEVER_STARTED, 0) if table.fail_unstarted(job, NEVER_STARTED, now=now) else None

    def _begin(self, beginning: decide.Start | decide.Resume, message: FetchMessage, now: int) -> End | None:
        """Begin an attempt, or, if its turn at the host is to come, let it wait."""
        if not self.invocation.has_time:
            return Left()  # AWS is slow, which must use up no more deliveries than an outage
        verdict = Allowed() if self.permits is None else self.permits.verdict(message.host_key, beginning, now=now)
        match verdict:
            case Forbidden(error):
                return self._fail(beginning, error)
            case Unreadable(failure):
                return self._begin_now(None, beginning, message, failure)
            case Asked() if message.copies >= MOST_COPIES or now > self.turns.latest(beginning.submitted_at):
                return self._fail(beginning, self.turns.silent())
            case Asked():
                return Later(now + ROBOTS_PAUSE)
        try:
            turn = self._turn(beginning, message)
        except HostBusy:
            known = isinstance(verdict, Allowed)
            return self._fail(beginning, self.turns.busy(message.host_key) if known else self.turns.silent())
        if turn is not None and turn.at > now + IN_WORKER:
            return self._wait_for(turn, beginning, now)
        if not self.by.slots.take(message.host, wait_seconds=SLOT_SECONDS):
            self.turns.crowded(message.host_key)
            return None
        try:
            if isinstance(verdict, Unknown) and self.permits is not None:
                return self._ask(self.permits, verdict, message, turn)
            return self._begin_now(turn, beginning, message)
        finally:
            self.by.slots.give_back(message.host)

    def _ask(self, permits: Permits, unknown: Unknown, message: FetchMessage, turn: Turn | None) -> End | None:
        """Ask for the robots.txt in the turn of the URL, which needs another one; then the loop looks again."""
        self._sleep_until(0 if turn is None else turn.at)
        permits.ask(message.host_key, unknown.target)
        self.turns.spend(message.host_key, turn)
        return None if self.invocation.has_time else Later(self.by.clock())

    def _turn(self, beginning: decide.Start | decide.Resume, message: FetchMessage) -> Turn | None:
        """The turn that it has or takes; None if the host has no line. Raises HostBusy."""
        turn = self._kept(message, beginning.fetch) if isinstance(beginning, decide.Resume) else None
        if turn is None and not self.turns.has_line(message.host_key):
            return None
        turn = turn or self.turns.take(message.host_key)[0]
        if turn.at > self.turns.latest(beginning.submitted_at) or message.copies >= MOST_COPIES:
            raise HostBusy(message.host_key)
        return turn

    def _kept(self, message: FetchMessage, fetch: Fetch) -> Turn | None:
        """The turn of the place that the fetch has; None if it has none, or has lost it."""
        return self.turns.kept(message.host_key, fetch.place, redelivered=message in self.redelivered)

    def _wait_for(self, turn: Turn, beginning: decide.Start | decide.Resume, now: int) -> End | None:
        table = self.by.table
        match beginning:
            case decide.Start():
                made = table.start(beginning, now=now, turn=turn)
            case decide.Resume(fetch):
                made = fetch.place == turn.place or table.line_up(fetch, turn, now=now)
        if not made:
            return None
        self.by.metrics.add(Metric.PACED)
        return Later(turn.at)

    def _begin_now(
        self,
        turn: Turn | None,
        beginning: decide.Start | decide.Resume,
        message: FetchMessage,
        unreadable: Failure | None = None,
    ) -> End | None:
        table = self.by.table
        match beginning:
            case decide.Start(job):
                made = table.start(beginning, now=self.by.clock())
                attempt = Attempt.first(job, message.host_key, 0 if turn is None else turn.at)
            case decide.Resume(fetch):
                self._sleep_until(max(fetch.lease_until, 0 if turn is None else turn.at))
                made = table.resume(fetch, now=self.by.clock())
                attempt = Attempt.next(fetch, message.host_key)
        return self.by.attempts.carry_out(attempt, self.invocation, self.turns, unreadable) if made else None

    def _carry_out_begun(self, attempt: Attempt, message: FetchMessage) -> End:
        try:
            return self.by.attempts.carry_out(attempt, self.invocation, self.turns)
        finally:
            self.by.slots.give_back(message.host)

    def _fail(self, beginning: decide.Start | decide.Resume, error: FetchError) -> End | None:
        """End it instead of beginning."""
        match beginning:
            case decide.Start(job):
                made = self.by.table.fail_unstarted(job, error, now=self.by.clock())
            case decide.Resume(fetch):
                self._sleep_until(fetch.lease_until)
                made = self.by.table.give_up(fetch, error, now=self.by.clock())
        return self._failed(error, 0) if made else None

    def _sleep_until(self, at: int) -> None:
        early = at - self.by.clock()
        if early > 0:
            self.by.sleep(early / 1000)

    def _joined(self, fetch_id: str) -> End:
        self.by.metrics.add(Metric.REUSED)
        log.info("fetch reused", extra={"fetch_id": fetch_id})
        return Done()

    def _failed(self, error: FetchError, attempts: int) -> End:
        self.by.metrics.add(Metric.FAILED, error_type=error.type)
        if error.type is ErrorType.HOST_BUSY:
            log.warning("a host is too busy", extra={"error_type": str(error.type)})
        elif error.type is ErrorType.ROBOTS:
            log.info("a robots.txt does not allow a fetch", extra={"error_type": str(error.type)})
        else:
            log.error(
                "fetch given up" if attempts else "job failed before its first attempt", extra={"attempt": attempts}
            )
        return Done()

    def _look(self, message: FetchMessage) -> decide.Seen:
        (seen,) = self.by.table.seen([message], now=self.by.clock(), robots=self.permits is not None)
        self.saw(message, seen)
        return seen


def _message_of(delivery: Delivery) -> FetchMessage:
    if not isinstance(delivery.message, FetchMessage):
        raise TypeError(f"{delivery.message!r} asks for no fetch")
    return delivery.message
