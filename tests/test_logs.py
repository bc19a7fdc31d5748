"""Logs: a JSON object a line, with the ids of what it is about."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator

import pytest

from chalicelib.logs import JsonFormatter, log_context
from tests.world import World, failure

URL = "https://example.com/"


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    """What is logged, as it would be read."""
    found: list[dict[str, object]] = []

    class Reader(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(JsonFormatter().format(record)))

    log = logging.getLogger("fetch_queue")
    reader, level = Reader(), log.level
    log.addHandler(reader)
    log.setLevel(logging.INFO)
    yield found
    log.removeHandler(reader)
    log.setLevel(level)


def test_every_line_says_which_job(w: World, lines: list[dict[str, object]]) -> None:
    """Whatever the runner logs can be found by the job's id, and an attempt by the fetch's."""
    w.site.answers[URL] = [failure(503, retryable=True), b"x"]
    w.site.during = lambda url: logging.getLogger("fetch_queue.fetch").info("hop", extra={"url": url})
    job_id = w.submit(URL)["id"]
    w.run_until_done()
    assert {line["job_id"] for line in lines} == {job_id}
    hops = [line for line in lines if line["message"] == "hop"]
    assert [(line["fetch_id"], line["attempt"]) for line in hops] == [(job_id, 1), (job_id, 2)]


def test_ids_end_with_their_block(lines: list[dict[str, object]]) -> None:
    """A line after it is about nothing any more."""
    log = logging.getLogger("fetch_queue.test")
    with log_context(job_id="a"), log_context(fetch_id="b"):
        log.info("in")
    log.info("out")
    assert (lines[0]["job_id"], lines[0]["fetch_id"]) == ("a", "b")
    assert "job_id" not in lines[1]


def test_a_line(lines: list[dict[str, object]]) -> None:
    """Time, level, message, and the trace of an exception."""
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("fetch_queue.test").exception("it failed")
    (line,) = lines
    assert (line["level"], line["message"]) == ("ERROR", "it failed")
    assert "ValueError: why" in str(line["exception"])
    assert time.strptime(str(line["time"]), "%Y-%m-%dT%H:%M:%S.%fZ")
