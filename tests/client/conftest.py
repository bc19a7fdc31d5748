"""A fake service, time that needs no waiting, and the command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "client"))

from fetch_queue import FetchQueue
from fetch_queue.options import World
from fetch_queue.shell import run

from tests.client.fake import Service, Time, serving


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's own settings, proxies and .netrc change nothing."""
    for name in ("FETCH_QUEUE_URL", "FETCH_QUEUE_TOKEN", "http_proxy", "https_proxy", "all_proxy", "no_proxy", "NETRC"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def service() -> Iterator[Service]:
    """A service that nothing was submitted to."""
    with serving() as service:
        yield service


@pytest.fixture
def time() -> Time:
    """Time that passes when somebody sleeps."""
    return Time()


@pytest.fixture
def queue(service: Service, time: Time) -> FetchQueue:
    """A client of the service."""
    return FetchQueue(service.url, timing=time.timing)


@pytest.fixture
def command(
    service: Service, time: Time, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """Runs the command line against the service."""
    monkeypatch.setenv("FETCH_QUEUE_URL", service.url)

    def command(*arguments: str, sessions: Callable[[], requests.Session] | None = None) -> Ran:
        capfd.readouterr()
        code = run(arguments, World(time.timing, sessions))
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return command
