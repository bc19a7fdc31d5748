"""Lists of what a tenant has submitted, newest first, as far back as it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from chalicelib.jobs.entities import Batch, Job
from chalicelib.service.read import Shown, show
from chalicelib.service.service import Service
from chalicelib.storage.listing import Entry, Kind

T = TypeVar("T")

LONGEST_LIST = 100  # on a page
ROUNDS = 10  # of reading entries whose items are gone, before a page ends short


@dataclass(frozen=True)  # a generic class takes no slots
class Listed(Generic[T]):
    """A page, and where the next one begins."""

    entries: list[T]
    next: str | None


def read_batches(service: Service, tenant: str, cursor: str | None, limit: int) -> Listed[Batch]:
    """Batches; those that are deleted, expired or not wholly accepted are not listed."""

    def read(entries: Sequence[Entry]) -> dict[str, Batch]:
        found = service.table.batches([entry.id for entry in entries], tenant=tenant)
        batches = [each for each in found.values() if isinstance(each, Batch)]
        return {each.id: each for each in batches if each.accepted and not service.is_gone(each, tenant)}

    return _page(service, tenant, Kind.BATCHES, cursor, limit, read)


def read_jobs(service: Service, tenant: str, cursor: str | None, limit: int) -> Listed[Shown]:
    """Jobs that were submitted alone; those that are deleted or expired are not listed."""

    def read(entries: Sequence[Entry]) -> dict[str, Shown]:
        found = service.table.jobs([entry.id for entry in entries], tenant=tenant)
        jobs = [each for each in found.values() if isinstance(each, Job) and not service.is_gone(each, tenant)]
        return {shown.job.id: shown for shown in show(service, jobs)}

    return _page(service, tenant, Kind.JOBS, cursor, limit, read)


def _page(
    service: Service,
    tenant: str,
    kind: Kind,
    cursor: str | None,
    limit: int,
    read: Callable[[Sequence[Entry]], dict[str, T]],
) -> Listed[T]:
    """The first `limit` that are still there; one more is looked for, to know whether another page follows."""
    now = service.clock()
    since = now - service.rules.retention
    listed: list[tuple[str, T]] = []  # each with its place
    chunks = service.listing.newest(kind, tenant, before=cursor, since=since, now=now, size=limit + 1)
    for round_, chunk in enumerate(chunks, start=1):
        found = read(chunk)
        listed += [(entry.place, found[entry.id]) for entry in chunk if entry.id in found]
        if len(listed) > limit:
            return Listed([one for _, one in listed[:limit]], listed[limit - 1][0])
        if round_ == ROUNDS:
            return Listed([one for _, one in listed], chunk[-1].place)
    return Listed([one for _, one in listed], None)
