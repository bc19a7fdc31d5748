"""What an invocation does for all its messages at once: it saves most of a request for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from chalicelib.jobs import decide
from chalicelib.jobs.entities import Claim, Fetch, Job
from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.pace import Turn
from chalicelib.runner.attempt import Attempt
from chalicelib.runner.invocation import Delivery, Invocation
from chalicelib.runner.robots import Allowed, Permits
from chalicelib.runner.slots import Slots
from chalicelib.runner.turns import IN_WORKER, HostBusy, Turns
from chalicelib.storage.queue import FetchMessage
from chalicelib.storage.table import Starting, Table


@dataclass(slots=True)
class Together:
    """Starts, in one transaction; joins, in another; and copies of messages that wait, in one request.

    Where one is refused nothing has happened, and each message goes alone, and learns why.
    """

    table: Table
    slots: Slots
    turns: Turns
    invocation: Invocation
    clock: Callable[[], int]
    first: dict[FetchMessage, decide.Seen]  # the first look
    permits: Permits | None = None  # None: robots.txt is not read
    started: dict[Delivery, Attempt] = field(default_factory=dict)  # each has a slot of its host
    joined: dict[Delivery, str] = field(default_factory=dict)  # and the fetches that they share
    copied: set[Delivery] = field(default_factory=set)  # whose copies were sent
    paced: int = 0  # how many got a place in a line

    @property
    def started_messages(self) -> set[FetchMessage]:
        """The messages of what was started."""
        return {delivery.message for delivery in self.started if isinstance(delivery.message, FetchMessage)}

    def begin(self, messages: Mapping[Delivery, FetchMessage]) -> None:
        """Begin what can be begun after the first look."""
        now = self.clock()
        self._look_at_claims(now)
        starting: dict[Delivery, decide.Start] = {}
        repeats: list[FetchMessage] = []
        waiting: dict[Delivery, int] = {}  # until when
        for delivery, message in messages.items():
            match decide.decide(self.first[message], now=now, rules=self.table.rules):
                case decide.Start() as start if start in starting.values():
                    pass  # the message came twice
                case decide.Start() as start if not self._allowed(message, start, now):
                    pass  # it goes alone
                case decide.Start(job) if job.url_key in {other.job.url_key for other in starting.values()}:
                    repeats.append(message)
                case decide.Start() as start:
                    starting[delivery] = start
                case decide.Wait(_, Fetch() as fetch) | decide.Resume(fetch):
                    turn = self.turns.kept(message.host_key, fetch.place, redelivered=delivery.count > 1)
                    if turn is not None and now + IN_WORKER < turn.at <= self.turns.latest(fetch.submitted_at):
                        waiting[delivery] = turn.at
        if len(starting) + len(repeats) >= 2 and self.invocation.has_time:
            with suppress(Unavailable):
                waiting |= self._start(starting, repeats, messages, now)
        self._join(messages, now)
        self._send_copies(waiting)

    def _allowed(self, message: FetchMessage, start: decide.Start, now: int) -> bool:
        """True if it is known that the site's robots.txt allows the URL."""
        if self.permits is None:
            return True
        try:
            return isinstance(self.permits.verdict(message.host_key, start, now=now), Allowed)
        except Unavailable:
            return False

    def _look_at_claims(self, now: int) -> None:
        """Read the fetches of claims past their window, on which the first decision depends, in one request."""
        asking = [
            message
            for message, seen in self.first.items()
            if isinstance(decide.decide(seen, now=now, rules=self.table.rules), decide.LookAtClaim)
        ]
        if len(asking) > 1:
            known = self.table.with_claimed([self.first[message] for message in asking], now=now)
            self.first.update(zip(asking, known, strict=True))

    def _start(
        self,
        starting: Mapping[Delivery, decide.Start],
        repeats: Sequence[FetchMessage],
        messages: Mapping[Delivery, FetchMessage],
        now: int,
    ) -> dict[Delivery, int]:
        """Start what has its turn, or a place in its host's line; returns the latter.

        Other jobs of the same URLs get the new claims in `first`.
        """
        turns = self._turns(starting, messages)
        starts: dict[Delivery, Starting] = {}
        for delivery, start in starting.items():
            if delivery not in turns:
                continue
            turn = turns[delivery]
            later = turn is not None and turn.at > now + IN_WORKER
            if later or self.slots.take(messages[delivery].host):
                starts[delivery] = Starting(start, turn if later else None)
        started: Sequence[Starting] = []
        try:
            started = self.table.start_all(list(starts.values()), now=now) if starts else []
        finally:
            for delivery, each in starts.items():
                if each.turn is None and each not in started:
                    self.slots.give_back(messages[delivery].host)
        waiting: dict[Delivery, int] = {}
        for delivery, each in starts.items():
            if each not in started:
                continue
            if each.turn is not None:
                waiting[delivery] = each.turn.at
                continue
            turn = turns[delivery]
            host_key = messages[delivery].host_key
            self.started[delivery] = Attempt.first(each.start.job, host_key, 0 if turn is None else turn.at)
        self.paced += len(waiting)
        self._tell(repeats, [each.start.job for each in started])
        return waiting

    def _turns(
        self, starting: Mapping[Delivery, decide.Start], messages: Mapping[Delivery, FetchMessage]
    ) -> dict[Delivery, Turn | None]:
        """Take places at the hosts that have a line, in one write for each host. Who gets none in time goes alone."""
        by_host: dict[str, list[Delivery]] = defaultdict(list)
        for delivery in starting:
            by_host[messages[delivery].host_key].append(delivery)
        turns: dict[Delivery, Turn | None] = {}
        for host_key, deliveries in by_host.items():
            if not self.turns.has_line(host_key):
                turns |= dict.fromkeys(deliveries)
                continue
            with suppress(HostBusy):
                taken = zip(deliveries, self.turns.take(host_key, len(deliveries)), strict=True)
                turns |= {
                    delivery: turn
                    for delivery, turn in taken
                    if turn.at <= self.turns.latest(starting[delivery].submitted_at)
                }
        return turns

    def _tell(self, repeats: Sequence[FetchMessage], started: Sequence[Job]) -> None:
        """Let repeats join what was just started, without being refused first."""
        claims = {
            job.url_key: Claim(url_key=job.url_key, fetch_id=job.id, submitted_at=job.submitted_at) for job in started
        }
        for message in repeats:
            if message.url_key in claims:
                self.first[message] = replace(self.first[message], claim=claims[message.url_key])

    def _join(self, messages: Mapping[Delivery, FetchMessage], now: int) -> None:
        """Let the jobs that may share existing fetches do so. One that renews a claim goes alone."""
        joining: dict[str, tuple[Delivery, decide.Join]] = {}  # by job: a message may have come twice
        for delivery, message in messages.items():
            if delivery in self.started:
                continue
            match decide.decide(self.first[message], now=now, rules=self.table.rules):
                case decide.Join(job, renew=False) as join:
                    joining.setdefault(job.id, (delivery, join))
        if len(joining) >= 2:
            with suppress(Unavailable):
                if self.table.join_all([join for _, join in joining.values()]):
                    self.joined = {delivery: join.fetch_id for delivery, join in joining.values()}

    def _send_copies(self, waiting: Mapping[Delivery, int]) -> None:
        if waiting:
            with suppress(Unavailable):  # then each goes alone
                self.invocation.send_copies(list(waiting.items()), self.clock())
                self.copied |= waiting.keys()
