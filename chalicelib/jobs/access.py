"""Who is let in, and how much they may submit: tokens and quotas, pure.

A token is `fq_<id>_<secret>`. Its id is not secret: it names the token in lists and logs. Its secret has 160 random
bits, so a plain hash is enough: it cannot be guessed, so a slow hash would gain nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

LOCAL_TENANT = "local"  # if tenants are not used, everything belongs to this one
ID_BYTES = 6
SECRET_BYTES = 20

_TOKEN = re.compile(rf"fq_([0-9a-f]{{{2 * ID_BYTES}}})_[0-9a-f]{{{2 * SECRET_BYTES}}}")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is stored of an access token. Times are milliseconds since the epoch."""

    id: str
    tenant: str
    digest: str  # of the whole token; the token itself is stored nowhere
    name: str  # what its operator calls it
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None

    def matches(self, digest: str) -> bool:
        """True for the digest of this token; the time it takes does not show where they differ."""
        return hmac.compare_digest(self.digest, digest)

    def is_valid(self, now: int) -> bool:
        """True while it gives access."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def token_text(token_id: str, secret: str) -> str:
    """The token, from the hexadecimal digits of its id and its secret."""
    return f"fq_{token_id}_{secret}"


def token_id(text: str) -> str | None:
    """The id in a token; None for what is not a token."""
    match = _TOKEN.fullmatch(text)
    return None if match is None else match[1]


def digest(text: str) -> str:
    """What is stored instead of a token."""
    return hashlib.sha256(text.encode()).hexdigest()


def is_tenant(text: str) -> bool:
    """True for a valid tenant's name: 1 to 64 letters, digits, dots, dashes and underscores."""
    return _TENANT.fullmatch(text) is not None


class Span(StrEnum):
    """The periods that URLs are counted in. Each begins when the clock's does, in UTC."""

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
        """Seconds until the next one begins, rounded up."""
        return -((now - (self.number(now) + 1) * self.seconds * 1000) // 1000)


Limits = Mapping[Span, int]  # URLs that a tenant may submit in each; a span that is missing has no limit


UNLIMITED = 0  # as the default limit, or as a tenant's own limit, which then overrides the default


def limits(defaults: Limits, own: Limits = MappingProxyType({})) -> Limits:
    """What a tenant may submit: its own limits if it has any, else the defaults."""
    return {span: limit for span, limit in {**defaults, **own}.items() if limit != UNLIMITED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who asks, and how much they may submit."""

    tenant: str
    limits: Limits = field(default_factory=dict)
    token_id: str | None = None  # None if no token is needed


@dataclass(frozen=True, slots=True)
class Counted:
    """A span's number, and how many URLs were accepted in it."""

    number: int
    used: int


Usage = Mapping[Span, Counted]


def in_order(limits: Limits) -> list[tuple[Span, int]]:
    """The limits, shortest span first."""
    return [(span, limits[span]) for span in Span if span in limits]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A tenant's limits, and what it has submitted in the current spans."""

    limits: Limits
    used: Mapping[Span, int]
    now: int

    def remaining(self, span: Span) -> int:
        """URLs that may still be submitted."""
        return max(0, self.limits[span] - self.used[span])
