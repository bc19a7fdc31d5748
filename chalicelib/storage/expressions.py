"""The forms of a conditional write in DynamoDB: only with the names and values that its expressions use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chalicelib.storage import items

TRANSACTION_LIMIT = 100  # items in a transaction

Operation = dict[str, dict[str, Any]]
Write = list[Operation]

_NAMES = {"#url": "url", "#status": "status", "#result": "result", "#error": "error"}


def all_of(*clauses: str) -> str:
    """A condition that holds if every clause does."""
    return " AND ".join(clauses)


def any_of(*clauses: str) -> str:
    """A condition that holds if any clause does."""
    return " OR ".join(clauses)


def put(item: items.Item, condition: str, values: Mapping[str, object] | None = None) -> Operation:
    """Put a whole item."""
    return {"Put": {"Item": item, **_expression("", condition, values or {})}}


def update(pk: str, expression: str, condition: str, values: Mapping[str, object]) -> Operation:
    """Change some members of an item."""
    return {"Update": {"Key": {"pk": {"S": pk}}, **_expression(expression, condition, values)}}


def delete(pk: str, condition: str, values: Mapping[str, object]) -> Operation:
    """Delete an item."""
    return {"Delete": {"Key": {"pk": {"S": pk}}, **_expression("", condition, values)}}


def _expression(update: str, condition: str, values: Mapping[str, object]) -> dict[str, Any]:
    # DynamoDB refuses names and values that no expression uses.
    used = set(re.findall(r"[#:]\w+", f"{update} {condition}"))
    members: dict[str, Any] = {"ConditionExpression": condition}
    if update:
        members["UpdateExpression"] = update
    if names := {name: _NAMES[name] for name in used if name.startswith("#")}:
        members["ExpressionAttributeNames"] = names
    if used_values := {name: items.encode(value) for name, value in values.items() if name in used}:
        members["ExpressionAttributeValues"] = used_values
    return members
