"""Makes the package: Chalice's template; its zip of our code, rewritten with the packages that ship so that the same
code gives the same name; and the bill of materials.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deployment import sbom
from deployment.dependencies import LOCK, RUNTIME, Wheel, fetch
from deployment.errors import DeploymentError
from deployment.parameters import CHALICE, PROJECT, file_of

OUT = PROJECT / "package"
LARGEST_BYTES = 50 * 1024 * 1024  # Lambda takes more from a bucket, but a cold start takes longer

# The template is the same for every stage: what differs is in its parameters. Chalice's other stages are for
# `chalice local` alone, and their policy file is a sentence that sends `chalice deploy` here.
_CHALICE_STAGE = "package"
_OURS = ("app.py", "chalicelib")
_LEFT_OUT = ("__pycache__", "tests")
_UNCHECKED = (1).to_bytes(4, "little")  # PEP 552: such bytecode is taken without a look at its source
_TASK = "/var/task"  # where Lambda unpacks
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip knows no earlier time
_READABLE = 0o644 << 16


@dataclass(frozen=True, slots=True)
class Package:
    """What goes to the cloud."""

    template: Path
    archive: Path
    sbom: Path  # what is in the archive: CycloneDX, as JSON
    digest: str  # sha-256 of names and contents in the archive


def package(stage: str, out: Path = OUT, lock: Path = LOCK) -> Package:
    """Package the service for a stage into the folder `out`, whose former content goes.

    Raises DeploymentError if the stage is unknown, a package is not the listed one, or Chalice fails.
    """
    file_of(stage)
    with tempfile.TemporaryDirectory(prefix="fetch-queue-") as folder:
        project, fetched, output = (Path(folder) / name for name in ("project", "wheels", "made"))
        wheels = fetch(fetched, lock)
        _copy_ours(project)
        _run_chalice(project, output)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        archive = out / "deployment.zip"
        digest = _rewrite(output / "deployment.zip", wheels, archive)
        template = out / "sam.json"
        template.write_text(json.dumps(_shortened(json.loads((output / "sam.json").read_text())), indent=2))
        listed = out / "sbom.cdx.json"
        listed.write_text(sbom.of(wheels, digest), encoding="utf-8")
    if archive.stat().st_size > LARGEST_BYTES:
        raise DeploymentError(f"the package has {archive.stat().st_size} bytes, more than {LARGEST_BYTES}")
    return Package(template, archive, listed, digest)


def _shortened(template: dict[str, Any]) -> dict[str, Any]:
    """Without what Chalice says of each method and API Gateway does not need.

    What is left is what SAM writes itself for a function's method.
    """
    definition = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    for methods in definition["paths"].values():
        for method in methods.values():
            for name in ("consumes", "produces", "summary"):
                method.pop(name, None)
            method["responses"] = {}
            for name in ("responses", "passthroughBehavior"):
                method["x-amazon-apigateway-integration"].pop(name, None)
    definition.pop("definitions", None)
    return template


def _copy_ours(project: Path) -> None:
    """What Chalice must package. Not requirements.txt: it would fetch what that names without comparing hashes."""
    shutil.copytree(PROJECT / "chalicelib", project / "chalicelib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CHALICE, project / CHALICE.name, ignore=shutil.ignore_patterns("deploy*"))
    shutil.copyfile(PROJECT / "app.py", project / "app.py")


def _run_chalice(project: Path, out: Path) -> None:
    command = [sys.executable, "-c", "import sys; from chalice.cli import main; sys.exit(main())", "package"]
    command += ["--stage", _CHALICE_STAGE, "--merge-template", str(CHALICE / "resources.json"), str(out)]
    # The template refers to the region by a pseudo parameter: Chalice wants one set, and does not use it.
    environment = {"AWS_DEFAULT_REGION": "us-east-1", **os.environ}
    done = subprocess.run(  # noqa: S603 the project's own program
        command, cwd=project, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise DeploymentError(f"chalice package failed: {said[-1] if said else 'no reason given'}")


def _rewrite(source: Path, wheels: Sequence[Wheel], target: Path) -> str:
    """Put together what is needed, in order and without times, with bytecode added; returns the digest.

    Lambda's disk is read-only: what comes without bytecode is compiled anew at each cold start.
    """
    digest = hashlib.sha256(sys.implementation.cache_tag.encode())
    with zipfile.ZipFile(source) as given, zipfile.ZipFile(target, "w") as kept:
        for name, read in sorted(_contents(given, wheels).items()):
            content = read()
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
            _add(kept, name, content)
            if name.endswith(".py") and (bytecode := _compile(name, content)) is not None:
                _add(kept, importlib.util.cache_from_source(name), bytecode)
    return digest.hexdigest()


def _contents(given: zipfile.ZipFile, wheels: Sequence[Wheel]) -> dict[str, Callable[[], bytes]]:
    """Each file by its name: ours as Chalice zipped it, all others from wheels that were held against the list.

    From the runtime's wheel only the files that Chalice has put into the zip from what is installed here.
    """
    zipped = {name for name in given.namelist() if not name.endswith("/")}
    found: dict[str, Callable[[], bytes]] = {
        name: partial(given.read, name) for name in zipped if name.partition("/")[0] in _OURS
    }
    for wheel in wheels:
        found |= {name: read for name, read in wheel.contents() if wheel.name != RUNTIME or name in zipped}
    return {name: read for name, read in found.items() if not any(part in _LEFT_OUT for part in name.split("/"))}


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = _READABLE
    archive.writestr(entry, content)


def _compile(name: str, content: bytes) -> bytes | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            code = compile(content, f"{_TASK}/{name}", "exec", dont_inherit=True, optimize=0)
        except SyntaxError:  # a file for another version of Python
            return None
    return importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(content) + marshal.dumps(code)
