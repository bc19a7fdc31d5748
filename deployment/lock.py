"""`python -m deployment.lock`, `make lock`: lists what ships, with the sha-256 of each wheel that Lambda may get.

A list of its own, since one hash in requirements.txt would ask for hashes of all that development installs.
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from deployment.dependencies import GLIBC, LOCK, MACHINES, RUNTIME, normal, pip, target
from deployment.errors import DeploymentError
from deployment.parameters import PROJECT

SHIPS, DEVELOPS = PROJECT / "requirements.txt", PROJECT / "requirements-dev.txt"

_HEAD = f"""\
# What is packaged: requirements.txt, and {RUNTIME}, whose runtime ships too, with the sha-256 of each wheel for
# Lambda's Pythons and machines. Made by `make lock`.
"""


def pins(path: Path) -> dict[str, str]:
    """The exact pins in a list of requirements, by normal name."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {normal(name): version for name, version in found}


def shipped() -> dict[str, str]:
    """What the list must hold: the pins of requirements.txt, and the runtime's."""
    return pins(SHIPS) | {RUNTIME: pins(DEVELOPS)[RUNTIME]}


def text(found: Mapping[tuple[str, str], set[str]]) -> str:
    """The list, of the hashes by name and version. Raises DeploymentError where requirements.txt is not all of it."""
    listed = shipped()
    if extra := [f"{name}=={version}" for name, version in sorted(found) if listed.get(name) != version]:
        raise DeploymentError(f"requirements.txt must pin everything that ships; it lacks {', '.join(extra)}")
    entries = []
    for (name, version), hashes in sorted(found.items()):
        entries.append(" \\\n".join([f"{name}=={version}", *(f"    --hash=sha256:{each}" for each in sorted(hashes))]))
    return _HEAD + "\n".join(entries) + "\n"


def hashes() -> dict[tuple[str, str], set[str]]:
    """What pip would take for each Python and machine of Lambda's, by name and version."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    runtime = f"{RUNTIME}=={shipped()[RUNTIME]}"
    for python in GLIBC:
        for machine in MACHINES:
            for what in (("--requirement", str(SHIPS)), ("--no-deps", runtime)):
                for name, version, sha256 in _report(*target(python, machine), *what):
                    found[name, version].add(sha256)
    return found


def _report(*what: str) -> list[tuple[str, str, str]]:
    with TemporaryDirectory(prefix="fetch-queue-") as folder:
        report = Path(folder) / "report.json"
        options = ("--quiet", "--dry-run", "--ignore-installed", "--target", folder, "--report", str(report))
        pip("install", *options, *what)
        items = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [
        (
            normal(item["metadata"]["name"]),
            item["metadata"]["version"],
            item["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for item in items
    ]


if __name__ == "__main__":
    try:
        LOCK.write_text(text(hashes()), encoding="utf-8")
    except DeploymentError as error:
        sys.exit(f"Fetch Queue: {error}")
    print(f"{LOCK.relative_to(PROJECT)} lists {len(pins(LOCK))} packages.")
