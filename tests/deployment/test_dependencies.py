"""What ships is what `requirements.lock` lists, to the byte; the wheels here are made by the tests."""

from __future__ import annotations

import hashlib
import re
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deployment.dependencies import GLIBC, LOCK, RUNTIME, Wheel, fetch, normal, target
from deployment.errors import DeploymentError
from deployment.lock import DEVELOPS, SHIPS, pins, shipped, text
from deployment.package import Package, package

PYTHON = max(GLIBC)


def wheel(folder: Path, name: str, files: dict[str, str] | None = None) -> str:
    """Make a wheel of version 1 in a folder; its sha-256."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1-py3-none-any.whl"
    described = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\nLicense: MIT\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: a-test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in (files or {f"{name}.py": "a = 1\n"}).items():
            archive.writestr(member, content)
        for member, content in described.items():
            archive.writestr(f"{name}-1.dist-info/{member}", content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lock(path: Path, folder: Path, **hashes: str) -> Path:
    """A list of wheels in a folder, which is all the index there is."""
    lines = ["--no-index", f"--find-links {folder}"]
    path.write_text("\n".join(lines + [f"{name}==1 --hash=sha256:{sha256}" for name, sha256 in hashes.items()]))
    return path


def test_the_two_lists_agree() -> None:
    """What is packaged is what is developed with: the same names and versions, each with its hashes."""
    assert pins(LOCK) == shipped() == pins(SHIPS) | {"chalice": pins(DEVELOPS)["chalice"]}
    entries = LOCK.read_text().replace("\\\n", "").splitlines()[2:]
    assert [re.sub(r"(?<= )--hash=sha256:[0-9a-f]{64}", "", entry).split() for entry in entries] == [
        [f"{name}=={version}"] for name, version in sorted(pins(LOCK).items())
    ]
    assert all("--hash=" in entry for entry in entries)
    assert normal(RUNTIME) == RUNTIME


@pytest.mark.parametrize("path", [SHIPS, DEVELOPS], ids=lambda path: path.name)
def test_development_needs_no_hashes(path: Path) -> None:
    """One would ask for a hash of everything that is installed with it."""
    assert "--hash" not in path.read_text()


def test_the_list_is_the_whole_closure(made: Package) -> None:
    """What is packaged needs nothing that is not: neither pip nor Chalice is asked for more than is listed."""
    with zipfile.ZipFile(made.archive) as archive:
        described = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        packages: list[Message] = [Parser().parsestr(archive.read(name).decode()) for name in described]
    assert len(packages) == len(pins(SHIPS))
    for found in packages:
        for needed in map(Requirement, found.get_all("Requires-Dist", [])):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert needed.specifier.contains(pins(SHIPS)[normal(needed.name)]), (found["Name"], needed)


def test_a_list_that_lacks_something_is_not_written() -> None:
    """requirements.txt must pin what its packages need."""
    found = {(name, version): {"0" * 64} for name, version in shipped().items()}
    assert text(found).count("--hash=sha256:") == len(found)
    with pytest.raises(DeploymentError, match=r"it lacks six==2\.0, tomli==1\.0$"):
        text(found | {("tomli", "1.0"): {"0" * 64}, ("six", "2.0"): {"0" * 64}})


def test_a_listed_wheel_is_fetched(tmp_path: Path) -> None:
    """With what is for import in it: no scripts, and what is for one platform beside what is for all."""
    files = {"one.py": "a = 1\n", "one-1.data/purelib/two.py": "", "one-1.data/platlib/three.so": ""}
    sha256 = wheel(tmp_path / "index", "one", {**files, "one-1.data/scripts/run": ""})
    (found,) = fetch(tmp_path / "into", lock(tmp_path / "lock", tmp_path / "index", one=sha256), PYTHON)
    assert (found.name, found.version, found.sha256) == ("one", "1", sha256)
    names = dict(found.contents())
    assert {name for name in names if "dist-info" not in name} == {"one.py", "two.py", "three.so"}
    assert names["one.py"]() == b"a = 1\n"


def test_another_wheel_than_the_listed_one_stops_the_packaging(tmp_path: Path) -> None:
    """It is said in a line, by name, and what was packaged before stays."""
    index, out = tmp_path / "index", tmp_path / "out"
    good = wheel(index, "good")
    listed = wheel(index, "changed")
    wheel(index, "changed", {"changed.py": "import os; os.system('evil')\n"})
    out.mkdir()
    (out / "sam.json").write_text("before")
    with pytest.raises(
        DeploymentError, match=r"^changed==1: what was fetched is not what deployment/requirements\.lock"
    ):
        package("prod", out, lock(tmp_path / "lock", index, good=good, changed=listed))
    assert [path.name for path in out.iterdir()] == ["sam.json"]


def test_a_changed_hash_stops_it_too(tmp_path: Path) -> None:
    """Whichever of the two was changed."""
    sha256 = wheel(tmp_path / "index", "one")
    changed = sha256[:-1] + ("1" if sha256.endswith("0") else "0")
    with pytest.raises(DeploymentError, match=r"^one==1: .* nothing was packaged\. .*: make lock$") as caught:
        fetch(tmp_path / "into", lock(tmp_path / "lock", tmp_path / "index", one=changed), PYTHON)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.glob("into/*")) == []


def test_what_has_no_hash_is_not_packaged(tmp_path: Path) -> None:
    """Not even where no other package has one."""
    wheel(tmp_path / "index", "one")
    unhashed = lock(tmp_path / "lock", tmp_path / "index")
    unhashed.write_text(unhashed.read_text() + "\none==1\n")
    with pytest.raises(DeploymentError, match=r"^the packages that ship could not be fetched from .*[Hh]ash"):
        fetch(tmp_path / "into", unhashed, PYTHON)


def test_what_cannot_be_had_is_said_in_a_line(tmp_path: Path) -> None:
    """A source distribution is nothing to be had: its code would run here, and what comes out has no hash."""
    index = tmp_path / "index"
    index.mkdir()
    (index / "one-1.tar.gz").write_bytes(b"")
    with pytest.raises(
        DeploymentError, match=r"^the packages that ship could not be fetched from .*: No matching .* one==1"
    ):
        fetch(tmp_path / "into", lock(tmp_path / "lock", index, one="0" * 64), PYTHON)


def test_pythons_that_lambda_has(tmp_path: Path) -> None:
    """Those that CI tries are the ones; another is refused before anything is fetched."""
    assert {f"{major}.{minor}" for major, minor in GLIBC} == {"3.11", "3.12", "3.13", "3.14"}
    with pytest.raises(DeploymentError, match=r"^Python 3\.10 is not known .*: 3\.11, 3\.12, 3\.13, 3\.14$"):
        fetch(tmp_path / "into", tmp_path / "none", (3, 10))
    assert not (tmp_path / "into").exists()


def test_wheels_are_for_lambdas_glibc() -> None:
    """The newest that each runtime's Linux has, and older ones."""
    for python, newest in (((3, 11), "manylinux_2_26_x86_64"), ((3, 12), "manylinux_2_34_x86_64")):
        platforms = [each for each in target(python, "x86_64") if "linux" in each]
        assert (platforms[0], platforms[-2:]) == (newest, ["manylinux_2_17_x86_64", "manylinux2014_x86_64"])


def test_a_name_in_its_normal_form() -> None:
    """As indexes have it."""
    metadata = Parser().parsestr("Name: Typing_.Extensions\nVersion: 1\n")
    assert Wheel(Path(sys.prefix), metadata, "").name == "typing-extensions"
