"""What CloudWatch is told, as lines of its embedded metric format."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from chalicelib.metrics import Metric, Metrics
from tests.world import SECOND, World, failure

URL = "https://example.com/"


def told(lines: list[str]) -> dict[tuple[str, str, str], list[float]]:
    """Values by service, metric and type of error, each declared as CloudWatch wants it."""
    found: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for line in lines:
        body: dict[str, Any] = json.loads(line)
        (directive,) = body["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "FetchQueue"
        assert all(name in body for names in directive["Dimensions"] for name in names)
        for metric in directive["Metrics"]:
            found[(body["service"], metric["Name"], body.get("error_type", ""))] += body[metric["Name"]]
    return found


def test_a_day_in_the_life(w: World) -> None:
    """Submitted, fetched, reused, retried, failed by type, bytes, times."""
    w.site.answers[URL + "gone"] = [failure(404)]
    w.site.answers[URL + "busy"] = [failure(503, retryable=True), b"12345"]
    w.submit_batch([URL, URL, URL + "gone", URL + "busy", "ftp://x/"])
    w.submit(URL)
    w.pass_time(2 * SECOND)
    w.run_until_done()
    found = told(w.metrics)
    assert found["api", "Submitted", ""] == [4, 1]
    assert found["api", "Rejected", ""] == [1]
    assert sum(found["runner", "Fetched", ""]) == 2
    assert sum(found["runner", "Reused", ""]) == 2
    assert sum(found["runner", "Retried", ""]) == 1
    assert found["runner", "Failed", "http-status"] == [1]
    assert sorted(found["runner", "Bytes", ""]) == [5, len(b"bytes of " + URL.encode())]
    assert found["runner", "QueueAge", ""] == [2000, 2000, 2000]
    assert len(found["runner", "FetchTime", ""]) == 4


def test_nothing_is_lost_of_many() -> None:
    """A line holds so many values of a metric; more go into further lines."""
    lines: list[str] = []
    metrics = Metrics("test", enabled=True, write=lines.append)
    for value in range(250):
        metrics.add(Metric.BYTES, value)
    metrics.flush()
    assert len(lines) == 3
    assert told(lines)["test", "Bytes", ""] == list(range(250))
    metrics.flush()
    assert len(lines) == 3


def test_off_is_silent() -> None:
    """On a person's own machine nothing is written."""
    lines: list[str] = []
    metrics = Metrics("test", enabled=False, write=lines.append)
    metrics.add(Metric.FETCHED)
    metrics.flush()
    assert lines == []
