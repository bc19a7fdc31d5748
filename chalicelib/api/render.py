"""Rendering: how jobs, batches and errors are shown, with links that include the stage's prefix."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from chalicelib.api.types import (
    BatchAccepted,
    BatchLinks,
    BatchSummary,
    BatchView,
    Counts,
    ErrorView,
    JobLinks,
    JobView,
    LinkedJobView,
    LinkedResultView,
    QuotaView,
    Rejected,
    ResultView,
    SecretView,
    UsageView,
    WebhookStatus,
    WebhookView,
)
from chalicelib.jobs import access
from chalicelib.jobs.access import Quota
from chalicelib.jobs.entities import Batch, Result, Status
from chalicelib.service.read import BatchPage, Shown
from chalicelib.service.storing import AcceptedBatch
from chalicelib.service.webhooks import Secret, Telling


def timestamp(ms: int) -> str:
    """RFC 3339, UTC, with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders for one request."""

    prefix: str  # of the stage on API Gateway, such as /api; empty locally
    retention: int  # milliseconds

    def job_path(self, job_id: str) -> str:
        """Where a job is."""
        return f"{self.prefix}/jobs/{job_id}"

    def batch_path(self, batch_id: str) -> str:
        """Where a batch is."""
        return f"{self.prefix}/batches/{batch_id}"

    def job(self, shown: Shown, *, names: bool = True, webhook: Telling | None = None) -> JobView:
        """A job, with the `names` of its headers."""
        job, fetch = shown.job, shown.fetch
        href = f"{self.job_path(job.id)}/result"
        return JobView(
            id=job.id,
            batch_id=job.batch_id,
            url=job.url,
            status=shown.status,
            submitted_at=timestamp(job.submitted_at),
            started_at=None if fetch is None or fetch.started_at is None else timestamp(fetch.started_at),
            finished_at=None if fetch is None or fetch.finished_at is None else timestamp(fetch.finished_at),
            expires_at=timestamp(job.submitted_at + self.retention),
            next_attempt_at=None if shown.next_attempt_at is None else timestamp(shown.next_attempt_at),
            attempts=0 if fetch is None else fetch.attempt,
            reused=None if fetch is None else fetch.id != job.id,
            result=None if fetch is None or fetch.result is None else self._result(fetch.result, href),
            error=None if fetch is None or fetch.error is None else ErrorView.of(fetch.error),
            links=JobLinks(
                self=self.job_path(job.id),
                result=href,
                batch=None if job.batch_id is None else self.batch_path(job.batch_id),
            ),
            reference=job.reference,
            header_names=job.header_names.split(",") if names and job.header_names else [],
            webhook=None if webhook is None else self.webhook(webhook),
        )

    def linked(self, shown: Shown, link: str | None, until: int) -> LinkedJobView:
        """A job with a link to its result, which is good until `until`."""
        view = msgspec.structs.asdict(self.job(shown))
        if view["result"] is not None and link is not None:
            result = msgspec.structs.asdict(view["result"])
            view["result"] = LinkedResultView(**result, link=link, link_expires_at=timestamp(until))
        return LinkedJobView(**view)

    def accepted(self, accepted: AcceptedBatch) -> BatchAccepted:
        """The answer to a batch's submission."""
        batch = accepted.batch
        return BatchAccepted(
            id=batch.id,
            submitted_at=timestamp(batch.submitted_at),
            expires_at=timestamp(batch.submitted_at + self.retention),
            total=len(accepted.jobs),
            jobs=[self.job(shown, names=False) for shown in accepted.jobs],  # they would be most of a large answer
            rejected=[Rejected(index=each.index, url=each.url, detail=each.detail) for each in accepted.rejected],
            links=self._links(batch),
            retry_of=batch.retry_of,
            webhook=None if accepted.webhook is None else self.webhook(accepted.webhook),
        )

    def page(self, page: BatchPage, status: Status | None, webhook: Telling | None) -> BatchView:
        """A page of a batch."""
        batch = page.batch
        chosen = "" if status is None else f"&status={status}"
        following = None if page.next is None else f"{self.batch_path(batch.id)}?cursor={page.next}{chosen}"
        return BatchView(
            id=batch.id,
            submitted_at=timestamp(batch.submitted_at),
            expires_at=timestamp(batch.submitted_at + self.retention),
            total=page.total,
            counts=Counts(**{str(counted): count for counted, count in page.counts.items()}),
            waiting_for_host=page.waiting_for_host,
            finished=page.finished,
            jobs=[self.job(shown) for shown in page.jobs],
            next=following,
            links=self._links(batch),
            retry_of=batch.retry_of,
            retried_by=batch.retried_by,
            webhook=None if webhook is None else self.webhook(webhook),
        )

    def summary(self, batch: Batch) -> BatchSummary:
        """A batch in a list."""
        return BatchSummary(
            id=batch.id,
            submitted_at=timestamp(batch.submitted_at),
            expires_at=timestamp(batch.submitted_at + self.retention),
            submitted=batch.size,
            links=self._links(batch),
            retry_of=batch.retry_of,
            retried_by=batch.retried_by,
        )

    def usage(self, quota: Quota) -> UsageView:
        """What a tenant has submitted of what it may."""
        return UsageView(
            quotas=[
                QuotaView(
                    span=span,
                    limit=limit,
                    used=quota.used[span],
                    remaining=quota.remaining(span),
                    resets_at=timestamp((span.number(quota.now) + 1) * span.seconds * 1000),
                )
                for span, limit in access.in_order(quota.limits)
            ]
        )

    def _links(self, batch: Batch) -> BatchLinks:
        return BatchLinks(
            self=self.batch_path(batch.id),
            retry_of=None if batch.retry_of is None else self.batch_path(batch.retry_of),
            retried_by=None if batch.retried_by is None else self.batch_path(batch.retried_by),
        )

    def webhook(self, telling: Telling) -> WebhookView:
        """How far the telling of an event is."""
        event = telling.event
        if event is None:
            status = WebhookStatus.WAITING
            return WebhookView(url=telling.url, status=status, tries=0, last_status=None, next_try_at=None)
        return WebhookView(
            url=telling.url,
            status=WebhookStatus(event.state),
            tries=event.tries,
            last_status=event.last_status,
            next_try_at=None if event.next_try_at is None else timestamp(event.next_try_at),
        )

    def secret(self, secret: Secret) -> SecretView:
        """A tenant's secret."""
        until = None if secret.old_until is None else timestamp(secret.old_until)
        return SecretView(secret=secret.text, old_secret_until=until)

    def _result(self, result: Result, href: str) -> ResultView:
        return ResultView(
            content_type=result.content_type,
            size=result.size,
            sha256=result.sha256,
            http_status=result.http_status,
            final_url=result.final_url,
            fetched_at=timestamp(result.fetched_at),
            headers=dict(result.headers),
            href=href,
        )
