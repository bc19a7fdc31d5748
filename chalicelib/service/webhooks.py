"""What a webhook is told of a job or a batch: how that stands, sending it again, and the secret that signs it."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.jobs import ids
from chalicelib.jobs.entities import Batch, Job
from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.webhooks import Event, Subject
from chalicelib.service.errors import NothingToSend
from chalicelib.service.read import read_batch, read_job
from chalicelib.service.service import Service
from chalicelib.storage.queue import DeliverMessage

ROUNDS = 5  # of a write that others' writes refuse
AGAIN_SECONDS = 2  # until what is asked for again is sent: the event is written first


@dataclass(frozen=True, slots=True)
class Telling:
    """Who is told of the end of a job or a batch, and how far that is."""

    url: str
    event: Event | None = None  # None while it is not finished, or was not seen to be


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A tenant's secret, as its receivers are given it."""

    text: str
    old_until: int | None  # until when the secret before it signs too; milliseconds since the epoch


def telling_of_job(service: Service, job: Job) -> Telling | None:
    """How it stands with a job's webhook, or that of its batch; None if nobody is told of it."""
    if not job.has_event:
        return None
    event = service.events.read(job.id, now=service.clock())
    url = event.url if event is not None else _url_of(service, job)
    return None if url is None else Telling(url, event)


def telling_of_batch(service: Service, batch: Batch) -> Telling | None:
    """The same of a batch."""
    if batch.webhook is None:
        return None
    return Telling(batch.webhook, service.events.read(batch.id, now=service.clock()))


def send_job_again(service: Service, tenant: str, job_id: str) -> Telling:
    """Send a job's event again, now. Raises NotFound and NothingToSend."""
    return _send_again(service, Subject.JOB, job_id, telling_of_job(service, read_job(service, tenant, job_id).job))


def send_batch_again(service: Service, tenant: str, batch_id: str) -> Telling:
    """The same of a batch."""
    telling = telling_of_batch(service, read_batch(service, tenant, batch_id))
    return _send_again(service, Subject.BATCH, batch_id, telling)


def read_secret(service: Service, tenant: str) -> Secret:
    """The tenant's secret."""
    standing = service.webhook_secrets.read(tenant)
    return _shown(service, standing.shown(service.secret), standing.old_until)


def renew_secret(service: Service, tenant: str, key: str | None) -> Secret:
    """Give the tenant another secret, once for a key; the one before it signs too for a day."""
    holder = service.new_id() if key is None else ids.derived(tenant, "POST /webhook-secret", key)
    for _ in range(ROUNDS):
        standing = service.webhook_secrets.read(tenant)
        if standing.holder == holder:  # its answer was lost
            return _shown(service, standing.shown(service.secret), standing.old_until)
        renewed = standing.next(holder, now=service.clock())
        if service.webhook_secrets.renew(standing, renewed):
            return _shown(service, renewed.shown(service.secret), renewed.old_until)
    raise Unavailable("a secret kept changing")


def _shown(service: Service, text: str, old_until: int | None) -> Secret:
    is_over = old_until is None or old_until <= service.clock()
    return Secret(text=text, old_until=None if is_over else old_until)


def _url_of(service: Service, job: Job) -> str | None:
    if job.webhook is not None or job.batch_id is None:
        return job.webhook
    batch = service.table.batch(job.batch_id, tenant=job.tenant)
    return batch.webhook if isinstance(batch, Batch) else None


def _send_again(service: Service, subject: Subject, subject_id: str, telling: Telling | None) -> Telling:
    for _ in range(ROUNDS):
        event = None if telling is None else telling.event
        if telling is None or event is None:
            raise NothingToSend(subject, has_webhook=telling is not None)
        now = service.clock()
        again = event.again(now=now)
        service.webhook_queue.send_later(
            [(DeliverMessage(subject, subject_id), AGAIN_SECONDS)]
        )  # first, lest it is lost
        if service.events.change(event, again):
            return Telling(telling.url, again)
        telling = Telling(telling.url, service.events.read(subject_id, now=now))
    raise Unavailable("an event kept changing")
