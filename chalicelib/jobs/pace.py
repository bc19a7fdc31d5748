"""How slowly a host wants to be asked, for one tenant. Pure.

A host that objects, by refusing requests or by failing to answer them, gets a pace: an interval between two requests,
and a line in which jobs take numbered places. The interval doubles with each objection. While there is none it shrinks
along a curve that depends on nothing but the time, so that it need not be written down:

    interval
      2x  *                     x is the interval at which the host objected last
           *
            *
    1.4x     * * *
                   * * * * *
       x                     * * * * * * * ...
           5 s  in a few minutes back to x, where the host may object again

Fast to where it is safe, slow from there on: a host whose limit stays the same is asked at nearly that limit, and
objects every few minutes. Ten minutes after its last objection, once nobody stands in line, the pace is forgotten.

The row of a host says when it objected and which place was due then; the curve says when any other place is due. So a
job keeps its place when the host is slowed, and is due later; nothing need be written about it.

The row also says the least interval, below which no curve falls: that of the setting, or a longer one that the host
asks for. So whoever reads a row knows its times, whatever is wanted of the host by then.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

FIRST_INTERVAL = 50.0  # ms; of a host that was asked without a pace before
LONGEST_INTERVAL = 60_000.0
LEAST_INTERVAL = 1.0  # ms; no curve falls below it
COOLING = 5000  # ms without a request to a host that refused one and does not say for how long
LEAST_COOLING = 2000  # ms without a request after an objection; longer than anybody waits for its turn in a worker
FORGOTTEN_AFTER = 600_000  # ms since the host objected last
_FAST = math.log(2) / 10_000  # per ms: the interval is halved in 10 s,
_SAFE = 1.4  # down to so many times the one at which the host objected,
_SLOW = 1 / 500_000  # and shrinks slowly from there on
_ROUNDING = 1e-6  # of a place


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What is known of one host, for one tenant. Times are milliseconds since the epoch."""

    host_key: str
    least_us: int  # microseconds between two requests at least, whatever the host does
    interval_us: int  # microseconds between two requests, right after the host objected; 0: it never did
    objected_us: int  # the interval at which it did
    slowed_at: int  # when it was last slowed; 0: never
    cool_until: int  # no request is sent before then, when `first_place` is due
    first_place: int
    next_place: int  # that can be taken


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules:
    """The settings that paces depend on, in milliseconds."""

    interval: int  # the least between two requests to a host; 0: a host that does not object has no line
    wait: int  # how long a job may wait for its turn, from its submission
    longest_cooling: int  # for which a host may ask not to be asked at all

    def least(self, wish: Wish) -> int:
        """The least interval between two requests to a host with this wish."""
        return max(self.interval, wish.interval)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a host asks for, however well it answers."""

    interval: int = 0  # ms between two requests
    not_before: int = 0  # when the first request of a new line may be sent


NO_WISH = Wish()


@dataclass(frozen=True, slots=True)
class Turn:
    """A place in a host's line, and when it is due, as far as is known now."""

    place: int
    at: int


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A part of the curve: from `begins` on (ms after `cool_until`) the interval shrinks by e^-(rate x time)."""

    begins: float
    interval: float  # ms
    rate: float  # per ms; 0: it stays

    def places(self, passed: float) -> float:
        """How many places are due within this time."""
        if self.rate == 0:
            return passed / self.interval
        return math.expm1(min(self.rate * passed, 700)) / (self.rate * self.interval)

    def passed(self, places: float) -> float:
        """After what time so many places are due."""
        if self.rate == 0:
            return places * self.interval
        return math.log1p(places * self.rate * self.interval) / self.rate


def interval_at(pace: Pace, at: int) -> float:
    """The interval between two requests at a time, in milliseconds."""
    passed = max(0, at - pace.cool_until)
    *_, stretch = (each for each in _curve(pace) if each.begins <= passed)
    return stretch.interval * math.exp(-stretch.rate * (passed - stretch.begins))


def due(pace: Pace, place: int) -> int:
    """When a place is due."""
    left = float(max(0, place - pace.first_place))
    for stretch, many in _with_places(pace):
        if left <= many:
            return pace.cool_until + math.ceil(stretch.begins + stretch.passed(left))
        left -= many
    raise AssertionError("the last stretch has no end")


def place_at(pace: Pace, at: int) -> int:
    """The first place that is not due before a time."""
    passed = float(at - pace.cool_until)
    count = 0.0
    for stretch, many in _with_places(pace):
        if passed <= stretch.begins:
            break
        count += min(many, stretch.places(passed - stretch.begins))
    return pace.first_place + math.ceil(count - _ROUNDING)


def at_rest(host_key: str, *, now: int, least: int, first_place: int = 0) -> Pace:
    """The pace of a host that never objected, or not for long: its interval is the least, in milliseconds."""
    return Pace(
        host_key=host_key,
        least_us=least * 1000,
        interval_us=0,
        objected_us=0,
        slowed_at=0,
        cool_until=now,
        first_place=first_place,
        next_place=first_place,
    )


def remembered(pace: Pace | None, *, now: int) -> Pace | None:
    """The pace, unless it is forgotten by now: long after the last objection, and whoever came now would not wait."""
    if pace is None or (now - pace.slowed_at > FORGOTTEN_AFTER and due(pace, pace.next_place) <= now):
        return None
    return pace


def laid(pace: Pace | None, host_key: str, *, now: int, wish: Wish, rules: HostRules) -> Pace:
    """The pace from which places are taken now: the one that is remembered, or a new one, with the least interval.

    Where that has changed, whoever is not due yet stays in line, and is due by the new curve. The first of them is due
    no sooner than the old or the new interval after the one before it, and no later for a change that is taken back.
    """
    least = rules.least(wish)
    old = remembered(pace, now=now)
    if old is None:
        begins = max(now, wish.not_before)
        return at_rest(host_key, now=begins, least=least, first_place=pace.next_place if pace else 0)
    if old.least_us == least * 1000:
        return old
    changed = replace(old, least_us=least * 1000)
    interval, reached, first_at = interval_at(changed, now), place_at(old, now), old.cool_until
    if reached < old.next_place and due(old, reached) == now:
        reached += 1
    if reached > old.first_place:
        first_at = max(due(old, reached), due(old, reached - 1) + math.ceil(interval))
    return replace(
        changed,
        interval_us=round(interval * 1000) if old.slowed_at else 0,
        cool_until=max(first_at, wish.not_before),
        first_place=reached,
        next_place=max(old.next_place, reached),
    )


def slowed(
    pace: Pace | None, host_key: str, *, sent_at: int, now: int, cooling: int, wish: Wish, rules: HostRules
) -> Pace | None:
    """The pace after a host objected to a request; None if that is no news: it was sent before the host was slowed.

    `cooling` is for how many milliseconds the host asks not to be asked at all.
    """
    if pace is not None and pace.slowed_at and sent_at < pace.cool_until:
        return None
    least = rules.least(wish)
    old = remembered(pace, now=now) or at_rest(
        host_key, now=now, least=least, first_place=pace.next_place if pace else 0
    )
    objected = interval_at(old, sent_at) if old.slowed_at else old.least_us / 1000
    interval = min(max(LONGEST_INTERVAL, least), max(FIRST_INTERVAL, 2 * objected))
    reached = place_at(old, now)
    return Pace(
        host_key=host_key,
        least_us=least * 1000,
        interval_us=round(interval * 1000),
        objected_us=round(objected * 1000),
        slowed_at=now,
        cool_until=max(
            old.cool_until, now + min(max(LEAST_COOLING, cooling), max(LEAST_COOLING, rules.longest_cooling))
        ),
        first_place=reached,
        next_place=max(old.next_place, reached),
    )


def _with_places(pace: Pace) -> Iterator[tuple[_Stretch, float]]:
    """The parts of the curve, with how many places are due in each."""
    stretches = list(_curve(pace))
    for stretch, following in itertools.pairwise(stretches):
        yield stretch, stretch.places(following.begins - stretch.begins)
    yield stretches[-1], math.inf


def _curve(pace: Pace) -> Iterator[_Stretch]:
    lowest = max(pace.least_us / 1000, LEAST_INTERVAL)
    interval, begins = max(pace.interval_us / 1000, lowest), 0.0
    for rate, floor in ((_FAST, max(_SAFE * pace.objected_us / 1000, lowest)), (_SLOW, lowest)):
        if interval > floor:
            yield _Stretch(begins, interval, rate)
            begins += math.log(interval / floor) / rate
            interval = floor
    yield _Stretch(begins, interval, 0)
