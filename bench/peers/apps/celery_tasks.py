"""Celery's side of the work."""

from __future__ import annotations

import os

from celery import Celery

from bench.peers.apps import fetching

app = Celery("peer", broker=os.environ["REDIS_URL"])
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


@app.task
def fetch(url: str, job_id: str) -> None:
    """Fetch a URL for a job."""
    fetching.run(url, job_id)
