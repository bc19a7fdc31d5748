"""How slowly a host is asked: pure, so every case is a few numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.jobs.pace import (
    FORGOTTEN_AFTER,
    LEAST_COOLING,
    HostRules,
    Pace,
    at_rest,
    due,
    interval_at,
    place_at,
    remembered,
    slowed,
)

NOW = 1_767_225_600_000
RULES = HostRules(interval=0, wait=6 * 3_600_000, longest_cooling=300_000)
KEY = "local/example.com"


def objecting(pace: Pace | None, now: int, *, sent_at: int | None = None, cooling: int = 3000) -> Pace:
    """The pace after an objection that is news."""
    slower = slowed(pace, KEY, sent_at=now if sent_at is None else sent_at, now=now, cooling=cooling, rules=RULES)
    assert slower is not None
    return slower


def test_the_first_objection_gives_a_host_a_pace() -> None:
    """It is left alone as long as it asks, and then asked twenty times a second."""
    pace = objecting(None, NOW)
    assert (pace.cool_until, pace.next_place, interval_at(pace, NOW + 3000, rules=RULES)) == (NOW + 3000, 0, 50)


def test_each_objection_doubles_the_interval() -> None:
    """Up to a minute."""
    pace, intervals = objecting(None, NOW), []
    for _ in range(12):
        pace = objecting(pace, pace.cool_until)
        intervals.append(round(interval_at(pace, pace.cool_until, rules=RULES)))
    assert intervals[:4] == [100, 200, 400, 800]
    assert intervals[-2:] == [60_000, 60_000]


def test_requests_that_were_sent_before_are_no_news() -> None:
    """A wave of refusals slows a host once."""
    pace = objecting(None, NOW)
    for sent_at in (NOW - 100, NOW, pace.cool_until - 1):
        assert slowed(pace, KEY, sent_at=sent_at, now=NOW + 200, cooling=0, rules=RULES) is None


@pytest.mark.parametrize(
    ("asked", "given"), [(0, LEAST_COOLING), (3000, 3000), (10**9, RULES.longest_cooling)], ids=["0", "3 s", "days"]
)
def test_how_long_a_host_is_left_alone(asked: int, given: int) -> None:
    """Long enough for those who wait in a worker to be no news, and no longer than the setting."""
    assert objecting(None, NOW, cooling=asked).cool_until == NOW + given


def test_the_interval_shrinks_fast_to_where_it_is_safe_and_slowly_from_there() -> None:
    """The host objected at 400 ms: 800 to 560 in five seconds, 500 within another minute, 400 within three more."""
    pace = Pace(
        host_key=KEY,
        interval_us=800_000,
        objected_us=400_000,
        slowed_at=NOW,
        cool_until=NOW,
        first_place=0,
        next_place=0,
    )
    intervals = [interval_at(pace, NOW + s * 1000, rules=RULES) for s in (0, 2, 6, 62, 180)]
    assert [round(interval) for interval in intervals] == [800, 696, 559, 500, 395]
    assert interval_at(pace, NOW + 10**8, rules=replace(RULES, interval=300)) == 300


def test_a_place_is_kept_when_the_host_is_slowed() -> None:
    """It is due later, and still before those behind it."""
    pace = objecting(None, NOW)
    places = range(40)
    before = [due(pace, place, rules=RULES) for place in places]
    slower = objecting(replace(pace, next_place=40), pace.cool_until + 500)
    waiting = [place for place in places if place >= slower.first_place]
    after = [due(slower, place, rules=RULES) for place in waiting]
    assert 5 < len(waiting) < 40
    assert after[0] == slower.cool_until
    assert after == sorted(after)
    assert all(due(slower, place, rules=RULES) > before[place] for place in waiting)


def test_a_pace_is_forgotten_once_nobody_stands_in_line() -> None:
    """Ten minutes after the last objection."""
    pace = objecting(None, NOW)
    assert remembered(pace, now=NOW + FORGOTTEN_AFTER, rules=RULES) == pace
    assert remembered(pace, now=NOW + FORGOTTEN_AFTER + 1, rules=RULES) is None
    assert remembered(None, now=NOW, rules=RULES) is None
    long = replace(pace, next_place=10**6)
    assert remembered(long, now=NOW + FORGOTTEN_AFTER + 1, rules=RULES) == long


def test_a_forgotten_pace_begins_anew_behind_the_old_places() -> None:
    """So that nobody who comes very late takes an old number for a new one."""
    pace = replace(objecting(None, NOW), next_place=7)
    later = pace.cool_until + 2 * FORGOTTEN_AFTER
    fresh = objecting(pace, later)
    assert (fresh.interval_us, fresh.objected_us, fresh.first_place) == (50_000, 0, 7)


def test_a_host_at_rest_is_asked_at_the_settings_pace() -> None:
    """With HOST_INTERVAL_MS every host has a line."""
    rules = replace(RULES, interval=500)
    pace = at_rest(KEY, now=NOW)
    assert [due(pace, place, rules=rules) - NOW for place in range(4)] == [0, 500, 1000, 1500]
    slower = slowed(pace, KEY, sent_at=NOW, now=NOW, cooling=0, rules=rules)
    assert slower is not None
    assert slower.interval_us == 1_000_000


@given(
    interval=st.integers(0, 60_000_000),
    objected=st.integers(0, 60_000_000),
    least=st.sampled_from([0, 1, 100, 70_000]),
    place=st.integers(0, 10**6),
)
def test_a_place_is_the_first_that_is_due_when_it_is(interval: int, objected: int, least: int, place: int) -> None:
    """`due` and `place_at` are two readings of one curve; later places are due later."""
    rules = replace(RULES, interval=least)
    pace = Pace(
        host_key=KEY,
        interval_us=interval,
        objected_us=objected,
        slowed_at=NOW,
        cool_until=NOW,
        first_place=0,
        next_place=0,
    )
    at = due(pace, place, rules=rules)
    assert due(pace, place + 1, rules=rules) >= at
    # Times are whole milliseconds, in which several places may be due.
    assert place_at(pace, at - 1, rules=rules) <= place <= place_at(pace, at + 1, rules=rules)
