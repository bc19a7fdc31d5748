"""The forms of a conditional write in DynamoDB: only with the names and values that its expressions use."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from chalicelib.storage import items

TRANSACTION_LIMIT = 100  # items in a transaction

Operation = dict[str, dict[str, Any]]
Write = list[Operation]

_NAMES = {"#url": "url", "#status": "status", "#result": "result", "#error": "error", "#state": "state"}


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


@functools.cache
def projection(members: tuple[str, ...]) -> Mapping[str, Any]:
    """What asks for these members of an item only."""
    names = {f"#{number}": member for number, member in enumerate(members)}  # some words may not stand for themselves
    return {"ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}


def _expression(update: str, condition: str, values: Mapping[str, object]) -> dict[str, Any]:
    names, used = _used(update, condition)
    members: dict[str, Any] = {"ConditionExpression": condition}
    if update:
        members["UpdateExpression"] = update
    if names:
        members["ExpressionAttributeNames"] = names
    if used_values := {name: items.encode(value) for name, value in values.items() if name in used}:
        members["ExpressionAttributeValues"] = used_values
    return members


@functools.cache
def _used(update: str, condition: str) -> tuple[Mapping[str, str], frozenset[str]]:
    """The names that expressions use, and the placeholders of values: DynamoDB refuses others."""
    used = frozenset(re.findall(r"[#:]\w+", f"{update} {condition}"))
    return {name: _NAMES[name] for name in used if name.startswith("#")}, used
