"""The list of what was submitted: batches, and jobs that were submitted alone, newest first.

It is the table's index `Listed`, which only holds items with both of its keys:

    listed      LIST#<tenant>/<kind>/<day>/<shard>    a day's share of a tenant's submissions
    listed_at   <submitted_at>-<id>                   the place, also what a cursor says

An entry costs one write unit more; a job of a batch has none. It is gone once its item is a mark. The index follows the
table a moment later, so that an entry says only where to look: what is shown is read from the table.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chalicelib.jobs.entities import Batch, Job
from chalicelib.storage.calls import Parallel, member, serial, unavailable

INDEX = "Listed"
SHARDS = 4  # of a day: DynamoDB takes a thousand entries a second each
DAY_MS = 86_400_000
AHEAD_MS = 300_000  # how far another machine's clock may be ahead
_LAST = "~"  # after every place


class Kind(StrEnum):
    """What is listed."""

    JOBS = "jobs"  # that were submitted alone
    BATCHES = "batches"


@dataclass(frozen=True, slots=True)
class Entry:
    """An item in a list, which may be gone by now."""

    id: str
    place: str  # after which older ones come


def keys_of(entity: object) -> dict[str, str]:
    """The index's keys of what is listed; none for anything else."""
    match entity:
        case Batch():
            kind = Kind.BATCHES
        case Job(batch_id=None):
            kind = Kind.JOBS
        case _:
            return {}
    shard = zlib.crc32(entity.id.encode()) % SHARDS
    return {
        "listed": _share(entity.tenant, kind, entity.submitted_at // DAY_MS, shard),
        "listed_at": f"{entity.submitted_at:015d}-{entity.id}",
    }


class Listing:
    """The lists. Raises `Unavailable` if DynamoDB does not answer."""

    def __init__(self, client: Any, name: str, *, parallel: Parallel = serial) -> None:
        self._client = client
        self._name = name
        self._parallel = parallel

    def newest(
        self, kind: Kind, tenant: str, *, before: str | None, since: int, now: int, size: int
    ) -> Iterator[list[Entry]]:
        """Entries after the place `before`, if there is one, back to the time `since`: up to `size` at a time."""
        place, oldest = before or _LAST, f"{since:015d}"
        latest = now + AHEAD_MS
        day = (min(latest, int(place.partition("-")[0])) if before else latest) // DAY_MS
        while day >= since // DAY_MS:
            found = self._of_day(kind, tenant, day, place, size)
            kept = [entry for entry in found if entry.place >= oldest]
            if kept:
                yield kept
            if len(kept) < len(found):
                return
            if len(found) < size:
                day -= 1
            else:
                place = found[-1].place

    def _of_day(self, kind: Kind, tenant: str, day: int, before: str, size: int) -> list[Entry]:
        shares = [_share(tenant, kind, day, shard) for shard in range(SHARDS)]
        places = [
            place for some in self._parallel(lambda share: self._ask(share, before, size), shares) for place in some
        ]
        return [Entry(place.partition("-")[2], place) for place in sorted(places, reverse=True)[:size]]

    def _ask(self, share: str, before: str, size: int) -> list[str]:
        with unavailable("a query of the table"):
            answer = self._client.query(
                TableName=self._name,
                IndexName=INDEX,
                KeyConditionExpression="listed = :share AND listed_at < :before",
                ExpressionAttributeValues={":share": {"S": share}, ":before": {"S": before}},
                ScanIndexForward=False,
                Limit=size,
            )
        return [item["listed_at"]["S"] for item in member(answer, "Items")]


def _share(tenant: str, kind: Kind, day: int, shard: int) -> str:
    return f"LIST#{tenant}/{kind}/{day}/{shard}"
