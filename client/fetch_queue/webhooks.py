"""Receiving events: whether a request comes from your Fetch Queue, unchanged and now. Standard Webhooks 1.0."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any, Final

from fetch_queue.errors import FetchQueueError

TOLERANCE: Final = 300  # seconds that an event may be old, or ahead of this clock
LONGEST_TIME: Final = 12  # digits

_PREFIX = "whsec_"
_SIGNED = ("webhook-id", "webhook-timestamp", "webhook-signature")


class InvalidEvent(FetchQueueError):
    """The request is not from your Fetch Queue, was changed, or is too old. Answer it with 400."""


def verify(body: bytes | str, headers: Mapping[str, str], secret: str, *, now: float | None = None) -> Any:
    """The event in a request's body, as JSON, if it is signed with the secret, and not older than five minutes.

    `body` is what came, byte for byte; the case of headers' names makes no difference. `now` is seconds since the
    epoch, by default this machine's. Raises InvalidEvent. An event may come more than once: its `webhook-id` stays.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if missing := [name for name in _SIGNED if not lower.get(name)]:
        raise InvalidEvent(f"there is no header {missing[0]}")
    event_id, timestamp, signatures = (lower[name] for name in _SIGNED)
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= LONGEST_TIME):
        raise InvalidEvent("its time is not a number")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE:
        raise InvalidEvent("it is too old, or from the future")
    data = body.encode() if isinstance(body, str) else body
    signed = f"{event_id}.{timestamp}.".encode(errors="surrogateescape") + data
    expected = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    if not any(hmac.compare_digest(expected, given) for given in _given(signatures)):
        raise InvalidEvent("it is not signed with this secret, or was changed on its way")
    try:
        return json.loads(data)
    except ValueError as error:
        raise InvalidEvent("it is not JSON") from error


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.strip().removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("the secret is not one of a Fetch Queue: it begins with whsec_") from error
    if not key:
        raise ValueError("the secret is empty")
    return key


def _given(signatures: str) -> list[bytes]:
    """The signatures of the version that is known; while a secret is renewed there are two."""
    found = []
    for each in signatures.split(" "):
        version, _, text = each.partition(",")
        if version == "v1":
            try:
                found.append(base64.b64decode(text, validate=True))
            except ValueError:  # also for what is not ASCII
                continue
    return found
