"""Admission: who asks, by an access token, and how much they may still submit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from chalicelib.jobs import access
from chalicelib.jobs.access import LOCAL_TENANT, Access, Limits, Quota, Span, Token, Usage
from chalicelib.jobs.errors import Unavailable
from chalicelib.service.errors import QuotaExceeded, Unauthorized
from chalicelib.storage.access import AccessTable, Exceeded

REMEMBERED_MS = 60_000  # how long a revoked token may still be accepted, in a process that has cached it
MOST_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class _Known:
    token: Token
    access: Access
    until: int


class Gate:
    """Admits requests with a valid token; if the service is open, also those without a token."""

    def __init__(self, table: AccessTable, clock: Callable[[], int], *, default_limits: Limits, is_open: bool) -> None:
        self._table = table
        self._clock = clock
        self._default_limits = default_limits
        self._anybody = Access(tenant=LOCAL_TENANT, limits=access.limits(default_limits)) if is_open else None
        self._known: dict[str, _Known] = {}  # by the token's digest

    @property
    def is_open(self) -> bool:
        """True if no token is needed."""
        return self._anybody is not None

    def admit(self, token: str | None) -> Access:
        """Whom a token gives access; None is a request without one. Raises Unauthorized, whatever is wrong with it."""
        if token is None and self._anybody is not None:
            return self._anybody
        token_id = access.token_id(token or "")
        if token is None or token_id is None:
            raise Unauthorized
        now = self._clock()
        digest = access.digest(token)
        known = self._known.get(digest)
        if known is None or known.until <= now:
            known = self._look_up(token_id, digest, now)
        if not known.token.is_valid(now):  # it has expired in the meantime
            raise Unauthorized
        return known.access

    def _look_up(self, token_id: str, digest: str, now: int) -> _Known:
        token = self._table.token(token_id)
        if token is None or not token.matches(digest) or not token.is_valid(now):
            raise Unauthorized
        limits = access.limits(self._default_limits, self._table.own_limits(token.tenant))
        known = _Known(token, Access(tenant=token.tenant, limits=limits, token_id=token.id), now + REMEMBERED_MS)
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[digest] = known
        return known


def usage(table: AccessTable, access_: Access, now: int) -> Quota:
    """A tenant's quota as it stands; nothing is read or counted if it has no limit."""
    counted = table.usage(access_.tenant) if access_.limits else None
    used = {
        span: counted[span].used if counted is not None and counted[span].number >= span.number(now) else 0
        for span in access_.limits
    }
    return Quota(limits=access_.limits, used=used, now=now)


class Meter:
    """Counts the URLs that a request has accepted against its tenant's quota."""

    def __init__(self, table: AccessTable, access_: Access, now: int) -> None:
        self._table = table
        self._access = access_
        self._now = now
        self._counted: Usage | None = None

    @property
    def counts(self) -> bool:
        """True if the tenant has any limit."""
        return bool(self._access.limits)

    @property
    def quota(self) -> Quota | None:
        """The tenant's quota after counting; None if nothing was counted."""
        if self._counted is None:
            return None
        return self._quota({span: counted.used for span, counted in self._counted.items()})

    def count(self, urls: int) -> None:
        """Count URLs that are about to be stored. Raises QuotaExceeded if the quota does not allow them."""
        if not self.counts:
            return
        answer = self._table.count(self._access.tenant, urls, self._access.limits, self._now)
        if isinstance(answer, Exceeded):
            raise QuotaExceeded(urls, answer.span, self._quota(answer.used))
        self._counted = answer

    def give_back(self, urls: int) -> None:
        """Take back what `count` has counted, or a part of it: it was a replay, or it will never run."""
        if self._counted is not None:
            with suppress(Unavailable):  # then the tenant has that many fewer until the span ends
                self._table.give_back(self._access.tenant, urls, self._counted)
            self._counted = None

    def _quota(self, used: Mapping[Span, int]) -> Quota:
        return Quota(limits=self._access.limits, used=used, now=self._now)
