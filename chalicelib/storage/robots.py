"""What is known of sites' robots.txt, in the table, and who asks for one.

ROBOTS#<tenant>/<origin>   the members of `jobs.robots.RobotsFile`

No job's end depends on them: where a write is lost or a worker dies, a robots.txt is asked for again.
"""

from __future__ import annotations

from typing import Any

from chalicelib.jobs.robots import DAY, RobotsFile
from chalicelib.storage import items
from chalicelib.storage.calls import Patience
from chalicelib.storage.expressions import all_of, any_of, put, update
from chalicelib.storage.rows import Rows

_KEPT_SECONDS = 2 * DAY // 1000  # after the last write, before an item may be swept

FILE_ABSENT = "attribute_not_exists(pk)"
FILE_OVER = "valid_until <= :now"
NOBODY_ASKS = "asked_until <= :now"
MINE_TO_ASK = "asked_until = :mine"


class RobotsFiles:
    """The items. Raises `Unavailable` if DynamoDB does not answer."""

    def __init__(self, client: Any, name: str, *, patience: Patience | None = None) -> None:
        self._rows = Rows(client, name, patience=patience)

    def ask(self, key: str, *, until: int, now: int) -> bool:
        """Be the one who asks, until then; False if what was found still stands, or another asks."""
        over = all_of(FILE_OVER, NOBODY_ASKS)
        free = any_of(FILE_ABSENT, f"({over})")
        values = {":now": now, ":until": until, ":nothing": 0, ":sweep": _sweep_at(now)}
        change = "SET asked_until = :until, valid_until = :nothing, sweep_at = :sweep"
        return self._rows.write([update(items.robots_key(key), change, free, values)])

    def keep(self, file: RobotsFile, *, mine: int, now: int) -> bool:
        """Keep what was found by the one who asks until `mine`; False if that is another by now."""
        return self._rows.write([put(items.item_of(file, _sweep_at(now)), MINE_TO_ASK, {":mine": mine})])

    def give_up(self, key: str, *, mine: int) -> bool:
        """Let another ask; False if it does already."""
        change, values = "SET asked_until = :nobody", {":mine": mine, ":nobody": 0}
        return self._rows.write([update(items.robots_key(key), change, MINE_TO_ASK, values)])


def _sweep_at(now: int) -> int:
    return now // 1000 + _KEPT_SECONDS
