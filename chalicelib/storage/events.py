"""Events in the table: that a job or a batch is finished, and how far the telling of it is.

EVENT#<subject id>   the members of `jobs.webhooks.Event`

A subject has one event, whoever makes it and however often. A try is begun, ended and asked for again by a write that
holds only while the row is as it was read. docs/webhooks.md says for each clause what goes wrong without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.jobs.entities import Batch, Job, Mark
from chalicelib.jobs.webhooks import Event, Subject
from chalicelib.storage import items
from chalicelib.storage.calls import Parallel, Patience, serial
from chalicelib.storage.expressions import Operation, put, update
from chalicelib.storage.rows import Rows
from chalicelib.storage.terms import Terms

EVENT_ABSENT = "(attribute_not_exists(pk) OR sweep_at <= :now_seconds)"
EVENT_UNCHANGED = "changes = :seen"  # since it was read: every write counts itself

_CHANGING = ("changes", "state", "tries", "tries_before", "last_status", "lease_until", "next_try_at")


class Events:
    """The events of jobs and batches. Raises `Unavailable` if DynamoDB does not answer."""

    def __init__(
        self, client: Any, name: str, terms: Terms, *, parallel: Parallel = serial, patience: Patience | None = None
    ) -> None:
        self._rows = Rows(client, name, parallel=parallel, patience=patience)
        self._terms = terms

    def read(self, subject_id: str, *, now: int) -> Event | None:
        """The event of a job or a batch; None if there is none yet."""
        item = self._rows.get(items.event_key(subject_id))
        return None if item is None else _event(item, now)

    def with_subject(
        self, subject: Subject, subject_id: str, *, now: int
    ) -> tuple[Event | None, Job | Batch | Mark | None]:
        """The event, and the row of what it is about."""
        event_key = items.event_key(subject_id)
        is_job = subject is Subject.JOB
        key = items.job_key(subject_id) if is_job else items.batch_key(subject_id)
        found = self._rows.read([event_key, key])
        event = _event(found[event_key], now) if event_key in found else None
        row = found.get(key)
        if row is None:
            return event, None
        return event, items.as_job(row) if is_job else items.as_batch(row)

    def make(self, events: Sequence[Event], submitted_at: int, *, now: int) -> None:
        """Put those that are not there yet; all are about what was submitted then. Others stay as they were made."""
        self._rows.write_all([[make(event, self._terms.sweep_at(submitted_at), now=now)] for event in events])

    def change(self, seen: Event, after: Event) -> bool:
        """Let an event become another, unless it was changed since it was read."""
        return self._rows.write([change(seen, after)])

    def remove(self, subject_ids: Sequence[str]) -> None:
        """Forget the events of jobs and batches, if they have any."""
        if subject_ids:
            self._rows.delete_all([items.event_key(subject_id) for subject_id in subject_ids])


def make(event: Event, sweep_at: int, *, now: int) -> Operation:
    """Put an event for the first time."""
    return put(items.item_of(event, sweep_at), EVENT_ABSENT, {":now_seconds": now // 1000})


def change(seen: Event, after: Event) -> Operation:
    """Begin a try, end one, or ask for one again."""
    members = items.decode_item(items.item_of(after))
    kept = {name: members[name] for name in _CHANGING if name in members}
    gone = [name for name in _CHANGING if name not in members]
    sets = ", ".join(f"{_name(name)} = :{name}" for name in kept)
    removes = f" REMOVE {', '.join(gone)}" if gone else ""
    values: Mapping[str, object] = {f":{name}": value for name, value in kept.items()}
    return update(
        items.event_key(seen.subject_id),
        f"SET {sets}{removes}",
        EVENT_UNCHANGED,
        {**values, ":seen": seen.changes},
    )


def _name(member: str) -> str:
    return "#state" if member == "state" else member  # one of DynamoDB's reserved words


def _event(item: items.Item, now: int) -> Event | None:
    """None where it counts as absent: TTL may lag by days, and the id may be another subject's by then."""
    return None if int(item["sweep_at"]["N"]) <= now // 1000 else items.as_event(item)
