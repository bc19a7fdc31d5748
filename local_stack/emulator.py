"""The embedded emulator: its environment, made once, and its process."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from local_stack.children import PROJECT, Child
from local_stack.environment import HOST
from local_stack.errors import StackError

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
DIRECTORY = PROJECT / ".emulator"

SERVICES = "cloudformation,dynamodb,s3,sqs"

_START_SECONDS = 30.0  # half a second is usual
_LAST_WORDS = 5  # lines of the emulator's log that are shown when it ends by itself


def install(report: Callable[[str], object], directory: Path = DIRECTORY) -> Path:
    """Make the emulator's environment, unless it is there already, and return its Python.

    A stamp holds what was installed, so that a second call touches no package index. Who comes while another process
    installs it waits. Raises StackError if this machine lacks something.
    """
    with REQUIREMENTS.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _install(report, directory)


def _install(report: Callable[[str], object], directory: Path) -> Path:
    python = directory / "bin" / "python"
    stamp = directory / "installed"
    wanted = f"{sys.version_info[:2]} {hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()}"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and python.exists():
        return python
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise StackError(f"Python's venv module is missing. On Debian or Ubuntu: sudo apt install python{version}-venv")
    report("Installing the emulator into .emulator (once) ...")
    shutil.rmtree(directory, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(directory)], "its environment could not be made")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "2"]
    _run([*pip, "-r", str(REQUIREMENTS)], "is a package index reachable?")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _run(command: list[str], hint: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")] or said
        raise StackError(f"the emulator could not be installed: {hint} ({errors[-1] if errors else 'no reason given'})")


class Emulator:
    """The emulator's process. Its log, and whatever else it writes, is in `directory`, which is temporary."""

    def __init__(self, python: Path, port: int, directory: Path, *, whole: bool = False, enforce: bool = False) -> None:
        """What the local stack uses and nothing else, for this machine's programs and no web page.

        A `whole` one has every service, API Gateway and Lambda among them, and answers whoever asks; with `enforce`
        roles are held to their policies. Both are for tests.
        """
        self.url = f"http://{HOST}:{port}"
        self._log = directory / "emulator.log"
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(directory),
            "TMPDIR": str(directory),
            "GATEWAY_PORT": str(port),
            "BIND_HOST": HOST,  # the default is every interface
            "MINISTACK_HOST": HOST,  # in the queues' URLs, which .chalice/config.json lists
            "IOT_MTLS_ENABLED": "0",  # that listener ignores BIND_HOST
            "LOG_LEVEL": "WARNING",  # a log line for each request would be half of its work
            **({} if whole else {"GUARD": "1", "SERVICES": SERVICES}),
            **({"AUTH": "true"} if enforce else {}),
        }
        # -I: neither this directory nor a person's PYTHONPATH may shadow its modules.
        command = [str(python), "-I", str(Path(__file__).with_name("emulate.py"))]
        self._output = self._log.open("wb")
        self.child = Child("the emulator", command, environment, output=self._output)

    def start(self) -> None:
        """Start it and wait until it answers. Raises StackError if it does not."""
        self.child.start()
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            if answers(f"{self.url}/_ministack/health"):
                return
            time.sleep(0.05)
        raise StackError(f"the emulator did not answer within {_START_SECONDS:g} s{self._last_words()}")

    def check(self) -> None:
        """Raise StackError if it has ended: its data is gone, so the stack is useless."""
        if (ended := self.child.ended) is not None:
            raise StackError(f"the emulator {ended}{self._last_words()}")

    def end(self, grace_seconds: float) -> None:
        """End it; its data goes with it."""
        self.child.end(grace_seconds)
        self._output.close()

    def _last_words(self) -> str:
        words = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_WORDS:]
        return "; the end of its log:\n  " + "\n  ".join(words) if words else ""


def answers(url: str) -> bool:
    """True when an HTTP server answers at `url`, whatever it says."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
