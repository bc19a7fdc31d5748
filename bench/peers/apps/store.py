"""What the peers keep in Redis: claims, jobs, batches, results.

`claim:<url>` is the job that fetches for the URL's hour, `job:<id>` names the job whose fetch a job shares,
`result:<id>` holds the bytes of a fetch that succeeded, and `failed:<id>` stands for one that did not.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import redis

WINDOW_SECONDS = 3600
KEEP_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Submitted:
    """Jobs that were stored, and what of them must be fetched: pairs of URL and id."""

    batch_id: str
    job_ids: list[str]
    to_fetch: list[tuple[str, str]]


@cache
def connection() -> redis.Redis:
    """This process's connections."""
    return redis.Redis.from_url(os.environ["REDIS_URL"])


def submit(urls: Sequence[str]) -> Submitted:
    """Store a batch with a job for each URL; those that were not submitted within the hour must be fetched."""
    batch_id, job_ids = uuid.uuid4().hex, [uuid.uuid4().hex for _ in urls]
    claims = connection().pipeline(transaction=False)
    for url, job_id in zip(urls, job_ids, strict=True):
        claims.set(f"claim:{url}", job_id, nx=True, ex=WINDOW_SECONDS, get=True)
    standing = claims.execute()

    fetches = [job_id if before is None else before.decode() for job_id, before in zip(job_ids, standing, strict=True)]
    rows = connection().pipeline(transaction=False)
    for job_id, fetch in zip(job_ids, fetches, strict=True):
        rows.set(f"job:{job_id}", fetch, ex=KEEP_SECONDS)
    rows.rpush(f"batch:{batch_id}", *fetches)
    rows.expire(f"batch:{batch_id}", KEEP_SECONDS)
    rows.execute()
    new = [(url, job) for url, job, before in zip(urls, job_ids, standing, strict=True) if before is None]
    return Submitted(batch_id, job_ids, new)


def finish(fetch: str, body: bytes) -> None:
    """A fetch succeeded."""
    connection().set(f"result:{fetch}", body, ex=KEEP_SECONDS)


def fail(url: str, fetch: str) -> None:
    """A fetch failed, and does not count for the hour."""
    connection().set(f"failed:{fetch}", 1, ex=KEEP_SECONDS)
    connection().delete(f"claim:{url}")


def counts(batch_id: str) -> dict[str, int]:
    """A batch's jobs by status."""
    fetches = [fetch.decode() for fetch in connection().lrange(f"batch:{batch_id}", 0, -1)]
    if not fetches:
        return {}
    succeeded = connection().exists(*(f"result:{fetch}" for fetch in fetches))
    failed = connection().exists(*(f"failed:{fetch}" for fetch in fetches)) if succeeded < len(fetches) else 0
    return {"queued": len(fetches) - succeeded - failed, "succeeded": succeeded, "failed": failed}


def status(job_id: str) -> str | None:
    """A job's status; None where there is no such job."""
    fetch = connection().get(f"job:{job_id}")
    if fetch is None:
        return None
    if connection().exists(f"result:{fetch.decode()}"):
        return "succeeded"
    return "failed" if connection().exists(f"failed:{fetch.decode()}") else "queued"


def result(job_id: str) -> bytes | None:
    """The bytes that a job fetched; None where there are none."""
    fetch = connection().get(f"job:{job_id}")
    return None if fetch is None else connection().get(f"result:{fetch.decode()}")
