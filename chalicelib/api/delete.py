"""Deleting, for good: the job becomes a mark in the same write that takes it from its fetch; with the last job of
a fetch go the fetch, its results and its claim. One job and a whole batch are the same work."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chalicelib.api import problems
from chalicelib.api.read import read_batch
from chalicelib.api.service import Service
from chalicelib.jobs import ids
from chalicelib.jobs.entities import Fetch, Job, Mark
from chalicelib.jobs.errors import Unavailable
from chalicelib.storage import protocol
from chalicelib.storage.bucket import result_keys
from chalicelib.storage.protocol import TRANSACTION_LIMIT, Terms, Write

ROUNDS = 8  # without any progress


@dataclass(frozen=True, slots=True)
class _Plan:
    """Jobs that leave together, and how: some that share a fetch, or one that has none."""

    jobs: list[Job]
    write: Write
    marks: list[Mark]  # what is still to be removed afterwards


def delete_job(service: Service, tenant: str, job_id: str) -> None:
    """Delete one job. Raises ProblemError (not found) where there is none."""
    if not ids.is_job_id(job_id) or job_id not in delete_jobs(service, tenant, [job_id]):
        raise problems.not_found("job")


def delete_batch(service: Service, tenant: str, batch_id: str) -> None:
    """Delete every job of a batch, then the batch: what a crash leaves, the same request again finishes."""
    batch = read_batch(service, tenant, batch_id)
    delete_jobs(service, tenant, batch.job_ids())
    service.table.make(protocol.delete_batch(batch, service.terms))


def delete_jobs(service: Service, tenant: str, job_ids: Sequence[str]) -> set[str]:
    """Delete the jobs; returns which of them there were, those of a deletion that was cut short included.

    Raises Unavailable where other writes to the same items keep getting in between.
    """
    deleted: set[str] = set()
    unfinished: list[Mark] = []
    fetchless: set[str] = set()  # jobs whose fetch was gone when it was read after them
    left = list(job_ids)
    idle = 0
    alone = False  # one plan to a transaction, once one was refused
    tried: set[str] = set()
    while left:
        found = service.table.jobs(left, tenant=tenant)
        jobs = [job for job in found.values() if isinstance(job, Job) and not service.is_gone(job, tenant)]
        marks = [mark for mark in found.values() if isinstance(mark, Mark) and not service.is_over(mark, tenant)]
        unfinished += [mark for mark in marks if mark.fetch_id is not None]
        # A write that was made and refused its own repetition, or somebody else's DELETE of the same moment.
        deleted |= {mark.id for mark in marks if mark.id in tried}
        linked = {job.fetch_id for job in jobs if job.fetch_id is not None}
        fetches = service.table.fetches(linked, now=service.clock()) if linked else {}
        tried |= {job.id for job in jobs}
        groups = list(_pack(_plans(jobs, fetches, service.terms), limit=1 if alone else TRANSACTION_LIMIT))
        made = service.table.make_all([[operation for plan in group for operation in plan.write] for group in groups])
        done = [plan for group, was_made in zip(groups, made, strict=True) if was_made for plan in group]
        deleted |= {job.id for plan in done for job in plan.jobs}
        unfinished += [mark for plan in done for mark in plan.marks]
        # The fetch of a job that is there goes with another DELETE of the same moment, whose marks are to be worked off
        # too, should it die: so such a job is looked at once more. After that its fetch was swept.
        gone = {job.id for job in jobs if job.fetch_id is not None and job.fetch_id not in fetches}
        left = [job.id for job in jobs if job.id not in deleted and job.id not in gone & fetchless]
        fetchless |= gone
        alone = alone or not all(made)
        idle = 0 if done else idle + 1
        if idle > ROUNDS:
            raise Unavailable("other writes kept getting in between")
    _remove(service, unfinished)
    return deleted | {mark.id for mark in unfinished}


def _plans(jobs: Sequence[Job], fetches: Mapping[str, Fetch], terms: Terms) -> Iterator[_Plan]:
    """A plan for each fetch: more jobs of it than a transaction takes wait for the next round."""
    sharers: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        if job.fetch_id is None:
            yield _Plan([job], protocol.delete_unlinked(job, terms), [])
        elif job.fetch_id in fetches:
            sharers[job.fetch_id].append(job)
    for fetch_id, sharing in sharers.items():
        fetch = fetches[fetch_id]
        leaving = sharing[: TRANSACTION_LIMIT - 1]
        if fetch.jobs > len(leaving):
            yield _Plan(leaving, protocol.delete_shared(leaving, fetch, terms), [])
        else:
            marks = [protocol.unfinished_mark_of(job, fetch, terms) for job in leaving]
            yield _Plan(leaving, protocol.delete_last(leaving, fetch, terms), marks)


def _pack(plans: Iterator[_Plan], *, limit: int) -> Iterator[list[_Plan]]:
    """Groups of plans that fit into one transaction each; a plan larger than the limit stands alone."""
    group: list[_Plan] = []
    size = 0
    for plan in plans:
        if group and size + len(plan.write) > limit:
            yield group
            group, size = [], 0
        group.append(plan)
        size += len(plan.write)
    if group:
        yield group


def _remove(service: Service, marks: Sequence[Mark]) -> None:
    """Remove what the last jobs of their fetches left, then say so in their marks."""
    if not marks:
        return
    keys = {key for mark in marks if mark.fetch_id for key in result_keys(mark.fetch_id, mark.attempts)}
    service.bucket.delete(sorted(keys))
    claims = {(mark.url_key, mark.fetch_id) for mark in marks if mark.url_key and mark.fetch_id}
    service.table.make_all([protocol.delete_claim(url_key, fetch_id) for url_key, fetch_id in sorted(claims)])
    service.table.put_bare_marks(marks)
