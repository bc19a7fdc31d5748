"""The hosts' lines in the table: how a host's pace is slowed, and how places in its line are taken.

HOST#<host key>   the members of `jobs.pace.Pace`

No job's end depends on them: where a write is lost, or made twice, places stay empty or are late.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from chalicelib.jobs import pace
from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.pace import HostRules, Pace, Turn, Wish
from chalicelib.storage import items
from chalicelib.storage.calls import Parallel, Patience, serial
from chalicelib.storage.expressions import Operation, all_of, update
from chalicelib.storage.rows import Rows

_KEPT_SECONDS = 7 * 86400  # after the last write, before an item may be swept

PACE_ABSENT = "attribute_not_exists(pk)"
PACE_UNCHANGED = "cool_until = :seen AND least_us = :least"  # who slows a host, or changes its interval, sets these
LINE_OVER = "next_place <= :due"
LINE_NOT_FULL = "next_place <= :last"
LINE_UNCHANGED = "next_place = :seen_next"


class Lines:
    """The paces and lines of hosts. Raises `Unavailable` if DynamoDB does not answer."""

    def __init__(
        self,
        client: Any,
        name: str,
        rules: HostRules,
        *,
        parallel: Parallel = serial,
        patience: Patience | None = None,
    ) -> None:
        self._rows = Rows(client, name, parallel=parallel, patience=patience)
        self.rules = rules

    def read(self, host_keys: Iterable[str]) -> dict[str, Pace]:
        """The paces that are known among these hosts'."""
        found = self._rows.read(map(items.host_key, host_keys))
        paces = map(items.as_pace, found.values())
        return {pace.host_key: pace for pace in paces}

    def take(
        self, standing: Pace | None, host_key: str, count: int, *, now: int, wish: Wish
    ) -> tuple[Pace, list[Turn]]:
        """Take so many places in a row, in one write; returns the line as it then is, and the turns.

        There are none if the line is so long already that none of them would be due in time. The line also gets the
        least interval that is wished; with a `count` of 0 that is all.
        """
        for _ in self._rows.patience.rounds():
            line = pace.laid(standing, host_key, now=now, wish=wish, rules=self.rules)
            full = line.next_place > self._last(line, now)
            taken = 0 if full else count
            if line != standing:
                change = self._replacing(standing, replace(line, next_place=line.next_place + taken), now)
            elif taken:
                change = self._going_on(line, taken, now)
            else:
                return line, []
            made, after = self._change(host_key, change)
            if made and after is not None:
                places = range(after.next_place - taken, after.next_place)
                return after, [Turn(place, max(now, pace.due(after, place))) for place in places]
            standing = after
        raise Unavailable("a host's line kept changing")

    def slow(
        self, standing: Pace | None, host_key: str, *, sent_at: int, now: int, cooling: int, wish: Wish
    ) -> Pace | None:
        """Slow a host that objected to a request, and leave it alone for `cooling` milliseconds; returns its pace.

        It is slowed once, however many requests that were sent before then it objects to.
        """
        for _ in self._rows.patience.rounds():
            slower = pace.slowed(
                standing, host_key, sent_at=sent_at, now=now, cooling=cooling, wish=wish, rules=self.rules
            )
            if slower is None:
                return standing
            made, after = self._change(host_key, self._replacing(standing, slower, now))
            if made:
                return after
            standing = after
        raise Unavailable("a host's pace kept changing")

    def move(self, standing: Pace, by: int, *, now: int) -> Pace | None:
        """Let all who stand in line be due so many milliseconds later; returns the line as it then is.

        It is moved once, however many see that it is late.
        """
        values = {":seen": standing.cool_until, ":least": standing.least_us}
        values |= {":moved": standing.cool_until + by, ":sweep": self._sweep_at(now)}
        change = "SET cool_until = :moved, sweep_at = :sweep"
        key = items.host_key(standing.host_key)
        _, after = self._change(standing.host_key, update(key, change, all_of(PACE_UNCHANGED), values))
        return after

    def _going_on(self, line: Pace, count: int, now: int) -> Operation:
        """Take places behind the last one that was taken, or, if all of those are due by now, from now on."""
        due = pace.place_at(line, now)
        values = {":count": count, ":due": due, ":end": due + count, ":last": self._last(line, now)}
        values |= {":seen": line.cool_until, ":least": line.least_us, ":sweep": self._sweep_at(now)}
        key, sets = items.host_key(line.host_key), "SET sweep_at = :sweep, next_place = "
        if line.next_place > due:  # and stays so: places are only taken
            return update(key, f"{sets} next_place + :count", all_of(PACE_UNCHANGED, LINE_NOT_FULL), values)
        return update(key, f"{sets} :end", all_of(PACE_UNCHANGED, LINE_OVER), values)

    def _replacing(self, standing: Pace | None, pace: Pace, now: int) -> Operation:
        members = items.decode_item(items.item_of(pace, self._sweep_at(now)))
        key = members.pop("pk")
        change = "SET " + ", ".join(f"{name} = :{name}" for name in members)
        values = {f":{name}": value for name, value in members.items()}
        if standing is None:
            return update(key, change, PACE_ABSENT, values)
        values |= {":seen": standing.cool_until, ":least": standing.least_us, ":seen_next": standing.next_place}
        return update(key, change, all_of(PACE_UNCHANGED, LINE_UNCHANGED), values)

    def _change(self, host_key: str, operation: Operation) -> tuple[bool, Pace | None]:
        members = {name: member for name, member in operation["Update"].items() if name != "Key"}
        made, item = self._rows.change(items.host_key(host_key), members)
        return made, items.as_pace(item) if item else None

    def _last(self, line: Pace, now: int) -> int:
        """The last place that may be taken now."""
        return pace.place_at(line, now + self.rules.wait)

    @staticmethod
    def _sweep_at(now: int) -> int:
        return now // 1000 + _KEPT_SECONDS
