"""Jobs, fetches, claims and batches in the DynamoDB table, and what can be done with them.

Each verb is a write of `protocol`; it returns False if a condition refused it, and then nothing has changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from chalicelib.jobs.decide import Join, Start
from chalicelib.jobs.entities import Batch, Fetch, FetchError, Job, Mark, Result, Status
from chalicelib.jobs.leave import Departure
from chalicelib.jobs.pace import Turn
from chalicelib.storage import items, protocol, protocol_delete, protocol_submit
from chalicelib.storage.calls import Parallel, Patience, serial
from chalicelib.storage.expressions import TRANSACTION_LIMIT, Write
from chalicelib.storage.reading import Reading
from chalicelib.storage.rows import Rows
from chalicelib.storage.terms import Terms

T = TypeVar("T")

_START_LIMIT = TRANSACTION_LIMIT // 3  # jobs that one transaction can start: job, fetch and claim of each


@dataclass(frozen=True, slots=True)
class Starting:
    """A fetch that is to be started, and the turn that it waits for, if it cannot begin at once."""

    start: Start
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class Departed:
    """Jobs that have become marks, and the marks among them that name what is still to be removed."""

    jobs: list[Job]
    marks: list[Mark]


class Table(Reading):
    """Jobs, marks, batches, claims and fetches. Raises `Unavailable` if DynamoDB does not answer."""

    def __init__(
        self, client: Any, name: str, terms: Terms, *, parallel: Parallel = serial, patience: Patience | None = None
    ) -> None:
        super().__init__(Rows(client, name, parallel=parallel, patience=patience), terms)

    # Submitting

    def submit_job(self, job: Job) -> bool:
        """Put a job for the first time."""
        return self._rows.write(protocol_submit.submit_job(job, self._terms))

    def submit_joined(self, sharers: Mapping[str, Sequence[Job]]) -> list[Job]:
        """Put jobs for the first time, linked to the fetch by whose id they are given; returns those that were put.

        Where a write is not answered and may still be made, what is raised is `late`.
        """
        most = TRANSACTION_LIMIT - 1  # beside the fetch
        put: list[Job] = []
        for start in range(0, max(map(len, sharers.values()), default=0), most):  # those of one fetch take turns
            plans: list[_Plan[Sequence[Job]]] = [
                _Plan(protocol_submit.submit_joined(part, fetch_id, self._terms), part)
                for fetch_id, jobs in sharers.items()
                if (part := jobs[start : start + most])
            ]
            for part in _made(self._rows.try_all, _packed(plans, limit=TRANSACTION_LIMIT)):
                put += part
        return put

    def submit_batch(self, batch: Batch) -> bool:
        """Put a batch for the first time, with its lease."""
        return self._rows.write(protocol_submit.submit_batch(batch, self._terms))

    def take_over_batch(self, batch: Batch, *, now: int) -> bool:
        """Continue with a batch whose lease is over, as its new holder."""
        return self._rows.write(protocol_submit.take_over_batch(batch, now=now))

    def release_batch(self, batch: Batch, *, now: int) -> bool:
        """End the lease of the batch's holder."""
        return self._rows.write(protocol_submit.release_batch(batch, now=now))

    def accept_batch(self, batch: Batch) -> bool:
        """Record that every row and message of the batch is durable, also where it retries a batch that is there."""
        if batch.retry_of is not None and self._rows.write(protocol_submit.accept_retry(batch)):
            return True
        return self._rows.write(protocol_submit.accept_batch(batch))

    def freeze_batch(self, batch: Batch, counts: Mapping[Status, int]) -> bool:
        """Keep how many jobs of each status the batch has, in its row, now that all are finished."""
        return self._rows.write(protocol_submit.freeze_batch(batch, counts))

    def thaw_batch(self, batch_id: str) -> bool:
        """Forget that, for good: a job of the batch is about to be deleted."""
        return self._rows.write(protocol_delete.thaw_batch(batch_id))

    def put_jobs(self, jobs: Sequence[Job]) -> None:
        """Put the rows of a batch, unconditionally: its lease makes this handler the only writer.

        The driver must not repeat it: a row written late would overwrite one that the runner has linked by then.
        """
        self._rows.put_all([items.item_of(job, self._terms.sweep_at(job.submitted_at)) for job in jobs])

    # Running

    def start(self, start: Start, *, now: int, turn: Turn | None = None) -> bool:
        """Begin the job's own fetch and claim the URL, replacing the claim of another fetch if one is named.

        With a turn the fetch waits for it, and `resume` begins the first attempt.
        """
        return self._rows.write(protocol.start(start, now=now, terms=self._terms, turn=turn))

    def start_all(self, starts: Sequence[Starting], *, now: int) -> Sequence[Starting]:
        """Start jobs in one transaction, as many as fit into it; returns those, or none if the write was refused."""
        together = starts[:_START_LIMIT]
        writes = [protocol.start(each.start, now=now, terms=self._terms, turn=each.turn) for each in together]
        return together if self._rows.write([operation for write in writes for operation in write]) else []

    def line_up(self, fetch: Fetch, turn: Turn, *, now: int) -> bool:
        """Let a fetch that nobody holds wait for its turn at its host."""
        return self._rows.write(protocol.line_up(fetch, turn, now=now))

    def defer(self, fetch_id: str, attempt: int, turn: Turn) -> bool:
        """End an attempt that the host refused, and let the fetch wait for its turn."""
        return self._rows.write(protocol.defer(fetch_id, attempt, turn))

    def join(self, join: Join) -> bool:
        """Let the job share an existing fetch."""
        return self._rows.write(protocol.join([join], self._terms))

    def join_all(self, joins: Sequence[Join]) -> bool:
        """Let different jobs share existing fetches, all of them or, if the write is refused, none.

        They are those of an invocation, which fit into a transaction.
        """
        by_fetch: dict[str, list[Join]] = defaultdict(list)
        for join in joins:
            by_fetch[join.fetch_id].append(join)
        writes = [protocol.join(sharing, self._terms) for sharing in by_fetch.values()]
        return self._rows.write([operation for write in writes for operation in write])

    def resume(self, fetch: Fetch, *, now: int) -> bool:
        """Begin the next attempt of a fetch that nobody holds."""
        return self._rows.write(protocol.resume(fetch, now=now, terms=self._terms))

    def give_up(self, fetch: Fetch, error: FetchError, *, now: int) -> bool:
        """Fail a fetch that nobody holds."""
        return self._rows.write(protocol.give_up(fetch, error, now=now))

    def finish(self, fetch_id: str, attempt: int, result: Result, *, now: int) -> bool:
        """End an attempt, and the fetch, with a result."""
        return self._rows.write(protocol.finish(fetch_id, attempt, result, now=now))

    def fail(self, fetch_id: str, attempt: int, error: FetchError, *, now: int) -> bool:
        """End an attempt, and the fetch, with an error."""
        return self._rows.write(protocol.fail(fetch_id, attempt, error, now=now))

    def retry(self, fetch_id: str, attempt: int, *, until: int) -> bool:
        """End an attempt; the next one begins at `until` at the earliest."""
        return self._rows.write(protocol.retry(fetch_id, attempt, until=until))

    def fail_unstarted(self, job: Job, error: FetchError, *, now: int) -> bool:
        """Fail a job that never started."""
        return self._rows.write(protocol.fail_unstarted(job, error, now=now, terms=self._terms))

    # Deleting

    def leave(self, departures: Iterable[Departure], *, alone: bool = False) -> list[Departed]:
        """Let jobs leave their fetches, several departures per transaction unless each is to be made `alone`.

        Returns those that were made; if a departure has more jobs than fit into a transaction, the first ones leave.
        """
        plans = _packed(map(self._plan, departures), limit=1 if alone else TRANSACTION_LIMIT)
        return _made(self._rows.write_all, plans)

    def remove_claims(self, marks: Sequence[Mark]) -> list[Mark]:
        """Remove the claims of the fetches that these marks name, unless newer fetches have them by now.

        Returns the marks whose claims are gone. If some calls fail, the others are still tried: with many claims, a
        repeat that had to do all of them again might never finish.
        """
        claims = sorted({(mark.url_key, mark.fetch_id) for mark in marks if mark.url_key and mark.fetch_id})
        removed = self._rows.each(self._remove_claim, claims)
        return [mark for mark in marks if not mark.fetch_id or (mark.url_key, mark.fetch_id) in removed]

    def _remove_claim(self, claim: tuple[str, str]) -> tuple[str, str]:
        self._rows.write(protocol_delete.delete_claim(*claim))
        return claim

    def put_bare_marks(self, marks: Sequence[Mark]) -> None:
        """Record that nothing of these deleted jobs is left to remove.

        Unconditional: only a delete writes to a mark, and each writes the same.
        """
        bare = [Mark(id=mark.id, tenant=mark.tenant, sweep_at=mark.sweep_at) for mark in marks]
        self._rows.put_all([items.item_of(mark) for mark in bare])

    def delete_batch(self, batch: Batch) -> bool:
        """Turn a batch into its mark, after its jobs were deleted."""
        return self._rows.write(protocol_delete.delete_batch(batch, self._terms))

    def _plan(self, departure: Departure) -> _Plan[Departed]:
        fetch = departure.fetch
        if fetch is None:
            (job,) = departure.jobs
            return _Plan(protocol_delete.delete_unlinked(job, self._terms), Departed([job], []))
        leaving = departure.jobs[: TRANSACTION_LIMIT - 1]
        if fetch.jobs > len(leaving):
            return _Plan(protocol_delete.delete_shared(leaving, fetch, self._terms), Departed(leaving, []))
        marks = [protocol_delete.unfinished_mark_of(job, fetch, self._terms) for job in leaving]
        return _Plan(protocol_delete.delete_last(leaving, fetch, self._terms), Departed(leaving, marks))


@dataclass(frozen=True, slots=True)
class _Plan(Generic[T]):
    write: Write
    what: T  # what is done once the write is made


def _packed(plans: Iterable[_Plan[T]], *, limit: int) -> Iterator[list[_Plan[T]]]:
    """Groups of plans that fit into one transaction each; a plan larger than the limit stands alone."""
    group: list[_Plan[T]] = []
    size = 0
    for plan in plans:
        if group and size + len(plan.write) > limit:
            yield group
            group, size = [], 0
        group.append(plan)
        size += len(plan.write)
    if group:
        yield group


def _made(write_all: Callable[[list[Write]], list[bool]], groups: Iterable[list[_Plan[T]]]) -> list[T]:
    """Make each group's writes in a transaction; returns what those that were made stand for."""
    planned = list(groups)
    made = write_all([[operation for plan in group for operation in plan.write] for group in planned])
    return [plan.what for group, was_made in zip(planned, made, strict=True) if was_made for plan in group]
