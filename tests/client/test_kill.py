"""The whole of it against a real stack: thousands of URLs, a kill half way, and every page fetched once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from local_stack.demo import ask
from tests.client.test_submission import saved
from tests.depth import depth
from tests.e2e.running import ROOT, Running, running, until
from tests.processes import started

pytestmark = pytest.mark.emulator

URLS = depth(2000, 5000)
ENOUGH = 500  # results saved, until the kill


def start(stack: Running, *arguments: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """The command line, as a process of its own."""
    return started(
        [sys.executable, "-m", "client", *arguments],
        cwd=ROOT,
        env={**os.environ, "FETCH_QUEUE_URL": stack.facts["api"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_long_list_killed_half_way(tmp_path: Path) -> None:
    """The same command again ends with exit code 0, every result right, and one request for each page."""
    out, urls = tmp_path / "out", tmp_path / "urls.txt"
    with running(tmp_path, {"WORKERS": "2", "LOG": "1"}) as stack:
        urls.write_text("".join(f"{stack.page(f'/page/{number}')}\n" for number in range(URLS)))
        command = ["submit", "-f", str(urls), "--output", str(out)]
        with start(stack, *command) as killed:
            until(lambda: killed.poll() is not None or len(list(out.glob("*.txt"))) >= ENOUGH, 300)
            killed.send_signal(signal.SIGKILL)
            killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        before = {path: path.stat().st_mtime_ns for path in out.glob("*.txt")}
        assert ENOUGH <= len(before) < URLS

        with start(stack, *command) as again:
            said, _ = again.communicate(timeout=600)
        assert again.returncode == 0, said
        assert f"{URLS:,} URLs: {URLS:,} succeeded" in said
        assert stack.said.count("api: POST /batches 202") == URLS / 1000
        counts = ask("GET", stack.page("/count")).json
    assert sorted(saved(out).values()) == sorted(f"This is page {number}.\n".encode() for number in range(URLS))
    assert {counts.get(f"/page/{number}") for number in range(URLS)} == {1}
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    entries = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    entries = [entry for entry in entries if "index" in entry]
    assert sorted(entry["index"] for entry in entries) == list(range(URLS))
    assert all((out / entry["file"]).read_text() == f"This is page {entry['index']}.\n" for entry in entries)
