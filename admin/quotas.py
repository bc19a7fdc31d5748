"""A tenant's own limits, and what was counted against them, in `QUOTA#<tenant>`. The API counts in the same item, so a
change touches the limits' attributes only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from admin.errors import one_line
from chalicelib.jobs.access import Limits, Span, Usage
from chalicelib.storage import items
from chalicelib.storage.rows import Rows


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

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def quota(self, tenant: str) -> Quota:
        """A tenant's quota; an empty one if it has none."""
        with one_line("reading the quota"):
            return _as_quota(self._rows.get(items.quota_key(tenant)) or {})

    def change(self, tenant: str, limits: Mapping[Span, int | None]) -> Quota:
        """Set a tenant's own limits, at least one; None takes one away. Returns the quota as it then is."""
        own = {span: limit for span, limit in limits.items() if limit is not None}
        sets = ", ".join(f"{span}_limit = :{span}" for span in own)
        removes = ", ".join(f"{span}_limit" for span in limits if span not in own)
        clauses = [f"{verb} {paths}" for verb, paths in (("SET", sets), ("REMOVE", removes)) if paths]
        values = {f":{span}": limit for span, limit in own.items()}
        update: dict[str, Any] = {"UpdateExpression": " ".join(clauses)}
        if values:
            update["ExpressionAttributeValues"] = items.encode_item(values)
        with one_line("changing the quota"):
            return _as_quota(self._rows.change(items.quota_key(tenant), update)[1])


def _as_quota(item: items.Item) -> Quota:
    return Quota(limits=items.as_limits(item), usage=items.as_usage(item))
