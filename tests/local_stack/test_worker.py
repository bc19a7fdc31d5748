"""A worker polls with all of its pollers, or ends so that the launcher starts one that does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

import pytest

from local_stack.event_source import EventSource
from local_stack.worker import POLLER_LOST, work


class Source:
    """Polls in its own way."""

    def __init__(self, run: Callable[[threading.Event], object]) -> None:
        self.run = run


def sources(*runs: Callable[[threading.Event], object]) -> list[EventSource]:
    return [cast("EventSource", Source(run)) for run in runs]


def raises(error: BaseException) -> Callable[[threading.Event], object]:
    def run(stop: threading.Event) -> None:
        raise error

    return run


def test_it_works_until_it_is_told_to_end() -> None:
    """And lets what is being worked on finish."""
    stop, finished = threading.Event(), []

    def poll(stop: threading.Event) -> None:
        stop.wait()
        finished.append(True)

    threading.Timer(0.01, stop.set).start()
    assert work(sources(poll, poll), stop) == 0
    assert finished == [True, True]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    "run", [lambda stop: None, raises(MemoryError()), raises(KeyboardInterrupt()), raises(SystemExit(0))]
)
def test_without_one_of_its_pollers_it_ends(
    run: Callable[[threading.Event], object], capsys: pytest.CaptureFixture[str]
) -> None:
    """With a status that says so; the others are told to end, too."""
    assert work(sources(threading.Event.wait, run), threading.Event()) == POLLER_LOST != 0
    assert "a poller has ended; this worker ends too" in capsys.readouterr().err


def test_what_does_not_end_is_not_waited_for() -> None:
    """The process ends with it."""
    stop, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def poll(stop: threading.Event) -> None:
        go_on.wait()
        ended.set()

    stop.set()
    try:
        assert work(sources(poll), stop, grace_seconds=0) == 0
        assert not ended.is_set()
    finally:
        go_on.set()
        ended.wait()
