"""Taskiq's side of the work."""

from __future__ import annotations

import os

from taskiq_redis import RedisStreamBroker

from bench.peers.apps import fetching

broker = RedisStreamBroker(os.environ["REDIS_URL"])


@broker.task
def fetch(url: str, job_id: str) -> None:
    """Fetch a URL for a job, in one of the worker's threads."""
    fetching.run(url, job_id)
