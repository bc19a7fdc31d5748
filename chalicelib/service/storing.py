"""Storing a batch: it is accepted only when every row is in the table, linked or with its message sent.

One handler at a time stores a batch, under a lease; if it dies, the same request again continues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from chalicelib.jobs.access import Quota
from chalicelib.jobs.entities import Batch, Job, Mark
from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.submitted import SubmittedURL
from chalicelib.jobs.target import Target
from chalicelib.jobs.urls import InvalidURL
from chalicelib.metrics import Metric
from chalicelib.service import reuse
from chalicelib.service.errors import InProgress, KeyGone, KeyReused, RejectedURL
from chalicelib.service.read import Shown, show_batch
from chalicelib.service.service import Service
from chalicelib.service.submission import Submission, send_watch
from chalicelib.service.webhooks import Telling, telling_of_batch


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedBatch:
    """A batch that was accepted: its jobs in the order given, and the URLs that were rejected."""

    batch: Batch
    jobs: list[Shown]
    rejected: list[RejectedURL]
    quota: Quota | None
    webhook: Telling | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """The URLs of a request, sorted into valid and rejected ones."""

    valid: list[tuple[SubmittedURL, Target]] = field(default_factory=list)  # what was given, and what its site is asked
    rejected: list[RejectedURL] = field(default_factory=list)

    @staticmethod
    def of(submission: Submission, urls: Iterable[tuple[int, SubmittedURL]]) -> Given:
        """URLs with the numbers by which the client knows them."""
        given = Given()
        for index, submitted in urls:
            try:
                given.valid.append((submitted, submission.target(submitted)))
            except InvalidURL as error:
                given.rejected.append(RejectedURL(index=index, url=submitted.url, detail=str(error)))
        return given


def store_batch(submission: Submission, batch: Batch, given: Given, standing: Batch | Mark | None) -> AcceptedBatch:
    """Store the batch of a request, or find what was submitted with its key: `standing`, if it was looked for.

    Raises KeyGone, KeyReused and InProgress, and QuotaExceeded.
    """
    service, webhook = submission.service, submission.webhook
    stored, jobs = _Storing(service, submission, given).submit(batch, standing)
    telling = None
    if webhook is not None:
        telling = Telling(webhook.url) if stored == batch else telling_of_batch(service, stored)
    return AcceptedBatch(batch=stored, jobs=jobs, rejected=given.rejected, quota=submission.quota, webhook=telling)


@dataclass(frozen=True, slots=True)
class _Storing:
    service: Service
    submission: Submission
    given: Given

    def submit(self, batch: Batch, standing: Batch | Mark | None) -> tuple[Batch, list[Shown]]:
        """The batch and its jobs, once it is stored whole, or as it stands."""
        table = self.service.table
        if standing is None:
            self.submission.count(batch.size)
            with self.submission.giving_back_if_unavailable(batch.size):
                standing = self._take_lease(batch, lambda: table.submit_batch(batch))
            if _is_held_by(standing, batch.holder):
                return batch, self._store(batch, begun=False)
            self.submission.give_back(batch.size)
        if standing is None:
            raise Unavailable("a batch's row was swept between a refused write and its reading")
        if isinstance(standing, Mark) or self.service.is_gone(standing, batch.tenant):
            raise KeyGone
        if standing.digest != batch.digest:
            raise KeyReused
        if standing.accepted:
            if (
                standing.webhook is not None
            ):  # a handler whose acceptance was carried out late left none that goes round
                send_watch(self.service, standing)
            return standing, show_batch(self.service, standing)
        if standing.chosen != batch.chosen:  # it was begun since we looked, with other jobs
            raise InProgress(1)
        if batch.size != standing.size:  # what may be fetched has changed since then: the ids would shift
            raise KeyGone
        return self._take_over(standing, batch.holder)

    def _take_over(self, standing: Batch, holder: str) -> tuple[Batch, list[Shown]]:
        """Continue where a handler died: write the rows that are missing, send every message."""
        now = self.service.clock()
        if standing.lease_until > now:
            raise InProgress(-(-(standing.lease_until - now) // 1000))
        mine = replace(standing, lease_until=now + self.service.batch_lease, holder=holder)
        taken = self._take_lease(mine, lambda: self.service.table.take_over_batch(mine, now=now))
        if not _is_held_by(taken, holder):
            raise InProgress(1)
        return mine, self._store(mine, begun=True)

    def _take_lease(self, batch: Batch, write: Callable[[], bool]) -> Batch | Mark | None:
        """The batch as it is after a write that makes its lease ours, unless another handler has it.

        It is also ours if the write's answer was lost, the driver repeated the write, and the repetition was refused.
        """
        try:
            return batch if write() else self.service.table.batch(batch.id)
        except Unavailable:
            self._release(batch)
            raise

    def _store(self, batch: Batch, *, begun: bool) -> list[Shown]:
        """Put the rows, or, if the batch was begun, the missing ones; send messages for those not linked; accept.

        If that ends Unavailable, the lease ends too, so that the same request may continue at once. But not if a write
        of rows got no answer: DynamoDB may still carry it out, when another handler has written the same rows.
        """
        given = zip(batch.job_ids(), self.given.valid, strict=True)
        jobs = [self.submission.job(job_id, each, batch.submitted_at, batch.id) for job_id, each in given]
        try:
            with self.submission.giving_back_if_unavailable(batch.size):
                written = self.service.table.jobs(batch.job_ids(), tenant=batch.tenant) if begun else {}
                missing = [job for job in jobs if job.id not in written]
                joined = reuse.join(self.service, missing)
                self.service.table.put_jobs([job for job in missing if job.id not in joined])
        except Unavailable as error:
            if not error.late:
                self._release(batch)
            raise
        try:
            new = [_as_stored(job, written.get(job.id)) for job in jobs if job.id not in joined]
            unlinked = [job for job in new if job.fetch_id is None]
            self.submission.send(unlinked, batch)
            self._accept(batch)
            return (
                show_batch(self.service, batch) if begun else [joined.get(job.id) or Shown(job, None) for job in jobs]
            )
        except Unavailable:
            self._release(batch)
            raise

    def _release(self, batch: Batch) -> None:
        with suppress(Unavailable):  # then it ends by itself
            self.service.table.release_batch(batch, now=self.service.clock())

    def _accept(self, batch: Batch) -> None:
        if not self.service.table.accept_batch(batch):
            # Another handler took over, or that one accepted the batch and its client has deleted it.
            standing = self.service.table.batch(batch.id)
            if isinstance(standing, Mark):
                raise KeyGone
            if standing is None or not standing.accepted:
                raise InProgress(1)
        self.service.metrics.add(Metric.SUBMITTED, batch.size)
        self.service.metrics.add(Metric.REJECTED, len(self.given.rejected))


def _as_stored(job: Job, row: Job | Mark | None) -> Job:
    """The job as its row has it, which may have been written with another key of the service."""
    return row if isinstance(row, Job) else job


def _is_held_by(standing: Batch | Mark | None, holder: str) -> bool:
    return isinstance(standing, Batch) and standing.holder == holder
