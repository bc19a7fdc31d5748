"""The DynamoDB table: strongly consistent reads, and the writes of `protocol` carried out."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from chalicelib.jobs.decide import Seen
from chalicelib.jobs.entities import Batch, Fetch, Job, Mark
from chalicelib.jobs.errors import Unavailable
from chalicelib.storage import items
from chalicelib.storage.calls import (
    Parallel,
    Patience,
    Refusal,
    carry_out,
    member,
    send_once,
    serial,
    unavailable,
)
from chalicelib.storage.protocol import Terms, Write

READ_LIMIT = 100  # keys in a BatchGetItem
WRITE_LIMIT = 25  # items in a BatchWriteItem


class Table:
    """Jobs, marks, batches, claims and fetches. Raises `Unavailable` where DynamoDB does not answer."""

    def __init__(
        self, client: Any, name: str, terms: Terms, *, parallel: Parallel = serial, patience: Patience | None = None
    ) -> None:
        self._client = client
        self._name = name
        self._parallel = parallel
        self._patience = patience or Patience()
        self.terms = terms
        send_once(client, "BatchWriteItem")

    # Reading

    def job(self, job_id: str, *, tenant: str | None = None) -> Job | Mark | None:
        """The job, or its mark. To a tenant another's is not there, and nothing more of it is looked at."""
        item = self._get(items.job_key(job_id))
        return None if item is None or _is_anothers(item, tenant) else items.as_job(item)

    def fetch(self, fetch_id: str, *, now: int) -> Fetch | None:
        """The fetch; None once it may be swept."""
        item = self._get(items.fetch_key(fetch_id))
        return None if item is None else _fetch(item, now)

    def batch(self, batch_id: str, *, tenant: str | None = None) -> Batch | Mark | None:
        """The batch, or the mark of a deleted one. To a tenant another's is not there, as with `job`."""
        item = self._get(items.batch_key(batch_id))
        return None if item is None or _is_anothers(item, tenant) else items.as_batch(item)

    def jobs(self, job_ids: Sequence[str], *, tenant: str) -> dict[str, Job | Mark]:
        """The tenant's jobs and marks that exist among these, by id."""
        found = self._read(items.job_key(job_id) for job_id in job_ids)
        own = (item for item in found.values() if not _is_anothers(item, tenant))
        return {job.id: job for job in map(items.as_job, own)}

    def fetches(self, fetch_ids: Iterable[str], *, now: int) -> dict[str, Fetch]:
        """The fetches that exist among these, by id."""
        found = self._read(items.fetch_key(fetch_id) for fetch_id in fetch_ids)
        fetches = (_fetch(item, now) for item in found.values())
        return {fetch.id: fetch for fetch in fetches if fetch is not None}

    def seen(self, messages: Sequence[tuple[str, str]], *, now: int) -> list[Seen]:
        """What the runner decides by at its first look, for each message's job id and url_key: one request.

        No fetch is among it. Where a job has one, it is linked, or a mark by now, which asks for another look.
        """
        keys = [key for job_id, url_key in messages for key in (items.job_key(job_id), items.claim_key(url_key))]
        found = self._read(keys)
        return [self._seen(found, job_id, url_key, now) for job_id, url_key in messages]

    def seen_again(self, job_id: str, url_key: str, claimed_id: str | None, *, now: int) -> Seen:
        """What the runner decides by at a further look: with the own fetch, and that which the claim named before."""
        fetch_ids = [job_id] if claimed_id is None else [job_id, claimed_id]
        found = self._read([items.job_key(job_id), items.claim_key(url_key), *map(items.fetch_key, fetch_ids)])
        fetches = [found.get(items.fetch_key(fetch_id)) for fetch_id in fetch_ids]
        own, *claimed = [None if item is None else _fetch(item, now) for item in fetches]
        seen = self._seen(found, job_id, url_key, now)
        return replace(seen, own=own, claimed=claimed[0] if claimed else None, claimed_id=claimed_id)

    def _seen(self, found: Mapping[str, items.Item], job_id: str, url_key: str, now: int) -> Seen:
        job_item = found.get(items.job_key(job_id))
        claim_item = found.get(items.claim_key(url_key))
        job = None if job_item is None else items.as_job(job_item)
        return Seen(
            # Of another URL it is a later job with the same Idempotency-Key, which has a message of its own.
            job=job if isinstance(job, Job) and job.url_key == url_key else None,
            deleted=isinstance(job, Mark) and not self.terms.is_over(job, now),
            claim=None if claim_item is None else items.as_claim(claim_item),
            own=None,
        )

    # Writing

    def make(self, write: Write) -> bool:
        """Carry out a write of the protocol; False where a condition refused it.

        A conflict with another write of the same items is not a refusal: the same is sent again.
        """
        made = carry_out(self._patience, "a write to the table", functools.partial(self._send, write))
        return not isinstance(made, Refusal)

    def make_all(self, writes: list[Write]) -> list[bool]:
        """`make` each of some writes that have no item in common, at the same time."""
        return self._parallel(self.make, writes)

    def put_jobs(self, jobs: Sequence[Job]) -> None:
        """Put the rows of a batch, unconditionally: its lease makes this handler the only writer.

        The driver must not be another: what it repeats may be carried out first, and its first request later, over a
        row that the runner has linked. So what is not known to be written is `Unavailable`.
        """
        self._put_all([items.job_item(job, self.terms.sweep_at(job.submitted_at)) for job in jobs])

    def put_bare_marks(self, marks: Sequence[Mark]) -> None:
        """Say of deleted jobs that nothing of them is left to remove.

        Unconditional: only a delete writes to a mark, and each writes the same.
        """
        self._put_all([items.mark_item(Mark(id=mark.id, tenant=mark.tenant, sweep_at=mark.sweep_at)) for mark in marks])

    def _get(self, key: str) -> items.Item | None:
        with unavailable("a read of the table"):
            answer = self._client.get_item(TableName=self._name, Key={"pk": {"S": key}}, ConsistentRead=True)
        item: items.Item | None = answer.get("Item")
        return item

    def _read(self, keys: Iterable[str]) -> dict[str, items.Item]:
        unique = list(dict.fromkeys(keys))  # a key named twice is a ValidationException
        chunks = [unique[at : at + READ_LIMIT] for at in range(0, len(unique), READ_LIMIT)]
        found: dict[str, items.Item] = {}
        for answer in self._parallel(self._read_chunk, chunks):
            found |= answer
        return found

    def _read_chunk(self, keys: list[str]) -> dict[str, items.Item]:
        found: dict[str, items.Item] = {}
        request: Any = {self._name: {"Keys": [{"pk": {"S": key}} for key in keys], "ConsistentRead": True}}
        for _ in self._patience.rounds():
            with unavailable("a read of the table"):
                answer = self._client.batch_get_item(RequestItems=request)
            for item in member(answer, "Responses").get(self._name, []):
                found[item["pk"]["S"]] = item
            request = member(answer, "UnprocessedKeys")
            if not request:
                return found
        raise Unavailable("the table kept leaving keys unread")

    def _put_all(self, all_items: Sequence[items.Item]) -> None:
        chunks = [list(all_items[at : at + WRITE_LIMIT]) for at in range(0, len(all_items), WRITE_LIMIT)]
        late: list[Unavailable] = []

        def put(chunk: list[items.Item]) -> None:
            try:
                self._put_chunk(chunk)
            except Unavailable as error:
                late.extend([error] if error.late else [])
                raise

        try:
            self._parallel(put, chunks)
        except Unavailable as error:
            raise late[0] if late else error from error

    def _put_chunk(self, chunk: list[items.Item]) -> None:
        request: Any = {self._name: [{"PutRequest": {"Item": item}} for item in chunk]}
        for _ in self._patience.rounds():
            with unavailable("a write to the table", late=True):
                answer = self._client.batch_write_item(RequestItems=request)
            request = member(answer, "UnprocessedItems")
            if not request:
                return
        raise Unavailable("the table kept leaving items unwritten")

    def _send(self, write: Write, token: str) -> None:
        if len(write) > 1:
            operations = [
                {kind: {"TableName": self._name, **members} for kind, members in operation.items()}
                for operation in write
            ]
            self._client.transact_write_items(TransactItems=operations, ClientRequestToken=token)
            return
        ((kind, members),) = write[0].items()
        call = {
            "Put": self._client.put_item,
            "Update": self._client.update_item,
            "Delete": self._client.delete_item,
        }[kind]
        call(TableName=self._name, **members)


def _is_anothers(item: items.Item, tenant: str | None) -> bool:
    return tenant is not None and item["tenant"]["S"] != tenant


def _fetch(item: items.Item, now: int) -> Fetch | None:
    # TTL may lag by days: past sweep_at an item counts as absent.
    return items.as_fetch(item) if int(item["sweep_at"]["N"]) > now // 1000 else None
