"""Joining at submission: a new job whose URL was asked for within the window is linked to that fetch in the write that
stores it. It needs no message, and may be finished from the beginning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from chalicelib.jobs.entities import Fetch, Job
from chalicelib.jobs.errors import Unavailable
from chalicelib.metrics import Metric
from chalicelib.service.read import Shown, show_with
from chalicelib.service.service import Service


def join(service: Service, jobs: Sequence[Job]) -> dict[str, Shown]:
    """Store those of new jobs whose URLs have fetches that they may share; returns them, by id.

    The others are left to the job runner, which finds out why they may share none. Raises `Unavailable` if some of the
    jobs may still be stored.
    """
    try:
        sharers, fetches = _sharers(service, jobs)
    except Unavailable:
        return {}
    stored = {job.id for job in service.table.submit_joined(sharers)} if sharers else set()
    linked = [job.linked(fetch_id) for fetch_id, some in sharers.items() for job in some]
    refused = {job.id for job in linked if job.id not in stored}
    # A write may be refused because of itself: the driver repeats it when its answer is lost.
    rows = service.table.jobs(sorted(refused), tenant=linked[0].tenant) if refused else {}
    linked = [job for job in linked if job.id in stored or rows.get(job.id) == job]
    if linked:
        service.metrics.add(Metric.REUSED, len(linked))
    return {shown.job.id: shown for shown in show_with(service, linked, fetches)}


def _sharers(service: Service, jobs: Sequence[Job]) -> tuple[dict[str, list[Job]], dict[str, Fetch]]:
    """The jobs that may share a fetch, by its id, and these fetches."""
    claims = service.table.claims({job.url_key for job in jobs})
    sharers: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        claim = claims.get(job.url_key)
        if claim is not None and claim.submitted_at > job.submitted_at - service.rules.window:
            sharers[claim.fetch_id].append(job)
    fetches = service.table.fetches(sharers, now=service.clock()) if sharers else {}
    living = {fetch_id: fetch for fetch_id, fetch in fetches.items() if fetch.failed_at is None}
    return {fetch_id: some for fetch_id, some in sharers.items() if fetch_id in living}, living
