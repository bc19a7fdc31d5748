"""What the operator grants: tokens, and a tenant's own limits. The functions only read it, but for what is counted.

One item lists the ids of all tokens (`TOKENS`, some 25,000 of them), so that the table is never scanned.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from chalicelib.jobs.access import Limits, Span, Token, Usage
from chalicelib.jobs.errors import Unavailable
from chalicelib.storage import items
from chalicelib.storage.expressions import Operation
from chalicelib.storage.rows import Rows

_INDEX_KEY = "TOKENS"
_ABSENT = "attribute_not_exists(pk)"
# TTL may remove an item days after its time; until then it counts as gone.
_CAN_END = "attribute_exists(pk) AND (attribute_not_exists(sweep_at) OR sweep_at > :now)"
_CAN_END += " AND attribute_not_exists(revoked_at)"


class Grants:
    """Tokens and limits, written. Raises `Unavailable` if DynamoDB does not answer."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def put(self, token: Token, *, sweep_at: int | None) -> bool:
        """Store a new token, to be swept at that second; False if its id is taken, and nothing was written."""
        put = {"Item": items.item_of(token, sweep_at), "ConditionExpression": _ABSENT}
        return self._rows.write([{"Put": put}, _change_of_index("ADD", [token.id])])

    def tokens(self, *, now: int) -> list[Token]:
        """Every token that is not due to be swept, by id. What has been swept is taken out of the index."""
        index = self._rows.get(_INDEX_KEY) or {}
        ids = sorted(index.get("ids", {}).get("SS", []))
        found = self._rows.read(map(items.token_key, ids))
        # Only what is gone leaves the index: what TTL has yet to remove could still be given a later end.
        if gone := [token_id for token_id in ids if items.token_key(token_id) not in found]:
            with suppress(Unavailable):  # then the next list does it
                self._rows.write([_change_of_index("DELETE", gone)])
        return [items.as_token(item) for item in found.values() if _is_kept(item, now // 1000)]

    def revoke(self, token_id: str, *, at: int, sweep_at: int, now: int) -> tuple[Token | None, bool]:
        """End a token for good: `_change`."""
        return self._change(token_id, "SET revoked_at = :at, sweep_at = :sweep", {":at": at, ":sweep": sweep_at}, now)

    def expire(self, token_id: str, *, at: int | None, sweep_at: int | None, now: int) -> tuple[Token | None, bool]:
        """Give a token another end, or none: `_change`."""
        change = "REMOVE expires_at, sweep_at" if at is None else "SET expires_at = :at, sweep_at = :sweep"
        return self._change(token_id, change, {":at": at, ":sweep": sweep_at}, now)

    def quota(self, tenant: str) -> tuple[Limits, Usage | None]:
        """A tenant's own limits, and what was counted."""
        return _as_quota(self._rows.get(items.quota_key(tenant)) or {})

    def set_limits(self, tenant: str, limits: Mapping[Span, int | None]) -> tuple[Limits, Usage | None]:
        """Set a tenant's own limits, at least one; None takes one away. The API counts in the same item."""
        own = {span: limit for span, limit in limits.items() if limit is not None}
        sets = ", ".join(f"{span}_limit = :{span}" for span in own)
        removes = ", ".join(f"{span}_limit" for span in limits if span not in own)
        clauses = [f"{verb} {paths}" for verb, paths in (("SET", sets), ("REMOVE", removes)) if paths]
        update: dict[str, Any] = {"UpdateExpression": " ".join(clauses)}
        if own:
            values = {f":{span}": limit for span, limit in own.items()}
            update["ExpressionAttributeValues"] = items.encode_item(values)
        return _as_quota(self._rows.change(items.quota_key(tenant), update)[1])

    def _change(
        self, token_id: str, change: str, values: Mapping[str, int | None], now: int
    ) -> tuple[Token | None, bool]:
        """The token as it then is, or None if there is none; and whether it was changed: a revoked one is not."""
        members = {
            "UpdateExpression": change,
            "ConditionExpression": _CAN_END,
            "ExpressionAttributeValues": items.encode_item({**values, ":now": now // 1000}),
        }
        changed, item = self._rows.change(items.token_key(token_id), members)
        return (items.as_token(item) if changed or "revoked_at" in item else None), changed


def _change_of_index(verb: str, token_ids: list[str]) -> Operation:
    return {
        "Update": {
            "Key": {"pk": {"S": _INDEX_KEY}},
            "UpdateExpression": f"{verb} ids :ids",
            "ExpressionAttributeValues": {":ids": {"SS": token_ids}},
        }
    }


def _is_kept(item: items.Item, now: int) -> bool:
    return "sweep_at" not in item or int(item["sweep_at"]["N"]) > now


def _as_quota(item: items.Item) -> tuple[Limits, Usage | None]:
    return items.as_limits(item), items.as_usage(item)
