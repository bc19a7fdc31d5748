"""What a simulation of the service runs on: virtual time, a queue like SQS, a table like DynamoDB. Nothing sleeps."""

from __future__ import annotations

import heapq
import itertools
import math
import operator
import random
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Generic, TypeVar

from botocore.exceptions import ClientError

from chalicelib.storage.items import Item, decode_item, encode_item
from chalicelib.storage.queue import MAX_DELAY_SECONDS

T = TypeVar("T")
R = TypeVar("R")

Process = Generator[float, None, R]  # what it yields is how many milliseconds it pauses
UNTIL_WOKEN = math.inf

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z, milliseconds


class Time:
    """Virtual milliseconds, and the processes that pause in them."""

    def __init__(self) -> None:
        self._now = float(START)
        self._order = itertools.count()
        self._paused: list[tuple[float, int, Process[None]]] = []
        self.running: Process[None] | None = None  # to be started again if it pauses until it is woken

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return int(self._now)

    def start(self, process: Process[None], after: float = 0) -> None:
        """Let a process run, after so many milliseconds."""
        heapq.heappush(self._paused, (self._now + after, next(self._order), process))

    def run(self, until: Callable[[], bool]) -> None:
        """Let time pass until something holds, or nothing is left to happen."""
        while self._paused and not until():
            self._now, _, self.running = heapq.heappop(self._paused)
            pause = next(self.running, UNTIL_WOKEN)
            if pause != UNTIL_WOKEN:
                self.start(self.running, pause)


@dataclass(slots=True)
class Queue(Generic[T]):
    """Delays whole seconds, brings messages a bit late, in batches of at most so many, to so many invocations at once.

    Every message comes once.
    """

    time: Time
    chance: random.Random
    invoke: Callable[[list[T]], Process[None]]
    batch: int
    at_once: int
    most_late: float  # milliseconds
    _ready: deque[T] = field(default_factory=deque)
    _running: int = 0

    @property
    def ready(self) -> int:
        """How many messages have come, and wait for an invocation."""
        return len(self._ready)

    def send(self, messages: Iterable[tuple[T, float]]) -> None:
        """Send messages, each to come after so many seconds; as `chalicelib.storage.queue` sends them."""
        for message, seconds in messages:
            delay = min(max(0, int(seconds)), MAX_DELAY_SECONDS)
            self.time.start(self._come(message), delay * 1000 + self.chance.uniform(0, self.most_late))

    def _come(self, message: T) -> Process[None]:
        self._ready.append(message)
        self._begin()
        yield from ()

    def _begin(self) -> None:
        while self._ready and self._running < self.at_once:
            taken = [self._ready.popleft() for _ in range(min(self.batch, len(self._ready)))]
            self._running += 1
            self.time.start(self._run(taken))

    def _run(self, taken: list[T]) -> Process[None]:
        yield from self.invoke(taken)
        self._running -= 1
        self._begin()


class MemoryTable:
    """A client of DynamoDB for `chalicelib.storage.lines`: conditional updates and batch reads of items in memory."""

    def __init__(self) -> None:
        self.writes = 0  # those that a condition refused too: they are paid for
        self._items: dict[str, dict[str, Any]] = {}
        events = SimpleNamespace(register_first=lambda *_, **__: None)
        self.meta = SimpleNamespace(events=events, service_model=SimpleNamespace(service_name="dynamodb"))

    def batch_get_item(self, *, RequestItems: Any) -> Any:  # noqa: N803 - botocore's name
        """Those that exist among some items."""
        ((table, request),) = RequestItems.items()
        keys = [key["pk"]["S"] for key in request["Keys"]]
        found = [self._item(key) for key in keys if key in self._items]
        return {"Responses": {table: found}, "UnprocessedKeys": {}}

    def update_item(
        self,
        *,
        Key: Any,  # noqa: N803 - botocore's names
        UpdateExpression: str,  # noqa: N803
        ConditionExpression: str,  # noqa: N803
        ExpressionAttributeValues: Item,  # noqa: N803
        **_: str,
    ) -> Any:
        """SET some members where the condition holds."""
        self.writes += 1
        key, values = Key["pk"]["S"], decode_item(ExpressionAttributeValues)
        members = self._items.get(key, {})
        if not all(_holds(clause, members, values) for clause in ConditionExpression.split(" AND ")):
            error: Any = {"Error": {"Code": "ConditionalCheckFailedException"}}
            raise ClientError(error | ({"Item": self._item(key)} if members else {}), "UpdateItem")
        changes = UpdateExpression.removeprefix("SET ").split(",")
        new = {name.strip(): _value(term, members, values) for name, term in (each.split("=") for each in changes)}
        self._items[key] = members | new
        return {"Attributes": self._item(key)}

    def _item(self, key: str) -> Item:
        return encode_item({"pk": key, **self._items[key]})


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_ABSENT = re.compile(r"attribute_not_exists\((\w+)\)")


def _holds(clause: str, members: dict[str, Any], values: dict[str, Any]) -> bool:
    if absent := _ABSENT.fullmatch(clause.strip()):
        return absent[1] not in members and not (absent[1] == "pk" and members)
    name, comparison, value = clause.split()
    return name in members and _COMPARISONS[comparison](members[name], values[value])


def _value(term: str, members: dict[str, Any], values: dict[str, Any]) -> Any:
    """What a member is set to: the sum of values and of what members were."""
    parts = [values[part] if part in values else members[part] for part in term.replace("+", " ").split()]
    return parts[0] if len(parts) == 1 else sum(parts)
