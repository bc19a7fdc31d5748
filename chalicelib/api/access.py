"""Letting in: who asks, by the token of the request, and how much they may still submit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from chalicelib.api import problems
from chalicelib.api.problems import ProblemError
from chalicelib.jobs import access
from chalicelib.jobs.access import LOCAL_TENANT, Access, Limits, Span, Token, Usage
from chalicelib.jobs.errors import Unavailable
from chalicelib.storage.access import AccessTable, Exceeded

REMEMBERED_MS = 60_000  # how long a token that was revoked may still let in, in a process that knows it
MOST_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class _Known:
    token: Token
    access: Access
    until: int


class Gate:
    """Lets in who has a valid token; where the service is open, also who sends none."""

    def __init__(self, table: AccessTable, clock: Callable[[], int], *, everybodys: Limits, is_open: bool) -> None:
        self._table = table
        self._clock = clock
        self._everybodys = everybodys
        self._anybody = Access(tenant=LOCAL_TENANT, limits=access.limits(everybodys)) if is_open else None
        self._known: dict[str, _Known] = {}  # by the token's digest

    @property
    def is_open(self) -> bool:
        """True where nobody needs a token."""
        return self._anybody is not None

    def admit(self, authorization: str | None) -> Access:
        """Whom the Authorization header lets in. Raises ProblemError: one 401 for whatever is wrong with it."""
        if authorization is None and self._anybody is not None:
            return self._anybody
        scheme, _, text = (authorization or "").strip().partition(" ")
        text = text.strip()
        token_id = access.token_id(text)
        if scheme.lower() != "bearer" or token_id is None:
            raise _unauthorized()
        now = self._clock()
        digest = access.digest(text)
        known = self._known.get(digest)
        if known is None or known.until <= now:
            known = self._look_up(token_id, digest, now)
        if not known.token.is_valid(now):  # it has expired meanwhile
            raise _unauthorized()
        return known.access

    def _look_up(self, token_id: str, digest: str, now: int) -> _Known:
        token = self._table.token(token_id)
        if token is None or not token.matches(digest) or not token.is_valid(now):
            raise _unauthorized()
        limits = access.limits(self._everybodys, self._table.own_limits(token.tenant))
        known = _Known(token, Access(tenant=token.tenant, limits=limits, token_id=token.id), now + REMEMBERED_MS)
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[digest] = known
        return known


class Meter:
    """Counts the URLs that a request has accepted against its tenant's quota."""

    def __init__(self, table: AccessTable, access_: Access, now: int) -> None:
        self._table = table
        self._access = access_
        self._now = now
        self._counted: Usage | None = None

    @property
    def tenant(self) -> str:
        """Whose quota it is."""
        return self._access.tenant

    @property
    def counts(self) -> bool:
        """True where the tenant has any limit."""
        return bool(self._access.limits)

    def count(self, urls: int) -> None:
        """Count URLs that are about to be stored. Raises ProblemError where the quota does not allow them."""
        if not self.counts:
            return
        answer = self._table.count(self._access.tenant, urls, self._access.limits, self._now)
        if isinstance(answer, Exceeded):
            raise self._exceeded(answer, urls)
        self._counted = answer

    def give_back(self, urls: int) -> None:
        """Take back what `count` has counted, or a part of it: it was a replay, or nothing of it will run."""
        if self._counted is not None:
            with suppress(Unavailable):  # then the tenant has so many less until the span turns
                self._table.give_back(self._access.tenant, urls, self._counted)
            self._counted = None

    def headers(self) -> dict[str, str]:
        """The answer's RateLimit headers; none where nothing was counted."""
        if self._counted is None:
            return {}
        return self._headers({span: counted.used for span, counted in self._counted.items()})

    def _exceeded(self, exceeded: Exceeded, urls: int) -> ProblemError:
        limit = self._access.limits[exceeded.span]
        if urls > limit:
            return problems.at(
                "/urls", f"{urls} URLs are more than the {limit} that you may submit in a {exceeded.span}. Split them."
            )
        wait = exceeded.span.seconds_left(self._now)
        left = max(0, limit - exceeded.used[exceeded.span])
        return ProblemError(
            problems.QUOTA_EXCEEDED,
            f"You may submit {limit} URLs a {exceeded.span} and {left} of them {'is' if left == 1 else 'are'} left; "
            f"this has {urls}. Send it again in {wait} s.",
            headers={"Retry-After": str(wait), **self._headers(exceeded.used)},
        )

    def _headers(self, used: Mapping[Span, int]) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers has them; the unit is URLs."""
        limits = [(span, limit) for span, limit in access.in_order(self._access.limits)]
        policy = ", ".join(f'"{span}";q={limit};w={span.seconds}' for span, limit in limits)
        state = ", ".join(
            f'"{span}";r={max(0, limit - used[span])};t={span.seconds_left(self._now)}' for span, limit in limits
        )
        return {"RateLimit-Policy": policy, "RateLimit": state}


def _unauthorized() -> ProblemError:
    return ProblemError(
        problems.UNAUTHORIZED,
        "Send an access token that is valid: Authorization: Bearer fq_... Whoever runs this service gives them out.",
        headers={"WWW-Authenticate": 'Bearer realm="fetch-queue"'},
    )
