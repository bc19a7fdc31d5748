"""What a webhook's event is about: whether it is still there."""

from __future__ import annotations

from chalicelib.jobs.decide import Rules, is_expired
from chalicelib.jobs.entities import Batch, Job, Mark


def lives(row: Job | Batch | Mark | None, *, now: int, rules: Rules) -> bool:
    """True for a job or a batch that can be read, and of whose end somebody is to be told."""
    if row is None or isinstance(row, Mark):
        return False
    has_event = row.has_event if isinstance(row, Job) else row.webhook is not None
    return has_event and not is_expired(row.submitted_at, now=now, retention=rules.retention)
