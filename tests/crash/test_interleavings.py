"""Operations that can meet take turns, call by call, in every order, and one of them may die on the way; then every
invariant is checked."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from tests.crash.invariants import check, check_clean, settle
from tests.crash.scenarios import PAIRS, Scenario, stage
from tests.crash.stepping import DEATHS, Conductor, Fault, Schedules, Side, replay
from tests.depth import depth
from tests.world import World

# `make prove` raises these beyond `make check`.
MOST_ORDERS = depth(3, 25, "PROVE_ORDERS")  # of a scenario: beyond it as many are drawn
SEED = int(os.environ.get("PROVE_SEED", "1"))
MOST_DEATHS = depth(1, 8, "PROVE_DEATHS")  # of a scenario
ORDER = os.environ.get("PROVE_ORDER", "")  # one order, as a failure printed it
DEATH = os.environ.get("PROVE_DEATH", "")  # and who died in it, if anybody did

MOST_CALLS = 6  # of an operation, at which it may die

covered: Counter[str] = Counter()
deaths: Counter[str] = Counter()

Choose = Callable[[Sequence[int]], int]


@dataclass(frozen=True, slots=True)
class Death:
    """Operation number `operation` dies."""

    operation: int
    fault: Fault

    def __str__(self) -> str:
        return f"{self.operation},{self.fault.call},{self.fault.side.name}"

    @staticmethod
    def of(text: str) -> Death | None:
        """As a failure printed it."""
        if not text:
            return None
        operation, call, side = text.split(",")
        return Death(int(operation), Fault(int(call), Side[side]))


def one_order(
    w: World, conductor: Conductor, scenario: Scenario, choose: Choose, die: Callable[[int], Death | None] | None = None
) -> bool:
    """Run a scenario's operations in an order, let the world go on, check.

    `die` says, for so many operations, which one dies and where. True where it did: it may have ended before.
    """
    death = None
    taken: list[int] = []

    def remember(alive: Sequence[int]) -> int:
        taken.append(choose(alive))
        return taken[-1]

    with stage(w, conductor) as s:
        try:
            operations = scenario.make(s)
            death = die(len(operations)) if die is not None else None
            if death is not None:
                operations[death.operation].fault = death.fault
            conductor.take_turns(operations, remember)
            settle(w)
            check(w, s.ledger)
            check_clean(w, s.ledger)
        except BaseException as error:
            order = "".join(map(str, taken))
            dead = f"PROVE_DEATH={death} " if death else ""
            error.add_note(
                f"Again: {dead}PROVE_ORDER={order} pytest tests/crash/test_interleavings.py -k '[{scenario}]'"
            )
            error.add_note("\n".join(conductor.trace))
            raise
    return any(operation.crashed for operation in operations)


def walk(draw: random.Random) -> Choose:
    """A random order with few changes of turn, which is what most races need."""
    last = 0

    def choose(alive: Sequence[int]) -> int:
        nonlocal last
        if last not in alive or draw.random() < 0.4:
            last = draw.choice(alive)
        return last

    return choose


@pytest.mark.parametrize("scenario", PAIRS, ids=str)
def test_every_order(crash_world: tuple[World, Conductor], scenario: Scenario) -> None:
    """Whatever the order of two operations' calls, every promise holds."""
    w, conductor = crash_world
    if ORDER:
        one_order(w, conductor, scenario, replay(ORDER), lambda _: Death.of(DEATH))
        return
    schedules = Schedules()
    for choose in schedules:
        one_order(w, conductor, scenario, choose)
        covered[scenario.name] += 1
        if schedules.count == MOST_ORDERS:
            break
    else:
        return
    # More orders than the time allows: the first ones differ late only, so others are drawn.
    draw = random.Random(SEED)
    for _ in range(MOST_ORDERS):
        one_order(w, conductor, scenario, walk(draw))
        covered[scenario.name] += 1


@pytest.mark.parametrize("scenario", PAIRS, ids=str)
def test_a_death_in_some_order(crash_world: tuple[World, Conductor], scenario: Scenario) -> None:
    """Whoever dies while others go on, every promise holds."""
    w, conductor = crash_world
    draw = random.Random(f"{SEED} {scenario}")

    def die(operations: int) -> Death:
        return Death(draw.randrange(operations), Fault(draw.randrange(MOST_CALLS), draw.choice(DEATHS)))

    for _ in range(MOST_DEATHS):
        deaths[scenario.name] += one_order(w, conductor, scenario, walk(draw), die)


def test_how_much_was_covered() -> None:
    """Says how many orders the run had."""
    print(f"\ninterleavings: {covered.total()} of {len(covered)} scenarios, {deaths.total()} with a death, seed {SEED}")
    # Fewer only where fewer were asked for.
    assert covered.total() > min(400, 16 * MOST_ORDERS) or not covered
