"""Each operation is killed before and after each of its AWS calls, or loses the answer to it, or gets half of it; then
the world goes on, with and without the client's repeat, and every invariant is checked."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from tests.crash.invariants import check, check_clean, settle
from tests.crash.scenarios import SINGLE, Scenario, Stage, again, stage
from tests.crash.stepping import FAULTS, Conductor, Fault, Side
from tests.depth import FULL
from tests.world import SECOND, World

covered: Counter[str] = Counter()


def attempt(s: Stage, scenario: Scenario, fault: Fault | None, *, repeat: bool) -> bool:
    """One case; False when the operation has no such call."""
    (operation,) = scenario.make(s)
    operation.fault = fault
    s.conductor.run(operation)
    if fault is not None and operation.calls <= fault.call:
        return False
    if fault is not None and not operation.crashed:
        s.ledger.lost_answers += 1
        if fault.side is Side.CUT:  # the driver, which would ask AWS again, does not here: an attempt may be lost
            s.ledger.note_unfinished(s.w, set(operation.asked))
    if repeat:
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        s.conductor.run(again(operation))
    settle(s.w)
    check(s.w, s.ledger)
    check_clean(s.w, s.ledger)
    return True


def cases(call: int) -> list[tuple[Fault, bool]]:
    """What goes wrong at a call, and whether the client repeats its request: everything, or one of it in turn."""
    every = [(Fault(call, side), repeat) for repeat in (False, True) for side in FAULTS]
    return every if FULL else [every[(call * 3) % len(every)]]


@pytest.mark.parametrize("scenario", SINGLE, ids=str)
def test_crash_points(crash_world: tuple[World, Conductor], scenario: Scenario) -> None:
    """Whatever call an operation dies at, redelivery or the client's repeat restores every promise."""
    w, conductor = crash_world
    for call in itertools.count():
        for fault, repeat in cases(call):
            with stage(w, conductor) as s:
                try:
                    if not attempt(s, scenario, fault, repeat=repeat):
                        assert call > 1
                        return
                except BaseException as error:
                    error.add_note(f"{scenario}, {fault}, {'repeated' if repeat else 'not repeated'}")
                    error.add_note("\n".join(conductor.trace))
                    raise
            covered[str(fault.side)] += 1


def test_how_much_was_covered() -> None:
    """Says how many crash points the run had."""
    print(f"\ncrash points: {covered.total()} ({', '.join(f'{n} {side}' for side, n in covered.items())})")
    assert covered.total() > (300 if FULL else 60) or not covered
