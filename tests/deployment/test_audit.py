"""The advisory check, on a database of advisories that a server on loopback plays."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from deployment.audit import Verdict, _judged, audit
from deployment.lock import pins
from deployment.parameters import PROJECT

ADVISORY = {
    "id": "TEST-2026-1",
    "summary": "it is only a test",
    "affected": [
        {
            "package": {"name": "six", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.18.0"}]}],
        }
    ],
}


@dataclass
class Database:
    """Knows one advisory by the name of its package."""

    url: str
    advisories: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    asked: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def database() -> Iterator[Database]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = query["package"]["name"]
            known.asked[name] = query["version"]
            body = json.dumps({"vulns": [known.advisories[name]]} if name in known.advisories else {}).encode()
            self.send_response(known.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known = Database(f"http://127.0.0.1:{server.server_port}/v1/query")
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield known
        server.shutdown()
        thread.join(5)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A list of two packages."""
    path = tmp_path / "lock"
    path.write_text("".join(f"{pin} --hash=sha256:{'0' * 64}\n" for pin in ("idna==3.20", "six==1.17.0")))
    return path


def test_nothing_is_known(database: Database) -> None:
    """Every package that ships is asked about, by its version; the command ends well."""
    ran = subprocess.run(
        [sys.executable, "-m", "deployment.audit", "--url", database.url],
        cwd=PROJECT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    listed = pins(PROJECT / "deployment" / "requirements.lock")
    sentence = f"No advisory is known for any of the {len(listed)} packages that ship.\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, sentence, "")
    assert database.asked == listed


def test_a_vulnerable_package(database: Database, lock: Path) -> None:
    """Its advisory is named, with the version that is mended; the status is 1."""
    database.advisories["six"] = ADVISORY
    assert audit(lock, database.url) == Verdict(1, ["six 1.17.0: TEST-2026-1, fixed in 1.18.0"])


def test_a_database_that_cannot_be_reached(lock: Path) -> None:
    """It is said, and is no failure."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    sentence = "The audit was skipped: the database of advisories cannot be reached from here."
    assert audit(lock, url) == Verdict(0, [sentence])


def test_an_answer_that_is_none(database: Database, lock: Path) -> None:
    """Who was reached and gave no answer has found nothing: that is a failure, said in a line."""
    database.status = 500
    verdict = audit(lock, database.url)
    assert verdict.status == 1
    (line,) = verdict.lines
    assert line.startswith("The audit failed: ")


def test_a_list_that_cannot_be_read(database: Database, tmp_path: Path) -> None:
    """A package without a hash, say, is not passed over."""
    (tmp_path / "lock").write_text("six==1.17.0\n")
    verdict = audit(tmp_path / "lock", database.url)
    assert (verdict.status, database.asked) == (1, {})


def test_a_package_that_was_passed_over() -> None:
    """What was not asked about is not known to be well."""
    found: list[dict[str, Any]] = [
        {"name": "idna", "version": "3.20", "vulns": []},
        {"name": "six", "skip_reason": "unknown"},
    ]
    assert _judged(found, 0, {"idna", "six"}) == Verdict(1, ["six: not checked"])
    assert _judged(found[:1], 1, {"idna"}).status == 1
    unmended = {"name": "idna", "version": "3.20", "vulns": [{"id": "A", "fix_versions": []}]}
    assert _judged([unmended], 1, {"idna"}) == Verdict(1, ["idna 3.20: A, not fixed yet"])
