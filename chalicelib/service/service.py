"""What the use cases work with: the stores, the rules, time and ids, injected once per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.decide import Rules, is_expired
from chalicelib.jobs.entities import Batch, Job
from chalicelib.metrics import OFF, Metrics
from chalicelib.service.gate import Gate
from chalicelib.storage.access import AccessTable
from chalicelib.storage.bucket import Bucket
from chalicelib.storage.events import Events
from chalicelib.storage.lines import Lines
from chalicelib.storage.links import Links
from chalicelib.storage.listing import Listing
from chalicelib.storage.queue import Queue
from chalicelib.storage.table import Table
from chalicelib.storage.webhook_secrets import WebhookSecrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The use cases' dependencies. Safe to share between threads."""

    table: Table
    lines: Lines
    listing: Listing
    events: Events  # of webhooks
    webhook_secrets: WebhookSecrets
    queue: Queue
    webhook_queue: Queue
    bucket: Bucket
    links: Links
    access_table: AccessTable
    gate: Gate
    addresses: AddressPolicy
    batch_lease: int  # milliseconds
    secret: bytes  # without which nobody can tell whether a guess of what was hashed is right
    clock: Callable[[], int]  # milliseconds since the epoch
    new_id: Callable[[], str]
    sleep: Callable[[float], object]  # seconds
    metrics: Metrics = OFF

    @property
    def rules(self) -> Rules:
        """Window and retention."""
        return self.table.rules

    def is_gone(self, entity: Job | Batch, tenant: str) -> bool:
        """True when the tenant may not see it: it is expired, or another tenant's."""
        expired = is_expired(entity.submitted_at, now=self.clock(), retention=self.rules.retention)
        return expired or entity.tenant != tenant
