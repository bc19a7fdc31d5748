"""`make audit`: asks OSV, a database of advisories, about every package that ships.

It ends with status 1 if one is known to be vulnerable, or if the answer cannot be used. If the database cannot be
reached, it says so and ends with 0, so that work without a network is not held up.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deployment.dependencies import LOCK
from deployment.lock import pins

# How pip-audit ends if it got no answer: usually with the traceback of what requests raised.
_UNREACHABLE = re.compile(
    r"^requests\.exceptions\.(ConnectionError|ConnectTimeout|ReadTimeout|ProxyError)\b|Could not connect to OSV",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome: the exit status, and the lines to print."""

    status: int
    lines: list[str]


def audit(lock: Path = LOCK, url: str | None = None) -> Verdict:
    """Ask about each package in the list; `url` is another address of the database's query than OSV's own."""
    with TemporaryDirectory(prefix="fetch-queue-") as folder:
        output = Path(folder) / "audit.json"
        options = ["--vulnerability-service", "osv", *(("--osv-url", url) if url else ())]
        options += ["--disable-pip", "--require-hashes", "--requirement", str(lock), "--progress-spinner", "off"]
        options += ["--format", "json", "--output", str(output), "--cache-dir", folder]
        done = subprocess.run(  # noqa: S603 the project's own program
            [sys.executable, "-m", "pip_audit", *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        found = json.loads(output.read_text(encoding="utf-8"))["dependencies"] if output.exists() else None
    if found is None and _UNREACHABLE.search(done.stderr):
        return Verdict(0, ["The audit was skipped: the database of advisories cannot be reached from here."])
    if found is None:
        said = done.stderr.strip().splitlines()
        return Verdict(1, [f"The audit failed: {said[-1] if said else 'no reason given'}"])
    return _judged(found, done.returncode, set(pins(lock)))


def _judged(found: Sequence[dict[str, Any]], returned: int, listed: set[str]) -> Verdict:
    lines = [
        f"{package['name']} {package['version']}: {advisory['id']}, {_mended(advisory['fix_versions'])}"
        for package in found
        for advisory in package.get("vulns", [])
    ]
    left_out = listed - {package["name"] for package in found if "vulns" in package}
    lines += [f"{name}: not checked" for name in sorted(left_out)]
    if lines or returned:
        return Verdict(1, lines or [f"The audit failed: pip-audit ended with status {returned}."])
    return Verdict(0, [f"No advisory is known for any of the {len(listed)} packages that ship."])


def _mended(versions: Sequence[str]) -> str:
    return f"fixed in {', '.join(versions)}" if versions else "not fixed yet"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the verdict and end with its status."""
    parser = argparse.ArgumentParser(prog="python -m deployment.audit", description=__doc__)
    parser.add_argument("--url", help="another address of the database's query")
    verdict = audit(url=parser.parse_args(arguments).url)
    print("\n".join(verdict.lines))
    sys.exit(verdict.status)


if __name__ == "__main__":
    main()
