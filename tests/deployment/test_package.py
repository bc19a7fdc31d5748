"""The zip that goes to Lambda: what is in it, how large it is, and how long each function's module takes to import."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from deployment.dependencies import Wheel
from deployment.errors import DeploymentError
from deployment.package import Package, _rewrite, package
from deployment.parameters import PROJECT

LARGEST_MB = 25  # zipped
LARGEST_UNZIPPED_MB = 120  # Lambda takes 250

# The folder or module of each package in requirements.txt; others may have nothing but their metadata.
IMPORTED = {
    "aws_lambda_powertools",
    "botocore",
    "certifi",
    "charset_normalizer",
    "dateutil",
    "idna",
    "jmespath",
    "msgspec",
    "protego",
    "requests",
    "six.py",
    "typing_extensions.py",
    "urllib3",
}


def names(made: Package) -> list[str]:
    """Every file in the archive."""
    with zipfile.ZipFile(made.archive) as archive:
        return archive.namelist()


def sources(made: Package) -> list[str]:
    """Every file in the archive that is no bytecode."""
    return [name for name in names(made) if "__pycache__" not in name]


def test_what_is_in_it(made: Package) -> None:
    """The entry points, chalicelib, Chalice's runtime, and the packages that ship; nothing else."""
    metadata = re.compile(r".*\.(dist-info|data)$")
    top = {name.partition("/")[0] for name in sources(made)}
    shipped = {name for name in top if not metadata.fullmatch(name)}
    assert shipped >= IMPORTED
    listed = {
        line.partition("==")[0].lower().replace("-", "_")
        for line in (PROJECT / "requirements.txt").read_text().splitlines()
        if "==" in line
    }
    described = {name.partition("-")[0].lower() for name in top if metadata.fullmatch(name)}
    assert described == listed
    ours = {"app.py", "chalicelib", "chalice"}
    assert {name for name in shipped - IMPORTED - ours if not name.endswith(".so")} == set()


def test_all_of_ours_is_in_it(made: Package) -> None:
    """Each file of chalicelib, as it is here."""
    files = [path for path in (PROJECT / "chalicelib").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    here = {path.relative_to(PROJECT).as_posix() for path in files} | {"app.py"}
    assert {name for name in names(made) if name.partition("/")[0] in ("app.py", "chalicelib")} >= here
    with zipfile.ZipFile(made.archive) as archive:
        assert archive.read("app.py") == (PROJECT / "app.py").read_bytes()


def test_nothing_of_development_is_in_it(made: Package) -> None:
    """No test, no tool, no Chalice CLI."""
    ours = r"^(local_stack|deployment|bench|docs|moto|pytest|_pytest|mypy|ruff|pip|ministack|cfnlint)/"
    unwanted = re.compile(rf"{ours}|(^|/)tests?/|(^|/)\.")
    assert [name for name in names(made) if unwanted.search(name)] == []
    assert {name for name in sources(made) if name.startswith("chalice/")} == {"chalice/__init__.py", "chalice/app.py"}


def test_its_size(made: Package) -> None:
    """Small enough to start fast."""
    with zipfile.ZipFile(made.archive) as archive:
        unzipped = sum(entry.file_size for entry in archive.infolist()) / 1e6
    zipped = made.archive.stat().st_size / 1e6
    print(f"\npackage: {zipped:.1f} MB zipped, {unzipped:.1f} MB unzipped, {len(names(made))} files")
    assert zipped < LARGEST_MB
    assert unzipped < LARGEST_UNZIPPED_MB


def test_binaries_are_for_lambda(made: Package) -> None:
    """What is compiled was compiled for Linux on x86-64."""
    compiled = [name for name in names(made) if name.endswith((".so", ".pyd", ".dylib"))]
    assert any(name.startswith("msgspec/") for name in compiled)
    assert all("linux" in name for name in compiled)


@pytest.mark.parametrize(
    ("role", "call"), [("api", "app.wiring.api()"), ("runner", "app.wiring.runner()")], ids=["api", "runner"]
)
def test_each_function_can_be_imported_from_it(made: Package, tmp_path: Path, role: str, call: str) -> None:
    """With the packages in the archive alone; how long the import takes is printed."""
    with zipfile.ZipFile(made.archive) as archive:
        archive.extractall(tmp_path)
    code = (
        "import sys, time; sys.dont_write_bytecode = True\n"
        "sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; sys.path.insert(0, '.')\n"
        f"began = time.perf_counter(); import app; imported = time.perf_counter(); {call}\n"
        "made = time.perf_counter(); print(round(1000 * (imported - began)), round(1000 * (made - imported)))\n"
        "assert app.__file__.startswith(sys.argv[1]) and sys.modules['botocore'].__file__.startswith(sys.argv[1])"
    )
    environment = {
        "FUNCTION_ROLE": role,
        "STAGE": "prod",
        "AWS_DEFAULT_REGION": "us-east-1",
        "TABLE_NAME": "table",
        "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/q",
        "DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/d",
        "BUCKET_NAME": "bucket",
        **({"SERVICE_KEY": "k" * 32} if role == "api" else {}),
    }
    command = [sys.executable, "-s", "-c", code, str(tmp_path.resolve())]
    for path in tmp_path.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)  # as on Lambda, nothing can be written
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    imported, wired = ran.stdout.split()
    print(f"\n{role}: import of app.py {imported} ms, its clients and stores {wired} ms")


def test_bytecode_is_in_it(made: Package) -> None:
    """For what is imported: Lambda could not keep what it compiles, and would compile again at each cold start."""
    there = set(names(made))
    for name in ("app.py", "chalicelib/wiring.py", "botocore/client.py", "botocore/session.py"):
        assert importlib.util.cache_from_source(name) in there


def test_the_same_code_gives_the_same_package(made: Package, tmp_path: Path) -> None:
    """So that a deployment that changes nothing says so: neither times nor order count, contents do."""
    first, second, other = (tmp_path / name for name in ("first.zip", "second.zip", "other.zip"))
    files = {"app.py": "a = 1\n", "chalicelib/x.py": "b = 2\n", "chalicelib/__pycache__/x.pyc": "junk"}
    for path, order, last in ((first, 1, "a = 1\n"), (second, -1, "a = 1\n"), (other, 1, "a = 2\n")):
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in [*files.items()][::order]:
                entry = zipfile.ZipInfo(name, (2026 + order, 1, 1, 0, 0, 0))
                archive.writestr(entry, last if name == "app.py" else text)
    digests = [_rewrite(path, [], tmp_path / "out.zip") for path in (first, second, other)]
    assert digests[0] == digests[1] != digests[2]


def test_only_our_code_is_taken_from_chalices_zip(tmp_path: Path) -> None:
    """The rest of it comes from what happens to be installed here, and was held against no hash."""
    source, runtime = tmp_path / "source.zip", tmp_path / "chalice.whl"
    for path, text in ((source, "installed"), (runtime, "listed")):
        with zipfile.ZipFile(path, "w") as archive:
            for name in ("chalice/app.py", *(("app.py", "other.py") if path == source else ("chalice/cli.py",))):
                archive.writestr(name, f"a = '{text}'")
    _rewrite(source, [Wheel(runtime, Parser().parsestr("Name: chalice"), "")], tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        found = {name: archive.read(name) for name in archive.namelist() if "__pycache__" not in name}
    assert found == {"app.py": b"a = 'installed'", "chalice/app.py": b"a = 'listed'"}


def test_an_unknown_stage_is_refused_first(tmp_path: Path) -> None:
    """Nothing is made."""
    with pytest.raises(DeploymentError, match="no such stage: 'production'; use: prod"):
        package("production", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failure_of_chalice_is_said_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was packaged before stays."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "sam.json").write_text("before")
    monkeypatch.setattr("deployment.package._CHALICE_STAGE", "prod")
    with pytest.raises(DeploymentError, match=r"^chalice package failed: .*make deploy STAGE=prod") as caught:
        package("prod", out)
    assert "\n" not in str(caught.value)
    assert (out / "sam.json").read_text() == "before"
