"""How a job is shown on one line."""

from __future__ import annotations

from fetch_queue import console, waits
from fetch_queue.models import Job


def line(job: Job) -> None:
    """Its id, how it is, how large its result is, its URL, and why it failed or waits."""
    what = console.size(job.result.size) if job.result else ""
    said = console.plain(job.error.detail) if job.error else waits.of_job(job)
    why = f"  ({said})" if said else ""
    console.out(f"{job.id}  {console.status(job.status, 9)}  {what:>7}  {console.plain(job.url)}{why}")
