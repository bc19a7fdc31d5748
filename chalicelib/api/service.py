"""What the API's features work with: the stores, the rules, time and ids, injected once per process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.api.access import Gate, Meter
from chalicelib.jobs.access import Access
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.decide import Rules, is_expired
from chalicelib.jobs.entities import Batch, Job, Mark
from chalicelib.metrics import OFF, Metrics
from chalicelib.storage.access import AccessTable
from chalicelib.storage.bucket import Bucket
from chalicelib.storage.protocol import Terms
from chalicelib.storage.queue import Queue
from chalicelib.storage.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The API's dependencies. Safe to share between threads."""

    table: Table
    queue: Queue
    bucket: Bucket
    access: AccessTable
    gate: Gate
    addresses: AddressPolicy
    batch_lease: int  # milliseconds
    most_wait: int  # seconds that a reading may wait for a job's end
    local: bool  # stage dev: answers this machine only
    origins: frozenset[str]  # web origins whose pages may read the answers; "*" is any
    clock: Callable[[], int]  # milliseconds since the epoch
    new_id: Callable[[], str]
    sleep: Callable[[float], object]  # seconds
    metrics: Metrics = OFF

    @property
    def terms(self) -> Terms:
        """The terms of the table's writes."""
        return self.table.terms

    @property
    def rules(self) -> Rules:
        """Window and retention."""
        return self.table.terms.rules

    def meter(self, access: Access) -> Meter:
        """What counts the URLs of one request."""
        return Meter(self.access, access, self.clock())

    def is_gone(self, entity: Job | Batch, tenant: str) -> bool:
        """True when the tenant may not see it: expired, or another's."""
        expired = is_expired(entity.submitted_at, now=self.clock(), retention=self.rules.retention)
        return expired or entity.tenant != tenant

    def is_over(self, mark: Mark, tenant: str) -> bool:
        """True when nothing may be removed any more for a mark: its job would have expired, or is another's."""
        return self.terms.is_over(mark, self.clock()) or mark.tenant != tenant
