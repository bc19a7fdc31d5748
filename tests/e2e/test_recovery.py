"""Nothing that was accepted is lost, whatever is killed, stopped or flaky."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.e2e.running import Running, running, runs, until

Fresh = Callable[[str], str]


def test_workers_killed_in_mid_fetch(stack: Running, fresh: Fresh) -> None:
    """The stack starts others, and the job succeeds with its second attempt once lease and visibility have passed."""
    path = fresh("/slow?seconds=3")
    job = stack.submit(stack.page(path))
    until(lambda: stack.requests(path) == 1)
    killed = stack.workers
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    done = stack.finished(job["id"])
    assert (done["status"], done["attempts"], stack.requests(path)) == ("succeeded", 2, 2)
    assert len(stack.workers) == len(killed)
    assert not set(stack.workers) & set(killed)
    assert "was ended by signal 9; starting another" in stack.said


def test_workers_stopped_for_a_while(stack: Running, fresh: Fresh) -> None:
    """Jobs wait, and are done once."""
    paths = [fresh("/page") for _ in range(5)]
    with stack.stopped(*stack.workers):
        jobs = [stack.submit(stack.page(path)) for path in paths]
        assert {stack.job(job["id"])["status"] for job in jobs} == {"queued"}
    assert {stack.finished(job["id"])["status"] for job in jobs} == {"succeeded"}
    assert [stack.requests(path) for path in paths] == [1] * 5


def test_a_site_that_answers_the_second_time(stack: Running, fresh: Fresh) -> None:
    """503 is tried again."""
    path = fresh("/flaky")
    done = stack.finished(stack.submit(stack.page(path))["id"])
    assert (done["status"], done["attempts"], stack.requests(path)) == ("succeeded", 2, 2)


def test_a_page_that_is_not_there(stack: Running, fresh: Fresh) -> None:
    """404 fails with the first attempt, has no result, and blocks no later submission."""
    path = fresh("/missing")
    for seen in (1, 2):
        done = stack.finished(stack.submit(stack.page(path))["id"])
        assert (done["status"], done["attempts"], done["reused"]) == ("failed", 1, False)
        assert (done["error"]["type"], done["error"]["http_status"]) == ("http-status", 404)
        assert stack.ask("GET", f"/jobs/{done['id']}/result").status == 409
        assert stack.requests(path) == seen


def test_an_emulator_that_does_not_answer(stack: Running, fresh: Fresh) -> None:
    """503 with Retry-After; the same request sent again, with its key, is one job; and the service recovers."""
    path = fresh("/page")
    url, key = stack.page(path), {"Idempotency-Key": f"key-{path}"}
    with stack.stopped(stack.facts["pids"]["emulator"]):
        answer = stack.ask("POST", "/jobs", {"url": url}, **key)
        assert (answer.status, answer.json["type"].rpartition("/")[2]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    job = stack.submit(url, **key)
    assert stack.submit(url, **key)["id"] == job["id"]
    done = stack.finished(job["id"])
    assert (done["status"], stack.requests(path)) == ("succeeded", 1)
    other = stack.finished(stack.submit(stack.page(fresh("/page")))["id"])
    assert other["status"] == "succeeded"


def test_an_api_that_was_killed(stack: Running, fresh: Fresh) -> None:
    """Another is started on the same port, and what was accepted is there."""
    job = stack.submit(stack.page(fresh("/page")))
    killed = stack.facts["pids"]["api"]
    os.kill(killed, signal.SIGKILL)
    assert stack.job(job["id"])["id"] == job["id"]  # waits for the new one: the port stays open
    until(lambda: stack.facts["pids"]["api"] not in (killed, None))
    assert stack.finished(job["id"])["status"] == "succeeded"


def test_an_api_whose_request_takes_too_long(tmp_path: Path) -> None:
    """It ends as Lambda would end the function, so that nothing is written later; another answers on the same port."""
    with running(tmp_path, {"API_FUNCTION_SECONDS": "6", "WAIT_SECONDS": "1", "WORKERS": "0"}) as stack:
        ended = stack.facts["pids"]["api"]
        with stack.stopped(stack.facts["pids"]["emulator"]):
            answer = stack.ask("POST", "/jobs", {"url": stack.page("/hello.txt")})
            assert (answer.status, answer.json["type"].rpartition("/")[2]) == (503, "unavailable")
            assert answer.json["detail"].startswith("There was no answer in time.")
            until(lambda: not runs(ended))
        assert stack.submit(stack.page("/hello.txt"))["status"] == "queued"
        assert "api: POST /jobs timed out after 6 s" in stack.said
        assert "the API ended with status 70; starting another" in stack.said
