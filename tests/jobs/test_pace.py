"""How slowly a host is asked: pure, so every case is a few numbers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.jobs.pace import (
    FORGOTTEN_AFTER,
    LEAST_COOLING,
    NO_WISH,
    HostRules,
    Pace,
    Wish,
    at_rest,
    due,
    interval_at,
    laid,
    place_at,
    remembered,
    slowed,
)

NOW = 1_767_225_600_000
RULES = HostRules(interval=0, wait=6 * 3_600_000, longest_cooling=300_000)
KEY = "local/example.com"


def objecting(pace: Pace | None, now: int, *, sent_at: int | None = None, cooling: int = 3000) -> Pace:
    """The pace after an objection that is news."""
    slower = slowed(
        pace, KEY, sent_at=now if sent_at is None else sent_at, now=now, cooling=cooling, wish=NO_WISH, rules=RULES
    )
    assert slower is not None
    return slower


def test_the_first_objection_gives_a_host_a_pace() -> None:
    """It is left alone as long as it asks, and then asked twenty times a second."""
    pace = objecting(None, NOW)
    assert (pace.cool_until, pace.next_place, interval_at(pace, NOW + 3000)) == (NOW + 3000, 0, 50)


def test_each_objection_doubles_the_interval() -> None:
    """Up to a minute."""
    pace, intervals = objecting(None, NOW), []
    for _ in range(12):
        pace = objecting(pace, pace.cool_until)
        intervals.append(round(interval_at(pace, pace.cool_until)))
    assert intervals[:4] == [100, 200, 400, 800]
    assert intervals[-2:] == [60_000, 60_000]


def test_requests_that_were_sent_before_are_no_news() -> None:
    """A wave of refusals slows a host once."""
    pace = objecting(None, NOW)
    for sent_at in (NOW - 100, NOW, pace.cool_until - 1):
        assert slowed(pace, KEY, sent_at=sent_at, now=NOW + 200, cooling=0, wish=NO_WISH, rules=RULES) is None


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
        least_us=0,
        interval_us=800_000,
        objected_us=400_000,
        slowed_at=NOW,
        cool_until=NOW,
        first_place=0,
        next_place=0,
    )
    intervals = [interval_at(pace, NOW + s * 1000) for s in (0, 2, 6, 62, 180)]
    assert [round(interval) for interval in intervals] == [800, 696, 559, 500, 395]
    assert interval_at(replace(pace, least_us=300_000), NOW + 10**8) == 300


def test_a_place_is_kept_when_the_host_is_slowed() -> None:
    """It is due later, and still before those behind it."""
    pace = objecting(None, NOW)
    places = range(40)
    before = [due(pace, place) for place in places]
    slower = objecting(replace(pace, next_place=40), pace.cool_until + 500)
    waiting = [place for place in places if place >= slower.first_place]
    after = [due(slower, place) for place in waiting]
    assert 5 < len(waiting) < 40
    assert after[0] == slower.cool_until
    assert after == sorted(after)
    assert all(due(slower, place) > before[place] for place in waiting)


def test_a_pace_is_forgotten_once_nobody_stands_in_line() -> None:
    """Ten minutes after the last objection."""
    pace = objecting(None, NOW)
    assert remembered(pace, now=NOW + FORGOTTEN_AFTER) == pace
    assert remembered(pace, now=NOW + FORGOTTEN_AFTER + 1) is None
    assert remembered(None, now=NOW) is None
    long = replace(pace, next_place=10**6)
    assert remembered(long, now=NOW + FORGOTTEN_AFTER + 1) == long


def test_a_forgotten_pace_begins_anew_behind_the_old_places() -> None:
    """So that nobody who comes very late takes an old number for a new one."""
    pace = replace(objecting(None, NOW), next_place=7)
    later = pace.cool_until + 2 * FORGOTTEN_AFTER
    fresh = objecting(pace, later)
    assert (fresh.interval_us, fresh.objected_us, fresh.first_place) == (50_000, 0, 7)


def test_a_host_at_rest_is_asked_at_the_settings_pace() -> None:
    """With HOST_INTERVAL_MS every host has a line."""
    rules = replace(RULES, interval=500)
    pace = at_rest(KEY, now=NOW, least=rules.least(NO_WISH))
    assert [due(pace, place) - NOW for place in range(4)] == [0, 500, 1000, 1500]
    slower = slowed(pace, KEY, sent_at=NOW, now=NOW, cooling=0, wish=NO_WISH, rules=rules)
    assert slower is not None
    assert slower.interval_us == 1_000_000


def line(interval: int, *, since: int = NOW, standing: int = 20) -> Pace:
    """A line in which so many stand, of a host that never objected."""
    return replace(at_rest(KEY, now=since, least=interval), next_place=standing)


@pytest.mark.parametrize(("old", "new"), [(100, 10_000), (10_000, 100), (700, 900)])
@pytest.mark.parametrize("passed", [0, 1, 350, 2150, 9999])
def test_a_line_whose_interval_is_changed(old: int, new: int, passed: int) -> None:
    """Who stands in it stays there; nobody is due sooner after the one before than the new interval wants."""
    before, now = line(old), NOW + passed
    after = laid(before, KEY, now=now, wish=Wish(new), rules=RULES)
    assert (after.least_us, after.next_place) == (new * 1000, max(before.next_place, after.first_place))
    times = [due(before, place) if place < after.first_place else due(after, place) for place in range(20)]
    assert all(at <= now for at in times[: after.first_place])
    assert all(at >= now for at in times[after.first_place :])
    assert all(later - earlier >= new for earlier, later in itertools.pairwise(times[max(0, after.first_place - 1) :]))


def test_an_interval_that_is_changed_to_and_fro_keeps_nobody_from_the_host() -> None:
    """As where http and https of one host want different ones."""
    pace = line(1000)
    for second in range(60):
        wish = Wish(10_000 if second % 2 else 1000)
        pace = laid(pace, KEY, now=NOW + second * 1000 + 500, wish=wish, rules=RULES)
    assert 6 <= pace.first_place <= 30


def test_an_interval_is_changed_while_the_host_is_left_alone() -> None:
    """That stays as long as it asked for, and what it objected to is remembered."""
    slow = replace(objecting(objecting(None, NOW), NOW + 3000), next_place=5)
    after = laid(slow, KEY, now=NOW + 3001, wish=Wish(200), rules=RULES)
    assert (after.cool_until, after.slowed_at, after.objected_us) == (slow.cool_until, NOW + 3000, 50_000)
    assert interval_at(after, after.cool_until) == 200
    again = laid(after, KEY, now=NOW + 3002, wish=NO_WISH, rules=RULES)
    assert interval_at(again, after.cool_until) == 200
    assert interval_at(again, after.cool_until + 60_000) < 100


def test_the_same_interval_changes_nothing() -> None:
    """And a shorter one than the setting's is the setting's."""
    before = line(500)
    assert laid(before, KEY, now=NOW + 750, wish=Wish(400), rules=replace(RULES, interval=500)) is before


def test_a_new_line_begins_when_the_host_wishes() -> None:
    """Behind the places of the old one."""
    old = line(500, standing=1)
    fresh = laid(old, KEY, now=NOW + 1000, wish=Wish(10_000, NOW + 9000), rules=RULES)
    assert (fresh.first_place, due(fresh, 1), due(fresh, 2)) == (1, NOW + 9000, NOW + 19_000)


def test_a_host_that_objects_to_its_own_interval_is_asked_more_slowly() -> None:
    """Also where nobody's turn has come yet."""
    early = replace(line(10_000), cool_until=NOW + 10_000)
    slower = slowed(early, KEY, sent_at=NOW, now=NOW + 10, cooling=0, wish=Wish(10_000), rules=RULES)
    assert slower is not None
    assert (slower.interval_us, slower.cool_until) == (20_000_000, NOW + 10_000)


@given(
    interval=st.integers(0, 60_000_000),
    objected=st.integers(0, 60_000_000),
    least=st.sampled_from([0, 1, 100, 70_000]),
    place=st.integers(0, 10**6),
)
def test_a_place_is_the_first_that_is_due_when_it_is(interval: int, objected: int, least: int, place: int) -> None:
    """`due` and `place_at` are two readings of one curve; later places are due later."""
    pace = Pace(
        host_key=KEY,
        least_us=least * 1000,
        interval_us=interval,
        objected_us=objected,
        slowed_at=NOW,
        cool_until=NOW,
        first_place=0,
        next_place=0,
    )
    at = due(pace, place)
    assert due(pace, place + 1) >= at
    # Times are whole milliseconds, in which several places may be due.
    assert place_at(pace, at - 1) <= place <= place_at(pace, at + 1)
