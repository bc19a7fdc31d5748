"""What the job runner does next with a message, decided from what it has read. Pure.

A message is responsible for the fetch that has its job's id, and for no other,
whether or not the job still exists:

    own fetch   finished                         -> Acknowledge
                lease live                       -> Wait until it ends
                lease over, attempts left        -> Resume
                lease over, attempts spent       -> GiveUp
    none yet    job gone, expired or linked      -> LookAgain, then Acknowledge
                    and it was deleted           -> what attempts may have stored is removed first
                no claim                         -> Start
                the claim's fetch is dead        -> Start in its place
                a claim inside the window        -> Join its fetch
                a claim past its window          -> LookAtClaim, then
                    its fetch is not finished    -> Join it, and renew the claim
                    its fetch is over            -> Start in its place

A dead letter is brought to an end: GiveUp instead of Resume, Fail instead of Start.

Acknowledging because the job is gone or linked elsewhere needs a second, later
read: items read in one request are not read at one moment, so the own fetch may
have been written after the fetch was read and before the job was.
"""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.jobs.entities import Claim, Fetch, Job, Mark
from chalicelib.jobs.pace import Pace
from chalicelib.jobs.robots import RobotsFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that decisions depend on; times in milliseconds."""

    window: int
    retention: int
    max_attempts: int
    skew: int  # how much two clocks may differ
    wait: int  # how long a fetch may wait for its host

    @property
    def sharing(self) -> int:
        """By how much a sharer of a fetch may be younger than the job that started it.

        It joins within a window of the job that renewed the claim last; that one was within a window of a fetch that
        had waited for its host.
        """
        return 2 * self.window + self.wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one round read, strongly consistent; None means absent."""

    job: Job | None  # a mark is not a job
    deleted: bool = False  # the job is a mark, and would not have expired yet
    claim: Claim | None
    own: Fetch | None  # not read in the first round: with a fetch, a job is linked or gone, so another round follows
    claimed: Fetch | None = None  # the fetch that the claim named a round before
    claimed_id: str | None = None  # its id; None in the first round, which does not read it
    pace: Pace | None = None  # of the job's host
    robots: tuple[RobotsFile, ...] = ()  # of the host's origins; none where robots.txt is not read


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Nothing more is needed, once the results that nobody can read any more are removed."""

    remove: bool = False  # the job was deleted, and its fetch's attempts may have stored something since


@dataclass(frozen=True, slots=True)
class LookAgain:
    """What was seen allows an acknowledgement only if a later read shows it again."""


@dataclass(frozen=True, slots=True)
class LookAtClaim:
    """What is to be done with a claim past its window depends on its fetch, which was not read."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Until this time another worker holds the fetch, or it waits: for its turn at its host, or after a failure."""

    until: int
    waiting: Fetch | None = None  # for its turn


@dataclass(frozen=True, slots=True)
class Start:
    """Begin the job's own fetch and claim the URL."""

    job: Job
    dead: str | None = None  # the dead fetch whose claim may be replaced
    over: str | None = None  # the fetch whose claim may be replaced if it is past its window

    @property
    def submitted_at(self) -> int:
        """When the job was submitted."""
        return self.job.submitted_at

    @property
    def url(self) -> str:
        """What is to be fetched, as it was given."""
        return self.job.url


@dataclass(frozen=True, slots=True)
class Join:
    """Share the fetch that the claim on the URL names."""

    job: Job
    fetch_id: str
    renew: bool = False  # the claim: it is past its window, and stands because its fetch is not finished


@dataclass(frozen=True, slots=True)
class Resume:
    """Take over the own fetch for its next attempt."""

    fetch: Fetch

    @property
    def submitted_at(self) -> int:
        """When the job was submitted that started the fetch."""
        return self.fetch.submitted_at

    @property
    def url(self) -> str:
        """What is to be fetched, as it was given."""
        return self.fetch.url


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Fail the own fetch: its attempts are spent."""

    fetch: Fetch


@dataclass(frozen=True, slots=True)
class Fail:
    """Fail a job that never started; dead letters only."""

    job: Job


Decision = Acknowledge | LookAgain | LookAtClaim | Wait | Start | Join | Resume | GiveUp | Fail


def decide(seen: Seen, *, now: int, rules: Rules, looked: bool = False, dead_letter: bool = False) -> Decision:
    """What to do next.

    `looked` says that an earlier round also saw the job gone, expired or linked.
    `dead_letter` asks for an end: nothing is started or resumed; joining an existing fetch is an end too.
    """
    if seen.own is not None:
        return _of_own_fetch(seen.own, now, rules, dead_letter)
    job = seen.job
    if job is None or is_expired(job.submitted_at, now=now, retention=rules.retention) or job.fetch_id is not None:
        return Acknowledge(remove=seen.deleted) if looked else LookAgain()
    decision = _of_claim(seen, job, rules)
    return Fail(job) if dead_letter and isinstance(decision, Start) else decision


def _of_claim(seen: Seen, job: Job, rules: Rules) -> Decision:
    claim = seen.claim
    if claim is None:
        return Start(job)
    known = seen.claimed_id == claim.fetch_id
    if claim.submitted_at > job.submitted_at - rules.window:
        return (
            Start(job, dead=claim.fetch_id)
            if known and is_dead(seen.claimed, job, rules)
            else Join(job, claim.fetch_id)
        )
    if not known:
        return LookAtClaim()
    return (
        Join(job, claim.fetch_id, renew=True) if _stands(seen.claimed, job, rules) else Start(job, over=claim.fetch_id)
    )


def _stands(fetch: Fetch | None, job: Job, rules: Rules) -> bool:
    """True while a fetch past its window stands for its URL: what it will bring is fresher than the job."""
    if fetch is None or fetch.finished:
        return False
    return fetch.submitted_at > job.submitted_at - rules.window - rules.wait


def is_expired(submitted_at: int, *, now: int, retention: int) -> bool:
    """True when a job or batch submitted then is gone for readers and for the runner."""
    return submitted_at <= now - retention


def is_over(mark: Mark, *, now: int, rules: Rules) -> bool:
    """True when the mark's job would have expired: another fetch may soon have the same id.

    An id from an Idempotency-Key may be reused once its first job's row is swept; no sharer expires later than that.
    """
    return now >= (mark.sweep_at - 1) * 1000 - rules.sharing


def is_dead(fetch: Fetch | None, job: Job, rules: Rules) -> bool:
    """True when the job may not share the fetch: it is gone, or failed before the job was submitted.

    Dead is final, so a claim on a dead fetch may be replaced at any later time.
    """
    return fetch is None or (
        fetch.failed_at is not None and fetch.failed_at < shares_failures_from(job, fetch.id, rules)
    )


def shares_failures_from(job: Job, fetch_id: str, rules: Rules) -> int:
    """The time from which on the job shares a failure of the fetch.

    A job's time is from the API's clock, a failure's from the runner's. Whoever saw a failure and submits again must
    get a new fetch even if the API's clock is behind, so the clocks' difference is counted for the job. Within one
    batch no job was submitted after another's failure, whatever the clocks say: its repeats of a URL are not fetched
    one by one.
    """
    of_one_batch = job.batch_id is not None and fetch_id.startswith(f"{job.batch_id}-")
    return job.submitted_at - rules.skew if of_one_batch else job.submitted_at + rules.skew


def _of_own_fetch(own: Fetch, now: int, rules: Rules, dead_letter: bool) -> Decision:
    if own.finished:
        return Acknowledge()
    if own.lease_until > now:
        return Wait(own.lease_until, own if own.in_line else None)
    if dead_letter or own.spent >= rules.max_attempts:
        return GiveUp(own)
    return Resume(own)
