"""Tokens made, listed, ended. What the API reads is `TOKEN#<id>`; beside it one item lists the ids, so that nothing is
ever scanned:

    TOKENS           ids: of every token; it has room for some 25,000

A token that has ended is kept for a while, for whoever wonders why it lets nobody in, and then swept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from chalicelib.jobs import access
from chalicelib.jobs.access import ID_BYTES, SECRET_BYTES, Token
from chalicelib.storage import items
from chalicelib.storage.calls import Patience
from chalicelib.storage.rows import READ_LIMIT
from deployment.account import said_in_a_line
from deployment.errors import DeploymentError

INDEX_KEY = "TOKENS"
KEPT_DAYS = 30  # after its end
DAY_MS = 24 * 60 * 60 * 1000

_EXISTS = "attribute_exists(pk)"
_UNSWEPT = "(attribute_not_exists(sweep_at) OR sweep_at > :now)"  # TTL may lag by days
_UNREVOKED = "attribute_not_exists(revoked_at)"


class Tokens:
    """The tokens in a table. Raises DeploymentError where DynamoDB refuses or does not answer."""

    def __init__(
        self,
        client: Any,
        table_name: str,
        *,
        clock: Callable[[], int],
        random_hex: Callable[[int], str],
        patience: Patience | None = None,
    ) -> None:
        """`random_hex` gives the hexadecimal digits of so many random bytes."""
        self._client = client
        self._table_name = table_name
        self._clock = clock
        self._random_hex = random_hex
        self._patience = patience or Patience()

    def create(self, *, name: str, tenant: str, expires_at: int | None) -> tuple[Token, str]:
        """A new token: what is kept of it, and the token itself, which is kept nowhere."""
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
        add = {
            "Key": _key(INDEX_KEY),
            "UpdateExpression": "ADD ids :ids",
            "ExpressionAttributeValues": _ids([token_id]),
        }
        self._write_both({"Put": put}, {"Update": add})
        return token, text

    def all(self) -> list[Token]:
        """Every token, the oldest first. What was swept is taken out of the index."""
        with said_in_a_line("reading the tokens"):
            index = self._client.get_item(TableName=self._table_name, Key=_key(INDEX_KEY), ConsistentRead=True)
            ids = sorted(index.get("Item", {}).get("ids", {}).get("SS", []))
            found: dict[str, items.Item] = {}
            for at in range(0, len(ids), READ_LIMIT):
                found |= self._read(ids[at : at + READ_LIMIT])
            # Only what is gone leaves the index: what TTL has yet to remove could still be given a later end.
            if gone := [token_id for token_id in ids if items.token_key(token_id) not in found]:
                self._forget(gone)
        now = self._clock() // 1000
        tokens = [items.as_token(item) for item in found.values() if "sweep_at" not in item or _swept_after(item, now)]
        return sorted(tokens, key=lambda token: (token.created_at, token.id))

    def revoke(self, token_id: str) -> tuple[Token, bool]:
        """End a token now; False where it was revoked before, and nothing was changed."""
        now = self._clock()
        return self._update(token_id, "SET revoked_at = :at, sweep_at = :sweep", {":at": now, ":sweep": _sweep_at(now)})

    def expire(self, token_id: str, expires_at: int | None) -> Token:
        """Give a token another end, or none. Raises DeploymentError for one that is revoked: it stays so."""
        token, made = self._update(
            token_id,
            "REMOVE expires_at, sweep_at" if expires_at is None else "SET expires_at = :at, sweep_at = :sweep",
            {":at": expires_at, ":sweep": _sweep_at(expires_at)},
        )
        if not made:
            raise DeploymentError(f"the token {token_id} is revoked, and stays revoked; create another")
        return token

    def _update(self, token_id: str, expression: str, values: Mapping[str, int | None]) -> tuple[Token, bool]:
        """The token as it then is, and whether it was changed: a revoked one is not."""
        refused = self._client.exceptions.ConditionalCheckFailedException
        with said_in_a_line("changing the token"):
            try:
                answer = self._client.update_item(
                    TableName=self._table_name,
                    Key=_key(items.token_key(token_id)),
                    UpdateExpression=expression,
                    ConditionExpression=f"{_EXISTS} AND {_UNSWEPT} AND {_UNREVOKED}",
                    ExpressionAttributeValues=items.encode_item({**values, ":now": self._clock() // 1000}),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except refused as error:
                item = error.response.get("Item")
                if not item or "revoked_at" not in item:
                    raise DeploymentError(f"no such token: {token_id}; token list shows the ones that exist") from error
                return items.as_token(item), False
        return items.as_token(answer["Attributes"]), True

    def _write_both(self, *operations: dict[str, dict[str, Any]]) -> None:
        """Write all or nothing; a conflict with another write of the index is no refusal: the same is sent again."""
        named = [
            {kind: {"TableName": self._table_name, **members} for kind, members in operation.items()}
            for operation in operations
        ]
        cancelled = self._client.exceptions.TransactionCanceledException
        with said_in_a_line("writing the token"):
            for _ in self._patience.rounds():
                try:
                    self._client.transact_write_items(TransactItems=named)
                except cancelled as error:
                    if "TransactionConflict" not in {
                        reason["Code"] for reason in error.response["CancellationReasons"]
                    }:
                        raise
                else:
                    return
        raise DeploymentError("others kept writing tokens at the same time; nothing was written: try again")

    def _read(self, token_ids: list[str]) -> dict[str, items.Item]:
        found: dict[str, items.Item] = {}
        keys = [_key(items.token_key(token_id)) for token_id in token_ids]
        request: Any = {self._table_name: {"Keys": keys, "ConsistentRead": True}}
        for _ in self._patience.rounds():
            answer = self._client.batch_get_item(RequestItems=request)
            found |= {item["pk"]["S"]: item for item in answer["Responses"].get(self._table_name, [])}
            request = answer.get("UnprocessedKeys")
            if not request:
                return found
        raise DeploymentError("the table kept leaving tokens unread; try again")

    def _forget(self, token_ids: list[str]) -> None:
        # Where a token is being created at the same time, the next list does it.
        with suppress(self._client.exceptions.TransactionConflictException):
            self._client.update_item(
                TableName=self._table_name,
                Key=_key(INDEX_KEY),
                UpdateExpression="DELETE ids :ids",
                ExpressionAttributeValues=_ids(token_ids),
            )


def _key(key: str) -> items.Item:
    return {"pk": {"S": key}}


def _ids(token_ids: Iterable[str]) -> items.Item:
    return {":ids": {"SS": list(token_ids)}}


def _sweep_at(ends_at: int | None) -> int | None:
    """When a token that ends then is swept, in seconds, up."""
    return None if ends_at is None else -(-(ends_at + KEPT_DAYS * DAY_MS) // 1000)


def _swept_after(item: items.Item, now: int) -> bool:
    return int(item["sweep_at"]["N"]) > now
