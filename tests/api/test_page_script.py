"""The page's script without a browser. What it decides and says is tried in its own language, in page/*.test.js."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chalicelib.api import page

TESTS = sorted((Path(__file__).parent / "page").glob("*.test.js"))


def deno(tmp_path: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Deno, with English and UTC as the person's own."""
    environment = {**os.environ, "LC_ALL": "en_US.UTF-8", "TZ": "UTC", "NO_COLOR": "1", "DENO_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "deno", *arguments]
    return subprocess.run(command, env=environment, input=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.name)
def test_logic(tests: Path, tmp_path: Path) -> None:
    """Deno lets them reach no file, no network and no environment, for no flag allows it."""
    ran = deno(tmp_path, "test", "--no-check", "--no-prompt", "--no-remote", "--no-npm", str(tests))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^ok \| [1-9]\d* passed \| 0 failed", ran.stdout, re.MULTILINE), ran.stdout


def served() -> str:
    (script,) = re.findall(r"<script>(.*?)</script>", page.page("", "https://x").text, re.DOTALL)
    return str(script)


def test_all_modules_are_served() -> None:
    """Every function of each, and no word that only a module may have."""
    script = served()
    for path in Path(page.__file__).parent.glob("*.js"):
        functions = re.findall(r"^(?:export )?((?:async )?function \w+|class \w+)", path.read_text(), re.MULTILINE)
        assert functions
        # What `page.py` would not take out: it removes the word export, and imports up to their semicolon.
        assert not re.search(r"^export (\{|default)|^import \*|^import .* as ", path.read_text(), re.MULTILINE)
        assert [name for name in functions if f"\n{name}" not in script] == []
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    assert script.startswith('\n"use strict";\n')


def test_modules_can_be_one_script(tmp_path: Path) -> None:
    """No two of them give different things the same name."""
    ran = deno(tmp_path, "lint", "--ext=js", "-", given=served())
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_no_text_becomes_markup() -> None:
    """What comes from outside is put into the page as text: nothing that parses markup or runs a string is used."""
    unsafe = r"innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write|srcdoc|DOMParser|createContextualFragment"
    assert not re.search(rf"{unsafe}|\beval\(|new Function|setAttribute\(\"on", served())
