"""Hosts' lines, while several workers take places and slow the host, call by call in every order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from chalicelib.jobs.pace import NO_WISH, Pace, Turn, Wish
from tests.crash.scenarios import Stage
from tests.crash.stepping import Fault, Operation, Schedules, Side
from tests.world import HOUR, MINUTE, SECOND

KEY = "local/example.com"


def paced(s: Stage) -> Pace:
    """A host that has just objected."""
    pace = s.w.service.lines.slow(None, KEY, sent_at=s.w.now, now=s.w.now, cooling=0, wish=NO_WISH)
    assert pace is not None
    return pace


def standing(s: Stage) -> Pace | None:
    """The host's pace as the table has it."""
    return s.w.service.lines.read([KEY]).get(KEY)


def taking(s: Stage, name: str, seen: Pace | None, count: int, into: list[Turn], wish: Wish = NO_WISH) -> Operation:
    """A worker takes places, by what it saw of the host."""

    def take() -> None:
        _, taken = s.w.service.lines.take(seen, KEY, count, now=s.w.now, wish=wish)
        into.extend(taken)

    return Operation(name, take)


def slowing(s: Stage, name: str, seen: Pace | None) -> Operation:
    """A worker was refused now, and slows the host, by what it saw of it."""
    now = s.w.now
    return Operation(
        name, lambda: s.w.service.lines.slow(seen, KEY, sent_at=now, now=now, cooling=SECOND, wish=NO_WISH)
    )


def in_every_order(s: Stage, make: Callable[[], list[Operation]], check: Callable[[], None]) -> None:
    """Let operations take turns in every order."""
    for choose in Schedules():
        s.w.reset()
        operations = make()
        s.conductor.take_turns(operations, choose)
        check()


@pytest.mark.parametrize("empty", [False, True], ids=["a line", "no line"])
def test_two_who_take_places_get_different_ones(s: Stage, empty: bool) -> None:
    """Whatever they saw of the line before: one after the other, an interval apart."""
    s.w.settings = replace(s.w.settings, host_interval_ms=20)
    s.w.given = s.w.settings
    s.w.wire()
    turns: list[Turn] = []

    def make() -> list[Operation]:
        turns.clear()
        seen = None if empty else paced(s)
        return [taking(s, "W1", seen, 3, turns), taking(s, "W2", seen, 2, turns)]

    def check() -> None:
        assert sorted(turn.place for turn in turns) == [0, 1, 2, 3, 4]
        assert len({turn.at for turn in turns}) == 5

    in_every_order(s, make, check)


def test_places_behind_a_line_that_is_over(s: Stage) -> None:
    """Its places are past, and who saw that does not take one of another who came first."""
    turns: list[Turn] = []

    def make() -> list[Operation]:
        turns.clear()
        seen = paced(s)
        s.w.pass_time(MINUTE)
        return [taking(s, "W1", seen, 1, turns), taking(s, "W2", seen, 1, turns)]

    def check() -> None:
        first, second = sorted(turns, key=lambda turn: turn.place)
        assert s.w.now <= first.at < second.at

    in_every_order(s, make, check)


def test_a_line_that_is_late_is_moved_once(s: Stage) -> None:
    """Each of those who come late saw it as it was; another is taking a place meanwhile."""
    turns: list[Turn] = []

    def make() -> list[Operation]:
        turns.clear()
        seen = paced(s)
        s.w.pass_time(MINUTE)

        def move() -> None:
            s.w.service.lines.move(seen, 30 * SECOND, now=s.w.now)

        return [Operation("W1", move), Operation("W2", move), taking(s, "W3", seen, 1, turns)]

    def check() -> None:
        pace = standing(s)
        assert pace is not None
        assert pace.cool_until == s.w.now - MINUTE + 2 * SECOND + 30 * SECOND
        assert pace.next_place == turns[0].place + 1

    in_every_order(s, make, check)


def test_a_line_that_is_late_is_not_moved_into_a_pause(s: Stage) -> None:
    """Who saw that it is late does not know that the host was slowed since, and must be left alone."""

    def make() -> list[Operation]:
        seen = paced(s)
        s.w.pass_time(MINUTE)
        return [
            Operation("W1", lambda: s.w.service.lines.move(seen, 30 * SECOND, now=s.w.now)),
            slowing(s, "W2", seen),
        ]

    def check() -> None:
        pace = standing(s)
        assert pace is not None
        assert pace.cool_until >= s.w.now + 2 * SECOND

    in_every_order(s, make, check)


def test_a_wave_of_refusals_slows_a_host_once(s: Stage) -> None:
    """Each of them saw the host before the first refusal."""

    def make() -> list[Operation]:
        seen = paced(s)
        s.w.pass_time(2 * SECOND)
        return [slowing(s, "W1", seen), slowing(s, "W2", seen)]

    def check() -> None:
        pace = standing(s)
        assert pace is not None
        assert pace.interval_us == 100_000

    in_every_order(s, make, check)


def test_the_first_wave_gives_a_host_one_pace(s: Stage) -> None:
    """Nobody saw one before."""

    def make() -> list[Operation]:
        return [slowing(s, "W1", None), slowing(s, "W2", None)]

    def check() -> None:
        pace = standing(s)
        assert pace is not None
        assert pace.interval_us == 50_000

    in_every_order(s, make, check)


def test_an_interval_is_changed_while_another_takes_places(s: Stage) -> None:
    """Whatever each saw: no place is given twice, and none is far from the others, as if by a faster line."""
    turns: list[Turn] = []

    def make() -> list[Operation]:
        turns.clear()
        seen = paced(s)
        s.w.pass_time(MINUTE)
        return [taking(s, "W1", seen, 2, turns), taking(s, "W2", seen, 1, turns, Wish(10 * SECOND))]

    def check() -> None:
        pace = standing(s)
        assert pace is not None
        places = sorted(turn.place for turn in turns)
        assert places == list(range(places[0], places[0] + 3))
        assert pace.next_place == places[-1] + 1

    in_every_order(s, make, check)


@pytest.mark.parametrize("before", [0, 10 * SECOND], ids=["while it is left alone", "later"])
def test_a_line_that_was_seen_with_another_interval(s: Stage, before: int) -> None:
    """Who saw a fast line that was over takes the next place of the slow one, not one a thousand places on."""
    seen, turns = paced(s), list[Turn]()
    s.w.pass_time(before)
    s.conductor.run(taking(s, "knows", seen, 1, turns, Wish(MINUTE)))
    s.w.pass_time(10 * SECOND)
    s.conductor.run(taking(s, "does not", seen, 1, turns))
    assert turns[1].place == turns[0].place + 1
    assert turns[1].at - turns[0].at <= MINUTE


def test_one_is_refused_while_another_changes_the_interval(s: Stage) -> None:
    """Whoever comes first: the host is slowed, and its interval is the new one."""

    def make() -> list[Operation]:
        seen = paced(s)
        s.w.pass_time(2 * SECOND)
        return [taking(s, "W1", seen, 1, [], Wish(SECOND)), slowing(s, "W2", seen)]

    def check() -> None:
        pace = standing(s)
        assert pace is not None
        assert (pace.slowed_at, pace.next_place) == (s.w.now, 1)

    in_every_order(s, make, check)


def test_a_line_that_becomes_full_by_a_new_interval(s: Stage) -> None:
    """It gets the interval all the same: those who stand in it are asked as slowly as the host wants."""
    line, _ = s.w.service.lines.take(paced(s), KEY, 1000, now=s.w.now, wish=NO_WISH)
    turns: list[Turn] = []
    s.conductor.run(taking(s, "late", line, 1, turns, Wish(MINUTE)))
    pace = standing(s)
    assert turns == []
    assert pace is not None
    assert (pace.least_us, pace.next_place) == (60_000_000, line.next_place)


def test_one_is_refused_while_another_takes_places(s: Stage) -> None:
    """No place is given twice, and the turn is by the pace that the host has when it is taken."""
    turns: list[Turn] = []

    def make() -> list[Operation]:
        turns.clear()
        seen = paced(s)
        s.w.pass_time(2 * SECOND)
        return [taking(s, "W1", seen, 2, turns), slowing(s, "W2", seen), taking(s, "W3", seen, 1, turns)]

    def check() -> None:
        pace = standing(s)
        assert pace is not None
        assert len({turn.place for turn in turns}) == 3
        assert pace.interval_us == 100_000
        assert pace.next_place > max(turn.place for turn in turns)

    in_every_order(s, make, check)


def test_a_line_that_is_full(s: Stage) -> None:
    """It is full for those, too, who saw it before it was."""
    seen = paced(s)
    line, _ = s.w.service.lines.take(seen, KEY, 1, now=s.w.now, wish=NO_WISH)
    s.crowd("https://example.com/")
    turns: list[Turn] = []
    s.conductor.run(taking(s, "late", line, 1, turns))
    assert turns == []


def test_a_pace_that_was_forgotten_is_replaced_once(s: Stage) -> None:
    """Two are refused by a host that has been well for an hour."""

    def make() -> list[Operation]:
        seen = paced(s)
        s.w.pass_time(HOUR)
        return [slowing(s, "W1", seen), slowing(s, "W2", seen)]

    def check() -> None:
        pace = standing(s)
        assert pace is not None
        assert (pace.interval_us, pace.slowed_at) == (50_000, s.w.now)

    in_every_order(s, make, check)


def test_places_whose_taking_was_repeated_stay_empty(s: Stage) -> None:
    """The answer was lost, and the driver repeated the write: nobody else gets the first ones."""
    seen, turns = paced(s), list[Turn]()
    lucky: list[Turn] = []
    unlucky = taking(s, "unlucky", seen, 1, turns)
    unlucky.fault = Fault(0, Side.REPEATED)
    s.conductor.run(unlucky)
    s.conductor.run(taking(s, "lucky", standing(s), 1, lucky))
    assert (turns[0].place, lucky[0].place) == (1, 2)
