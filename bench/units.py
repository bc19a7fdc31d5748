"""DynamoDB's units, computed from the sizes of items, and what a world asks of AWS, counted as botocore sends it.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html and
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html.
"""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from chalicelib.logs import JsonFormatter
from chalicelib.storage.items import Item
from tests.world import World

ITEM_OVERHEAD_BYTES = 100  # that storage is billed for, by the rules of item sizes


# Sizes and units, by DynamoDB's rules


def item_size(item: Item) -> int:
    """Bytes of an item: of its names and of its values."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(str(content).encode())
        case "N":  # a byte for two significant digits, and one
            digits = str(content).lstrip("-").replace(".", "").strip("0")
            return (len(digits) + 1) // 2 + 1 + str(content).startswith("-")
        case "BOOL" | "NULL":
            return 1
        case "M":  # three bytes, and one for each member
            return 3 + sum(1 + len(name.encode()) + _value_size(member) for name, member in content.items())
        case "SS":
            return sum(len(text.encode()) for text in content)
    raise TypeError(f"no size is known for an attribute of type {kind}")


def write_units(size: int) -> int:
    """Units of a write, by the larger of the item's sizes before and after it."""
    return max(1, math.ceil(size / 1024))


def read_units(size: int) -> int:
    """Units of a strongly consistent read; one for an item that is not there."""
    return max(1, math.ceil(size / 4096))


# Counting


def _numbers() -> dict[str, float]:
    return defaultdict(float)


@dataclass(slots=True)
class Tally:
    """What some API requests, or some invocations of the job runner, used."""

    times: float = 0.0
    requests: dict[str, float] = field(default_factory=_numbers)
    services: dict[str, float] = field(default_factory=_numbers)
    write_units: float = 0.0
    read_units: float = 0.0
    waits: float = 0.0  # AWS calls one after the other; those that go out at the same time are one
    log_bytes: float = 0.0
    answer_bytes: float = 0.0
    cpus: list[float] = field(default_factory=list)  # seconds of this process, of each time, without the counting
    walls: list[float] = field(default_factory=list)  # seconds that passed, likewise

    @property
    def cpu(self) -> float:
        """Seconds: the median for each time, since what else the machine does only adds."""
        return median(self.cpus) * self.times if self.cpus else 0.0

    def over(self, number: int) -> Tally:
        """Its share for one of so many."""
        return Tally(
            times=self.times / number,
            requests={name: count / number for name, count in self.requests.items()},
            services={name: count / number for name, count in self.services.items()},
            write_units=self.write_units / number,
            read_units=self.read_units / number,
            waits=self.waits / number,
            log_bytes=self.log_bytes / number,
            answer_bytes=self.answer_bytes / number,
            cpus=self.cpus,
            walls=self.walls,
        )


def _difference(some: Mapping[str, float], others: Mapping[str, float]) -> dict[str, float]:
    return {name: count - others.get(name, 0) for name, count in some.items() if count > others.get(name, 0)}


@dataclass(slots=True)
class Compared:
    """Units of one kind of request, as computed here and as an emulator's ConsumedCapacity tells."""

    requests: int = 0
    told: int = 0  # how many of them had a ConsumedCapacity
    ours: float = 0.0
    theirs: float = 0.0


@dataclass(frozen=True, slots=True)
class _Written:
    key: str
    item: Item | None  # None where only DynamoDB knows it: after an update
    gone: bool = False


class UnitCounter(logging.Handler):
    """Counts what a world asks of AWS, through botocore's events; and what it logs.

    It remembers how large each item is. Of an item that was written uncounted it knows nothing, and takes it as new.
    """

    # What Lambda's event source does, which the world does itself.
    _EVENT_SOURCE = frozenset({"ReceiveMessage", "DeleteMessage", "DeleteMessageBatch"})

    def __init__(self, w: World, look: Any) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.compared: dict[str, Compared] = defaultdict(Compared)
        self.sizes: dict[str, int] = {}
        self.listed: set[str] = set()  # the items that have an entry in the index
        self._world = w
        self._look = look
        self._tally = Tally()
        self._own_cpu = self._own_wall = 0.0  # seconds that counting took

    @contextmanager
    def counting(self, tally: Tally, threads: int) -> Iterator[None]:
        """Count into `tally` what happens in one request or invocation, which may use so many threads."""
        self._tally, before, own_cpu, own_wall = tally, dict(tally.requests), self._own_cpu, self._own_wall
        self._world.metrics.clear()
        with self._attached():
            cpu, wall = time.process_time(), time.perf_counter()
            try:
                yield
            finally:
                tally.cpus.append(time.process_time() - cpu - (self._own_cpu - own_cpu))
                tally.walls.append(time.perf_counter() - wall - (self._own_wall - own_wall))
        tally.times += 1
        requests = _difference(tally.requests, before)
        tally.waits += sum(math.ceil(number / threads) for number in requests.values())
        tally.log_bytes += sum(len(line.encode()) for line in self._world.metrics)

    @property
    def stored_bytes(self) -> int:
        """What the table's storage is billed for, as far as it is known."""
        return sum(size + ITEM_OVERHEAD_BYTES for size in self.sizes.values() if size)

    def largest(self, kind: str) -> int:
        """Bytes of the largest item of a kind that is there now."""
        return max((size for key, size in self.sizes.items() if key.startswith(f"{kind}#")), default=0)

    def emit(self, record: logging.LogRecord) -> None:
        """Count a line of the log."""
        self._tally.log_bytes += len(self.format(record).encode()) + 1

    @contextmanager
    def _attached(self) -> Iterator[None]:
        log = logging.getLogger("fetch_queue")
        clients = {name: client.meta.events for name, client in self._world.clients.items()}
        for name, events in clients.items():
            events.register(f"after-call.{name}", self._after, unique_id="meter-after")
        clients["dynamodb"].register("before-parameter-build.dynamodb", self._before, unique_id="meter-before")
        log.addHandler(self)
        level, log.propagate = log.level, False
        log.setLevel(logging.INFO)
        try:
            yield
        finally:
            log.setLevel(level)
            log.propagate = True
            log.removeHandler(self)
            clients["dynamodb"].unregister("before-parameter-build.dynamodb", unique_id="meter-before")
            for name, events in clients.items():
                events.unregister(f"after-call.{name}", unique_id="meter-after")

    def _before(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"
        context["metered"] = params

    def _after(self, parsed: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        service = model.service_model.service_name
        if model.name not in self._EVENT_SOURCE:
            self._tally.requests[model.name] += 1
            self._tally.services[service] += 1
        if service == "dynamodb":
            self._count_units(model.name, context["metered"], parsed)
        self._own_cpu += time.process_time() - cpu
        self._own_wall += time.perf_counter() - wall

    def _count_units(self, operation: str, params: dict[str, Any], parsed: dict[str, Any]) -> None:
        if operation in ("GetItem", "BatchGetItem", "Query"):
            units = self._read(params, parsed)
            self._tally.read_units += units
        else:
            units = self._write(operation, params, made="Error" not in parsed)
            self._tally.write_units += units
        told = parsed.get("ConsumedCapacity")
        entry = self.compared[operation]
        entry.requests += 1
        if told:
            entry.told += 1
            entry.ours += units
            entry.theirs += sum(one["CapacityUnits"] for one in (told if isinstance(told, list) else [told]))

    def _read(self, params: dict[str, Any], parsed: dict[str, Any]) -> float:
        """Units of a reading: of whole items, also where only some of their members were asked for."""
        if "IndexName" in params:  # as a whole, eventually consistent
            return read_units(sum(map(item_size, parsed.get("Items", [])))) / 2
        if "Key" in params:
            return read_units(item_size(parsed.get("Item", {}))) * (1.0 if params.get("ConsistentRead") else 0.5)
        units = 0.0
        for table, request in params["RequestItems"].items():
            found = parsed.get("Responses", {}).get(table, [])
            sizes = [max(item_size(item), self.sizes.get(item["pk"]["S"], 0)) for item in found]
            asked = sum(map(read_units, sizes)) + len(request["Keys"]) - len(found)
            units += asked * (1.0 if request.get("ConsistentRead") else 0.5)
        return units

    def _write(self, operation: str, params: dict[str, Any], *, made: bool) -> float:
        """Units of a write, refused or made; and remember the sizes that it leaves."""
        written = list(_written(operation, params))
        updated = self._stored([one.key for one in written if one.item is None and not one.gone]) if made else {}
        units = 0
        for one in written:
            before = self.sizes.get(one.key, 0)
            after = item_size(one.item) if one.item is not None else updated.get(one.key, 0)
            units += write_units(max(before, after))
            if made:
                self.sizes[one.key] = after
        entries = self._entries(written) if made else 0
        return units * (2 if operation == "TransactWriteItems" else 1) + entries

    def _entries(self, written: Sequence[_Written]) -> int:
        """How many entries of the index come or go: one unit each. An update changes none."""
        put = {one.key for one in written if one.item is not None and "listed" in one.item}
        taken = {one.key for one in written if one.gone or (one.item is not None and "listed" not in one.item)}
        changed = (put - self.listed) | (taken & self.listed)
        self.listed = (self.listed | put) - taken
        return len(changed)

    def _stored(self, keys: Sequence[str]) -> dict[str, int]:
        if not keys:
            return {}
        table = self._world.names["TABLE_NAME"]
        request = {table: {"Keys": [{"pk": {"S": key}} for key in keys], "ConsistentRead": True}}
        found = self._look.batch_get_item(RequestItems=request)["Responses"][table]
        return {item["pk"]["S"]: item_size(item) for item in found}


def _written(operation: str, params: dict[str, Any]) -> Iterator[_Written]:
    """The items that a write names."""
    match operation:
        case "BatchWriteItem":
            for request in itertools.chain(*params["RequestItems"].values()):
                yield from _written("PutItem", request["PutRequest"])
        case "TransactWriteItems":
            for ((kind, one),) in (action.items() for action in params["TransactItems"]):
                yield from _written(f"{kind}Item", one)
        case "PutItem":
            yield _Written(params["Item"]["pk"]["S"], params["Item"])
        case "UpdateItem":
            yield _Written(params["Key"]["pk"]["S"], None)
        case "DeleteItem":
            yield _Written(params["Key"]["pk"]["S"], None, gone=True)
        case _:
            raise ValueError(f"{operation} is not counted")
