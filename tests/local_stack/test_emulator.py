"""The emulator's environment is made once, and what is missing is said in one line."""

from __future__ import annotations

import socket
import stat
import sys
from pathlib import Path

import pytest

from local_stack import emulator
from local_stack.errors import StackError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / ".emulator"


def pretend(monkeypatch: pytest.MonkeyPatch, directory: Path, pip: str, status: int = 0) -> list[list[str]]:
    """Instead of the emulator's packages install nothing: its Python is a script that says what pip would say."""
    commands: list[list[str]] = []
    run = emulator._run

    def instead(command: list[str], hint: str) -> None:
        commands.append(command)
        if "venv" in command:
            python = directory / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.write_text(f"#!/bin/sh\nprintf '{pip}' >&2\nexit {status}\n")
            python.chmod(python.stat().st_mode | stat.S_IXUSR)
        else:
            run(command, hint)

    monkeypatch.setattr(emulator, "_run", instead)
    return commands


def test_a_second_call_installs_nothing(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """The stamp says what is there; no package index is asked."""
    commands = pretend(monkeypatch, directory, "")
    said: list[str] = []
    python = emulator.install(said.append, directory)
    assert python == directory / "bin" / "python"
    assert len(commands) == 2
    assert len(said) == 1
    assert emulator.install(said.append, directory) == python
    assert (len(commands), len(said)) == (2, 1)


def test_another_list_or_a_broken_environment_is_made_anew(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """As is one whose installation was interrupted, for the stamp comes last."""
    commands = pretend(monkeypatch, directory, "")
    emulator.install(str, directory)
    (directory / "installed").write_text("another list")
    emulator.install(str, directory)
    (directory / "bin" / "python").unlink()
    emulator.install(str, directory)
    (directory / "installed").unlink()
    emulator.install(str, directory)
    assert len(commands) == 8


def test_no_package_index(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """One line with the question to ask and what pip said, and nothing that a later call would take for installed."""
    pretend(monkeypatch, directory, "WARNING: Retrying\\nERROR: No matching distribution found\\n", 1)
    with pytest.raises(StackError) as caught:
        emulator.install(str, directory)
    assert str(caught.value) == (
        "the emulator could not be installed: is a package index reachable? (ERROR: No matching distribution found)"
    )
    assert not (directory / "installed").exists()


def test_no_venv_module(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Debian and Ubuntu ship Python without it."""
    monkeypatch.setattr(emulator, "find_spec", lambda name: None)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(StackError, match=f"sudo apt install python{version}-venv"):
        emulator.install(str, directory)


def test_an_emulator_that_does_not_start(tmp_path: Path) -> None:
    """Its last words are shown."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho it broke\nexit 5\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    made = emulator.Emulator(python, 1, tmp_path)
    try:
        with pytest.raises(StackError, match=r"the emulator ended with status 5; the end of its log:\n  it broke"):
            made.start()
    finally:
        made.end(1)


def test_nobody_answers() -> None:
    """A port that is closed is no answer."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert not emulator.answers(f"http://127.0.0.1:{closed.getsockname()[1]}/")
