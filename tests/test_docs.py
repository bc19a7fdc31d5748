"""README, CONTRIBUTING and docs/ are held against the code: every route, setting, problem and make target is there, and
nothing else."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from chalicelib.api import openapi, problems
from chalicelib.api.routes import ROUTES
from chalicelib.jobs.entities import ErrorType, Status
from chalicelib.settings import Settings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SETTINGS = ROOT / "docs" / "settings.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


def section(title: str) -> str:
    """The text under a heading, up to the next heading of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}$(.*?)(?=^#{{1,2}} |\Z)", README.read_text(), re.MULTILINE | re.DOTALL)
    assert found, title
    return found[2]


def test_routes() -> None:
    """The API table has each route with its query, and no other."""
    rows = re.findall(r"^\| `([A-Z]+) (/[^`?\s]*)(?:\?([^`]*))?`", section("API"), re.MULTILINE)
    documented = {(method, path, tuple(re.findall(r"(\w+)=", query))) for method, path, query in rows}
    assert documented == {
        (route.method, route.path, tuple(parameter.name for parameter in route.query)) for route in ROUTES
    }


def test_problems() -> None:
    """The table of errors has each problem under its status."""
    rows = re.findall(r"^\| (\d{3}) \| (.*) \|$", section("API"), re.MULTILINE)
    documented = {(int(status), name) for status, names in rows for name in re.findall(r"`([a-z-]+)`", names)}
    assert documented == {(kind.status, kind.name) for kind in problems.KINDS}


def test_states_and_error_types() -> None:
    """Each status and each type of failure is explained."""
    text = section("States")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(Status)
    sentence = text[text.index("`error.type` is one of") : text.index("Retried")]
    assert set(re.findall(r"`([a-z-]+)`", sentence)) == set(ErrorType)


def test_settings() -> None:
    """Each setting is listed with its default, and no other."""
    given_by_the_platform = {"AWS_ENDPOINT_URL", "AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_FUNCTION_NAME"}
    documented: dict[str, str] = {}
    for names, default in re.findall(r"^\| (`[A-Z_`, ]+`) \| ([^|]+) \|", SETTINGS.read_text(), re.MULTILINE):
        documented |= dict.fromkeys(re.findall(r"`([A-Z_]+)`", names), default.strip())
    expected = {field.name.upper(): str(getattr(Settings(), field.name)) for field in fields(Settings)}
    assert set(documented) == set(expected) - given_by_the_platform
    for name, default in documented.items():
        assert default in (expected[name], "none", "set by the stack"), name


def test_make_targets() -> None:
    """Every target that a document names exists, and CONTRIBUTING names every target."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):.*## ", makefile, re.MULTILINE)) - {"help"}
    named = {document: _targets_in(document.read_text()) for document in DOCUMENTS}
    assert set().union(*named.values()) <= targets
    assert named[ROOT / "CONTRIBUTING.md"] == targets


def _targets_in(text: str) -> set[str]:
    return set(re.findall(r"`make ([a-z0-9-]+)", text)) | set(re.findall(r"^make ([a-z0-9-]+)", text, re.MULTILINE))


def test_the_readme_is_short() -> None:
    """It is read to the end."""
    assert len(README.read_text().splitlines()) < 250


def test_one_version() -> None:
    """What comes next in the changelog is the API's and the client's."""
    (newest, *_) = re.findall(r"^## \[([0-9.]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    client = (ROOT / "client" / "fetch_queue" / "__init__.py").read_text()
    assert newest == openapi.VERSION
    assert re.findall(r'^__version__ = "(.*)"$', client, re.MULTILINE) == [newest]


def test_every_clause_is_explained() -> None:
    """docs/protocol.md says for each clause of the protocol what goes wrong without it."""
    storage = ROOT / "chalicelib" / "storage"
    source = (storage / "protocol.py").read_text() + (storage / "lines.py").read_text()
    clauses = set(re.findall(r"^([A-Z_]+) = \"", source, re.MULTILINE))
    explained = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs" / "protocol.md").read_text()))
    assert clauses <= explained


def test_every_clause_of_webhooks_is_explained() -> None:
    """docs/webhooks.md says the same of the writes of events and secrets."""
    storage = ROOT / "chalicelib" / "storage"
    source = (storage / "events.py").read_text() + (storage / "webhook_secrets.py").read_text()
    clauses = set(re.findall(r"^([A-Z_]+) = \"", source, re.MULTILINE))
    assert len(clauses) == 4
    assert clauses <= set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs" / "webhooks.md").read_text()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Each link inside the repository has a target, and its heading is there."""
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        assert not anchor or anchor in _anchors_of(path), target


def _anchors_of(document: Path) -> set[str]:
    text = document.read_text()
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-") for title in titles}
    return anchors | set(re.findall(r'<a id="([^"]+)">', text))
