"""The API with Celery behind it."""

from __future__ import annotations

from fastapi.concurrency import run_in_threadpool

from bench.peers.apps import api
from bench.peers.apps.celery_tasks import fetch


def _send(fetches: list[tuple[str, str]]) -> None:
    for url, job_id in fetches:
        fetch.delay(url, job_id)


async def _queue(fetches: list[tuple[str, str]]) -> None:
    await run_in_threadpool(_send, fetches)


app = api.make(_queue)
