"""What is said of jobs that wait: for which host, and until when."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from fetch_queue import console
from fetch_queue.models import Batch, Job

DEFAULT_PORTS = {"http": 80, "https": 443}


def of_job(job: Job) -> str:
    """Which host a job waits for, and until when; "" where that is not known."""
    if job.next_attempt_at is None:
        return ""
    return console.plain(f"waits for {_host(job.url)} until {job.next_attempt_at}")


def of_batches(batches: Sequence[Batch]) -> str:
    """How many jobs of batches wait for their host; of a single job, for which one. "" where none does."""
    jobs = [job for batch in batches for job in batch.jobs]
    if len(jobs) == 1:
        return of_job(jobs[0])
    count = sum(batch.waiting_for_host for batch in batches)
    if count == 0:
        return ""
    return f"{count:,} {'waits for its' if count == 1 else 'wait for their'} host"


def _host(url: str) -> str:
    """The host of a URL, with its port unless that is its scheme's own."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return url
    if host is None:
        return url
    shown = f"[{host}]" if ":" in host else host
    return shown if port in (None, DEFAULT_PORTS.get(parts.scheme)) else f"{shown}:{port}"
