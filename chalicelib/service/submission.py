"""What submitting one URL and submitting many have in common: key, webhook, quota and messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from chalicelib.jobs import ids
from chalicelib.jobs.access import Access, Quota
from chalicelib.jobs.entities import Batch, Job
from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.leave import Departure
from chalicelib.jobs.submitted import SubmittedURL
from chalicelib.jobs.target import Target
from chalicelib.jobs.urls import check_single
from chalicelib.jobs.webhooks import LEAST_WATCH, Subject, Webhook
from chalicelib.service.gate import Meter
from chalicelib.service.service import Service
from chalicelib.storage.queue import FetchMessage, WatchMessage


class Submission:
    """One request to store jobs: who sends it, with which idempotency key, who is told, and what it has counted."""

    def __init__(self, service: Service, access: Access, key: str | None, webhook: Webhook | None = None) -> None:
        self.service = service
        self.tenant = access.tenant
        self.key = key
        self.webhook = webhook
        self._meter = Meter(service.access_table, access, service.clock())

    @property
    def may_be_counted(self) -> bool:
        """True if the same request may have been counted before, so that the job must be looked for first."""
        return self._meter.counts and self.key is not None

    @property
    def quota(self) -> Quota | None:
        """The tenant's quota; None if nothing was counted."""
        return self._meter.quota

    def id_for(self, scope: str) -> str:
        """The id of what is submitted: derived from the key, within its scope, or a new one."""
        return self.service.new_id() if self.key is None else ids.derived(self.tenant, scope, self.key)

    def target(self, submitted: SubmittedURL) -> Target:
        """What the site of a URL is asked. Raises InvalidURL."""
        check_single(submitted.url)
        return Target.of(submitted.url, self.service.addresses, headers=submitted.headers)

    def job(self, job_id: str, given: tuple[SubmittedURL, Target], at: int, batch_id: str | None = None) -> Job:
        """The job of a URL."""
        submitted, target = given
        webhook = self.webhook
        return Job(
            id=job_id,
            tenant=self.tenant,
            url=submitted.url,
            url_key=target.key(self.tenant, self.service.secret),
            host_key=target.host_key(self.tenant),
            submitted_at=at,
            batch_id=batch_id,
            reference=submitted.reference,
            header_names=",".join(submitted.headers) or None,
            request_headers=submitted.headers,
            webhook=webhook.url if webhook is not None and batch_id is None else None,
            watched=webhook is not None and webhook.each and batch_id is not None,
        )

    def batch(self, scope: str, *, size: int, digest: str) -> Batch:
        """The batch of several URLs, under a lease of this request."""
        now = self.service.clock()
        holder = self.service.new_id()
        return Batch(
            id=holder if self.key is None else self.id_for(scope),
            tenant=self.tenant,
            size=size,
            digest=digest,
            submitted_at=now,
            lease_until=now + self.service.batch_lease,
            holder=holder,
            webhook=None if self.webhook is None else self.webhook.url,
            each=self.webhook is not None and self.webhook.each,
        )

    def count(self, urls: int) -> None:
        """Count URLs that are about to be stored. Raises QuotaExceeded."""
        self._meter.count(urls)

    def give_back(self, urls: int) -> None:
        """Take back what was counted, or a part of it."""
        self._meter.give_back(urls)

    @contextmanager
    def giving_back_if_unavailable(self, urls: int) -> Iterator[None]:
        """Give back what was counted if this ends Unavailable, before any message was sent: no job of it will ever run.

        With a key it stays counted: the same request again may find what was stored, and is then not counted.
        """
        try:
            yield
        except Unavailable:
            if self.key is None:
                self.give_back(urls)
            raise

    def send(self, jobs: Sequence[Job], watched: Job | Batch) -> None:
        """Send the jobs' messages, and, for a webhook, the one that watches what it is told of.

        If that fails and nobody can ask for the jobs again, they are withdrawn.
        """
        try:
            self.service.queue.send([FetchMessage.of(job) for job in jobs])
            if self.webhook is not None:
                send_watch(self.service, watched, finished=not jobs)
        except Unavailable:
            if self.key is None:
                self._withdraw(jobs)
            raise

    def _withdraw(self, jobs: Sequence[Job]) -> None:
        """Turn jobs that the client does not know into marks, so that a message that was sent starts nothing."""
        with suppress(Unavailable):  # then they stay counted
            departed = self.service.table.leave([Departure([job], None) for job in jobs])
            self.give_back(sum(len(each.jobs) for each in departed))


def send_watch(service: Service, watched: Job | Batch, *, finished: bool = False) -> None:
    """Ask that a webhook is told when it is finished: the first look comes after the least pause, unless it may be."""
    pause = 0 if finished else LEAST_WATCH / 1000
    subject = Subject.JOB if isinstance(watched, Job) else Subject.BATCH
    message = WatchMessage(subject, watched.id, watched.submitted_at)
    service.webhook_queue.send_later([(message, pause)])
