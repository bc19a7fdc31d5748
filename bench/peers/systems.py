"""What is measured: Fetch Queue's local stack, and the same job on each of the other libraries."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.peers.client import await_api
from bench.peers.errors import BenchError
from bench.peers.processes import PROJECT, Process, cpu_seconds, memory_bytes, started
from local_stack import sockets
from local_stack.environment import HOST

API, WORKERS, STORE = "API", "workers", "store"  # the parts of every system; the store is Redis, or the emulator

DURABLE = "on disk"  # in the name of a system whose store keeps what it has acknowledged

_STACK_SECONDS = 300.0  # the first one installs the emulator
_END_SECONDS = 15.0  # it gives its parts ten
_WORKERS = 2
_THREADS = 32


@dataclass(frozen=True, slots=True)
class Running:
    """A system that is up: where its API is, and the processes of each of its parts."""

    api: str
    parts: Mapping[str, Sequence[int]]
    check: Callable[[], None]  # raises BenchError when a part has ended
    words: Callable[[], str] = str  # all that its parts printed, where that is known

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each part since it was started."""
        return {part: cpu_seconds(pids) for part, pids in self.parts.items()}

    def memory(self) -> dict[str, float]:
        """Resident bytes of each part."""
        return {part: memory_bytes(pids) for part, pids in self.parts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A way to start what is measured, and how many URLs it can be asked for without making a run last for ever."""

    name: str
    start: Callable[[], AbstractContextManager[Running]]
    most: int = 1000  # new URLs
    most_slow: int = 1000  # new URLs of a site that takes its time


@contextmanager
def fetch_queue(settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Running]:
    """The local stack, started as a person would, on free ports; with some settings that are not the defaults."""
    with _directory() as directory:
        ready_file = Path(directory, "ready.json")
        choices = {"PORT": "0", "EMULATOR_PORT": "0", "SITE_PORT": "0", "WORKERS": str(_WORKERS), "LOG": "0"}
        command = [sys.executable, "-m", "local_stack", "--ready-file", str(ready_file)]
        variables = {**os.environ, "TMPDIR": directory, **choices, **settings}
        with started("the local stack", command, variables, end_by=signal.SIGINT, end_seconds=_END_SECONDS) as launcher:
            facts = _await_file(ready_file, launcher)

            def check() -> None:
                launcher.check()
                if json.loads(ready_file.read_text())["pids"] != facts["pids"]:
                    raise BenchError(f"a process of the local stack was started again:\n{launcher.last_words()}")

            pids = facts["pids"]
            yield Running(
                facts["api"],
                {API: [pids["api"]], WORKERS: pids["workers"], STORE: [pids["emulator"]]},
                check,
                launcher.words,
            )


def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fetch-queue-stack-bench-", ignore_cleanup_errors=True)


def _await_file(ready_file: Path, launcher: Process) -> Any:
    deadline = time.monotonic() + _STACK_SECONDS
    while not ready_file.exists():
        launcher.check()
        if time.monotonic() > deadline:
            raise BenchError(f"the local stack is not up after {_STACK_SECONDS:g} s")
        time.sleep(0.05)
    return json.loads(ready_file.read_text())


@contextmanager
def peer(programs: Path, redis: str, module: str, worker: Sequence[str], *, durable: bool) -> Iterator[Running]:
    """A FastAPI app in one process, a worker, and a Redis that keeps nothing on disk, or everything before it answers.

    `programs` is where the environment's programs are; `{redis}` in the worker's command becomes the URL of Redis.
    """
    with ExitStack() as stack:
        directory = stack.enter_context(_directory())
        redis_port, port = sockets.free_port(0, "REDIS_PORT"), sockets.free_port(0, "PORT")
        redis_url, api_url = f"redis://{HOST}:{redis_port}/0", f"http://{HOST}:{port}"
        variables = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": directory,
            "TMPDIR": directory,
            "PYTHONPATH": str(PROJECT),
            "REDIS_URL": redis_url,
        }

        def start(name: str, command: Sequence[str]) -> Process:
            return stack.enter_context(started(name, command, variables))

        log = ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
        keeping = ["--save", "", *log, "--dir", directory]
        store = start("Redis", [redis, "--bind", HOST, "--port", str(redis_port), *keeping])
        _await_port(redis_port, store)
        serve = [
            str(programs / "uvicorn"),
            f"bench.peers.apps.{module}:app",
            "--no-access-log",
            "--log-level",
            "warning",
        ]
        api = start("the API", [*serve, "--host", HOST, "--port", str(port)])
        program, *arguments = (word.format(redis=redis_url) for word in worker)
        workers = start("the worker", [str(programs / program), *arguments])

        def check() -> None:
            for process in (store, api, workers):
                process.check()

        await_api(f"{api_url}/jobs/none", check)
        yield Running(api_url, {API: [api.pid], WORKERS: [workers.pid], STORE: [store.pid]}, check)


def _await_port(port: int, process: Process) -> None:
    deadline = time.monotonic() + 10
    while True:
        process.check()
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise BenchError(f"{process.name} does not listen on port {port}") from None
            time.sleep(0.02)
        else:
            return


CELERY = f"celery --app bench.peers.apps.celery_tasks worker --pool threads --concurrency {_THREADS} --loglevel ERROR"
TASKIQ = (
    f"taskiq worker bench.peers.apps.taskiq_tasks:broker --workers {_WORKERS} "
    f"--max-threadpool-threads {_THREADS // _WORKERS} --log-level ERROR"
)
RQ = "rq worker --quiet --url {redis}"


def ours() -> System:
    """Fetch Queue."""
    return System(name="Fetch Queue", start=fetch_queue)


def other_libraries(programs: Path, redis: str) -> list[System]:
    """The same job elsewhere. RQ's workers work on one job at a time, so they get fewer URLs where that takes long."""

    def system(
        name: str, module: str, worker: str, most: int = 1000, most_slow: int = 1000, *, durable: bool = False
    ) -> System:
        def start() -> AbstractContextManager[Running]:
            return peer(programs, redis, module, worker.split(), durable=durable)

        return System(name=name, start=start, most=most, most_slow=most_slow)

    return [
        system("Celery, 32 threads", "celery_api", CELERY),
        system(f"Celery, {DURABLE}", "celery_api", CELERY, durable=True),
        system("taskiq, 2 processes of 16 threads", "taskiq_api", TASKIQ),
        system(f"taskiq, {DURABLE}", "taskiq_api", TASKIQ, durable=True),
        system("RQ, SimpleWorker", "rq_api", f"{RQ} --worker-class rq.worker.SimpleWorker", most_slow=100),
        system("RQ, default worker (forks)", "rq_api", RQ, most=100, most_slow=50),
    ]
