"""Deleting, for good: the job becomes a mark in the same write that removes it from its fetch; when the last job of a
fetch goes, so do the fetch, its results and its claim. One job and a whole batch are deleted in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from chalicelib.jobs import ids, leave
from chalicelib.jobs.entities import Job, Mark
from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.webhooks import Subject
from chalicelib.service.errors import NotFound
from chalicelib.service.read import read_batch
from chalicelib.service.service import Service
from chalicelib.storage.bucket import result_keys
from chalicelib.storage.queue import DeliverMessage

ROUNDS = 8  # that make no progress
ANOTHER_LOOK_SECONDS = 60  # at an event whose DELETE has begun; longer than a request lives


def delete_job(service: Service, tenant: str, job_id: str) -> None:
    """Delete one job. Raises NotFound if there is no such job."""
    if not ids.is_job_id(job_id) or job_id not in delete_jobs(service, tenant, [job_id]):
        raise NotFound("job")


def delete_batch(service: Service, tenant: str, batch_id: str) -> None:
    """Delete every job of a batch, then the batch. After a crash the same request again finishes the deletion."""
    batch = read_batch(service, tenant, batch_id)
    delete_jobs(service, tenant, batch.job_ids())
    told = [batch.id] if batch.webhook is not None else []
    announce(service, Subject.BATCH, told)
    service.table.delete_batch(batch)
    service.events.remove(told)


def announce(service: Service, subject: Subject, subject_ids: Sequence[str]) -> None:
    """Ask for another look at events, soon: if this DELETE dies once the subject is gone, that look removes them."""
    if subject_ids:
        service.webhook_queue.send_later([(DeliverMessage(subject, one), ANOTHER_LOOK_SECONDS) for one in subject_ids])


def delete_jobs(service: Service, tenant: str, job_ids: Sequence[str]) -> set[str]:
    """Delete the jobs; returns those that existed, including those of a deletion that was cut short.

    Raises Unavailable if other writes to the same items keep getting in between.
    """
    deletion = _Deletion(service, tenant)
    left = list(job_ids)
    idle = 0
    while left:
        before = len(left)
        left = deletion.round(left)
        idle = 0 if len(left) < before else idle + 1
        if idle > ROUNDS:
            raise Unavailable("other writes kept getting in between")
    _remove(service, deletion.unfinished)
    return deletion.deleted


@dataclass(slots=True)
class _Deletion:
    """What has been done of a deletion, round by round."""

    service: Service
    tenant: str
    deleted: set[str] = field(default_factory=set)
    unfinished: list[Mark] = field(default_factory=list)  # these name what is still to be removed
    seen: set[str] = field(default_factory=set)  # as jobs
    fetch_was_gone: set[str] = field(default_factory=set)
    thawed: set[str] = field(default_factory=set)  # batches
    alone: bool = False  # each departure in its own transaction, after one was refused

    def round(self, job_ids: Sequence[str]) -> list[str]:
        """Read, decide, write; returns the jobs to look at again."""
        leaving: list[leave.Depart] = []
        again: list[str] = []
        now = self.service.clock()
        for job_id, seen in self._look(job_ids, now).items():
            match leave.decide(seen, now=now, rules=self.service.rules):
                case leave.Absent():
                    pass
                case leave.Deleted():
                    self.deleted.add(job_id)
                case leave.Finish(mark):
                    self.deleted.add(job_id)
                    self.unfinished.append(mark)
                case leave.LookAgain():
                    again.append(job_id)
                    self.fetch_was_gone.add(job_id)
                case leave.Depart() as decision:
                    leaving.append(decision)
        return [*again, *self._depart(leaving)]

    def _look(self, job_ids: Sequence[str], now: int) -> dict[str, leave.Seen]:
        rows = self.service.table.jobs(job_ids, tenant=self.tenant)
        linked = {row.fetch_id for row in rows.values() if isinstance(row, Job) and row.fetch_id is not None}
        fetches = self.service.table.fetches(linked, now=now) if linked else {}
        seen = {
            job_id: leave.Seen(
                row=row,
                fetch=None if row.fetch_id is None else fetches.get(row.fetch_id),
                seen_before=job_id in self.seen,
                fetch_was_gone=job_id in self.fetch_was_gone,
            )
            for job_id, row in rows.items()
        }
        self.seen |= {job_id for job_id, row in rows.items() if isinstance(row, Job)}
        return seen

    def _depart(self, leaving: Sequence[leave.Depart]) -> list[str]:
        """Let the jobs leave; returns the ids of those that are still there."""
        told = [decision.job.id for decision in leaving if decision.job.has_event]
        announce(self.service, Subject.JOB, told)
        for batch_id in {decision.job.batch_id for decision in leaving if decision.job.batch_id} - self.thawed:
            self.service.table.thaw_batch(batch_id)  # first: else a death would leave it with counts that are wrong
            self.thawed.add(batch_id)
        leaving_together = list(leave.departures(leaving))
        departed = self.service.table.leave(leaving_together, alone=self.alone)
        self.alone = self.alone or len(departed) < len(leaving_together)
        gone = {job.id for each in departed for job in each.jobs}
        self.deleted |= gone
        self.service.events.remove([job_id for job_id in told if job_id in gone])
        self.unfinished += [mark for each in departed for mark in each.marks]
        return [decision.job.id for decision in leaving if decision.job.id not in gone]


def _remove(service: Service, marks: Sequence[Mark]) -> None:
    """Remove what the last jobs of their fetches left behind, then record that in their marks."""
    if not marks:
        return
    keys = {key for mark in marks if mark.fetch_id for key in result_keys(mark.fetch_id, mark.attempts)}
    service.bucket.delete(sorted(keys))
    removed = service.table.remove_claims(marks)
    service.table.put_bare_marks(removed)
    if len(removed) < len(marks):
        raise Unavailable("not all claims could be removed")
