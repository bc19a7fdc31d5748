"""A whole stack of processes, started and ended as a person would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_stack.demo import HttpAnswer, ask
from tests.processes import END_SECONDS

ROOT = Path(__file__).parent.parent.parent

# Short enough to see leases and visibility pass, and still as settings.check wants them.
SHORT = {
    "FETCH_SECONDS": "5",
    "CONNECT_SECONDS": "2",
    "FUNCTION_SECONDS": "8",
    "SKEW_SECONDS": "2",
    "LEASE_SECONDS": "10",
    "VISIBILITY_SECONDS": "12",
    "BACKOFF_SECONDS": "1",
}
NONE: Mapping[str, str] = {}
FREE_PORTS = {"PORT": "0", "EMULATOR_PORT": "0", "SITE_PORT": "0"}


def until(holds: Callable[[], Any], seconds: float = 60, *, what: str = "") -> Any:
    """Wait for what other processes bring about, and return it; fail when it does not come in time."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, what or "it did not come"
        time.sleep(0.05)
    return value


def runs(pid: int) -> bool:
    """True while a process is there, and is more than its parent's memory of it."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


@dataclass
class Running:
    """A stack that runs."""

    process: subprocess.Popen[bytes]
    ready_file: Path
    log: Path

    @property
    def facts(self) -> dict[str, Any]:
        """Where everything is now; process ids change when something is started again."""
        facts: dict[str, Any] = json.loads(self.ready_file.read_text())
        return facts

    @property
    def workers(self) -> list[int]:
        """The workers' process ids."""
        workers: list[int] = self.facts["pids"]["workers"]
        return workers

    @property
    def pids(self) -> list[int]:
        """All of its processes."""
        pids = self.facts["pids"]
        return [pids["launcher"], pids["emulator"], pids["site"], pids["api"], *pids["workers"]]

    @property
    def said(self) -> str:
        """What it printed."""
        return self.log.read_text()

    def page(self, path: str) -> str:
        """A URL of the sample site."""
        return f"{self.facts['site']}{path}"

    def requests(self, path: str) -> int:
        """How often the sample site was asked for a path."""
        counts: dict[str, int] = ask("GET", self.page("/count")).json
        return counts.get(path, 0)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> HttpAnswer:
        """A request to the API."""
        return ask(method, f"{self.facts['api']}{path}", body, headers)

    def submit(self, url: str, **headers: str) -> dict[str, Any]:
        """Submit one URL that is accepted."""
        answer = self.ask("POST", "/jobs", {"url": url}, **headers)
        assert answer.status == 202, answer
        job: dict[str, Any] = answer.json
        return job

    def submit_batch(self, urls: list[str]) -> dict[str, Any]:
        """Submit URLs of which some are accepted."""
        answer = self.ask("POST", "/batches", {"urls": urls})
        assert answer.status == 202, answer
        batch: dict[str, Any] = answer.json
        return batch

    def job(self, job_id: str) -> dict[str, Any]:
        """A job that is there."""
        answer = self.ask("GET", f"/jobs/{job_id}")
        assert answer.status == 200, answer
        job: dict[str, Any] = answer.json
        return job

    def finished(self, job_id: str, seconds: float = 60) -> dict[str, Any]:
        """A job, once it is finished."""

        def done() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["status"] in ("succeeded", "failed") else None

        job: dict[str, Any] = until(done, seconds, what=f"{job_id} is not finished: {self.said[-3000:]}")
        return job

    def finished_batch(self, batch_id: str, seconds: float = 60) -> dict[str, Any]:
        """The first page of a batch, once it is finished."""

        def done() -> dict[str, Any] | None:
            page: dict[str, Any] = self.ask("GET", f"/batches/{batch_id}").json
            return page if page["finished"] else None

        page: dict[str, Any] = until(done, seconds, what=f"batch {batch_id} is not finished")
        return page

    @contextmanager
    def stopped(self, *pids: int) -> Iterator[None]:
        """Stop processes for a while: they are there, and do nothing."""
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


@contextmanager
def running(
    directory: Path, settings: Mapping[str, str] = NONE, *, given: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """A stack on free ports, ended by Ctrl-C. `given` is the person's environment; by default this process's."""
    ready_file, log = directory / "ready.json", directory / "log.txt"
    # A launcher that is killed leaves its temporary directory behind: here it is one of the test's.
    environment = {**(os.environ if given is None else given), "TMPDIR": str(directory), **FREE_PORTS, **settings}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "local_stack", "--ready-file", str(ready_file)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    stack = Running(process, ready_file, log)
    try:
        # Installing the emulator, which the first of them does, takes a while.
        until(lambda: ready_file.exists() or process.poll() is not None, 300, what="the stack does not start")
        assert process.poll() is None, stack.said
        yield stack
    finally:
        end(process)


def end(process: subprocess.Popen[bytes], seconds: float = END_SECONDS) -> None:
    """Ctrl-C, and what comes after when it is not heard."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
