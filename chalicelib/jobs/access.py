"""Who is let in, and how much they may submit: tokens and quotas, pure.

A token is `fq_<id>_<secret>`. Its id is no secret: it names the token in lists and logs. Its secret has 160 random
bits, so a plain hash keeps it: there is nothing to guess that a slow hash would make slower.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

LOCAL_TENANT = "local"  # where nobody needs tenants, all is this one's
ID_BYTES = 6
SECRET_BYTES = 20

_TOKEN = re.compile(rf"fq_([0-9a-f]{{{2 * ID_BYTES}}})_[0-9a-f]{{{2 * SECRET_BYTES}}}")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is kept of an access token. Times are milliseconds since the epoch."""

    id: str
    tenant: str
    digest: str  # of the whole token; the token itself is kept nowhere
    name: str  # what its operator calls it
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None

    def matches(self, digest: str) -> bool:
        """True for the digest of this token, in a time that tells nothing about where they differ."""
        return hmac.compare_digest(self.digest, digest)

    def is_valid(self, now: int) -> bool:
        """True while it lets in."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def token_text(token_id: str, secret: str) -> str:
    """The token, from the hexadecimal digits of its id and its secret."""
    return f"fq_{token_id}_{secret}"


def token_id(text: str) -> str | None:
    """The id in a token; None for what is no token."""
    match = _TOKEN.fullmatch(text)
    return None if match is None else match[1]


def digest(text: str) -> str:
    """What is kept of a token in its place."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_tenant(text: str) -> bool:
    """True for what may be a tenant's name: 1 to 64 letters, digits, dots, dashes and underscores."""
    return _TENANT.fullmatch(text) is not None


class Span(StrEnum):
    """The stretches of time that URLs are counted in. Each begins with the clock's, in UTC."""

    MINUTE = "minute"
    DAY = "day"

    @property
    def seconds(self) -> int:
        """How long it is."""
        return {Span.MINUTE: 60, Span.DAY: 24 * 60 * 60}[self]

    def number(self, now: int) -> int:
        """Which one it is, counted from the epoch."""
        return now // (self.seconds * 1000)

    def seconds_left(self, now: int) -> int:
        """Seconds until the next one begins, up."""
        return -((now - (self.number(now) + 1) * self.seconds * 1000) // 1000)


Limits = Mapping[Span, int]  # URLs that a tenant may submit in each; a span that is not there has no limit


UNLIMITED = 0  # as a default limit, and as a tenant's own that lifts the default


def limits(defaults: Limits, own: Limits = MappingProxyType({})) -> Limits:
    """What a tenant may submit: its own limits where it has any, else the default ones."""
    return {span: limit for span, limit in {**defaults, **own}.items() if limit != UNLIMITED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who asks, and how much they may submit."""

    tenant: str
    limits: Limits = field(default_factory=dict)
    token_id: str | None = None  # None where nobody needs a token


@dataclass(frozen=True, slots=True)
class Counted:
    """A span's number, and how many URLs were accepted in it."""

    number: int
    used: int


Usage = Mapping[Span, Counted]


def in_order(limits: Limits) -> list[tuple[Span, int]]:
    """The limits, the shorter span first."""
    return [(span, limits[span]) for span in Span if span in limits]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How a tenant stands: what it may submit, and what it has submitted in the current spans."""

    limits: Limits
    used: Mapping[Span, int]
    now: int

    def remaining(self, span: Span) -> int:
        """URLs that may still be submitted."""
        return max(0, self.limits[span] - self.used[span])
