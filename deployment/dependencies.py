"""What ships besides our own code: the wheels that `requirements.lock` lists, each held by pip against its sha-256."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from functools import partial
from pathlib import Path

from deployment.errors import DeploymentError
from deployment.parameters import PROJECT

LOCK = PROJECT / "deployment" / "requirements.lock"
RUNTIME = "chalice"  # its runtime ships, the rest of it does not, nor what only the rest needs

# Lambda's Pythons, and the glibc (2.x) below each: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
GLIBC = {(3, 11): 26, (3, 12): 34, (3, 13): 34, (3, 14): 34}
MACHINE = "x86_64"  # of our functions
MACHINES = (MACHINE, "aarch64")  # of Lambda's

_OTHERS = "DO NOT MATCH THE HASHES"  # pip's words for wheels that are not the listed ones


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package as it was fetched."""

    path: Path
    metadata: Message
    sha256: str

    @property
    def name(self) -> str:
        """Its name, in the normal form."""
        return normal(self.metadata["Name"])

    @property
    def version(self) -> str:
        """Its version."""
        return str(self.metadata["Version"])

    def contents(self) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """The files that are for import, each with a function that reads it. Scripts are not."""
        archive = zipfile.ZipFile(self.path)
        for name in archive.namelist():
            installed = re.sub(r"^[^/]+\.data/(purelib|platlib)/", "", name)
            if not name.endswith("/") and not re.match(r"[^/]+\.data/", installed):
                yield installed, partial(archive.read, name)


def fetch(into: Path, lock: Path = LOCK, python: tuple[int, int] = sys.version_info[:2]) -> list[Wheel]:
    """Fetch the listed wheels for Lambda's `python` into a folder, by name.

    Raises DeploymentError where Lambda has no such Python, or a wheel cannot be had or is another than the listed one.
    """
    if python not in GLIBC:
        known = ", ".join(f"{major}.{minor}" for major, minor in GLIBC)
        raise DeploymentError(
            f"Python {python[0]}.{python[1]} is not known here as one of Lambda's; package with one of: {known}"
        )
    options = ["--quiet", "--require-hashes", "--no-deps", "--dest", str(into), *target(python, MACHINE)]
    pip("download", *options, "--requirement", str(lock))
    return sorted(map(_wheel, into.glob("*.whl")), key=lambda wheel: wheel.name)


def normal(name: str) -> str:
    """A package's name as indexes have it: https://packaging.python.org/en/latest/specifications/name-normalization/"""
    return re.sub(r"[-_.]+", "-", name).lower()


def target(python: tuple[int, int], machine: str) -> list[str]:
    """pip's options for wheels that Lambda can run, and nothing that would have to be built."""
    # pip takes these names as they are, without the older ones that a newer one stands for; only the last brings some.
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC[python], 16, -1)]
    platforms += [f"manylinux2014_{machine}"]
    version = f"{python[0]}.{python[1]}"
    options = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", version]
    return options + [part for platform in platforms for part in ("--platform", platform)]


def pip(*arguments: str) -> str:
    """Run pip and return what it printed. Raises DeploymentError, with what it said in a line."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    done = subprocess.run(  # noqa: S603 the project's own program
        command, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DeploymentError(_sentence(done.stderr.splitlines()))
    return done.stdout


def _sentence(said: Sequence[str]) -> str:
    errors = [number for number, line in enumerate(said) if line.startswith("ERROR: ")]
    for number in errors:
        if _OTHERS in said[number]:
            others = [line.split()[0] for line in said[number + 1 :] if re.match(r" {4}\S", line)]
            return (
                f"{', '.join(others)}: what was fetched is not what deployment/requirements.lock lists (its sha-256 "
                "differs), so nothing was packaged. If you have changed the versions: make lock"
            )
    last = said[errors[-1]].removeprefix("ERROR: ") if errors else " ".join(said[-1:]) or "no reason given"
    return f"the packages that ship could not be fetched from the index that pip is set to use: {last}"


def _wheel(path: Path) -> Wheel:
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        metadata = BytesParser().parsebytes(archive.read(name), headersonly=True)
    return Wheel(path, metadata, hashlib.sha256(path.read_bytes()).hexdigest())
