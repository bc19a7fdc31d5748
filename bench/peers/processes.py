"""Processes that are started, watched and ended, whatever happens in between, and what they use of the machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from bench.peers.errors import BenchError

PROJECT = Path(__file__).parent.parent.parent

_PROC = Path("/proc")
_END_SECONDS = 2.0  # to end by itself
_LAST_WORDS = 15  # lines
_PARENT, _FIRST_TIME, _STARTED = 1, 11, 19  # fields of /proc/<pid>/stat after the name, proc_pid_stat(5)


class Process:
    """One program with all that it starts."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._log = log

    def check(self) -> None:
        """Raise BenchError, with its last words, when it has ended."""
        if (status := self._process.poll()) is not None:
            raise BenchError(f"{self.name} ended with status {status}; the end of its log:\n{self.last_words()}")

    def words(self) -> str:
        """All that it printed."""
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode(errors="replace")

    def last_words(self) -> str:
        """The end of what it printed."""
        return "\n".join(self.words().splitlines()[-_LAST_WORDS:])

    def end(self, by: signal.Signals, seconds: float) -> None:
        """Tell it to end, wait for so long, and kill what is left of it and of all that it started."""
        family = _family(self.pid)
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process.send_signal(by)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        finally:  # even when Ctrl-C comes a second time
            family |= _family(self.pid)
            self._process.kill()
            self._process.wait()
            _kill(family)


def told_by(
    module: Sequence[str], given: object, environment: Mapping[str, str] | None = None, *, seconds: float = 120.0
) -> Any:
    """Run a module of this Python's to its end, with `given` as JSON on its standard input; returns the JSON of its
    last line. Raises BenchError where it fails or takes longer."""
    try:
        done = subprocess.run(  # noqa: S603 - a program of the benchmark's own
            [sys.executable, "-m", *module],
            cwd=PROJECT,
            env=environment,
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{module[0]} is not done after {seconds:g} s") from error
    if done.returncode:
        raise BenchError(f"{module[0]} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def started(
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    descriptors: Iterable[int] = (),
    stdin: int = subprocess.DEVNULL,
    end_by: signal.Signals = signal.SIGTERM,
    end_seconds: float = _END_SECONDS,
) -> Iterator[Process]:
    """A program that runs during the block, in the project's directory. Ctrl-C in a terminal does not reach it."""
    with tempfile.TemporaryFile() as log:
        process = Process(
            name,
            subprocess.Popen(  # noqa: S603 - programs that the benchmark names, without a shell
                command,
                cwd=PROJECT,
                env=environment,
                stdin=stdin,
                stdout=log,
                stderr=log,
                pass_fds=tuple(descriptors),
                start_new_session=True,
            ),
            log,
        )
        try:
            yield process
        finally:
            process.end(end_by, end_seconds)


def _family(root: int) -> dict[int, str]:
    """A process and all that it started, with the time when each was started."""
    return {pid: _began(pid) for pid in tree(root)}


def _kill(family: Mapping[int, str]) -> None:
    """Kill processes that still run; not others that got the same id since."""
    for pid, began in family.items():
        if began and _began(pid) == began:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def interruptible() -> Iterator[None]:
    """For a while SIGTERM and SIGHUP are what Ctrl-C is, so that what was started is ended. Of the main thread only."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def tree(root: int) -> list[int]:
    """The ids of a process and of all that it started, directly or not; none where it has ended."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            pid = int(entry.name)
            children.setdefault(int(_fields(pid)[_PARENT]), []).append(pid)
    found = [root] if (_PROC / str(root)).exists() else []
    for pid in found:
        found += children.get(pid, [])
    return found


def on_one_core() -> None:
    """Keep this process to one core, as a Lambda function of less than 1,769 MB has no more than one."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def cpu_seconds(roots: Iterable[int]) -> float:
    """CPU time of processes and of what they started, children that have ended and were waited for included.

    Not a number where there is no /proc, that is, elsewhere than on Linux.
    """
    if not (_PROC / "self" / "stat").exists():
        return float("nan")
    ticks = 0
    for root in roots:
        for pid in tree(root):
            with suppress(OSError):
                ticks += sum(int(field) for field in _fields(pid)[_FIRST_TIME : _FIRST_TIME + 4])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_bytes(roots: Iterable[int]) -> float:
    """Resident memory of processes and of what they started; what several share is counted for each.

    Not a number where there is no /proc.
    """
    if not (_PROC / "self" / "statm").exists():
        return float("nan")
    pages = 0
    for root in roots:
        for pid in tree(root):
            with suppress(OSError):
                pages += int((_PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Disturbance:
    """How much of the machine was taken since this was made by others than this program and its children."""

    def __init__(self) -> None:
        self._began = self._times()

    @property
    def percent(self) -> float:
        """Of all its cores' time. Not a number where there is no /proc."""
        (whole, idle, own), before = self._times(), self._began
        passed = whole - before[0]
        return 100 * (passed - (idle - before[1]) - (own - before[2])) / passed if passed else float("nan")

    @staticmethod
    def _times() -> tuple[float, float, float]:
        """CPU time of the machine, of it idle, and of this program and its ended children; in seconds."""
        if not (_PROC / "stat").exists():
            return 0.0, 0.0, 0.0
        ticks = [int(field) for field in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
        clock = os.sysconf("SC_CLK_TCK")
        return sum(ticks) / clock, (ticks[3] + ticks[4]) / clock, sum(os.times()[:4])


def _began(pid: int) -> str:
    """When a process was started; empty when it has ended."""
    try:
        return _fields(pid)[_STARTED]
    except OSError:
        return ""


def _fields(pid: int) -> list[str]:
    """What /proc says of a process, from its state on. Raises OSError when it has ended."""
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
