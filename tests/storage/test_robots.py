"""Who asks for a robots.txt, and what is kept of it."""

from __future__ import annotations

import pytest

from chalicelib.jobs.robots import DAY, Found, RobotsFile
from chalicelib.storage import items
from chalicelib.storage.robots import RobotsFiles
from tests.world import SECOND, World

KEY = "local/https://example.com"
LEASE = 75 * SECOND


@pytest.fixture
def files(w: World) -> RobotsFiles:
    """The table's."""
    return RobotsFiles(w.clients["dynamodb"], w.names["TABLE_NAME"])


def found(at: int, **members: object) -> RobotsFile:
    """What was found at a time, for a day."""
    file = {"key": KEY, "asked_until": 0, "valid_until": at + DAY, "found": Found.NONE, "fetched_at": at, **members}
    return RobotsFile(**file)  # type: ignore[arg-type]


def kept(w: World) -> RobotsFile:
    """What the table has."""
    item = w.clients["dynamodb"].get_item(TableName=w.names["TABLE_NAME"], Key={"pk": {"S": f"ROBOTS#{KEY}"}})["Item"]
    return items.as_robots(item)


def test_one_asks(w: World, files: RobotsFiles) -> None:
    """Until its lease is over, and each origin by itself."""
    assert files.ask(KEY, until=w.now + LEASE, now=w.now)
    assert not files.ask(KEY, until=w.now + LEASE + 1, now=w.now + LEASE - 1)
    assert files.ask("local/http://example.com", until=w.now + LEASE, now=w.now)
    assert files.ask(KEY, until=w.now + 2 * LEASE, now=w.now + LEASE)


def test_what_was_found_stands(w: World, files: RobotsFiles) -> None:
    """For its time; who asks then need not wait for the lease of the one before."""
    assert files.ask(KEY, until=w.now + LEASE, now=w.now)
    assert files.keep(found(w.now), mine=w.now + LEASE, now=w.now)
    assert not files.ask(KEY, until=w.now + DAY, now=w.now + DAY - 1)
    assert files.ask(KEY, until=w.now + DAY + LEASE, now=w.now + DAY)


def test_nothing_of_the_day_before_stays(w: World, files: RobotsFiles) -> None:
    """While somebody asks again the delay is still known; then all is new."""
    for at, members in ((w.now, {"found": Found.TEXT, "text_key": "robots/1", "delay": 10}), (w.now + DAY, {})):
        assert files.ask(KEY, until=at + LEASE, now=at)
        assert kept(w).delay == (0 if at == w.now else 10)
        assert files.keep(found(at, **members), mine=at + LEASE, now=at)
        assert kept(w) == found(at, **members)


def test_who_is_late_keeps_nothing(w: World, files: RobotsFiles) -> None:
    """Another asks by then, and is not disturbed."""
    files.ask(KEY, until=w.now + LEASE, now=w.now)
    files.ask(KEY, until=w.now + 2 * LEASE, now=w.now + LEASE)
    assert not files.keep(found(w.now), mine=w.now + LEASE, now=w.now + LEASE)
    assert not files.give_up(KEY, mine=w.now + LEASE)
    assert not files.ask(KEY, until=w.now + 9 * LEASE, now=w.now + LEASE)


def test_who_gives_up_lets_another_ask(w: World, files: RobotsFiles) -> None:
    """At once."""
    files.ask(KEY, until=w.now + LEASE, now=w.now)
    assert files.give_up(KEY, mine=w.now + LEASE)
    assert files.ask(KEY, until=w.now + LEASE + 1, now=w.now)


def test_an_item_is_swept_some_day(w: World, files: RobotsFiles) -> None:
    """Long after it stands for anything."""
    files.ask(KEY, until=w.now + LEASE, now=w.now)
    w.sweep()
    assert w.items()
    files.keep(found(w.now), mine=w.now + LEASE, now=w.now)
    w.pass_time(3 * DAY)
    w.sweep()
    assert not w.items()
