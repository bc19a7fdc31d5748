"""Submitting one URL: it is accepted only when its row is in the table, linked to a fetch or with its message sent."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from chalicelib.jobs.access import Access, Quota
from chalicelib.jobs.entities import Job, Mark
from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.submitted import SubmittedURL
from chalicelib.jobs.webhooks import Webhook
from chalicelib.metrics import Metric
from chalicelib.service import reuse
from chalicelib.service.errors import KeyGone, KeyReused
from chalicelib.service.read import Shown, show
from chalicelib.service.service import Service
from chalicelib.service.submission import Submission, send_watch
from chalicelib.service.webhooks import Telling, telling_of_job
from chalicelib.storage.queue import FetchMessage

SCOPE = "POST /jobs"  # of idempotency keys: ids are derived from it, so it never changes


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedJob:
    """A job that was accepted."""

    job: Shown
    quota: Quota | None
    webhook: Telling | None = None


def submit_job(
    service: Service, access: Access, submitted: SubmittedURL, key: str | None, webhook: Webhook | None = None
) -> AcceptedJob:
    """Accept one URL; the same key and URL again, with the same headers, reference and webhook, give the same job.

    Raises InvalidURL, KeyGone and KeyReused, and QuotaExceeded.
    """
    submission = Submission(service, access, key, webhook)
    job = submission.job(submission.id_for(SCOPE), (submitted, submission.target(submitted)), service.clock())
    standing = service.table.job(job.id) if submission.may_be_counted else None
    if standing is None:
        submission.count(1)
        shown = _store(submission, job)
        if shown is not None:
            service.metrics.add(Metric.SUBMITTED)
            telling = None if webhook is None else Telling(webhook.url)
            return AcceptedJob(job=shown, quota=submission.quota, webhook=telling)
        standing = service.table.job(job.id)
        if not _is_own(standing, job):
            submission.give_back(1)
    shown = _replay(service, standing, job)
    return AcceptedJob(job=shown, quota=submission.quota, webhook=telling_of_job(service, shown.job))


def _store(submission: Submission, job: Job) -> Shown | None:
    """Store the job, linked to the fetch that stands for its URL, or else with a message; None if its id is taken."""
    joined: dict[str, Shown] = {}
    with submission.giving_back_if_unavailable(1):
        with suppress(Unavailable):  # then it is stored as if there were no such fetch, unless it has been stored
            joined = reuse.join(submission.service, [job])
        shown = joined.get(job.id)
        if shown is None and not submission.service.table.submit_job(job):
            return None
    submission.send([job] if shown is None else [], job)
    return shown or Shown(job, None)


def _is_own(standing: Job | Mark | None, put: Job) -> bool:
    """True if a write may have been refused because of itself: the driver repeats it when its answer is lost.

    Then it was rightly counted. Another request in the same millisecond is counted too, which does less harm than a
    submission that is not counted.
    """
    return isinstance(standing, Job) and standing.submitted_at == put.submitted_at


def _is_same(standing: Job, job: Job) -> bool:
    """True if the same was submitted. Of headers, which may not be there any more, the URL's key tells that."""
    if (standing.url, standing.reference, standing.webhook) != (job.url, job.reference, job.webhook):
        return False
    return standing.url_key == job.url_key or not (standing.header_names or job.header_names)


def _replay(service: Service, standing: Job | Mark | None, job: Job) -> Shown:
    """The job that was submitted with the key."""
    if standing is None:
        raise Unavailable("a job's row was swept between a refused write and its reading")
    if isinstance(standing, Mark) or service.is_gone(standing, job.tenant):
        raise KeyGone
    if not _is_same(standing, job):
        raise KeyReused
    if standing.fetch_id is None:  # It is not known whether the first handler lived to send its message.
        service.queue.send([FetchMessage.of(standing)])
    if standing.webhook is not None:  # nor that of its webhook
        send_watch(service, standing)
    shown = show(service, [standing])
    if not shown:  # deleted since it was read
        raise KeyGone
    return shown[0]
