"""Whose turn it is at each host, during one invocation."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from chalicelib.jobs import pace
from chalicelib.jobs.entities import ErrorType, FetchError
from chalicelib.jobs.errors import FetchQueueError
from chalicelib.jobs.pace import NO_WISH, Pace, Turn, Wish
from chalicelib.storage.lines import Lines

_HOUR = 3_600_000  # ms
IN_WORKER = 1000  # ms; who has to wait longer waits as a copy of its message
_LATE_AFTER = 2000  # ms; all who are later than that would ask at once
_TROUBLES = 2  # that an invocation must have with a host, and with at least half of its attempts there


class HostBusy(FetchQueueError):
    """The line of a host is so long that the turn would not come in time."""


class Turns:
    """The hosts of an invocation's messages, and their lines as they were last seen. Safe to use from many threads."""

    def __init__(self, lines: Lines, clock: Callable[[], int]) -> None:
        self._lines = lines
        self._clock = clock
        self._paces: dict[str, Pace | None] = {}
        self._wishes: dict[str, Wish] = {}
        self._spent: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter()
        self._troubles: Counter[str] = Counter()

    def saw(self, host_key: str, seen: Pace | None) -> None:
        """Remember a pace that was read."""
        self._paces[host_key] = seen

    def wished(self, host_key: str, wish: Wish) -> None:
        """Remember what the host asks for."""
        self._wishes[host_key] = wish

    def has_line(self, host_key: str) -> bool:
        """True if who wants to ask the host must have a turn."""
        if host_key == "":
            return False
        return self._lines.rules.least(self._wish(host_key)) > 0 or self._pace(host_key) is not None

    def kept(self, host_key: str, place: int | None, *, redelivered: bool = False) -> Turn | None:
        """The turn of a place that was taken before; None if it is lost. Raises Unavailable.

        Whom the queue brings late is not alone: everybody's turn is moved by as much. Otherwise a queue that is behind,
        or a line that is faster than the workers, would cost all who come their places, again and again. A message that
        is `redelivered` is late by itself, and has lost its place.
        """
        if place is None or (host_key, place) in self._spent:
            return None
        while True:
            standing = self._paces.get(host_key)  # not forgotten while somebody comes who stands in line
            # What was due when the host was slowed is not behind those who were not.
            if standing is None or not standing.first_place <= place < standing.next_place:
                return None
            at, now = pace.due(standing, place), self._clock()
            if now - at <= _LATE_AFTER:
                return Turn(place, at)
            if redelivered:
                return None
            self._paces[host_key] = self._lines.move(standing, now - at, now=now)

    def spend(self, host_key: str, turn: Turn | None) -> None:
        """Note that the host was asked in this turn: who had it needs another one to ask again."""
        if turn is not None:
            self._spent.add((host_key, turn.place))

    def take(self, host_key: str, count: int = 1) -> list[Turn]:
        """Take places in the line. Raises HostBusy, and Unavailable."""
        turns = self._take(host_key, count)
        if not turns:
            raise HostBusy(host_key)
        return turns

    def lay(self, host_key: str) -> None:
        """Give a line that is there the interval that the host asks for. Raises Unavailable."""
        standing = self._pace(host_key)
        if standing is not None and standing.least_us != self._lines.rules.least(self._wish(host_key)) * 1000:
            self._take(host_key, 0)

    def refused(self, host_key: str, *, sent_at: int, cooling: int) -> None:
        """The host refused a request. Raises Unavailable."""
        self._slow(host_key, sent_at=sent_at, cooling=cooling)

    def answered(self, host_key: str, *, sent_at: int, well: bool) -> None:
        """The host answered a request, well or not, or did not answer. Raises Unavailable.

        One bad answer says something about a URL; several at once say something about the host.
        """
        with self._lock:
            self._attempts[host_key] += 1
            self._troubles[host_key] += not well
            troubled = self._troubles[host_key] >= max(_TROUBLES, self._attempts[host_key] / 2)
        if not well and troubled:
            self._slow(host_key, sent_at=sent_at, cooling=0)

    def crowded(self, host_key: str) -> None:
        """This process has so many requests open at the host that no other could be sent. Raises Unavailable."""
        self._slow(host_key, sent_at=self._clock(), cooling=0)

    def busy(self, host_key: str) -> FetchError:
        """Why a job fails whose turn does not come in time."""
        rules, standing = self._lines.rules, self._pace(host_key)
        least = rules.least(self._wish(host_key))
        interval = least if standing is None else max(least, pace.interval_at(standing, self._clock()))
        return FetchError(
            type=ErrorType.HOST_BUSY,
            detail=f"the host is asked once every {interval / 1000:.3g} s, and so many are waiting for it that this "
            f"one's turn would not have come within {rules.wait / _HOUR:g} hours; submit the URL again later",
        )

    def silent(self) -> FetchError:
        """Why a job fails whose site's robots.txt was not to be had in time."""
        return FetchError(
            type=ErrorType.HOST_BUSY,
            detail="nothing of the site may be fetched before its robots.txt is read, and the host did not give it out "
            f"within {self._lines.rules.wait / _HOUR:g} hours; submit the URL again later",
        )

    def latest(self, submitted_at: int) -> int:
        """When the turn of a job that was submitted then must come at the latest."""
        return submitted_at + self._lines.rules.wait

    def _take(self, host_key: str, count: int) -> list[Turn]:
        standing, wish = self._paces.get(host_key), self._wish(host_key)
        self._paces[host_key], turns = self._lines.take(standing, host_key, count, now=self._clock(), wish=wish)
        return turns

    def _slow(self, host_key: str, *, sent_at: int, cooling: int) -> None:
        if host_key == "":
            return  # of an older version's message: nobody knows whom it asked
        standing = self._paces.get(host_key)
        self._paces[host_key] = self._lines.slow(
            standing, host_key, sent_at=sent_at, now=self._clock(), cooling=cooling, wish=self._wish(host_key)
        )

    def _pace(self, host_key: str) -> Pace | None:
        return pace.remembered(self._paces.get(host_key), now=self._clock())

    def _wish(self, host_key: str) -> Wish:
        return self._wishes.get(host_key, NO_WISH)
