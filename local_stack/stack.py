"""The whole stack: starts the emulator, the sample site, the API and the workers as processes, in that order, watches
them, and ends them in the other."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from chalicelib import settings as service_settings
from local_stack import emulator as emulators
from local_stack import environment, resources, sockets
from local_stack.api import DEFAULT_PORT as API_PORT
from local_stack.children import Child, end_all, module
from local_stack.errors import StackError
from local_stack.site import DEFAULT_PORT as SITE_PORT

if TYPE_CHECKING:
    import socket

EMULATOR_PORT = 4566  # the port that .chalice/config.json names for stage dev
WORKERS = 2
MOST_WORKERS = 64
_SETTINGS = {field.name.upper() for field in fields(service_settings.Settings)}
KNOWN = _SETTINGS | {"PORT", "EMULATOR_PORT", "SITE_PORT", "WORKERS", "LOG", "PYTHON"}  # the last one is make's own

_START_SECONDS = 30.0
_API_GRACE_SECONDS = 3.0  # a little longer than each gives itself
_WORKER_GRACE_SECONDS = 4.0
_GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What can be chosen about the stack itself; port 0 is any free one."""

    port: int = API_PORT
    emulator_port: int = EMULATOR_PORT
    site_port: int | None = None  # None: the default port if it is free, else any
    workers: int = WORKERS

    @classmethod
    def from_environment(cls, given: Mapping[str, str]) -> Options:
        """The options in PORT, EMULATOR_PORT, SITE_PORT and WORKERS. Raises StackError."""
        site_port = environment.number(given, "SITE_PORT", -1, sockets.HIGHEST_PORT)
        return cls(
            port=environment.number(given, "PORT", API_PORT, sockets.HIGHEST_PORT),
            emulator_port=environment.number(given, "EMULATOR_PORT", EMULATOR_PORT, sockets.HIGHEST_PORT),
            site_port=None if site_port < 0 else site_port,
            workers=environment.number(given, "WORKERS", WORKERS, MOST_WORKERS),
        )


class LocalStack:
    """Everything that runs. `end` may be called at any time, and after any failure."""

    def __init__(
        self, given: Mapping[str, str], options: Options, report: Callable[[str], object], *, quiet: bool = False
    ) -> None:
        """`quiet` keeps what the processes say in a file instead of showing it; see `last_words`."""
        self._given = given
        self._options = options
        self._report = report
        self._directory = tempfile.TemporaryDirectory(prefix="fetch-queue-", ignore_cleanup_errors=True)
        self._log = Path(self._directory.name, "processes.log")
        self._output = self._log.open("wb") if quiet else None
        self._listeners: list[socket.socket] = []
        self._emulator: emulators.Emulator | None = None
        self._site: Child | None = None
        self._api: Child | None = None
        self._workers: list[Child] = []
        self.variables: dict[str, str] = {}
        self.api_url = ""
        self.site_url = ""
        self.emulator_url = ""

    def start(self) -> None:
        """Start everything; when this returns, the API answers. Raises StackError."""
        api, site = self._listen()
        emulator_port = sockets.free_port(self._options.emulator_port, "EMULATOR_PORT")
        self.emulator_url = f"http://{environment.HOST}:{emulator_port}"
        self.variables = environment.scrubbed(self._given, self.emulator_url)
        self.variables["SERVICE_KEY"] = self.variables.get("SERVICE_KEY") or secrets.token_hex(32)
        try:
            configured = service_settings.from_environment(self.variables)
        except service_settings.SettingsError as error:
            raise StackError(str(error)) from error

        python = emulators.install(self._report)
        self._emulator = emulators.Emulator(python, emulator_port, Path(self._directory.name))
        self._emulator.start()
        self.variables |= self._create_resources(configured)

        self._site = self._child("the sample site", "site", site)
        self._api = self._child("the API", "api", api)
        self._workers = [self._child(f"worker {number}", "worker") for number in range(1, self._options.workers + 1)]
        for child in self._children():
            child.start()
        self._await_api()

    def watch(self) -> bool:
        """Restart what has ended; True if anything was restarted. Raises StackError if the emulator has ended."""
        if self._emulator is not None:
            self._emulator.check()
        started = [child.restart_if_ended(self._report) for child in self._children()]
        return any(started)

    def end(self) -> None:
        """End everything: the API first, so that nothing new comes, and the emulator last."""
        if self._api is not None:
            self._api.end(_API_GRACE_SECONDS)
        end_all(self._workers, _WORKER_GRACE_SECONDS)
        if self._site is not None:
            self._site.end(_GRACE_SECONDS)
        if self._emulator is not None:
            self._emulator.end(_GRACE_SECONDS)
        for opened in (*self._listeners, self._output):
            if opened is not None:
                opened.close()
        self._directory.cleanup()

    @property
    def worker_pids(self) -> list[int]:
        """The ids of the workers that run."""
        return [child.pid for child in self._workers if child.pid is not None]

    def last_words(self) -> str:
        """What the processes printed, if they were to be quiet."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._output is not None else ""

    def write(self, path: Path) -> None:
        """Write where everything is, for programs. The file appears whole or not at all."""
        facts = {
            "api": self.api_url,
            "emulator": self.emulator_url,
            "site": self.site_url,
            "pids": {
                "launcher": os.getpid(),
                "emulator": self._emulator.child.pid if self._emulator else None,
                "site": self._site.pid if self._site else None,
                "api": self._api.pid if self._api else None,
                "workers": self.worker_pids,
            },
            "variables": {
                name: self.variables[name]
                for name in ("TABLE_NAME", "QUEUE_URL", "DEAD_LETTER_QUEUE_URL", "WEBHOOK_QUEUE_URL", "BUCKET_NAME")
            },
        }
        draft = path.with_name(path.name + ".draft")
        draft.write_text(json.dumps(facts, indent=2), encoding="utf-8")
        draft.replace(path)

    def _listen(self) -> tuple[socket.socket, socket.socket]:
        api = sockets.listen(self._options.port, "PORT")
        self._listeners.append(api)
        if self._options.site_port is None:
            try:
                site = sockets.listen(SITE_PORT, "SITE_PORT")
            except StackError:
                site = sockets.listen(0, "SITE_PORT")
        else:
            site = sockets.listen(self._options.site_port, "SITE_PORT")
        self._listeners.append(site)
        self.api_url, self.site_url = sockets.url_of(api), sockets.url_of(site)
        return api, site

    def _create_resources(self, configured: service_settings.Settings) -> dict[str, str]:
        import boto3  # takes a quarter of a second, for which the error about a taken port need not wait

        with environment.applied(self.variables):
            return resources.create(boto3.session.Session().client("cloudformation"), configured)

    def _child(self, name: str, program: str, listener: socket.socket | None = None) -> Child:
        if listener is None:
            return Child(name, module(program, "--lifeline"), self.variables, output=self._output)
        descriptor = listener.fileno()
        command = module(program, "--lifeline", "--descriptor", str(descriptor))
        return Child(name, command, self.variables, descriptors=[descriptor], output=self._output)

    def _children(self) -> list[Child]:
        return [child for child in (self._site, self._api, *self._workers) if child is not None]

    def _await_api(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not emulators.answers(f"{self.api_url}/health"):
            for child in self._children():
                if (ended := child.ended) is not None:
                    raise StackError(f"{child.name} {ended} while starting; its output is above")
            if time.monotonic() > deadline:
                raise StackError(f"the API did not answer within {_START_SECONDS:g} s")
