"""The API with RQ behind it; its worker calls `fetching.run` and needs no module of its own."""

from __future__ import annotations

from fastapi.concurrency import run_in_threadpool
from rq import Queue

from bench.peers.apps import api, fetching, store

_jobs = Queue(connection=store.connection())


def _send(fetches: list[tuple[str, str]]) -> None:
    _jobs.enqueue_many([Queue.prepare_data(fetching.run, fetch, result_ttl=0) for fetch in fetches])


async def _queue(fetches: list[tuple[str, str]]) -> None:
    if fetches:
        await run_in_threadpool(_send, fetches)


app = api.make(_queue)
