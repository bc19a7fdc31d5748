"""The direction rule: who may import whom, and what a cold start loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "chalicelib"

MAY_IMPORT = {
    "jobs": {"jobs"},
    "storage": {"jobs", "storage"},
    "service": {"jobs", "storage", "metrics", "service"},
    "api": {"jobs", "service", "api"},
    "runner": {"jobs", "storage", "logs", "metrics", "runner"},
    "settings": {"jobs"},
    "logs": set(),
    "metrics": set(),
    "wiring": {"settings", "metrics", "jobs", "storage", "service", "api", "runner"},
    "wiring_webhooks": {"settings", "wiring", "jobs", "storage", "runner"},
}


DEVELOPMENT = {"local_stack", "tests", "deployment", "admin", "client", "bench", "moto"}
SHIPS = [ROOT / "app.py", *sorted(PACKAGE.rglob("*.py"))]
LONGEST_FUNCTION = 45  # lines
LONGEST_MODULE = 300


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively, which these tests do not follow"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def parts() -> list[tuple[str, Path]]:
    return [
        (path.relative_to(PACKAGE).parts[0].removesuffix(".py"), path)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "__init__.py"
    ]


@pytest.mark.parametrize(("part", "path"), parts(), ids=lambda value: getattr(value, "name", value))
def test_arrows_point_down(part: str, path: Path) -> None:
    """A part imports itself and what is below it; API and runner meet in the table and the queue."""
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("chalicelib.") and name.count(".")}
    assert ours <= MAY_IMPORT[part]


@pytest.mark.parametrize(("part", "path"), parts(), ids=lambda value: getattr(value, "name", value))
def test_what_ships_imports_nothing_of_development(part: str, path: Path) -> None:
    """The emulator, the tests and the deployment stay at home."""
    assert not {name.split(".")[0] for name in imports(path)} & DEVELOPMENT


def test_only_storage_writes_expressions() -> None:
    """Whoever wants something written asks the table for it by a verb."""
    programs = [path for part in ("admin", "client", "deployment") for path in (ROOT / part).rglob("*.py")]
    others = [path for path in (*SHIPS, *programs) if path.parent.name != "storage"]
    words = ("UpdateExpression", "ConditionExpression", "storage.expressions")
    assert [path.name for path in others if any(word in path.read_text() for word in words)] == []


def test_no_module_leads_back_to_itself() -> None:
    """Not within a part either."""
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in SHIPS}
    below = {
        name: {found for each in imports(path) for found in (each, each.rpartition(".")[0]) if found in modules}
        - {name}
        for name, path in modules.items()
    }

    def reached(name: str) -> set[str]:
        seen: set[str] = set()
        ahead = list(below[name])
        while ahead:
            module = ahead.pop()
            if module not in seen:
                seen.add(module)
                ahead += below[module]
        return seen

    assert [name for name in modules if name in reached(name)] == []


@pytest.mark.parametrize("path", SHIPS, ids=lambda path: path.name)
def test_nothing_that_ships_is_long(path: Path) -> None:
    """A function fits on a screen, and a module in a head."""
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_MODULE
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = [node.name for node in functions if node.end_lineno and node.end_lineno - node.lineno >= LONGEST_FUNCTION]
    assert long == []


@pytest.mark.parametrize("path", sorted((PACKAGE / "jobs").glob("*.py")), ids=lambda path: path.name)
def test_the_domain_is_pure(path: Path) -> None:
    """No AWS, no HTTP, no clock, no environment."""
    roots = {name.split(".")[0] for name in imports(path)}
    assert not roots & {
        "boto3",
        "botocore",
        "requests",
        "urllib3",
        "chalice",
        "time",
        "datetime",
        "os",
        "random",
        "socket",
    }


def test_only_settings_reads_the_environment() -> None:
    """One reader, so that there is one list of settings."""
    readers = [path.name for path in [ROOT / "app.py", *PACKAGE.rglob("*.py")] if "os.environ" in path.read_text()]
    assert readers == ["settings.py"]


def loaded(role: str, *calls: str) -> set[str]:
    """The modules of a process that has imported app.py in a role and made these calls."""
    code = "; ".join(["import sys, app", *calls, "print(' '.join(sys.modules), file=sys.stderr)"])
    environment = {
        "FUNCTION_ROLE": role,
        "PATH": "/usr/bin:/bin",
        "STAGE": "prod",
        "AWS_DEFAULT_REGION": "us-east-1",
        "TABLE_NAME": "table",
        "QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/1/q",
        "BUCKET_NAME": "bucket",
        **({"SERVICE_KEY": "k" * 32} if role == "api" else {}),
    }
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return set(ran.stderr.split())


def test_the_api_loads_no_runner() -> None:
    """The API's cold start pays neither for `requests` nor for the runner."""
    modules = loaded("api", "app.wiring.api()")
    assert "chalicelib.api.routes" in modules
    assert not modules & {"requests", "chalicelib.runner", "chalicelib.runner.fetcher", "boto3"}


def test_the_runner_loads_no_routes() -> None:
    """The runner's cold start pays for no route and no request type."""
    modules = loaded("runner", "app.wiring.runner()")
    assert "chalicelib.runner.fetcher" in modules
    assert not modules & {"chalicelib.api", "chalicelib.service", "msgspec", "protego"}


def test_importing_app_needs_nothing() -> None:
    """Packaging imports app.py where there is no region and no credential, and no client is made."""
    ran = subprocess.run(
        [sys.executable, "-c", "import sys, app; print('botocore.session' in sys.modules)"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["False"]
