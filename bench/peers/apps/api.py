"""The API that all peers share; they differ in how work is queued."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from bench.peers.apps import store

Queue = Callable[[list[tuple[str, str]]], Awaitable[None]]


class JobRequest(BaseModel):
    """A URL to fetch."""

    url: str


class BatchRequest(BaseModel):
    """URLs to fetch."""

    urls: list[str]


def make(queue: Queue, **options: Any) -> FastAPI:
    """The app; `queue` is given the URLs to fetch with their ids."""
    app = FastAPI(**options)

    @app.post("/jobs", status_code=202)
    async def create_job(body: JobRequest) -> dict[str, str]:
        submitted = await run_in_threadpool(store.submit, [body.url])
        await queue(submitted.to_fetch)
        return {"id": submitted.job_ids[0], "status": "queued"}

    @app.post("/batches", status_code=202)
    async def create_batch(body: BatchRequest) -> dict[str, Any]:
        submitted = await run_in_threadpool(store.submit, body.urls)
        await queue(submitted.to_fetch)
        return {"id": submitted.batch_id, "jobs": [{"id": job_id} for job_id in submitted.job_ids]}

    @app.get("/jobs/{job_id}")
    def get_job(job_id: str) -> dict[str, str]:
        return {"id": job_id, "status": _found(store.status(job_id))}

    @app.get("/jobs/{job_id}/result")
    def get_result(job_id: str) -> Response:
        return Response(_found(store.result(job_id)), media_type="application/octet-stream")

    @app.get("/batches/{batch_id}")
    def get_batch(batch_id: str) -> dict[str, Any]:
        counts = _found(store.counts(batch_id) or None)
        return {"id": batch_id, "total": sum(counts.values()), "counts": counts}

    return app


def _found(value: Any) -> Any:
    if value is None:
        raise HTTPException(404)
    return value
