"""The simulation of a long list of one host: the real code's decisions lose nothing, and a seed gives the same."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
from botocore.exceptions import ClientError

from bench.bucket import Bucket
from bench.pace_simulation import Case, Seen, Simulation, measure
from bench.virtual import MemoryTable, Process, Time
from chalicelib.jobs.pace import NO_WISH, HostRules
from chalicelib.settings import Settings
from chalicelib.storage.calls import Patience
from chalicelib.storage.lines import Lines

SLOW = Case(urls=200, rate=2)


def ran(case: Case, seed: int = 1) -> Seen:
    """What became of a case."""
    return Simulation(case, seed).run()


@pytest.mark.parametrize(
    "case",
    [
        SLOW,
        Case(urls=400, rate=20),
        Case(urls=200, rate=math.inf),
        Case(urls=200, rate=2, later=20, changes_at=30_000),
        Case(urls=300, rate=10, burst=2000),
    ],
    ids=lambda case: case.text,
)
def test_every_url_comes_through(case: Case) -> None:
    """The site refuses no more than what was sent before it refused anything."""
    seen = ran(case)
    assert (seen.lost, dict(seen.ended)) == (0, {"succeeded": case.urls})
    assert len(seen.taken) == case.urls
    assert len(seen.refused) <= 200  # 20 invocations of ten


def test_the_time_that_it_takes() -> None:
    """A list of a host whose rate stays takes less than half as long again as its rate needs."""
    seen = ran(SLOW)
    assert 1 <= seen.over_ideal <= 1.5
    assert seen.copies >= SLOW.urls / 2
    assert seen.waits


def test_a_line_that_is_longer_than_the_wait() -> None:
    """Who cannot come through is told at once, and the others come through."""
    seen = Simulation(Case(urls=500, rate=1 / 30), 1, Settings(host_wait_hours=1)).run()
    assert seen.lost == 0
    assert seen.ended["succeeded"] > 60
    assert seen.ended["host-busy"] > 300


def test_the_same_seed_gives_the_same() -> None:
    """Every figure; another seed gives others."""
    assert asdict(ran(SLOW)) == asdict(ran(SLOW))
    assert asdict(ran(SLOW)) != asdict(ran(SLOW, seed=2))


def test_the_tables() -> None:
    """A row for each case, and a table more where the rate changes."""
    cases = [SLOW, Case(urls=200, rate=2, later=20, changes_at=30_000)]
    rows, over_time = measure(1, cases)
    assert [row[1] for row in rows.rows] == ["2", "2, then 20"]
    assert over_time.rows[0][0] == "0"


def test_a_bucket() -> None:
    """It holds what comes in a second."""
    bucket = Bucket.full(2, now=10)
    assert [bucket.take(at) for at in (10, 10, 10, 10.5, 10.5, 20, 20, 20)] == [True] * 2 + [False] + [True, False] + [
        True,
        True,
        False,
    ]


def test_time_passes_in_order() -> None:
    """The process whose pause ends first goes on first; as many milliseconds have passed as it said."""
    time, seen = Time(), list[tuple[str, int]]()
    began = time.now()

    def process(name: str, pause: float) -> Process[None]:
        for _ in range(2):
            yield pause
            seen.append((name, time.now() - began))

    time.start(process("slow", 30))
    time.start(process("quick", 20))
    time.run(lambda: False)
    assert seen == [("quick", 20), ("slow", 30), ("quick", 40), ("slow", 60)]


def test_the_table_in_memory_refuses_what_dynamodb_refuses() -> None:
    """Lines are laid in it as in the real one: two who saw the same get different places."""
    table = MemoryTable()
    rules = HostRules(interval=0, wait=60_000, longest_cooling=1000)
    lines = Lines(table, "table", rules, patience=Patience(sleep=lambda _: None))
    slowed = lines.slow(None, "local/example.com", sent_at=0, now=0, cooling=0, wish=NO_WISH)
    taken = [lines.take(slowed, "local/example.com", 2, now=0, wish=NO_WISH) for _ in range(2)]
    assert [[turn.place for turn in turns] for _, turns in taken] == [[0, 1], [2, 3]]
    assert lines.slow(None, "local/example.com", sent_at=0, now=0, cooling=0, wish=NO_WISH) == lines.read(
        ["local/example.com"]
    ).get("local/example.com")
    with pytest.raises(ClientError):
        table.update_item(
            Key={"pk": {"S": "HOST#local/example.com"}},
            UpdateExpression="SET next_place = :one",
            ConditionExpression="attribute_not_exists(pk)",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )
