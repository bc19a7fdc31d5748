"""Jobs, fetches, claims and batches in the DynamoDB table: how they are read, strongly consistent but for `claims`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from chalicelib.jobs.decide import Rules, Seen, is_over
from chalicelib.jobs.entities import Batch, Claim, Fetch, Job, Mark, Standing
from chalicelib.jobs.robots import keys_of
from chalicelib.storage import items
from chalicelib.storage.queue import FetchMessage
from chalicelib.storage.rows import Rows
from chalicelib.storage.terms import Terms


class Reading:
    """What is in the table. Raises `Unavailable` if DynamoDB does not answer."""

    def __init__(self, rows: Rows, terms: Terms) -> None:
        self._rows = rows
        self._terms = terms

    @property
    def rules(self) -> Rules:
        """The rules that decisions follow."""
        return self._terms.rules

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

    def batches(self, batch_ids: Sequence[str], *, tenant: str) -> dict[str, Batch | Mark]:
        """The tenant's batches and marks that exist among these, by id."""
        found = self._rows.read(items.batch_key(batch_id) for batch_id in batch_ids)
        own = (item for item in found.values() if not _is_anothers(item, tenant))
        return {batch.id: batch for batch in map(items.as_batch, own)}

    def jobs(self, job_ids: Sequence[str], *, tenant: str) -> dict[str, Job | Mark]:
        """The tenant's jobs and marks that exist among these, by id."""
        found = self._rows.read(items.job_key(job_id) for job_id in job_ids)
        own = (item for item in found.values() if not _is_anothers(item, tenant))
        return {job.id: job for job in map(items.as_job, own)}

    def claims(self, url_keys: Iterable[str]) -> dict[str, Claim]:
        """The claims on these URLs, by url_key, as they are or were a moment ago: eventually consistent."""
        found = self._rows.read((items.claim_key(url_key) for url_key in url_keys), consistent=False)
        return {claim.url_key: claim for claim in map(items.as_claim, found.values())}

    def fetches(self, fetch_ids: Iterable[str], *, now: int) -> dict[str, Fetch]:
        """The fetches that exist among these, by id."""
        found = self._rows.read(items.fetch_key(fetch_id) for fetch_id in fetch_ids)
        fetches = (_fetch(item, now) for item in found.values())
        return {fetch.id: fetch for fetch in fetches if fetch is not None}

    def standings(self, job_ids: Sequence[str], *, tenant: str, now: int) -> list[Standing]:
        """Where the tenant's jobs among these stand, in order; those whose fetch is gone are left out."""
        keys = [items.job_key(job_id) for job_id in job_ids]
        found = self._rows.read(keys, items.STANDING_OF_JOB)
        jobs = [found[key] for key in keys if key in found]
        jobs = [item for item in jobs if not _is_anothers(item, tenant) and "submitted_at" in item]
        fetch_keys = [items.fetch_key(item["fetch_id"]["S"]) if "fetch_id" in item else None for item in jobs]
        fetches = self._rows.read((key for key in fetch_keys if key is not None), items.STANDING_OF_FETCH)
        return [
            items.as_standing(item, None if key is None else fetches[key])
            for item, key in zip(jobs, fetch_keys, strict=True)
            if key is None or (key in fetches and not _is_swept(fetches[key], now))
        ]

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
    return None if _is_swept(item, now) else items.as_fetch(item)


def _is_swept(item: items.Item, now: int) -> bool:
    """True when an item counts as absent: TTL may lag by days."""
    return int(item["sweep_at"]["N"]) <= now // 1000
