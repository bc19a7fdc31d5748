"""A DynamoDB table as items by their keys: strongly consistent reads, and writes that their conditions may refuse."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from chalicelib.jobs.errors import Unavailable
from chalicelib.storage import items
from chalicelib.storage.calls import (
    Parallel,
    Patience,
    Refusal,
    carry_out,
    member,
    send_once,
    serial,
    unavailable,
)
from chalicelib.storage.expressions import Write, projection

T = TypeVar("T")
R = TypeVar("R")

READ_LIMIT = 100  # keys in a BatchGetItem
WRITE_LIMIT = 25  # items in a BatchWriteItem


class Rows:
    """The items. Raises `Unavailable` where DynamoDB does not answer."""

    def __init__(
        self, client: Any, name: str, *, parallel: Parallel = serial, patience: Patience | None = None
    ) -> None:
        self.patience = patience or Patience()
        self._client = client
        self._name = name
        self._parallel = parallel
        send_once(client, "BatchWriteItem")

    def get(self, key: str) -> items.Item | None:
        """One item."""
        with unavailable("a read of the table"):
            answer = self._client.get_item(TableName=self._name, Key={"pk": {"S": key}}, ConsistentRead=True)
        item: items.Item | None = answer.get("Item")
        return item

    def read(self, keys: Iterable[str], only: Sequence[str] = (), *, consistent: bool = True) -> dict[str, items.Item]:
        """Those that exist among these keys, by key; a key may be named more than once.

        With `only` these members of them, `pk` included: it costs the same units, and much less time to parse.
        """
        unique = list(dict.fromkeys(keys))  # a key named twice is a ValidationException
        chunks = [unique[at : at + READ_LIMIT] for at in range(0, len(unique), READ_LIMIT)]
        members = {"ConsistentRead": consistent, **(projection(("pk", *only)) if only else {})}
        found: dict[str, items.Item] = {}
        for answer in self._parallel(functools.partial(self._read_chunk, members), chunks):
            found |= answer
        return found

    def write(self, write: Write, *, transaction: bool = False) -> bool:
        """Carry out a write, all of it or nothing; False where a condition refused it.

        A conflict with another write of the same items is no refusal: the same is sent again. A transaction, which one
        operation is only if asked for, is made once however often the driver repeats it.
        """
        send = self._send_together if transaction or len(write) > 1 else self._send_one
        return not isinstance(carry_out(self.patience, "a write to the table", functools.partial(send, write)), Refusal)

    def write_all(self, writes: list[Write]) -> list[bool]:
        """`write` each of some that have no item in common, at the same time.

        If one is Unavailable, what is raised is `late` where any of them may still be carried out.
        """
        return self._all(self.write, writes)

    def try_all(self, writes: list[Write]) -> list[bool]:
        """The same, where False also stands for what was Unavailable, unless it may still be carried out."""

        def tried(write: Write) -> bool:
            try:
                return self.write(write)
            except Unavailable as error:
                if error.late:
                    raise
                return False

        return self._parallel(tried, writes)

    def each(self, function: Callable[[T], R], values: Sequence[T]) -> list[R | None]:
        """Apply what uses the table to each value, at the same time; None where it was Unavailable."""

        def tried(value: T) -> R | None:
            try:
                return function(value)
            except Unavailable:
                return None

        return self._parallel(tried, list(values))

    def change(self, key: str, members: Mapping[str, Any]) -> tuple[bool, items.Item]:
        """Make an update, and give the item as it then is; False and the item as it is where a condition refused it."""
        returns = {"ReturnValues": "ALL_NEW"}
        if "ConditionExpression" in members:
            returns["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"

        def send(_: str) -> Any:
            return self._client.update_item(TableName=self._name, Key={"pk": {"S": key}}, **members, **returns)

        made = carry_out(self.patience, "a write to the table", send)
        if isinstance(made, Refusal):
            return False, made.answer.get("Item", {})
        return True, member(made, "Attributes")

    def put_all(self, all_items: Sequence[items.Item]) -> None:
        """Put items, unconditionally, each at most once.

        The driver must not repeat it: a first request that is carried out after its repeat undoes what others wrote in
        between. Where items may still be written by a request that was given up, what is raised is `late`.
        """
        self._write_chunks([{"PutRequest": {"Item": item}} for item in all_items])

    def delete_all(self, keys: Sequence[str]) -> None:
        """Delete items, unconditionally; it does not matter whether they exist."""
        self._write_chunks([{"DeleteRequest": {"Key": {"pk": {"S": key}}}} for key in dict.fromkeys(keys)])

    def _write_chunks(self, requests: list[dict[str, Any]]) -> None:
        self._all(self._write_chunk, [requests[at : at + WRITE_LIMIT] for at in range(0, len(requests), WRITE_LIMIT)])

    def _all(self, write: Callable[[T], R], values: list[T]) -> list[R]:
        """Make writes at the same time; if one fails, what is raised is `late` if that of any is."""
        late: list[Unavailable] = []

        def tried(value: T) -> R:
            try:
                return write(value)
            except Unavailable as error:
                late.extend([error] if error.late else [])
                raise

        try:
            return self._parallel(tried, values)
        except Unavailable as error:
            if late:
                raise late[0] from error
            raise

    def _read_chunk(self, members: Mapping[str, Any], keys: list[str]) -> dict[str, items.Item]:
        found: dict[str, items.Item] = {}
        request: Any = {self._name: {"Keys": [{"pk": {"S": key}} for key in keys], **members}}
        for _ in self.patience.rounds():
            with unavailable("a read of the table"):
                answer = self._client.batch_get_item(RequestItems=request)
            for item in member(answer, "Responses").get(self._name, []):
                found[item["pk"]["S"]] = item
            request = member(answer, "UnprocessedKeys")
            if not request:
                return found
        raise Unavailable("the table kept leaving keys unread")

    def _write_chunk(self, chunk: list[dict[str, Any]]) -> None:
        request: Any = {self._name: chunk}
        for _ in self.patience.rounds():
            with unavailable("a write to the table", late=True):
                answer = self._client.batch_write_item(RequestItems=request)
            request = member(answer, "UnprocessedItems")
            if not request:
                return
        raise Unavailable("the table kept leaving items unwritten")

    def _send_together(self, write: Write, token: str) -> object:
        operations = [
            {kind: {"TableName": self._name, **members} for kind, members in operation.items()} for operation in write
        ]
        return self._client.transact_write_items(TransactItems=operations, ClientRequestToken=token)

    def _send_one(self, write: Write, _: str) -> object:
        ((kind, members),) = write[0].items()
        call = {
            "Put": self._client.put_item,
            "Update": self._client.update_item,
            "Delete": self._client.delete_item,
        }[kind]
        return call(TableName=self._name, **members)
