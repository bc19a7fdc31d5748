"""Child processes: they end with their parent, and are started again when they end by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local_stack.children import Child, end_all
from tests.processes import END_SECONDS, started

ROOT = Path(__file__).parent.parent.parent
# Says that it is up by making a file, then lives until its standard input ends.
OBEDIENT = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch(); sys.stdin.read()"
DEAF = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
LAUNCHER = """
import os, pathlib, sys
from local_stack.children import Child
child = Child("child", [sys.executable, "-c", sys.argv[1], sys.argv[2]], os.environ)
child.start()
print(child.pid, flush=True)
sys.stdin.read()
"""


def until(holds: Callable[[], object]) -> None:
    """Wait for something that other processes bring about; fail when it does not come."""
    deadline = time.monotonic() + END_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """True while a process is there, and is more than its parent's memory of it."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


@pytest.fixture
def up(tmp_path: Path) -> Path:
    return tmp_path / "up"


@pytest.fixture
def now() -> list[float]:
    """The children's time, which stands still."""
    return [1000.0]


@pytest.fixture
def start(up: Path, now: list[float]) -> Iterator[Callable[[str], Child]]:
    children: list[Child] = []

    def start(program: str) -> Child:
        child = Child("a child", [sys.executable, "-c", program, str(up)], os.environ, clock=lambda: now[0])
        children.append(child)
        child.start()
        return child

    yield start
    end_all(children, 0)


def test_a_child_ends_when_it_is_let_go(start: Callable[[str], Child], up: Path) -> None:
    """At once, and with status 0."""
    child = start(OBEDIENT)
    until(up.exists)
    assert (child.pid is None, child.ended) == (False, None)
    child.end(grace_seconds=END_SECONDS)
    assert (child.pid, child.ended) == (None, "ended with status 0")


def test_a_child_that_does_not_listen_is_killed(start: Callable[[str], Child], up: Path) -> None:
    """Also one that is stopped."""
    child = start(DEAF)
    until(up.exists)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)
    child.end(grace_seconds=0.05)
    assert child.ended == "was ended by signal 9"


def test_a_child_that_was_killed_is_started_again(start: Callable[[str], Child], up: Path, now: list[float]) -> None:
    """After a pause, for it died young; and it is said."""
    child = start(OBEDIENT)
    until(up.exists)
    up.unlink()
    first = child.pid
    assert first is not None
    said: list[str] = []
    assert not child.restart_if_ended(said.append)
    os.kill(first, signal.SIGKILL)
    until(lambda: child.ended)
    now[0] += 4.9
    assert not child.restart_if_ended(said.append)
    now[0] += 0.5
    assert child.restart_if_ended(said.append)
    until(up.exists)
    assert child.pid not in (None, first)
    assert said == ["a child was ended by signal 9; starting another in 0.5 s"]


def test_the_pause_grows(start: Callable[[str], Child], now: list[float]) -> None:
    """A program that cannot run is not started again as fast as the machine can."""
    child = start("raise SystemExit(3)")
    said: list[str] = []
    for pause in (0.5, 1, 2, 4, 8, 10, 10):
        until(lambda: child.ended)
        assert not child.restart_if_ended(said.append)
        now[0] += pause
        assert child.restart_if_ended(said.append)
    assert [line.rpartition(" in ")[2] for line in said] == ["0.5 s", "1 s", "2 s", "4 s", "8 s", "10 s", "10 s"]
    assert "ended with status 3" in said[0]


def test_one_that_lived_long_is_started_again_at_once(start: Callable[[str], Child], now: list[float]) -> None:
    """Only dying young costs a pause."""
    child = start("raise SystemExit(0)")
    until(lambda: child.ended)
    now[0] += 5
    said: list[str] = []
    assert child.restart_if_ended(said.append)
    assert said == ["a child ended with status 0; starting another"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_child_outlives_its_parent(up: Path, number: signal.Signals) -> None:
    """Whatever the parent dies of."""
    command = [sys.executable, "-c", LAUNCHER, OBEDIENT, str(up)]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as launcher:
        assert launcher.stdout is not None
        child = int(launcher.stdout.readline())
        until(up.exists)
        assert runs(child)
        launcher.send_signal(number)
        launcher.wait()
        until(lambda: not runs(child))


def test_ctrl_c_reaches_the_launcher_alone(start: Callable[[str], Child], up: Path) -> None:
    """A child has a process group of its own, so the launcher decides when it ends."""
    child = start(OBEDIENT)
    until(up.exists)
    assert child.pid is not None
    assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
