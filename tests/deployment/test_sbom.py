"""The bill of materials that is made with the package, held against CycloneDX's own schema and against the list."""

from __future__ import annotations

import json
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deployment import sbom
from deployment.dependencies import LOCK, Wheel
from deployment.lock import pins
from deployment.package import Package

VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def of(metadata: str, digest: str = "0" * 64) -> dict[str, Any]:
    """The bill of a package of one wheel that says this of itself."""
    described = Parser().parsestr(f"Metadata-Version: 2.4\nName: One_Two\nVersion: 1.0\n{metadata}")
    bill = sbom.of([Wheel(Path("none"), described, "1" * 64)], digest)
    assert VALIDATOR.validate_str(bill) is None
    return dict(json.loads(bill))


def test_it_is_cyclonedx(made: Package) -> None:
    """By the schema; and the schema does refuse what is none."""
    bill = made.sbom.read_text()
    assert json.loads(bill)["specVersion"] == "1.6"
    assert VALIDATOR.validate_str(bill) is None
    assert VALIDATOR.validate_str(bill.replace('"SHA-256"', '"SHA-257"', 1)) is not None


def test_each_listed_package_is_in_it(made: Package) -> None:
    """With its version, its purl, a hash that is on the list, and its licence."""
    bill = json.loads(made.sbom.read_text())
    listed = LOCK.read_text()
    assert {each["name"]: each["version"] for each in bill["components"]} == pins(LOCK)
    for each in bill["components"]:
        assert each["purl"] == f"pkg:pypi/{each['name']}@{each['version']}"
        (sha256,) = each["hashes"]
        assert (sha256["alg"], f"--hash=sha256:{sha256['content']}" in listed) == ("SHA-256", True)
        assert each["licenses"]
    assert bill["metadata"]["component"]["version"] == made.digest
    (service,) = (each for each in bill["dependencies"] if each["ref"] == "fetch-queue")
    assert service["dependsOn"] == sorted(each["purl"] for each in bill["components"])


def test_the_same_package_has_the_same_bill() -> None:
    """Neither time nor chance is in it."""
    assert of("") == of("")
    assert of("")["serialNumber"] != of("", "2" * 64)["serialNumber"]


@pytest.mark.parametrize(
    ("metadata", "licences"),
    [
        ("License-Expression: MIT\n", [{"license": {"id": "MIT"}}]),
        ("License-Expression: MIT OR Apache-2.0\n", [{"expression": "MIT OR Apache-2.0"}]),
        (
            "License: BSD-3-Clause\nClassifier: License :: OSI Approved :: BSD License\n",
            [{"license": {"id": "BSD-3-Clause"}}],
        ),
        (
            "License: Dual License\nClassifier: License :: A\nClassifier: License :: OSI Approved :: B\n",
            [{"license": {"name": "A"}}, {"license": {"name": "B"}}],
        ),
        ("License: as you like\nClassifier: Typing :: Typed\n", [{"license": {"name": "as you like"}}]),
    ],
)
def test_licences(metadata: str, licences: list[dict[str, Any]]) -> None:
    """The most exact that a package says."""
    (component,) = of(metadata)["components"]
    assert component["licenses"] == licences
    assert "licenses" not in of("")["components"][0]
