"""A long list of one host that takes so many requests a second, in virtual time: who comes through, when, and what for.

    python -m bench.pace_simulation             # about a minute
    python -m bench.pace_simulation --long      # and lists of 100,000 URLs, in about five

The decisions are the real code's: `chalicelib.storage.lines` and `chalicelib.runner.turns` on a table in memory. Around
them an invocation is told over again as `chalicelib.runner` does it, and SQS, Lambda and the site are models. A second
stream of URLs, each of a host of its own, shows how long others wait. The same seed gives the same figures.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench.bucket import Bucket
from bench.lives import deployed
from bench.prices import GIB, MILLION, Bill, Unit
from bench.tables import Table
from bench.virtual import START, UNTIL_WOKEN, MemoryTable, Process, Queue, Time
from chalicelib.jobs.pace import HostRules, Turn
from chalicelib.runner.fetch_messages import MOST_COPIES, ROUNDS, SLOT_SECONDS
from chalicelib.runner.turns import IN_WORKER, HostBusy, Turns
from chalicelib.settings import Settings
from chalicelib.storage.calls import Patience
from chalicelib.storage.lines import Lines
from chalicelib.storage.queue import SEND_LIMIT

HOST = "local/example.com"
RETRY_AFTER = 3000  # ms, that the site asks for with each refusal

# What is assumed of AWS and of the sites, in milliseconds; bench.cost assumes the same of calls and answers
CALL = 10.0
ANSWER, REFUSAL = 500.0, 50.0
MOST_LATE = 300.0  # from when a message may come until it does
SUBMITTED_A_SECOND = 1000
OTHERS_EVERY = 1000.0  # another host's URL is submitted
CPU_FETCH, CPU_COPY = 4.9, 1.5  # of one vCPU, a message: bench.cost for the former
VCPU_MB = 1769
LOG_FETCH, LOG_COPY, LOG_INVOCATION = 594, 200, 320  # bytes

MINUTE = 60_000
STUCK = 5 * MINUTE  # without a request to the host, though messages wait for an invocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A list of one host."""

    urls: int
    rate: float  # requests a second that the site takes
    later: float | None = None  # from `changes_at` on
    changes_at: int = 10 * MINUTE
    burst: int = 0  # URLs of other hosts that are submitted from the first minute on

    @property
    def text(self) -> str:
        """The rate, as a table has it."""
        if self.rate == math.inf:
            return "any"
        rates = f"{self.rate:g}" if self.later is None else f"{self.rate:g}, then {self.later:g}"
        return f"{rates}; {self.burst:,} others" if self.burst else rates

    @property
    def ideal(self) -> float:
        """How many seconds it takes at the site's rate; not less than it takes to submit it."""
        first = self.changes_at / 1000
        if self.later is None or self.urls <= self.rate * first:
            seconds = self.urls / self.rate
        else:
            seconds = first + (self.urls - self.rate * first) / self.later
        return max(seconds, self.urls / SUBMITTED_A_SECOND)


CASES = (
    Case(urls=10_000, rate=math.inf),
    Case(urls=10_000, rate=2),
    Case(urls=10_000, rate=10),
    Case(urls=10_000, rate=50),
    Case(urls=10_000, rate=150),
    Case(urls=10_000, rate=10, burst=20_000),
    Case(urls=30_000, rate=2, later=20),
)
LONG = (Case(urls=100_000, rate=10), Case(urls=100_000, rate=50), Case(urls=100_000, rate=2))


@dataclass(slots=True, eq=False)
class Job:
    """A URL, and its fetch as the table has it."""

    host_key: str
    submitted_at: int
    begun: bool = False  # it has a fetch
    place: int | None = None
    until: int = 0  # its turn, while it waits in line
    copies: int = 0
    asked_at: int | None = None  # when its first request was sent
    ended: str = ""


@dataclass(slots=True)
class Seen:
    """What became of a case."""

    case: Case
    ended: Counter[str] = field(default_factory=Counter)
    taken: list[int] = field(default_factory=list)  # when, ms since the beginning
    refused: list[int] = field(default_factory=list)
    copies: int = 0
    line_writes: int = 0
    stuck: int = 0  # jobs whose messages went round and round, without a request, when that was ended
    waits: list[int] = field(default_factory=list)  # of other hosts' URLs, ms
    used: Counter[Unit] = field(default_factory=Counter)  # for the host's URLs

    @property
    def lost(self) -> int:
        """Jobs without an end, whose messages went round no more."""
        return 0 if self.stuck else self.case.urls - self.ended.total()

    @property
    def over_ideal(self) -> float:
        """The time until the last one came through, over the ideal."""
        return max(self.taken) / 1000 / self.case.ideal

    @property
    def dollars(self) -> float:
        """What running a million of them costs."""
        return Bill(dict(self.used)).dollars() * MILLION / self.case.urls


class _Slots:
    """The slots of one invocation, which has a process of its own."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._taken: Counter[str] = Counter()

    def take(self, host: str) -> bool:
        if self._taken[host] >= self._each:
            return False
        self._taken[host] += 1
        return True

    def give_back(self, host: str) -> None:
        self._taken[host] -= 1


@dataclass(slots=True)
class _Invocation:
    turns: Turns
    slots: _Slots
    share: float  # of the host's messages in it
    open: int = 0  # messages that are worked on
    waiting: Process[None] | None = None  # for the last of them


class Simulation:
    """One case, from its submission until every job has ended."""

    def __init__(self, case: Case, seed: int, settings: Settings | None = None) -> None:
        self.seen = Seen(case)
        self._settings = settings or Settings()
        self._chance = random.Random(f"{seed} {case}")  # noqa: S311 - a model, not secrets
        self._time = Time()
        self._table = MemoryTable()
        patience = Patience(sleep=lambda _: None, jitter=lambda: 0.0)
        self._lines = Lines(self._table, "table", _rules(self._settings), patience=patience)
        self._bucket = Bucket.full(case.rate, START / 1000)
        self._queue: Queue[Job] = Queue(
            self._time, self._chance, self._invoke, deployed("BatchSize"), deployed("MaximumConcurrency"), MOST_LATE
        )
        self._open = case.urls
        self._asked_at = START  # when the host was asked last
        self._others = self._others_open = 0

    def run(self) -> Seen:
        """Run it."""
        self._time.start(self._submit())
        self._time.start(self._submit_others())
        self._time.start(self._submit_burst(), MINUTE)
        if self.seen.case.later is not None:
            self._time.start(self._change(self.seen.case.later), self.seen.case.changes_at)
        self._time.run(lambda: (self._open == 0 and self._others_open == 0) or self._stuck)
        self.seen.stuck = self._open if self._stuck else 0
        self.seen.line_writes = self._table.writes
        self._pay(Unit.TABLE_WRITE, self._table.writes)
        return self.seen

    @property
    def _stuck(self) -> bool:
        return (
            self._open > 0 and self._time.now() - self._asked_at > STUCK and self._queue.ready > deployed("BatchSize")
        )

    # What happens around

    def _submit(self) -> Process[None]:
        for number in range(self.seen.case.urls):
            self._queue.send([(Job(HOST, self._time.now()), 0)])
            if number % SEND_LIMIT == SEND_LIMIT - 1:
                yield 1000 * SEND_LIMIT / SUBMITTED_A_SECOND

    def _submit_others(self) -> Process[None]:
        while self._open:
            self._submit_other()
            yield OTHERS_EVERY

    def _submit_burst(self) -> Process[None]:
        for _ in range(self.seen.case.burst):
            self._submit_other()
            yield 1000 / SUBMITTED_A_SECOND

    def _submit_other(self) -> None:
        self._others += 1
        self._others_open += 1
        self._queue.send([(Job(f"local/{self._others}.example.org", self._time.now()), 0)])

    def _change(self, rate: float) -> Process[None]:
        self._bucket.take(self._time.now() / 1000)  # fill it at the old rate
        self._bucket.rate = rate
        yield from ()

    # An invocation, as chalicelib.runner.together and fetch_messages have it

    def _invoke(self, jobs: list[Job]) -> Process[None]:
        began = self._time.now()
        of_host = sum(job.host_key == HOST for job in jobs)
        slots = _Slots(self._settings.host_parallel)
        invocation = _Invocation(Turns(self._lines, self._time.now), slots, of_host / len(jobs))
        found = self._lines.read({job.host_key for job in jobs})
        for job in jobs:
            invocation.turns.saw(job.host_key, found.get(job.host_key))
        self._pay(Unit.TABLE_READ, sum(2 + bool(job.copies) for job in jobs if job.host_key == HOST) + bool(of_host))
        yield CALL
        left = yield from self._begin_together(jobs, invocation)
        copied = len(jobs) - len(left)
        yield (copied * CPU_COPY + len(left) * CPU_FETCH) * VCPU_MB / deployed("RunnerMemory")
        invocation.open = len(left)
        for job, turn in left.items():
            self._time.start(self._handle(job, turn, invocation))
        if left:
            invocation.waiting = self._time.running
            yield UNTIL_WOKEN
        seconds = (self._time.now() - began) / 1000
        gigabytes = deployed("RunnerMemory") / 1024
        self._pay(Unit.INVOCATION, invocation.share)
        self._pay(Unit.QUEUE_REQUEST, 2 * invocation.share)
        self._pay(Unit.COMPUTE, seconds * gigabytes * invocation.share)
        self._pay(Unit.LOG, LOG_INVOCATION * invocation.share / GIB)

    def _begin_together(self, jobs: Sequence[Job], of: _Invocation) -> Process[dict[Job, Turn | None]]:
        """Start jobs, and send back those whose turn is later; the others with their turns, if they were started."""
        now = self._time.now()
        waiting: dict[Job, int] = {}
        left: dict[Job, Turn | None] = {}
        starting = [job for job in jobs if not job.begun]
        for job in jobs:
            turn = of.turns.kept(job.host_key, job.place) if job.begun else None
            if turn is not None and now + IN_WORKER < turn.at <= of.turns.latest(job.submitted_at):
                waiting[job] = turn.at
            else:
                left[job] = None
        if len(starting) >= 2:
            turns = self._turns(starting, of)
            yield CALL
            for job, turn in turns.items():
                later = turn is not None and turn.at > now + IN_WORKER
                if turn is not None and later:
                    self._lined_up(job, turn)
                    waiting[job] = turn.at
                    del left[job]
                elif of.slots.take(job.host_key):
                    job.begun = True
                    left[job] = turn or Turn(0, 0)
            self._pay(Unit.TABLE_WRITE, 6 * sum(job.begun for job in starting if job.host_key == HOST))
            yield CALL
        if waiting:
            self._copied(waiting)
            yield CALL
        return left

    def _turns(self, starting: Sequence[Job], of: _Invocation) -> dict[Job, Turn | None]:
        turns: dict[Job, Turn | None] = {}
        for host_key in dict.fromkeys(job.host_key for job in starting):
            jobs = [job for job in starting if job.host_key == host_key]
            if not of.turns.has_line(host_key):
                turns |= dict.fromkeys(jobs)
                continue
            try:
                taken = of.turns.take(host_key, len(jobs))
            except HostBusy:
                continue
            in_time = zip(jobs, taken, strict=True)
            turns |= {job: turn for job, turn in in_time if turn.at <= of.turns.latest(job.submitted_at)}
        return turns

    def _handle(self, job: Job, started: Turn | None, of: _Invocation) -> Process[None]:
        """One message: with what was started for it, or alone."""
        if started is not None:
            yield max(0, started.at - self._time.now())
            yield from self._fetch(job, of)
            of.slots.give_back(job.host_key)
        else:
            for _ in range(ROUNDS):
                if (yield from self._begin_alone(job, of)):
                    break
                yield CALL  # it looks again
            else:
                raise AssertionError("no message is left in this model")
        of.open -= 1
        if of.open == 0 and of.waiting is not None:
            self._time.start(of.waiting)

    def _begin_alone(self, job: Job, of: _Invocation) -> Process[bool]:
        """False if it has to look again."""
        now = self._time.now()
        turn = of.turns.kept(job.host_key, job.place) if job.begun else None
        in_time = turn is not None and turn.at <= of.turns.latest(job.submitted_at)
        if job.until > now + IN_WORKER and not in_time:
            self._copied({job: job.until})
            yield CALL
            return True
        if turn is not None or of.turns.has_line(job.host_key):
            try:
                if turn is None:
                    (turn,) = of.turns.take(job.host_key)
                    yield CALL
                if turn.at > of.turns.latest(job.submitted_at) or job.copies >= MOST_COPIES:
                    raise HostBusy(job.host_key)
            except HostBusy:
                yield from self._end(job, "host-busy")
                return True
        at = max(job.until, 0 if turn is None else turn.at)
        if turn is not None and at > now + IN_WORKER:
            yield from self._line_up(job, turn)
            return True
        if not (yield from self._slot(job, of)):
            of.turns.crowded(job.host_key)
            return False
        yield max(0, at - self._time.now())
        self._pay_job(job, Unit.TABLE_WRITE, 1 if job.begun else 6)
        job.begun, job.place, job.until = True, None, 0
        yield CALL
        yield from self._fetch(job, of)
        of.slots.give_back(job.host_key)
        return True

    def _slot(self, job: Job, of: _Invocation) -> Process[bool]:
        until = self._time.now() + 1000 * SLOT_SECONDS
        while not of.slots.take(job.host_key):
            if self._time.now() >= until:
                return False
            yield CALL
        return True

    # An attempt, as chalicelib.runner.attempt has it

    def _fetch(self, job: Job, of: _Invocation) -> Process[None]:
        sent_at = self._time.now()
        if job.host_key == HOST:
            self._asked_at = sent_at
        if job.asked_at is None:
            job.asked_at = sent_at
        if job.host_key != HOST or self._bucket.take(sent_at / 1000):
            yield ANSWER
            of.turns.answered(job.host_key, sent_at=sent_at, well=True)
            self._pay_job(job, Unit.BUCKET_WRITE, 1)
            yield CALL
            yield from self._end(job, "succeeded")
            return
        self.seen.refused.append(sent_at - START)
        yield REFUSAL
        try:
            of.turns.refused(job.host_key, sent_at=sent_at, cooling=RETRY_AFTER)
            (turn,) = of.turns.take(job.host_key)
            yield 2 * CALL
            if turn.at > of.turns.latest(job.submitted_at):
                raise HostBusy(job.host_key)
        except HostBusy:
            yield from self._end(job, "host-busy")
        else:
            yield from self._line_up(job, turn)

    def _line_up(self, job: Job, turn: Turn) -> Process[None]:
        """Write down where it stands, unless that is known, and send its copy."""
        if job.place != turn.place:
            self._pay_job(job, Unit.TABLE_WRITE, 1 if job.begun else 6)
            self._lined_up(job, turn)
            yield CALL
        self._copied({job: turn.at})
        yield CALL

    def _lined_up(self, job: Job, turn: Turn) -> None:
        job.begun, job.place, job.until = True, turn.place, turn.at

    def _copied(self, waiting: dict[Job, int]) -> None:
        now = self._time.now()
        for job in waiting:
            job.copies += 1
            self.seen.copies += job.host_key == HOST
            self._pay_job(job, Unit.LOG, LOG_COPY / GIB)
        self._pay_job(next(iter(waiting)), Unit.QUEUE_REQUEST, 1)
        self._queue.send([(job, (at - now) / 1000) for job, at in waiting.items()])

    def _end(self, job: Job, how: str) -> Process[None]:
        self._pay_job(job, Unit.TABLE_WRITE, 1 if job.begun else 4)
        self._pay_job(job, Unit.LOG, LOG_FETCH / GIB)
        yield CALL
        if job.ended:
            raise AssertionError("a job ends once")
        job.ended = how
        if job.host_key == HOST:
            self._open -= 1
            self.seen.ended[how] += 1
            if how == "succeeded":
                self.seen.taken.append(self._time.now() - START)
        else:
            self._others_open -= 1
            self.seen.waits.append((job.asked_at or 0) - job.submitted_at)

    def _pay_job(self, job: Job, unit: Unit, amount: float) -> None:
        if job.host_key == HOST:
            self._pay(unit, amount)

    def _pay(self, unit: Unit, amount: float) -> None:
        self.seen.used[unit] += amount  # type: ignore[assignment]


def _rules(settings: Settings) -> HostRules:
    return HostRules(
        interval=settings.host_interval_ms,
        wait=settings.host_wait_hours * 60 * MINUTE,
        longest_cooling=settings.backoff_cap_seconds * 1000,
    )


# The tables


def measure(seed: int = 1, cases: Sequence[Case] = CASES, say: Callable[[str], Any] = lambda _: None) -> list[Table]:
    """Run the cases."""
    ran = []
    for case in cases:
        say(f"simulating {case.urls:,} URLs, {case.text} a second")
        ran.append(Simulation(case, seed).run())
        say(", ".join(map(str, _cells(ran[-1]))))
    return [_table(ran), *(_over_time(seen) for seen in ran if seen.case.later is not None)]


def _table(ran: Sequence[Seen]) -> Table:
    return Table(
        "One host's URLs, simulated: the real code's decisions in virtual time",
        [
            "URLs",
            "a second",
            "lost",
            "stuck",
            "host-busy",
            "hours",
            "over ideal",
            "refused",
            "copies a job",
            "line writes a job",
            "$/million",
            "others wait, s",
            "worst",
        ],
        [_cells(seen) for seen in ran],
        [
            f"- 429 with `Retry-After: {RETRY_AFTER // 1000}`. {SUBMITTED_A_SECOND:,} URLs are submitted a second.",
            f"- {deployed('MaximumConcurrency')} invocations of {deployed('BatchSize')} messages at once.",
            f"- Assumed: a page takes {ANSWER / 1000:g} s, a call to AWS {CALL:g} ms;",
            f"  a message comes up to {MOST_LATE / 1000:g} s late.",
            f"- stuck: not ended when {STUCK // MINUTE} minutes had passed without a request to the host, though",
            "  messages went round; then the simulation was ended.",
            "- over ideal: the time until the last one came through, over URLs / rate.",
            "- $/million: running them; submission and storage are the same for all.",
            f"- others: URLs of other hosts, one every {OTHERS_EVERY / 1000:g} s; from submission to request.",
            "- any: the host takes what comes, and gets no pace. Others with a number: so many more, in minute 1.",
        ],
    )


def _cells(seen: Seen) -> list[object]:
    case = seen.case
    return [
        f"{case.urls:,}",
        case.text,
        seen.lost,
        f"{seen.stuck:,}",
        f"{seen.ended['host-busy']:,}",
        f"{max(seen.taken) / 3_600_000:.2f}",
        f"{seen.over_ideal:.2f}" if seen.ended["succeeded"] == case.urls else "-",
        f"{len(seen.refused):,}",
        f"{seen.copies / case.urls:.1f}",
        f"{seen.line_writes / case.urls:.2f}",
        f"{seen.dollars:.2f}",
        f"{median(seen.waits) / 1000:.1f}",
        f"{max(seen.waits) / 1000:.1f}",
    ]


def _over_time(seen: Seen) -> Table:
    """How fast the host was asked, stretch by stretch."""
    step = seen.case.changes_at // 2
    taken, refused = (Counter(at // step for at in when) for when in (seen.taken, seen.refused))
    rows = [
        [f"{number * step / MINUTE:g}", f"{taken[number] / step * 1000:.1f}", refused[number]]
        for number in range(max(taken) + 1)
    ]
    return Table(
        f"A host that takes {seen.case.text} a second, from minute {seen.case.changes_at / MINUTE:g} on",
        ["from minute", "taken a second", "refused"],
        rows,
    )


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.pace_simulation", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of what is left to chance")
    parser.add_argument("--long", action="store_true", help="lists of 100,000 URLs too")
    given = parser.parse_args()
    cases = CASES + (LONG if given.long else ())
    tables = measure(given.seed, cases, lambda text: print(text, file=sys.stderr, flush=True))
    print("\n\n".join(str(table) for table in tables))


if __name__ == "__main__":
    main()
