"""Operations that can meet take turns, call by call, in every order; then every invariant is checked."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from tests.crash.invariants import check, check_clean, settle
from tests.crash.scenarios import PAIRS, Scenario, stage
from tests.crash.stepping import Conductor, Schedules, replay
from tests.world import World

# `make prove` raises these.
MOST_ORDERS = int(os.environ.get("PROVE_ORDERS", "25"))  # of a scenario: beyond it as many are drawn
SEED = int(os.environ.get("PROVE_SEED", "1"))
ORDER = os.environ.get("PROVE_ORDER", "")  # one order, as a failure printed it

covered: Counter[str] = Counter()

Choose = Callable[[Sequence[int]], int]


def one_order(w: World, conductor: Conductor, scenario: Scenario, choose: Choose) -> None:
    """Run a scenario's operations in an order, let the world go on, check."""
    taken: list[int] = []

    def remember(alive: Sequence[int]) -> int:
        taken.append(choose(alive))
        return taken[-1]

    with stage(w, conductor) as s:
        try:
            conductor.take_turns(scenario.make(s), remember)
            settle(w)
            check(w, s.ledger)
            check_clean(w, s.ledger)
        except BaseException as error:
            order = "".join(map(str, taken))
            error.add_note(f"Again: PROVE_ORDER={order} pytest tests/crash/test_interleavings.py -k '[{scenario}]'")
            error.add_note("\n".join(conductor.trace))
            raise


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
        one_order(w, conductor, scenario, replay(ORDER))
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


def test_how_much_was_covered() -> None:
    """Says how many orders the run had."""
    print(f"\ninterleavings: {covered.total()} of {len(covered)} scenarios, seed {SEED}")
    # Fewer only where fewer were asked for.
    assert covered.total() > min(400, 16 * MOST_ORDERS) or not covered
