"""Tokens: created, listed, ended. The API reads `TOKEN#<id>`; one more item lists the ids, so that the table is never
scanned:

    TOKENS           ids: of every token; it has room for some 25,000

A token that has ended is kept for a while, so that its owner can find out why it no longer works, and then swept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

from admin.errors import AdminError, one_line
from chalicelib.jobs import access
from chalicelib.jobs.access import ID_BYTES, SECRET_BYTES, Token
from chalicelib.jobs.errors import Unavailable
from chalicelib.storage import items
from chalicelib.storage.expressions import Operation
from chalicelib.storage.rows import Rows

INDEX_KEY = "TOKENS"
KEPT_DAYS = 30  # after its end
DAY_MS = 24 * 60 * 60 * 1000

_EXISTS = "attribute_exists(pk)"
_UNSWEPT = "(attribute_not_exists(sweep_at) OR sweep_at > :now)"  # TTL may lag by days
_UNREVOKED = "attribute_not_exists(revoked_at)"


class Tokens:
    """The tokens in a table. Raises AdminError if DynamoDB refuses or does not answer."""

    def __init__(self, rows: Rows, *, clock: Callable[[], int], random_hex: Callable[[int], str]) -> None:
        """`random_hex` gives the hexadecimal digits of so many random bytes."""
        self._rows = rows
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
        put = {"Item": items.item_of(token, _sweep_at(expires_at)), "ConditionExpression": f"NOT {_EXISTS}"}
        with one_line("writing the token"):
            if not self._rows.write([{"Put": put}, _change_of_index("ADD", [token_id])]):
                raise AdminError("the new token's id was taken already, and nothing was written: try again")
        return token, text

    def all(self) -> list[Token]:
        """Every token, the oldest first. What was swept is taken out of the index."""
        with one_line("reading the tokens"):
            index = self._rows.get(INDEX_KEY) or {}
            ids = sorted(index.get("ids", {}).get("SS", []))
            found = self._rows.read(map(items.token_key, ids))
        # Only what is gone leaves the index: what TTL has yet to remove could still be given a later end.
        if gone := [token_id for token_id in ids if items.token_key(token_id) not in found]:
            with suppress(Unavailable):  # then the next list does it
                self._rows.write([_change_of_index("DELETE", gone)])
        now = self._clock() // 1000
        tokens = [items.as_token(item) for item in found.values() if "sweep_at" not in item or _swept_after(item, now)]
        return sorted(tokens, key=lambda token: (token.created_at, token.id))

    def revoke(self, token_id: str) -> tuple[Token, bool]:
        """End a token now; False if it was already revoked, and nothing was changed."""
        now = self._clock()
        return self._update(token_id, "SET revoked_at = :at, sweep_at = :sweep", {":at": now, ":sweep": _sweep_at(now)})

    def expire(self, token_id: str, expires_at: int | None) -> Token:
        """Give a token another end, or none. Raises AdminError for one that is revoked: it stays so."""
        token, made = self._update(
            token_id,
            "REMOVE expires_at, sweep_at" if expires_at is None else "SET expires_at = :at, sweep_at = :sweep",
            {":at": expires_at, ":sweep": _sweep_at(expires_at)},
        )
        if not made:
            raise AdminError(f"the token {token_id} is revoked, and stays revoked; create another")
        return token

    def _update(self, token_id: str, expression: str, values: Mapping[str, int | None]) -> tuple[Token, bool]:
        """The token as it then is, and whether it was changed: a revoked one is not."""
        with one_line("changing the token"):
            changed, item = self._rows.change(
                items.token_key(token_id),
                {
                    "UpdateExpression": expression,
                    "ConditionExpression": f"{_EXISTS} AND {_UNSWEPT} AND {_UNREVOKED}",
                    "ExpressionAttributeValues": items.encode_item({**values, ":now": self._clock() // 1000}),
                },
            )
        if not changed and "revoked_at" not in item:
            raise AdminError(f"no such token: {token_id}; token list shows the ones that exist")
        return items.as_token(item), changed


def _change_of_index(verb: str, token_ids: list[str]) -> Operation:
    return {
        "Update": {
            "Key": {"pk": {"S": INDEX_KEY}},
            "UpdateExpression": f"{verb} ids :ids",
            "ExpressionAttributeValues": {":ids": {"SS": token_ids}},
        }
    }


def _sweep_at(ends_at: int | None) -> int | None:
    """When a token that ends then is swept, in seconds, up."""
    return None if ends_at is None else -(-(ends_at + KEPT_DAYS * DAY_MS) // 1000)


def _swept_after(item: items.Item, now: int) -> bool:
    return int(item["sweep_at"]["N"]) > now
