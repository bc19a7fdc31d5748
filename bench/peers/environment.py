"""What the other libraries need on this machine: an environment of their own, made once, and Redis."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.peers.errors import BenchError
from bench.peers.processes import PROJECT

REQUIREMENTS = PROJECT / "bench" / "requirements.txt"
DIRECTORY = PROJECT / ".bench"

_INSTALL_SECONDS = 600


def redis_server() -> str:
    """The path of the Redis server. Raises BenchError when there is none."""
    found = shutil.which("redis-server")
    if found is None:
        raise BenchError(
            "the libraries to compare with need Redis, and redis-server is not here: "
            "sudo apt-get install redis-server, or leave them out (--no-peers)"
        )
    return found


def install(report: Callable[[str], object], directory: Path = DIRECTORY) -> Path:
    """Make the environment, unless it is there already, and return its programs' directory. Raises BenchError.

    A stamp holds what was installed, so that a second call touches no package index.
    """
    stamp = directory / "installed"
    wanted = f"{sys.version_info[:2]} {hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()}"
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        report("Installing the libraries to compare with into .bench (once) ...")
        shutil.rmtree(directory, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(directory)])
        (directory / ".gitignore").write_text("*\n", encoding="utf-8")
        pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--retries", "2", "-r", str(REQUIREMENTS)])
        stamp.write_text(wanted, encoding="utf-8")
    return directory / "bin"


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - this Python's own modules, without a shell
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"the libraries to compare with were not installed in {_INSTALL_SECONDS} s") from error
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")] or said
        why = errors[-1] if errors else "no reason given"
        raise BenchError(f"the libraries to compare with could not be installed: {why}")
