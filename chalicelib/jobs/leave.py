"""What a DELETE does next with a job, decided from what it has read. Pure.

    no row, or one that has expired or is another's   -> Absent
    job without a fetch                               -> Depart
    job, and the fetch that it shares                 -> Depart
    job whose fetch is gone                           -> LookAgain, then Absent
    mark that names a fetch                           -> Finish
    bare mark of a job that was seen before           -> Deleted
    any other mark                                    -> Absent

A mark that names a fetch comes from a deletion that was cut short, perhaps another request's: what it left is removed.

A job that was seen and is now a bare mark was deleted by our own write, which was made and then refused when it was
repeated, or by another DELETE at the same time.

If a job is there and its fetch is gone, another DELETE is removing the fetch at the same time. Should that one die, its
marks must be finished too, so the job is looked at once more. If it is still there, its fetch was swept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chalicelib.jobs.decide import Rules, is_expired, is_over
from chalicelib.jobs.entities import Fetch, Job, Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one round read of a job to be deleted, strongly consistent; the fetch is read after the job."""

    row: Job | Mark | None  # None: absent, or another tenant's
    fetch: Fetch | None = None  # the one that the job shares
    seen_before: bool = False  # in an earlier round, as a job
    fetch_was_gone: bool = False  # in an earlier round


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such job."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """It has been deleted, and nothing of it is left."""


@dataclass(frozen=True, slots=True)
class Finish:
    """It has been deleted; what its fetch left is still to be removed."""

    mark: Mark


@dataclass(frozen=True, slots=True)
class LookAgain:
    """What was seen is not enough for a decision."""


@dataclass(frozen=True, slots=True)
class Depart:
    """The job leaves its fetch, if it has one, and becomes a mark."""

    job: Job
    fetch: Fetch | None


Decision = Absent | Deleted | Finish | LookAgain | Depart


@dataclass(frozen=True, slots=True)
class Departure:
    """Jobs that leave together: some that share a fetch, or one that has none."""

    jobs: list[Job]
    fetch: Fetch | None


def decide(seen: Seen, *, now: int, rules: Rules) -> Decision:
    """What to do with one job."""
    row = seen.row
    if isinstance(row, Mark):
        return _decide_on_mark(row, seen, now, rules)
    if row is None or is_expired(row.submitted_at, now=now, retention=rules.retention):
        return Absent()
    if row.fetch_id is None or seen.fetch is not None:
        return Depart(row, seen.fetch)
    return Absent() if seen.fetch_was_gone else LookAgain()


def _decide_on_mark(mark: Mark, seen: Seen, now: int, rules: Rules) -> Decision:
    if is_over(mark, now=now, rules=rules):
        return Absent()
    if mark.fetch_id is not None:
        return Finish(mark)
    return Deleted() if seen.seen_before else Absent()


def departures(leaving: Iterable[Depart]) -> Iterator[Departure]:
    """Jobs that share a fetch leave together; only then do the last of them take the fetch with them."""
    sharers: dict[str, list[Job]] = defaultdict(list)
    fetches: dict[str, Fetch] = {}
    for leave in leaving:
        if leave.fetch is None:
            yield Departure([leave.job], None)
        else:
            fetches[leave.fetch.id] = leave.fetch
            sharers[leave.fetch.id].append(leave.job)
    for fetch_id, jobs in sharers.items():
        yield Departure(jobs, fetches[fetch_id])
