"""The decision of a DELETE, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib.jobs.decide import Rules
from chalicelib.jobs.entities import Fetch, Job, Mark, Status
from chalicelib.jobs.leave import (
    Absent,
    Decision,
    Deleted,
    Depart,
    Departure,
    Finish,
    LookAgain,
    Seen,
    decide,
    departures,
)

RULES = Rules(window=1000, retention=10_000, max_attempts=3, skew=0, wait=0)
NOW = 100_000
JOB = Job(id="j", tenant="t", url="https://a.example/", url_key="k", submitted_at=NOW - 10)
SHARING = replace(JOB, fetch_id="f")
EXPIRED = replace(SHARING, submitted_at=NOW - RULES.retention)
FETCH = Fetch(
    id="f", url=JOB.url, url_key="k", status=Status.QUEUED, jobs=1, attempt=1, lease_until=NOW, submitted_at=NOW - 10
)
MARK = Mark(id="j", tenant="t", sweep_at=NOW // 1000 + 60)
UNFINISHED = replace(MARK, fetch_id="f", url_key="k", attempts=1)
OVER = replace(UNFINISHED, sweep_at=NOW // 1000 + 1)


@pytest.mark.parametrize(
    ("seen", "decision"),
    [
        (Seen(row=None), Absent()),
        (Seen(row=EXPIRED, fetch=FETCH), Absent()),
        (Seen(row=JOB), Depart(JOB, None)),
        (Seen(row=SHARING, fetch=FETCH), Depart(SHARING, FETCH)),
        (Seen(row=SHARING, fetch=FETCH, seen_before=True, fetch_was_gone=True), Depart(SHARING, FETCH)),
        (Seen(row=SHARING), LookAgain()),
        (Seen(row=SHARING, seen_before=True), LookAgain()),
        (Seen(row=SHARING, seen_before=True, fetch_was_gone=True), Absent()),
        (Seen(row=UNFINISHED), Finish(UNFINISHED)),
        (Seen(row=UNFINISHED, seen_before=True), Finish(UNFINISHED)),
        (Seen(row=MARK), Absent()),
        (Seen(row=MARK, seen_before=True), Deleted()),
        (Seen(row=OVER), Absent()),
        (Seen(row=OVER, seen_before=True), Absent()),
    ],
)
def test_each_case(seen: Seen, decision: Decision) -> None:
    assert decide(seen, now=NOW, rules=RULES) == decision


def test_sharers_leave_together() -> None:
    """Those without a fetch leave alone."""
    others = [replace(SHARING, id=str(number)) for number in range(2)]
    leaving = [Depart(others[0], FETCH), Depart(JOB, None), Depart(others[1], FETCH)]
    assert list(departures(leaving)) == [Departure([JOB], None), Departure(others, FETCH)]
