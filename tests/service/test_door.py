"""Something that is no web request can use the service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_use_cases_need_no_http() -> None:
    """In a process of its own, which loads no Chalice."""
    environment = {"PATH": os.environ["PATH"]}
    script = [sys.executable, "-m", "tests.service.door"]
    ran = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [
        "queued https://example.com/",
        "2 ['https://example.com/a', 'https://example.com/b'] ['ftp://example.com/']",
        "no such job",
        "no such batch",
        "False",
    ]
