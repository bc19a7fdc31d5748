"""The running service against its own OpenAPI document: schemathesis tries what it allows and what it does not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from chalicelib.settings import Settings
from tests.depth import depth
from tests.e2e.running import running
from tests.e2e.test_access import admin

EXAMPLES = depth(8, 40)  # of each operation, and as many scenarios of several

# Which URLs can be fetched is more than a schema says, so that one which fits it may be refused.
LEFT_OUT = "positive_data_acceptance"


def test_it_answers_as_its_document_says(tmp_path: Path) -> None:
    """No status, header or body that the document does not have, no 500, no way around the token.

    Nothing is fetched: the URLs that are made up may be somebody's.
    """
    with running(tmp_path, {"REQUIRE_TOKENS": "1", "WORKERS": "0"}) as stack:
        token = admin(stack, "token", "create").strip()
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{stack.facts['api']}/openapi.json"]
        command += ["--header", f"Authorization: Bearer {token}", "--checks", "all", "--exclude-checks", LEFT_OUT]
        command += ["--max-examples", str(EXAMPLES), "--seed", "1", "--no-color", "--continue-on-failure"]
        # A reading may wait for a job's end.
        command += [
            "--request-timeout",
            str(2 * Settings().wait_seconds),
            "--max-response-time",
            str(2 * Settings().wait_seconds),
        ]
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "18 selected / 18 total" in ran.stdout
        found = re.search(r"(\d+) generated", ran.stdout)
        assert found, ran.stdout
        print(f"\nschemathesis: {found[1]} requests")
        assert int(found[1]) >= 18 * EXAMPLES
