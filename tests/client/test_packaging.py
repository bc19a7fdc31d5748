"""What is installed: one package with few, bounded dependencies; an HTTP client, and nothing of the service."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import fetch_queue
import pytest
from fetch_queue.codes import Exit

ROOT = Path(__file__).parent.parent.parent
CLIENT = ROOT / "client"
FILES = sorted(CLIENT.rglob("*.py"))
README = (CLIENT / "README.md").read_text()


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_it_imports_what_it_declares() -> None:
    """And nothing of the service, of AWS or of the local stack."""
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[<>=]", line)[0] for line in project["dependencies"]}
    assert all(re.search(r",<\d", line) for line in project["dependencies"])
    used = set().union(*map(imported, FILES)) - sys.stdlib_module_names - {"fetch_queue"}
    assert used == declared


def test_only_the_shell_ends_the_process_and_nothing_reads_the_environment() -> None:
    """Options do; so a program that imports the class is not surprised."""
    for path in FILES:
        text = path.read_text()
        assert "os.environ" not in text, path
        assert "sys.exit" not in text or path.name == "shell.py", path


def test_the_class_is_imported_without_the_command_line() -> None:
    """A program pays for neither `click` nor `rich`."""
    code = "import sys, fetch_queue; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=CLIENT, capture_output=True, text=True, check=True)
    assert "requests" in ran.stdout.split()
    assert not {"click", "rich"} & set(ran.stdout.split())


def test_python_dash_m() -> None:
    """From the repository's root, without installing."""
    ran = subprocess.run(
        [sys.executable, "-m", "client", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout == f"fetch-queue, version {fetch_queue.__version__}\n"


def test_the_readme_has_every_exit_code() -> None:
    """And no other."""
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)} == {int(code) for code in Exit}


@pytest.mark.parametrize("command", ["submit", "status", "batch", "result", "delete"])
def test_the_readme_has_every_option(command: str) -> None:
    """As the help says them."""
    ran = subprocess.run(
        [sys.executable, "-m", "client", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for option in set(re.findall(r"--[a-z-]+", ran.stdout)) - {"--help"}:
        assert f"`{option}" in README or f"{option} " in README, option
    assert f"fetch-queue {command}" in README
