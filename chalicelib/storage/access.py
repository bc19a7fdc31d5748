"""Tokens and quotas in the table: the API reads tokens and counts URLs in quotas.

TOKEN#<id>       tenant, digest, name, created_at, expires_at, revoked_at; swept some time after its end
TOKENS           ids: the set of all tokens' ids; only the operator's command line reads and writes it
QUOTA#<tenant>   minute, minute_used, day, day_used: the minute and day last counted in, and how many URLs;
                 minute_limit, day_limit: this tenant's limits, if they differ from the default

TOKENS and QUOTA# have no version: they are changed member by member, and a new meaning gets a new member.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.jobs.access import Counted, Limits, Span, Token, Usage, in_order
from chalicelib.jobs.errors import Unavailable
from chalicelib.storage import items
from chalicelib.storage.calls import Patience
from chalicelib.storage.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """A limit would be exceeded: nothing was counted."""

    span: Span  # if several would be exceeded, the one that ends last
    used: Mapping[Span, int]


class AccessTable:
    """The table's items for tokens and quotas. Raises `Unavailable` if DynamoDB does not answer."""

    def __init__(self, client: Any, name: str, *, patience: Patience | None = None) -> None:
        self._rows = Rows(client, name, patience=patience)

    def token(self, token_id: str) -> Token | None:
        """The token with this id, whether it is valid or not."""
        item = self._rows.get(items.token_key(token_id))
        return None if item is None else items.as_token(item)

    def own_limits(self, tenant: str) -> Limits:
        """A tenant's own limits, where they differ from the default."""
        item = self._rows.get(items.quota_key(tenant))
        return {} if item is None else items.as_limits(item)

    def usage(self, tenant: str) -> Usage | None:
        """What was last counted; None if nothing was yet."""
        item = self._rows.get(items.quota_key(tenant))
        return None if item is None else items.as_usage(item)

    def count(self, tenant: str, urls: int, limits: Limits, now: int) -> Usage | Exceeded:
        """Count accepted URLs, all of them or none: one request, and a second one if a new span has begun.

        No more than the limit are ever counted in a span, whoever else counts at the same time.
        """
        for span, limit in reversed(in_order(limits)):
            if urls > limit:
                return Exceeded(span=span, used={})
        standing: Usage | None = {span: Counted(span.number(now), 0) for span in Span}
        for _ in self._rows.patience.rounds():
            # With a clock that is behind, count in the span that another has already begun.
            numbers = {span: max(span.number(now), standing[span].number if standing else 0) for span in Span}
            changed, item = self._rows.change(items.quota_key(tenant), self._counting(urls, limits, numbers, standing))
            standing = items.as_usage(item)
            if changed and standing is not None:
                return standing
            if standing is not None:
                used = {span: standing[span].used if standing[span].number >= numbers[span] else 0 for span in Span}
                for span, limit in reversed(in_order(limits)):
                    if used[span] + urls > limit:
                        return Exceeded(span=span, used=used)
        raise Unavailable("others kept counting at the same time")

    def give_back(self, tenant: str, urls: int, counted: Usage) -> None:
        """Subtract URLs that were counted and then not accepted; from a span that has ended nothing is subtracted.

        A transaction, since repeats of it have the same token: it is subtracted only once.
        """
        for spans in ((Span.MINUTE, Span.DAY), (Span.DAY,)):
            update = {
                "Key": {"pk": {"S": items.quota_key(tenant)}},
                "UpdateExpression": "SET " + ", ".join(f"{span}_used = {span}_used - :urls" for span in spans),
                "ConditionExpression": " AND ".join(f"#{span} = :{span}" for span in spans),
                "ExpressionAttributeNames": {f"#{span}": str(span) for span in spans},
                "ExpressionAttributeValues": items.encode_item(
                    {":urls": urls} | {f":{span}": counted[span].number for span in spans}
                ),
            }
            if self._rows.write([{"Update": update}], transaction=True):
                return

    @staticmethod
    def _counting(urls: int, limits: Limits, numbers: Mapping[Span, int], standing: Usage | None) -> dict[str, Any]:
        """The update that counts in the spans `numbers` if the item is as in `standing`; None means no counts yet."""
        sets, clauses = [], []
        values: dict[str, object] = {":urls": urls}
        for span in Span:
            values[f":{span}"] = numbers[span]
            if standing is None:
                sets.append(f"#{span} = :{span}, {span}_used = :urls")
                clauses.append(f"attribute_not_exists(#{span})")
            elif standing[span].number < numbers[span]:
                sets.append(f"#{span} = :{span}, {span}_used = :urls")
                clauses.append(f"#{span} = :{span}_turned")
                values[f":{span}_turned"] = standing[span].number
            else:
                sets.append(f"{span}_used = {span}_used + :urls")
                clauses.append(f"#{span} = :{span}")
                if span in limits:
                    clauses.append(f"{span}_used <= :{span}_most")
                    values[f":{span}_most"] = limits[span] - urls
        return {
            "UpdateExpression": "SET " + ", ".join(sets),
            "ConditionExpression": " AND ".join(clauses),
            "ExpressionAttributeNames": {f"#{span}": str(span) for span in Span},
            "ExpressionAttributeValues": items.encode_item(values),
        }
