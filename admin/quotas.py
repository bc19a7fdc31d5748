"""A tenant's own limits, and what was counted against them, in `QUOTA#<tenant>`. The API counts in the same item, so a
change touches the limits' attributes only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from admin.errors import as_admin_error
from chalicelib.jobs.access import Limits, Span, Usage
from chalicelib.storage.grants import Grants


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A tenant's own limits, where they differ from the default, and what it has submitted."""

    limits: Limits
    usage: Usage | None  # None: nothing was ever counted

    def used(self, span: Span, now: int) -> int:
        """URLs counted in the current minute or day."""
        if self.usage is None or self.usage[span].number < span.number(now):
            return 0
        return self.usage[span].used


class Quotas:
    """The quotas in a table. Raises AdminError if DynamoDB refuses or does not answer."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    def quota(self, tenant: str) -> Quota:
        """A tenant's quota; an empty one if it has none."""
        with as_admin_error("reading the quota"):
            limits, usage = self._grants.quota(tenant)
        return Quota(limits=limits, usage=usage)

    def change(self, tenant: str, limits: Mapping[Span, int | None]) -> Quota:
        """Set a tenant's own limits, at least one; None takes one away. Returns the quota as it then is."""
        with as_admin_error("changing the quota"):
            own, usage = self._grants.set_limits(tenant, limits)
        return Quota(limits=own, usage=usage)
