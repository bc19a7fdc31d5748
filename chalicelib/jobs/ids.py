"""Ids of jobs, batches and claims: 128 bits in 32 hexadecimal digits, random or derived from an idempotency key."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Sequence

MAX_BATCH = 1000  # jobs in a batch
RANDOM_BYTES = 16

_JOB = re.compile(r"[0-9a-f]{32}(-(0|[1-9][0-9]{0,2}))?")
_BATCH = re.compile(r"[0-9a-f]{32}")


def derived(tenant: str, route: str, key: str) -> str:
    """The id that an idempotency key stands for: the same for the same tenant, route and key, and for no others."""
    return digest([tenant, route, key])[: 2 * RANDOM_BYTES]


def digest(parts: Sequence[str]) -> str:
    """A hash that is different for each list of texts, such as the URLs of a batch."""
    # JSON keeps the parts apart: no two lists give the same text.
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()


def keyed_digest(secret: bytes, parts: Sequence[str]) -> str:
    """Like `digest`, but who does not know the secret cannot find out by guessing what was hashed."""
    return hmac.digest(secret, json.dumps(list(parts)).encode(), "sha256").hex()


def is_job_id(text: str) -> bool:
    """True for the form of a job's id."""
    return _JOB.fullmatch(text) is not None


def is_batch_id(text: str) -> bool:
    """True for the form of a batch's id."""
    return _BATCH.fullmatch(text) is not None
