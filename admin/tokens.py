"""Tokens: created, listed, ended. One that has ended is kept for a while, so that its owner can find out why it no
longer works, and then swept."""

from __future__ import annotations

from collections.abc import Callable

from admin.errors import AdminError, as_admin_error
from chalicelib.jobs import access
from chalicelib.jobs.access import ID_BYTES, SECRET_BYTES, Token
from chalicelib.storage.grants import Grants

KEPT_DAYS = 30  # after its end
DAY_MS = 24 * 60 * 60 * 1000


class Tokens:
    """The tokens in a table. Raises AdminError if DynamoDB refuses or does not answer."""

    def __init__(self, grants: Grants, *, clock: Callable[[], int], random_hex: Callable[[int], str]) -> None:
        """`random_hex` gives the hexadecimal digits of so many random bytes."""
        self._grants = grants
        self._clock = clock
        self._random_hex = random_hex

    def create(self, *, name: str, tenant: str, expires_at: int | None) -> tuple[Token, str]:
        """A new token: what is stored of it, and the token itself, which is stored nowhere."""
        token_id = self._random_hex(ID_BYTES)
        text = access.token_text(token_id, self._random_hex(SECRET_BYTES))
        token = Token(
            id=token_id,
            tenant=tenant,
            digest=access.digest(text),
            name=name,
            created_at=self._clock(),
            expires_at=expires_at,
        )
        with as_admin_error("writing the token"):
            stored = self._grants.put(token, sweep_at=None if expires_at is None else _sweep_at(expires_at))
        if not stored:
            raise AdminError("the new token's id was taken already, and nothing was written: try again")
        return token, text

    def all(self) -> list[Token]:
        """Every token, the oldest first."""
        with as_admin_error("reading the tokens"):
            tokens = self._grants.tokens(now=self._clock())
        return sorted(tokens, key=lambda token: (token.created_at, token.id))

    def revoke(self, token_id: str) -> tuple[Token, bool]:
        """End a token now; False if it was already revoked, and nothing was changed."""
        now = self._clock()
        with as_admin_error("changing the token"):
            token, changed = self._grants.revoke(token_id, at=now, sweep_at=_sweep_at(now), now=now)
        return _existing(token, token_id), changed

    def expire(self, token_id: str, expires_at: int | None) -> Token:
        """Give a token another end, or none. Raises AdminError for one that is revoked: it stays so."""
        sweep_at = None if expires_at is None else _sweep_at(expires_at)
        with as_admin_error("changing the token"):
            token, changed = self._grants.expire(token_id, at=expires_at, sweep_at=sweep_at, now=self._clock())
        existing = _existing(token, token_id)
        if not changed:
            raise AdminError(f"the token {token_id} is revoked, and stays revoked; create another")
        return existing


def _existing(token: Token | None, token_id: str) -> Token:
    if token is None:
        raise AdminError(f"no such token: {token_id}; token list shows the ones that exist")
    return token


def _sweep_at(ends_at: int) -> int:
    """When a token that ends then is swept, in seconds, up."""
    return -(-(ends_at + KEPT_DAYS * DAY_MS) // 1000)
