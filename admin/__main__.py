"""`python -m admin --stage dev|prod token|quota ...`: who may use the API, and how much."""

from __future__ import annotations

import json
import logging
import secrets
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from admin import arguments, table
from admin.errors import AdminError
from admin.quotas import Quota, Quotas
from admin.table import OpenedStage
from admin.tokens import DAY_MS, Tokens
from chalicelib.api.render import timestamp
from chalicelib.jobs.access import LOCAL_TENANT, UNLIMITED, Span, Token
from chalicelib.service.gate import REMEMBERED_MS
from chalicelib.settings import DEV
from deployment.errors import DeploymentError

WITHIN = f"within {REMEMBERED_MS // 1000} s"
_HOUR_MS = 60 * 60 * 1000
_MINUTE_MS = 60 * 1000


def main(
    given: Sequence[str] | None = None,
    *,
    opened: Callable[[str], AbstractContextManager[OpenedStage]] = table.opened,
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    random_hex: Callable[[int], str] = secrets.token_hex,
) -> None:
    """Carry out one command; what is wrong or refused is reported in one line, with status 1."""
    logging.getLogger("fetch_queue").addHandler(logging.NullHandler())  # what is wrong is said in a line, and once
    try:
        typed = arguments.parser().parse_args(given)
        with opened(typed.stage) as place:
            command = Command(
                stage=typed.stage,
                place=place,
                now=clock(),
                tokens=Tokens(place.grants, clock=clock, random_hex=random_hex),
                quotas=Quotas(place.grants),
            )
            match typed.command:
                case "token create":
                    command.token_create(typed)
                case "token list":
                    command.token_list(typed)
                case "token revoke":
                    command.token_revoke(typed)
                case "token expire":
                    command.token_expire(typed)
                case "quota show":
                    command.quota_show(typed)
                case "quota set":
                    command.quota_set(typed)
    except (AdminError, DeploymentError) as error:
        sys.exit(f"Fetch Queue: {error}")
    except KeyboardInterrupt:
        sys.exit("Fetch Queue: stopped before it was done; token list and quota show tell the current state")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The commands: each makes one call and prints its answer."""

    stage: str
    place: OpenedStage
    now: int
    tokens: Tokens
    quotas: Quotas

    def token_create(self, typed: Namespace) -> None:
        """Only the token on standard output, so that a shell can take it; everything else on standard error."""
        token, text = self.tokens.create(
            name=typed.name, tenant=typed.tenant, expires_at=self._expires_at(typed.expires_days)
        )
        print(text, flush=True)
        curl = """curl -H "Authorization: Bearer $TOKEN" --json '{"url": "https://example.com/"}'"""
        lines = [
            f"id       {token.id}",
            *([f"name     {token.name}"] if token.name else []),
            *([f"tenant   {token.tenant}"] if token.tenant != LOCAL_TENANT else []),
            f"expires  {_time(token.expires_at)}",
            "The token is shown only this once; only its hash is kept. With the token in TOKEN:",
            f"  {curl} {self.place.api_url}/jobs",
        ]
        if self.stage == DEV:
            lines.append("Stage dev asks for a token only when started with: make run REQUIRE_TOKENS=1")
        print("\n".join(lines), file=sys.stderr)

    def token_list(self, typed: Namespace) -> None:
        """A table, or JSON. Tenants are shown if there are any."""
        tokens = self.tokens.all()
        tenants = any(token.tenant != LOCAL_TENANT for token in tokens)
        if typed.json:
            print(json.dumps([self._values(token, tenants) for token in tokens], indent=2, ensure_ascii=False))
        elif not tokens:
            stage = "" if self.stage == DEV else f" STAGE={self.stage}"
            print(f'There are no tokens. Create one: make admin{stage} DO="token create"')
        else:
            rows = [["ID", "NAME", *(["TENANT"] if tenants else []), "STATE", "CREATED", "EXPIRES"]]
            for token in tokens:
                tenant = [token.tenant] if tenants else []
                state = _state(token, self.now)
                if state == "active" and token.expires_at is not None:
                    state = f"expires in {_span(token.expires_at - self.now)}"
                times = [_time(token.created_at), _time(token.expires_at)]
                rows.append([token.id, token.name or "-", *tenant, state, *times])
            print(_table(rows))

    def token_revoke(self, typed: Namespace) -> None:
        """End a token."""
        token, made = self.tokens.revoke(typed.id)
        if made:
            print(f"The token {token.id} is revoked. This takes effect {WITHIN}.")
        else:
            print(f"The token {token.id} was revoked at {_time(token.revoked_at)}; nothing was changed.")

    def token_expire(self, typed: Namespace) -> None:
        """Give a token another end, or none."""
        expires_at = typed.at if typed.at is not None else self._expires_at(typed.in_days)
        if expires_at is not None and not self.now < expires_at <= self.now + arguments.MOST_DAYS * DAY_MS:
            raise AdminError(
                f"--at must be in the future, by {arguments.MOST_DAYS} days at most; to end a token now: token revoke"
            )
        token = self.tokens.expire(typed.id, expires_at)
        until = "does not expire" if token.expires_at is None else f"expires at {_time(token.expires_at)}"
        print(f"The token {token.id} {until}. This takes effect {WITHIN}.")

    def quota_show(self, typed: Namespace) -> None:
        """The limits, and what was counted."""
        self._show(typed.tenant, self.quotas.quota(typed.tenant))

    def quota_set(self, typed: Namespace) -> None:
        """Set limits, and show them."""
        limits = {span: getattr(typed, span) for span in Span if span in typed}
        if not limits:
            raise AdminError("nothing to set: give --per-minute, --per-day or both")
        self._show(typed.tenant, self.quotas.change(typed.tenant, limits))
        print(f"This takes effect {WITHIN}.")
        if self.stage == DEV and typed.tenant == LOCAL_TENANT:
            print(
                "Without a token the limits are those that stage dev was started with: make run QUOTA_URLS_PER_DAY=..."
            )

    def _expires_at(self, days: int | None) -> int | None:
        return None if days is None else self.now + days * DAY_MS

    def _values(self, token: Token, tenants: bool) -> dict[str, str | None]:
        def time_or_null(ms: int | None) -> str | None:
            return None if ms is None else timestamp(ms)

        return {
            "id": token.id,
            "name": token.name,
            **({"tenant": token.tenant} if tenants else {}),
            "state": _state(token, self.now),
            "created_at": timestamp(token.created_at),
            "expires_at": time_or_null(token.expires_at),
            "revoked_at": time_or_null(token.revoked_at),
        }

    def _show(self, tenant: str, quota: Quota) -> None:
        if tenant != LOCAL_TENANT:
            print(f"Tenant {tenant}")
        rows = [["", "LIMIT", "COUNTED"]]
        for span in Span:
            limit = quota.limits.get(span)
            default = f"default (the setting QUOTA_URLS_PER_{span.upper()})"
            text = (
                default
                if limit is None
                else "none"
                if limit == UNLIMITED
                else f"{limit} URL{'' if limit == 1 else 's'}"
            )
            rows.append([f"per {span}", text, f"{quota.used(span, self.now)} in this {span}"])
        print(_table(rows))
        if tenant != LOCAL_TENANT and all(token.tenant != tenant for token in self.tokens.all()):
            print(f"Tenant {tenant} has no token: check the name, or create one with --tenant {tenant}.")
        if quota.usage is None:
            print("Nothing was counted yet: URLs are counted only if there is a limit.")


def _state(token: Token, now: int) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "active" if token.is_valid(now) else "expired"


def _time(ms: int | None) -> str:
    return "never" if ms is None else timestamp(ms)


def _span(ms: int) -> str:
    """About how long."""
    for unit, length in (("days", DAY_MS), ("hours", _HOUR_MS)):
        if ms >= 2 * length:
            return f"{round(ms / length)} {unit}"
    return f"{max(1, ms // _MINUTE_MS)} min"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(cells: Iterable[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    return "\n".join(map(line, rows))


if __name__ == "__main__":
    main()
