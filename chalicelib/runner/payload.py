"""What a webhook is told: the body of an event, from what is stored. It has no header of a request, and no link."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from chalicelib.jobs.entities import Batch, Fetch, FetchError, Job, Result
from chalicelib.jobs.webhooks import Event, EventState, Subject
from chalicelib.storage.queue import WatchMessage


def job_event(job: Job, fetch: Fetch, url: str, *, now: int) -> Event:
    """That a job is finished."""
    data = {
        "id": job.id,
        "batch_id": job.batch_id,
        "url": job.url,
        "reference": job.reference,
        "status": str(fetch.status),
        "submitted_at": _timestamp(job.submitted_at),
        "finished_at": None if fetch.finished_at is None else _timestamp(fetch.finished_at),
        "attempts": fetch.attempt,
        "error": None if fetch.error is None else _error(fetch.error),
        "result": None if fetch.result is None else _result(fetch.result),
    }
    return _event(Subject.JOB, job, url, data, now)


def batch_event(batch: Batch, url: str, seen: WatchMessage, *, now: int) -> Event:
    """That all jobs of a batch are finished, as they were `seen` to be; deleted ones are not counted."""
    data = {
        "id": batch.id,
        "submitted_at": _timestamp(batch.submitted_at),
        "finished_at": _timestamp(max(batch.submitted_at, seen.finished_at)),  # a job may share an older fetch
        "total": seen.succeeded + seen.failed,
        "counts": {"succeeded": seen.succeeded, "failed": seen.failed},
    }
    return _event(Subject.BATCH, batch, url, data, now)


def _event(subject: Subject, about: Job | Batch, url: str, data: Mapping[str, object], now: int) -> Event:
    body = {"type": f"{subject}.finished", "timestamp": _timestamp(now), "data": data}
    return Event(
        subject_id=about.id,
        subject=subject,
        tenant=about.tenant,
        url=url,
        state=EventState.PENDING,
        tries=0,
        changes=0,
        lease_until=now,
        next_try_at=now,
        payload=json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        made_at=now,
    )


def _error(error: FetchError) -> dict[str, object]:
    return {"type": str(error.type), "detail": error.detail, "http_status": error.http_status}


def _result(result: Result) -> dict[str, object]:
    return {
        "content_type": result.content_type,
        "size": result.size,
        "sha256": result.sha256,
        "http_status": result.http_status,
        "final_url": result.final_url,
    }


def _timestamp(ms: int) -> str:
    """RFC 3339, UTC, with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
