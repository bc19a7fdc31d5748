"""Jobs, fetches, claims and batches in the DynamoDB table: how they are read, and what can be done with them.

Each verb is a write of `protocol`; it returns False if a condition refused it, and then nothing has changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.jobs.decide import Join, Rules, Seen, Start, is_over
from chalicelib.jobs.entities import Batch, Fetch, FetchError, Job, Mark, Result
from chalicelib.jobs.leave import Departure
from chalicelib.jobs.pace import Turn
from chalicelib.jobs.robots import keys_of
from chalicelib.storage import items, protocol, protocol_delete
from chalicelib.storage.calls import Parallel, Patience, serial
from chalicelib.storage.expressions import TRANSACTION_LIMIT, Write
from chalicelib.storage.queue import FetchMessage
from chalicelib.storage.rows import Rows
from chalicelib.storage.terms import Terms

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


class Table:
    """Jobs, marks, batches, claims and fetches. Raises `Unavailable` if DynamoDB does not answer."""

    def __init__(
        self, client: Any, name: str, terms: Terms, *, parallel: Parallel = serial, patience: Patience | None = None
    ) -> None:
        self._rows = Rows(client, name, parallel=parallel, patience=patience)
        self._terms = terms

    @property
    def rules(self) -> Rules:
        """The rules that decisions follow."""
        return self._terms.rules

    # Reading

    def job(self, job_id: str, *, tenant: str | None = None) -> Job | Mark | None:
        """The job, or its mark. With a tenant, another tenant's job counts as absent, and is not looked at further."""
        item = self._rows.get(items.job_key(job_id))
        return None if item is None or _is_anothers(item, tenant) else items.as_job(item)

    def fetch(self, fetch_id: str, *, now: int) -> Fetch | None:
        """The fetch; None once it may be swept."""
        item = self._rows.get(items.fetch_key(fetch_id))
        return None if item is None else _fetch(item, now)

    def batch(self, batch_id: str, *, tenant: str | None = None) -> Batch | Mark | None:
        """The batch, or the mark of a deleted one. Another tenant's counts as absent, as with `job`."""
        item = self._rows.get(items.batch_key(batch_id))
        return None if item is None or _is_anothers(item, tenant) else items.as_batch(item)

    def jobs(self, job_ids: Sequence[str], *, tenant: str) -> dict[str, Job | Mark]:
        """The tenant's jobs and marks that exist among these, by id."""
        found = self._rows.read(items.job_key(job_id) for job_id in job_ids)
        own = (item for item in found.values() if not _is_anothers(item, tenant))
        return {job.id: job for job in map(items.as_job, own)}

    def fetches(self, fetch_ids: Iterable[str], *, now: int) -> dict[str, Fetch]:
        """The fetches that exist among these, by id."""
        found = self._rows.read(items.fetch_key(fetch_id) for fetch_id in fetch_ids)
        fetches = (_fetch(item, now) for item in found.values())
        return {fetch.id: fetch for fetch in fetches if fetch is not None}

    def seen(self, messages: Sequence[FetchMessage], *, now: int, robots: bool = False) -> list[Seen]:
        """What the runner needs for its first decision, for each message: one request.

        A fetch is read only for copies, which have one. Another job that has one is linked, or a mark by now, and that
        requires another look. `robots` asks for what is known of the robots.txt of their hosts.
        """
        own = [items.fetch_key(message.job_id) for message in messages if message.copies]
        found = self._rows.read([*(key for message in messages for key in _keys(message, robots)), *own])
        return [self._seen(found, message, now) for message in messages]

    def with_claimed(self, seen: Sequence[Seen], *, now: int) -> list[Seen]:
        """The same, with the fetches that their claims name: one request."""
        fetch_ids = [each.claim.fetch_id for each in seen if each.claim is not None]
        found = self.fetches(fetch_ids, now=now)
        return [
            each
            if each.claim is None
            else replace(each, claimed=found.get(each.claim.fetch_id), claimed_id=each.claim.fetch_id)
            for each in seen
        ]

    def seen_again(self, message: FetchMessage, claimed_id: str | None, *, now: int, robots: bool = False) -> Seen:
        """What the runner needs for a later decision: also the own fetch, and the fetch that the claim named before."""
        claimed_key = [] if claimed_id is None else [items.fetch_key(claimed_id)]
        found = self._rows.read([*_keys(message, robots), items.fetch_key(message.job_id), *claimed_key])
        claimed = [_fetch(found[key], now) for key in claimed_key if key in found]
        seen = self._seen(found, message, now)
        return replace(seen, claimed=claimed[0] if claimed else None, claimed_id=claimed_id)

    def _seen(self, found: Mapping[str, items.Item], message: FetchMessage, now: int) -> Seen:
        job_item, claim_item = found.get(items.job_key(message.job_id)), found.get(items.claim_key(message.url_key))
        own_item = found.get(items.fetch_key(message.job_id))
        pace_item = found.get(items.host_key(message.host_key))
        job = None if job_item is None else items.as_job(job_item)
        return Seen(
            # With another URL it is a later job with the same Idempotency-Key, which has its own message.
            job=job if isinstance(job, Job) and job.url_key == message.url_key else None,
            deleted=isinstance(job, Mark) and not is_over(job, now=now, rules=self._terms.rules),
            claim=None if claim_item is None else items.as_claim(claim_item),
            own=None if own_item is None else _fetch(own_item, now),
            pace=None if pace_item is None else items.as_pace(pace_item),
            robots=tuple(items.as_robots(found[key]) for key in _robots_keys(message) if key in found),
        )

    # Submitting

    def submit_job(self, job: Job) -> bool:
        """Put a job for the first time."""
        return self._rows.write(protocol.submit_job(job, self._terms))

    def submit_batch(self, batch: Batch) -> bool:
        """Put a batch for the first time, with its lease."""
        return self._rows.write(protocol.submit_batch(batch, self._terms))

    def take_over_batch(self, batch: Batch, *, now: int) -> bool:
        """Continue with a batch whose lease is over, as its new holder."""
        return self._rows.write(protocol.take_over_batch(batch, now=now))

    def release_batch(self, batch: Batch, *, now: int) -> bool:
        """End the lease of the batch's holder."""
        return self._rows.write(protocol.release_batch(batch, now=now))

    def accept_batch(self, batch: Batch) -> bool:
        """Record that every row and message of the batch is durable."""
        return self._rows.write(protocol.accept_batch(batch))

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
        return self._rows.write(protocol.join(join, self._terms))

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
        limit = 1 if alone else TRANSACTION_LIMIT
        groups = list(_packed(map(self._plan, departures), limit=limit))
        writes = [[operation for plan in group for operation in plan.write] for group in groups]
        made = self._rows.write_all(writes)
        return [plan.departed for group, was_made in zip(groups, made, strict=True) if was_made for plan in group]

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

    def _plan(self, departure: Departure) -> _Plan:
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
class _Plan:
    write: Write
    departed: Departed  # once the write is made


def _packed(plans: Iterable[_Plan], *, limit: int) -> Iterator[list[_Plan]]:
    """Groups of plans that fit into one transaction each; a plan larger than the limit stands alone."""
    group: list[_Plan] = []
    size = 0
    for plan in plans:
        if group and size + len(plan.write) > limit:
            yield group
            group, size = [], 0
        group.append(plan)
        size += len(plan.write)
    if group:
        yield group


def _keys(message: FetchMessage, robots: bool) -> list[str]:
    of_host = [items.host_key(message.host_key)] if message.host_key else []
    of_robots = _robots_keys(message) if message.host_key and robots else []
    return [items.job_key(message.job_id), items.claim_key(message.url_key), *of_host, *of_robots]


def _robots_keys(message: FetchMessage) -> list[str]:
    return [
        items.robots_key(key) for key in keys_of(message.host_key)
    ]  # the scheme is in the job, which is not read yet


def _is_anothers(item: items.Item, tenant: str | None) -> bool:
    return tenant is not None and item["tenant"]["S"] != tenant


def _fetch(item: items.Item, now: int) -> Fetch | None:
    # TTL may lag by days: past sweep_at an item counts as absent.
    return items.as_fetch(item) if int(item["sweep_at"]["N"]) > now // 1000 else None
