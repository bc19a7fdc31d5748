"""A run that is killed, wherever it is: the same command goes on, submits nothing twice and reads nothing again."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from fetch_queue.options import World
from fetch_queue.shell import run

from tests.client.conftest import Ran
from tests.client.fake import Service, Time
from tests.client.test_submission import saved

URLS = [f"https://example.com/{number}" for number in range(4)]
KILLED = 137
MOST_STEPS = 500


class Steps:
    """Ends the process at a step. A step is what is between two things that others see: requests, syncs, renames."""

    def __init__(self, last: int) -> None:
        self._last = last
        self._lock = threading.Lock()

    def take(self) -> None:
        """One step more."""
        with self._lock:
            self._last -= 1
            if self._last == 0:
                os._exit(KILLED)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The call, with a step before and after it."""

        def stepping(*arguments: Any, **named: Any) -> Any:
            self.take()
            value = call(*arguments, **named)
            self.take()
            return value

        return stepping


def killed_at(step: int, arguments: list[str], time: Time, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command in a process of its own that ends at a step; its exit code, `KILLED` where it got there."""
    child = os.fork()
    if child == 0:
        steps = Steps(step)
        monkeypatch.setattr(requests.Session, "send", steps.around(requests.Session.send))
        monkeypatch.setattr(os, "fsync", steps.around(os.fsync))
        monkeypatch.setattr(Path, "replace", steps.around(Path.replace))
        code = 70
        try:
            code = run(arguments, World(time.timing))
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def is_done_once(service: Service, out: Path) -> None:
    """Every URL is one job, and its result is there, once."""
    assert Counter(service.submitted()) == Counter(URLS)
    assert sorted(saved(out).values()) == sorted(service.bytes_of(url)[1] for url in URLS)
    assert not [path for path in out.iterdir() if path.name.endswith((".partial", ".new"))]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_at_every_step(
    service: Service, command: Callable[..., Ran], time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run ends with exit code 0; no key and no body is a new one, and what was saved is not read again."""
    for step in range(1, MOST_STEPS):
        out = tmp_path / str(step)
        service.batches.clear()
        service.seen.clear()
        service.downloads.clear()
        arguments = ["submit", *URLS, "--batch-size", "3", "--output", str(out)]
        code = killed_at(step, arguments, time, monkeypatch)
        there, read = saved(out) if out.exists() else {}, Counter(service.downloads)
        ran = command(*arguments)
        assert (step, ran.code) == (step, 0), ran.err
        is_done_once(service, out)
        assert (
            len({(seen.headers["idempotency-key"], seen.body) for seen in service.seen if seen.method == "POST"}) == 2
        )
        jobs = [f"{batch.id}-{n}" for batch in service.batches.values() for n in range(len(batch.urls))]
        again = [
            job
            for job, url in zip(jobs, service.submitted(), strict=True)
            if service.bytes_of(url)[1] in there.values() and service.downloads[job] > read[job]
        ]
        assert again == []
        if code == 0:
            break
        assert code == KILLED
    assert 40 < step < MOST_STEPS - 1
    print("STEPS", step)
    assert service.asked("POST", "") == 2  # the last one was not killed, and what came after it had nothing to do


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_again_and_again(service: Service, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run is killed a step later than the one before; one of them gets to the end."""
    monkeypatch.setenv("FETCH_QUEUE_URL", service.url)
    arguments = ["submit", *URLS, "--batch-size", "3", "--output", str(tmp_path)]
    codes = [killed_at(step, arguments, time, monkeypatch) for step in range(1, 40)]
    assert set(codes) == {0, KILLED}
    assert codes[-1] == 0
    is_done_once(service, tmp_path)


def test_nothing_is_left_to_do(service: Service, command: Callable[..., Ran], tmp_path: Path) -> None:
    """A run that is done asks the service nothing; what somebody removed or damaged is read again, and that alone."""
    arguments = ["submit", *URLS, "--output", str(tmp_path)]
    assert command(*arguments).code == 0
    asked = len(service.seen)
    assert command(*arguments).code == 0
    assert len(service.seen) == asked
    (tmp_path / "example.com_1.txt").unlink()
    (tmp_path / "example.com_2.txt").write_text("shorter")
    assert command(*arguments).code == 0
    assert sorted(service.downloads.values()) == [1, 1, 2, 2]
    assert (tmp_path / "example.com_1.txt").read_bytes() == service.bytes_of(URLS[1])[1]
    assert (tmp_path / "example.com_2.txt").read_text() == "shorter"  # which may be somebody's own
    assert (tmp_path / "example.com_2-2.txt").read_bytes() == service.bytes_of(URLS[2])[1]


def test_without_a_manifest_there_is_nothing_to_go_on_with(service: Service, command: Callable[..., Ran]) -> None:
    """The same command submits everything anew, as its help says."""
    for _ in range(2):
        command("submit", *URLS)
    assert len(service.submitted()) == 2 * len(URLS)
    assert "submit everything again" in " ".join(command("submit", "--help").out.split())
