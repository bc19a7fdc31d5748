"""Runs operations one AWS call at a time: kills one at a call, loses or cuts an answer, or lets several take turns in
an order that is chosen. Only one operation runs at any moment, so an emulator that knows no threads will do."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError


class Crash(BaseException):
    """The process dies. No code of the service catches it, and no call is made after it."""


class Side(StrEnum):
    """What goes wrong at a call."""

    BEFORE = "dies before"
    AFTER = "dies after"  # the effect happened, nobody heard the answer
    REPEATED = "answer lost, repeated by the SDK"  # the service sees the answer to the second, often a refusal
    CUT = "answer cut"  # the effect happened, and nothing but the answer's head arrived
    LATE = "carried out late"  # no answer came; the effect happens when a trace says so


FAULTS = (Side.BEFORE, Side.AFTER, Side.REPEATED, Side.CUT)  # tried at every call
DEATHS = (Side.BEFORE, Side.AFTER)


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong at an operation's call number `call`, from 0."""

    call: int
    side: Side

    def __str__(self) -> str:
        return f"{self.side} call {self.call}"


@dataclass
class Operation:
    """Something that the service does, from its beginning to its end or death."""

    name: str
    body: Callable[[], object]
    fault: Fault | None = None
    eager: bool = True  # nothing that it does before its first call depends on the others' turns
    calls: int = 0
    asked: Counter[str] = field(default_factory=Counter)  # URL -> how often it has asked for it
    crashed: bool = False
    ended: bool = False
    error: BaseException | None = None
    _go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _back: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _thread: threading.Thread | None = None

    def run(self) -> None:
        """The whole of it, in this thread. A crash ends it quietly; any other error is remembered."""
        try:
            self.body()
        except Crash:
            pass  # `crashed` is set by who crashed it
        except BaseException as error:  # noqa: BLE001 - raised by `Conductor.take_turns`, in the thread of the test
            self.error = error
        self.ended = True

    def advance(self) -> None:
        """Let its thread go on to just before its next call, or to its end; nothing where it has ended."""
        if self.ended:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._in_thread, daemon=True)
            self._thread.start()
        else:
            self._go.release()
        self._back.acquire()

    def pause(self) -> None:
        """Called in its own thread before each call: wait for the next turn."""
        if self._thread is threading.current_thread():
            self._back.release()
            self._go.acquire()

    def _in_thread(self) -> None:
        self.run()
        self._back.release()


class Conductor:
    """Stands between the service and its clients; nothing is stepped while no operation is active."""

    def __init__(self) -> None:
        self.active: Operation | None = None
        self.trace: list[str] = []
        self.on_death: Callable[[Operation], None] = lambda operation: None
        self._cutting = False
        self._cut = False
        self._late: list[Callable[[], Any]] = []

    def client(self, real: Any) -> Any:
        """A client that reports its calls, and whose answers can be cut."""
        real.meta.events.register_first("before-parse.*.*", self._cut_if_asked, unique_id="cut")
        return _Client(real, self)

    def call(self, name: str, make: Callable[[], Any]) -> Any:
        """One AWS call of the active operation."""
        operation = self.active
        if operation is None:
            return make()
        if operation.crashed:
            raise Crash
        operation.pause()
        if operation.crashed:  # killed while it waited
            raise Crash
        self.active = operation
        number = operation.calls
        operation.calls += 1
        fault = operation.fault if operation.fault is not None and operation.fault.call == number else None
        self.trace.append(f"{operation.name}: {name}" + (f"  <- {fault.side}" if fault else ""))
        match None if fault is None else fault.side:
            case Side.BEFORE:
                self._die(operation)
            case Side.AFTER:
                make()
                self._die(operation)
            case Side.REPEATED:
                make()
            case Side.CUT:
                return self._make_and_cut(make)
            case Side.LATE:
                self._late.append(make)
                raise ReadTimeoutError(endpoint_url=name)
        return make()

    def carry_out_late(self) -> None:
        """Let AWS carry out what it was asked for and did not answer."""
        while self._late:
            with suppress(ClientError):  # nobody hears of a refusal either
                self._late.pop(0)()

    def _die(self, operation: Operation) -> None:
        operation.crashed = True
        with self.unstepped():
            self.on_death(operation)
        raise Crash

    @contextmanager
    def unstepped(self) -> Iterator[None]:
        """What is called meanwhile is no operation's."""
        active, self.active = self.active, None
        try:
            yield
        finally:
            self.active = active

    def _make_and_cut(self, make: Callable[[], Any]) -> Any:
        self._cutting, self._cut = True, False
        try:
            answer = make()
        finally:
            self._cutting = False
        if self._cut:
            return answer  # half an answer was believed: whoever asked shall show what comes of that
        raise ConnectionClosedError(endpoint_url="an answer without a body, cut in its head")

    def _cut_if_asked(self, response_dict: dict[str, Any], **_: Any) -> None:
        if self._cutting and response_dict["status_code"] < 300 and response_dict["body"]:
            self._cut = True
            response_dict["headers"]["Content-Length"] = str(len(response_dict["body"]))
            response_dict["body"] = b""

    def run(self, operation: Operation) -> None:
        """Run one operation alone. Raises what it raised, a crash excepted."""
        self.active = operation
        operation.run()
        self.active = None
        if operation.error is not None:
            raise operation.error

    def take_turns(self, operations: Sequence[Operation], choose: Callable[[Sequence[int]], int]) -> None:
        """Run several to their ends; `choose` says whose turn it is, among the numbers of those that go on."""
        for operation in operations:
            if operation.eager:
                self._advance(operation)
        while alive := [number for number, operation in enumerate(operations) if not operation.ended]:
            self._advance(operations[choose(alive)])
        for operation in operations:
            if operation.error is not None:
                raise operation.error

    def begin(self, operation: Operation, calls: int = 0) -> None:
        """Let an operation go on to just before its first call, then make so many calls."""
        for _ in range(1 + calls):
            self._advance(operation)

    def make_calls(self, operation: Operation, calls: int) -> None:
        """Let an operation that waits make so many calls."""
        for _ in range(calls):
            self._advance(operation)

    def finish(self, operation: Operation) -> None:
        """Let an operation that waits go on to its end. Raises what it raised."""
        while not operation.ended:
            self._advance(operation)
        if operation.error is not None:
            raise operation.error

    def kill(self, operation: Operation) -> None:
        """An operation that waits makes no further call."""
        operation.crashed = True
        with self.unstepped():
            self.on_death(operation)
        self.finish(operation)

    def _advance(self, operation: Operation) -> None:
        self.active = operation
        operation.advance()
        self.active = None


class _Client:
    def __init__(self, real: Any, conductor: Conductor) -> None:
        self._real = real
        self._conductor = conductor

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._real, name)
        if not callable(member) or name.startswith(("get_paginator", "generate_presigned")):
            return member
        return lambda **kwargs: self._conductor.call(name, lambda: member(**kwargs))


class Schedules:
    """All orders in which some operations may take turns, one after the other, depth first.

    Each iteration gives a `choose` for `Conductor.take_turns`; what it met tells which orders are left.
    """

    def __init__(self) -> None:
        self._path: list[tuple[int, list[int]]] = []  # what was chosen at each turn, and what could have been
        self.count = 0

    def __iter__(self) -> Iterator[Callable[[Sequence[int]], int]]:
        while True:
            self._turn = 0
            self.count += 1
            yield self._choose
            del self._path[self._turn :]
            while self._path and self._path[-1][0] == self._path[-1][1][-1]:
                self._path.pop()
            if not self._path:
                return
            chosen, could = self._path[-1]
            self._path[-1] = (could[could.index(chosen) + 1], could)

    @property
    def order(self) -> str:
        """The order of the last iteration, to be read in a failure."""
        return "".join(str(chosen) for chosen, _ in self._path)

    def _choose(self, alive: Sequence[int]) -> int:
        if self._turn == len(self._path):
            self._path.append((alive[0], list(alive)))
        chosen, _ = self._path[self._turn]
        self._turn += 1
        return chosen


def replay(order: str) -> Callable[[Sequence[int]], int]:
    """The `choose` that gives an order that a failure printed."""
    turns = iter(order)
    return lambda alive: int(next(turns, alive[0]))
