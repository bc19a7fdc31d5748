"""Webhooks: who is told that a job or a batch is finished, how that is signed, and when it is tried again. Pure.

Signatures are those of Standard Webhooks 1.0 (https://www.standardwebhooks.com): `v1,` and the HMAC-SHA256, in base64,
of the event's id, the time of the try and the body, with dots between them.

A tenant's secret is not stored but derived from the service's own key, the tenant and a generation, of which only the
number is stored: whoever has a copy of the table can sign nothing.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from chalicelib.jobs import ids
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.urls import InvalidURL, check_single, normal_form

LONGEST_URL: Final = 2048  # characters, as given and as sent
ANSWER_SECONDS: Final = 15  # for the whole of a try
PAUSES: Final = (5, 300, 1800, 7200, 18_000, 36_000, 36_000)  # seconds, between one try and the next
MOST_TRIES: Final = 1 + len(PAUSES)
LONGEST_PAUSE: Final = PAUSES[-1]  # seconds; a Retry-After that asks for more is given this
OLD_SECRET_MS: Final = 86_400_000  # how long after a renewal the secret before it signs too
LEAST_WATCH, MOST_WATCH = 5000, 840_000  # ms between two looks at what is unfinished; SQS delays for 15 minutes at most

_GONE = 410  # the receiver wants to hear no more of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Who is to be told of what is submitted."""

    url: str  # as given
    each: bool = False  # of each job of a batch too, not only of the batch


class Subject(StrEnum):
    """What an event is about."""

    JOB = "job"
    BATCH = "batch"


class EventState(StrEnum):
    """Where the telling of an event stands."""

    PENDING = "pending"  # to be tried, or tried again
    DELIVERED = "delivered"  # the receiver has answered 2xx
    FAILED = "failed"  # no try brought a 2xx, and none will follow
    ENDED = "ended"  # the receiver has answered 410: it wants to hear no more of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """That a job or a batch is finished, to be told to a webhook. Times are milliseconds since the epoch."""

    subject_id: str
    subject: Subject
    tenant: str
    url: str  # as given
    state: EventState
    tries: int  # how many began
    tries_before: int = 0  # how many of them had begun when it was last asked for again
    last_status: int | None = None  # HTTP status of the last try's answer; None where there was none
    changes: int  # how many writes have changed it since it was made
    lease_until: int  # nobody begins a try before then
    next_try_at: int | None = None  # None while a try runs, and when none will follow
    payload: str  # what is sent, as it was first made
    made_at: int

    @property
    def id(self) -> str:
        """What the receiver knows it by: the same in each try."""
        return f"evt_{self.subject_id}"

    @property
    def spent(self) -> bool:
        """True when no try is left."""
        return self.tries - self.tries_before >= MOST_TRIES

    def begun(self, *, now: int, lease: int) -> Event:
        """With one more try, which holds it for `lease` milliseconds."""
        return self._changed(tries=self.tries + 1, lease_until=now + lease, next_try_at=None)

    def tried(self, status: int | None, retry_after: float | None, *, now: int) -> Event:
        """After a try, by the status of the answer and the seconds that its Retry-After asks for."""
        if status is not None and 200 <= status <= 299:
            return self._over(EventState.DELIVERED, status)
        if status == _GONE:
            return self._over(EventState.ENDED, status)
        if self.spent:
            return self._over(EventState.FAILED, status)
        pause = PAUSES[self.tries - self.tries_before - 1]
        at = now + int(1000 * max(pause, min(retry_after or 0, LONGEST_PAUSE)))
        return self._changed(last_status=status, lease_until=at, next_try_at=at)

    def given_up(self) -> Event:
        """After the last try, whose worker was lost."""
        return self._over(EventState.FAILED, self.last_status)

    def again(self, *, now: int) -> Event:
        """To be sent again now, and tried as often as at first."""
        return self._changed(state=EventState.PENDING, tries_before=self.tries, lease_until=now, next_try_at=now)

    def _over(self, state: EventState, last_status: int | None) -> Event:
        return self._changed(state=state, last_status=last_status, next_try_at=None)

    def _changed(self, **members: Any) -> Event:
        return replace(self, changes=self.changes + 1, **members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Which secret of a tenant stands: 0 before it was ever renewed."""

    tenant: str
    generation: int = 0
    renewed_at: int | None = None  # milliseconds since the epoch
    holder: str | None = None  # the request that has renewed it; two requests never share one, unless they have one key

    def next(self, holder: str, *, now: int) -> Generation:
        """After a renewal."""
        return replace(self, generation=self.generation + 1, renewed_at=now, holder=holder)

    def secrets(self, key: bytes, *, now: int) -> list[bytes]:
        """Those that sign now: the one that stands, and for a day the one before it."""
        is_new = self.renewed_at is not None and now < self.renewed_at + OLD_SECRET_MS
        numbers = [self.generation, self.generation - 1] if is_new else [self.generation]
        return [_secret(key, self.tenant, number) for number in numbers]

    def shown(self, key: bytes) -> str:
        """The secret that stands, as receivers are given it."""
        return "whsec_" + base64.b64encode(_secret(key, self.tenant, self.generation)).decode()

    @property
    def old_until(self) -> int | None:
        """Until when the secret before it signs too; None if it was never renewed."""
        return None if self.renewed_at is None else self.renewed_at + OLD_SECRET_MS


def _secret(key: bytes, tenant: str, generation: int) -> bytes:
    return bytes.fromhex(ids.keyed_digest(key, ["webhook-secret", tenant, str(generation)]))


def signed_headers(event_id: str, body: bytes, secrets: list[bytes], *, now: int) -> Mapping[str, str]:
    """The headers that tell a receiver who sends the body, and when: a signature with each secret."""
    timestamp = now // 1000
    signed = f"{event_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def receiver_of(url: str, policy: AddressPolicy) -> str:
    """The URL of a webhook, as it is sent. Raises InvalidURL for one that may not be told anything.

    Only https, since an event names URLs that may be private; http where loopback is allowed, for loopback.
    """
    check_single(url)
    normal = normal_form(url, policy, longest=LONGEST_URL)
    parts = urlsplit(normal)
    if parts.scheme != "https" and not (policy.loopback_allowed and _is_loopback(parts.hostname or "")):
        raise InvalidURL("a webhook's URL must begin with https://")
    return normal


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def watch_pause(age: int) -> int:
    """How long to wait before what is unfinished is looked at again: a tenth of its age; milliseconds."""
    return max(LEAST_WATCH, min(MOST_WATCH, age // 10))
