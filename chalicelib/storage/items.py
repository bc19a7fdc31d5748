"""How entities are stored as DynamoDB items, and read back. Numbers are integers; None is not stored."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from chalicelib.jobs.access import Counted, Span, Token, Usage
from chalicelib.jobs.entities import Batch, Claim, ErrorType, Fetch, FetchError, Job, Mark, Result, Standing, Status
from chalicelib.jobs.pace import Pace
from chalicelib.jobs.robots import Found, RobotsFile
from chalicelib.jobs.submitted import RequestHeaders
from chalicelib.jobs.webhooks import Event, EventState, Generation, Subject
from chalicelib.storage import listing

VERSION = 1  # of the format of items, in their member `v`

Item = dict[str, Any]
Entity = Job | Mark | Fetch | Claim | Batch | Token | Pace | RobotsFile | Event | Generation
E = TypeVar("E", bound=Entity)

# What an item's key begins with, and the member of the entity that follows.
_KEYS: dict[type[Any], tuple[str, str]] = {
    Job: ("JOB#", "id"),
    Mark: ("JOB#", "id"),
    Fetch: ("FETCH#", "id"),
    Claim: ("URL#", "url_key"),
    Batch: ("BATCH#", "id"),
    Token: ("TOKEN#", "id"),
    Pace: ("HOST#", "host_key"),
    RobotsFile: ("ROBOTS#", "key"),
    Event: ("EVENT#", "subject_id"),
    Generation: ("SECRET#", "tenant"),
}
_PARTS = (Result, FetchError)  # entities that are members of others


def job_key(job_id: str) -> str:
    """The partition key of a job or of its mark."""
    return f"JOB#{job_id}"


def fetch_key(fetch_id: str) -> str:
    """The partition key of a fetch."""
    return f"FETCH#{fetch_id}"


def claim_key(url_key: str) -> str:
    """The partition key of a URL's claim."""
    return f"URL#{url_key}"


def batch_key(batch_id: str) -> str:
    """The partition key of a batch or of its mark."""
    return f"BATCH#{batch_id}"


def host_key(key: str) -> str:
    """The partition key of a host's pace."""
    return f"HOST#{key}"


def robots_key(key: str) -> str:
    """The partition key of what is known of an origin's robots.txt."""
    return f"ROBOTS#{key}"


def event_key(subject_id: str) -> str:
    """The partition key of the event that a job or a batch is finished."""
    return f"EVENT#{subject_id}"


def secret_key(tenant: str) -> str:
    """The partition key of what is known of a tenant's webhook secret."""
    return f"SECRET#{tenant}"


def token_key(token_id: str) -> str:
    """The partition key of an access token."""
    return f"TOKEN#{token_id}"


def quota_key(tenant: str) -> str:
    """The partition key of a tenant's quota."""
    return f"QUOTA#{tenant}"


def encode(value: object) -> dict[str, Any]:
    """One attribute value. boto3's own serializer returns Decimals, and every number here is an integer."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": str(value)}
    if isinstance(value, Mapping):
        return {"M": {name: encode(member) for name, member in value.items()}}
    raise TypeError(f"no attribute value for {type(value).__name__}")


def encode_item(values: Mapping[str, object]) -> Item:
    """An item from plain values, without those that are None."""
    return {name: encode(value) for name, value in values.items() if value is not None}


def decode_item(item: Item) -> dict[str, Any]:
    """Plain values from an item."""
    return {name: _decode(value) for name, value in item.items()}


def _decode(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "N":
        return int(content)
    if kind == "M":
        return {name: _decode(member) for name, member in content.items()}
    return content


def item_of(entity: Entity, sweep_at: int | None = None) -> Item:
    """The item that an entity is stored as; a mark itself contains when it may be swept."""
    prefix, key = _KEYS[type(entity)]
    values = values_of(entity)
    values["pk"] = prefix + str(values.pop(key))
    values |= listing.keys_of(entity)
    if sweep_at is not None:
        values["sweep_at"] = sweep_at
    return encode_item({**values, "v": VERSION})


def batch_mark_item(batch: Batch, sweep_at: int) -> Item:
    """The mark of a batch: its key without its members."""
    return encode_item({"pk": batch_key(batch.id), "tenant": batch.tenant, "sweep_at": sweep_at, "v": VERSION})


def values_of(entity: object) -> dict[str, object]:
    """An entity's members as plain values, without those that have their default."""
    values = {}
    kind: Any = type(entity)
    for name, default in _members(kind):
        value = getattr(entity, name)
        if value != default:
            values[name] = values_of(value) if type(value) in _PARTS else value
    return values


def as_job(item: Item) -> Job | Mark:
    """The job of an item, or its mark."""
    return _read(Job, item) if "url" in item else _read(Mark, item)


STANDING_OF_JOB = ("tenant", "submitted_at", "host_key", "fetch_id")  # a mark has no submitted_at
STANDING_OF_FETCH = ("status", "place", "lease_until", "sweep_at")


def as_standing(job: Item, fetch: Item | None) -> Standing:
    """Where a job stands, from these members of its item and of its fetch's."""
    fetch = fetch or {}
    return Standing(
        job_id=job["pk"]["S"].removeprefix(_KEYS[Job][0]),
        host_key=job["host_key"]["S"] if "host_key" in job else None,
        status=Status(fetch["status"]["S"]) if fetch else Status.QUEUED,
        place=int(fetch["place"]["N"]) if "place" in fetch else None,
        lease_until=int(fetch["lease_until"]["N"]) if fetch else None,
    )


def as_fetch(item: Item) -> Fetch:
    """The fetch of an item."""
    return _read(Fetch, item)


def as_claim(item: Item) -> Claim:
    """The claim of an item."""
    return _read(Claim, item)


def as_batch(item: Item) -> Batch | Mark:
    """The batch of an item, or the mark of a deleted one."""
    if "digest" in item:
        return _read(Batch, item)
    values = decode_item(item)
    return Mark(id=values["pk"].removeprefix(_KEYS[Batch][0]), tenant=values["tenant"], sweep_at=values["sweep_at"])


def as_pace(item: Item) -> Pace:
    """The pace of an item."""
    return _read(Pace, item)


def as_robots(item: Item) -> RobotsFile:
    """What an item knows of a robots.txt."""
    return _read(RobotsFile, item)


def as_event(item: Item) -> Event:
    """The event of an item."""
    return _read(Event, item)


def as_generation(item: Item) -> Generation:
    """What an item knows of a tenant's webhook secret."""
    return _read(Generation, item)


def as_token(item: Item) -> Token:
    """The token of an item."""
    return _read(Token, item)


def _read(kind: type[E], item: Item) -> E:
    prefix, key = _KEYS[kind]
    values = decode_item(item)
    values[key] = values["pk"].removeprefix(prefix)
    entity: E = _build(kind, values)
    return entity


def _build(kind: Any, values: Mapping[str, Any]) -> Any:
    """From plain values. A newer version's members are ignored: while it is deployed, both read what both write."""
    return kind(
        **{
            name: _READERS[name](values[name]) if name in _READERS else values[name]
            for name, _ in _members(kind)
            if name in values
        }
    )


@functools.cache
def _members(kind: Any) -> list[tuple[str, object]]:
    """The names of a dataclass's members, with their defaults."""
    return [(member.name, member.default) for member in dataclasses.fields(kind)]


def _error_type(name: str) -> ErrorType:
    """A type of a newer version, while it is deployed, is shown as one that every client knows; its detail is whole."""
    return ErrorType(name) if name in set(ErrorType) else ErrorType.INVALID_RESPONSE


# How to read a member that is stored as something else, whatever entity it belongs to.
_READERS: dict[str, Callable[[Any], object]] = {
    "status": Status,
    "found": Found,
    "subject": Subject,
    "state": EventState,
    "type": _error_type,
    "result": functools.partial(_build, Result),
    "error": functools.partial(_build, FetchError),
    "request_headers": RequestHeaders,
}


def as_usage(item: Item) -> Usage | None:
    """The counts in a quota's item; None if nothing was counted yet."""
    v = decode_item(item)
    if Span.MINUTE not in v:
        return None
    return {span: Counted(v[span], v[f"{span}_used"]) for span in Span}


def as_limits(item: Item) -> dict[Span, int]:
    """A tenant's own limits in its quota's item."""
    v = decode_item(item)
    return {span: v[f"{span}_limit"] for span in Span if f"{span}_limit" in v}
