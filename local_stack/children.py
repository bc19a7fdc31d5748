"""The launcher's child processes: how one is started, watched, started again as Lambda would start another, and
ended."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

PROJECT = Path(__file__).parent.parent

_SHORT_LIFE_SECONDS = 5.0  # a process that dies sooner than this is started again after a pause
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package in the project's environment."""
    return [sys.executable, "-u", "-m", f"local_stack.{name}", *arguments]


class Child:
    """One process. It holds the reading end of a pipe and ends when the writing end, which is ours, is closed.

    It has a process group of its own, so that Ctrl-C in the terminal reaches only the launcher.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        descriptors: Iterable[int] = (),
        output: IO[bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._environment = dict(environment)
        self._descriptors = tuple(descriptors)
        self._output = output
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._pause = 0.0
        self._start_at: float | None = None

    def start(self) -> None:
        """Start the process."""
        self._start_at = None
        self._started_at = self._clock()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._output,
            cwd=PROJECT,
            env=self._environment,
            pass_fds=self._descriptors,
            process_group=0,
        )

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def ended(self) -> str | None:
        """How the process ended, in words; None while it runs."""
        status = self._process.poll() if self._process is not None else None
        if status is None:
            return None
        return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"

    def restart_if_ended(self, report: Callable[[str], object]) -> bool:
        """Start the process again if it has ended: at once, or after a pause that grows while it keeps dying young.

        True when a new process was started.
        """
        now = self._clock()
        if self._start_at is None and (ended := self.ended) is not None:
            young = now - self._started_at < _SHORT_LIFE_SECONDS
            self._pause = min(max(2 * self._pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS) if young else 0.0
            self._start_at = now + self._pause
            after = f" in {self._pause:g} s" if self._pause else ""
            report(f"{self.name} {ended}; starting another{after}")
        if self._start_at is None or now < self._start_at:
            return False
        self._let_go()
        self.start()
        return True

    def end(self, grace_seconds: float) -> None:
        """Tell the process to end, wait for it, and kill it if it has not ended after `grace_seconds`."""
        end_all([self], grace_seconds)

    def _let_go(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()


def end_all(children: Sequence[Child], grace_seconds: float) -> None:
    """`Child.end` for several at the same time: they share the grace period."""
    deadline = time.monotonic() + grace_seconds
    for child in children:
        child._let_go()
    for child in children:
        process = child._process
        if process is None:
            continue
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
