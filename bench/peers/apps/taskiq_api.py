"""The API with taskiq behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from bench.peers.apps import api
from bench.peers.apps.taskiq_tasks import broker, fetch


@asynccontextmanager
async def _connected(_: FastAPI) -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()


async def _queue(fetches: list[tuple[str, str]]) -> None:
    for url, job_id in fetches:
        await fetch.kiq(url, job_id)


app = api.make(_queue, lifespan=_connected)
