"""What a person types: the documented commands against an emulator, and what they say where something is missing."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from chalicelib.api.routes import ROUTES
from deployment.parameters import PROJECT
from local_stack import environment
from local_stack.demo import HttpAnswer
from local_stack.environment import HOST
from tests.deployment.deployed import emulated, request

DOCUMENT = (PROJECT / "docs" / "deployment.md").read_text()
NOWHERE = "http://127.0.0.1:9"  # nobody listens on the discard port
LISTED = ("no AWS region is set", "no AWS credentials were found")


def run(*command: str, given: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A command in the project's directory."""
    return subprocess.run(command, cwd=PROJECT, env=dict(given), capture_output=True, text=True, check=False)


def deployment(*arguments: str, without: tuple[str, ...] = ()) -> tuple[int, str]:
    """`python -m deployment` with credentials and region of nobody; its status and its last line."""
    given = environment.scrubbed(os.environ, NOWHERE)
    ran = run(
        sys.executable, "-m", "deployment", *arguments, given={n: v for n, v in given.items() if n not in without}
    )
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stderr.strip()


@pytest.mark.parametrize(
    ("arguments", "without", "sentence"),
    [
        (("deploy", "--stage", "prod"), ("AWS_DEFAULT_REGION",), LISTED[0]),
        (("deploy", "--stage", "prod"), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), LISTED[1]),
        (("destroy", "--stage", "prod"), ("AWS_DEFAULT_REGION",), LISTED[0]),
        (("deploy", "--stage", "prod"), ("AWS_SECRET_ACCESS_KEY",), LISTED[1]),
        (("deploy", "--stage", "production"), (), "no such stage: 'production'; use: prod"),
        (("destroy", "--stage", "production"), (), "no such stage: 'production'; use: prod"),
        (("deploy", "--stage", "dev"), (), "stage dev is this machine: make run"),
    ],
)
def test_what_is_missing_is_said_in_a_line(arguments: tuple[str, ...], without: tuple[str, ...], sentence: str) -> None:
    """With status 1, and nothing else."""
    status, said = deployment(*arguments, without=without)
    assert status == 1
    assert said.startswith(f"Fetch Queue: {sentence}")
    assert "\n" not in said


def test_the_documentation_lists_what_is_said() -> None:
    """What a person reads there is what the commands say."""
    assert all(sentence in DOCUMENT for sentence in LISTED)


@pytest.mark.emulator
@pytest.mark.parametrize("stage", [(), ("--stage", "prod"), ("--stage", "other")])
def test_chalice_deploy_says_how_to_deploy(stage: tuple[str, ...]) -> None:
    """It ends before a call to AWS, with a sentence that names the command."""
    given = environment.scrubbed(os.environ, NOWHERE)
    ran = run(
        sys.executable,
        "-c",
        "import sys; from chalice.cli import main; sys.exit(main())",
        "deploy",
        *stage,
        given=given,
    )
    assert ran.returncode != 0
    assert "use: make deploy STAGE=prod" in ran.stderr.strip().splitlines()[-1]
    assert not (PROJECT / ".chalice" / "deployed").exists()


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The environment of a person with an account, which an emulator plays."""
    with emulated(tmp_path_factory.mktemp("account")) as emulator:
        yield environment.scrubbed(os.environ, emulator.url)


def commands() -> list[tuple[str, list[str]]]:
    """The documented commands, in order, and what each is shown to say."""
    blocks = re.findall(r"^```console\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    found: list[tuple[str, list[str]]] = []
    for line in "".join(blocks).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def pattern(line: str) -> str:
    """A line of the documentation, whatever account, region, size and names are."""
    text = re.sub("fq_[0-9a-f]{12}_[0-9a-f]{40}", "fq_[0-9a-f]{12}_[0-9a-f]{40}", re.escape(line))
    for shown, any_other in (
        ("123456789012", r"\d{12}"),
        ("eu\\-central\\-1", "[a-z0-9-]+"),
        ("abcd1234", "[a-z0-9]+"),
    ):
        text = text.replace(shown, any_other)
    return re.sub(r"\d+\\\.\d\\ MB", r"[0-9.]+\\ MB", text).replace("205daeff", "[0-9a-f]{64}")


@pytest.mark.emulator
def test_the_documentation_word_by_word(account: Mapping[str, str]) -> None:
    """Each command, in order, says what it is shown to say; between them the deployed stage lets nobody in."""
    endpoint, url = account["AWS_ENDPOINT_URL"], ""
    done = []
    for command, shown in commands():
        kind = command.split()[0]
        done.append(" ".join(command.split()[:2]) if kind == "make" else kind)
        if kind == "export":
            continue  # the person's own account
        if kind == "curl":
            said = ask(endpoint, url, "GET", "/health").body.decode()
        else:
            # The environment that these tests run in is not made anew under them, whatever its stamp says.
            stamp = next(Path(sys.prefix).glob(".installed-*"), Path(".venv/none"))
            kept = ("-o", stamp.relative_to(PROJECT).as_posix()) if stamp.is_relative_to(PROJECT) else ()
            ran = run("make", *kept, *shlex.split(command)[1:], given=account)
            assert ran.returncode == 0, ran.stderr + ran.stdout
            said = ran.stdout
        if found := re.search(r"^  URL +(\S+)$", said, re.MULTILINE):
            url = found[1]
        for line in shown:
            assert re.search(f"^{pattern(line)}$", said, re.MULTILINE), (line, said)
        if kind == "curl":
            nobody_gets_in(endpoint, url)
        if command.endswith('list"'):
            who_has_a_token_gets_in(endpoint, url, account)
    made = ["export", "make deploy", "curl", "make admin", "make admin", "make deploy", "make package", "make destroy"]
    assert done == made
    again = run(sys.executable, "-m", "deployment", "deploy", "--stage", "prod", given=account)
    assert (again.returncode, again.stderr) == (0, "")
    assert "The stack fetch-queue-prod is deployed." in again.stdout


def ask(
    endpoint: str,
    url: str,
    method: str,
    path: str,
    body: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpAnswer:
    """A request to the API at its URL, which the emulator answers for."""
    name = url.removeprefix("https://").partition(".")[0]
    own = {"Host": f"{name}.execute-api.{HOST}", "Content-Type": "application/json"}
    return request(method, f"{endpoint}/api{path}", body, {**own, **(headers or {})})


def nobody_gets_in(endpoint: str, url: str) -> None:
    """Every route but the public ones answers 401 to who has no token."""
    for route in ROUTES:
        path = route.path.format(job_id="x", batch_id="x")
        body = '{"url": "https://example.com/"}' if route.method == "POST" else None
        answer = ask(endpoint, url, route.method, path, body)
        if route.public:
            assert answer.status == 200, path
        else:
            assert (answer.status, answer.headers["Content-Type"]) == (401, "application/problem+json"), (route, answer)
        for name in ("X-Content-Type-Options", "Strict-Transport-Security"):
            assert answer.headers[name], (route, name)
    assert sum(not route.public for route in ROUTES) >= 7


def who_has_a_token_gets_in(endpoint: str, url: str, given: Mapping[str, str]) -> None:
    """The operator makes one from the command line."""
    made = run(sys.executable, "-m", "admin", "--stage", "prod", "token", "create", given=given)
    assert made.returncode == 0, made.stderr
    token = {"Authorization": f"Bearer {made.stdout.strip()}"}
    assert ask(endpoint, url, "GET", "/jobs/x", headers=token).status == 404
    # Nothing is fetched here: what is asked for is refused, as a deployed stage does.
    refused = ask(endpoint, url, "POST", "/jobs", '{"url": "http://127.0.0.1/"}', token)
    assert (refused.status, refused.json["errors"][0]["pointer"]) == (422, "/url")


@pytest.mark.emulator
def test_destroying_what_is_not_there(account: Mapping[str, str]) -> None:
    """It is said, and is no failure."""
    for _ in range(2):
        ran = run(sys.executable, "-m", "deployment", "destroy", "--stage", "prod", given=account)
        assert ran.returncode == 0, ran.stderr
    assert "There is no stack fetch-queue-prod; nothing was removed." in ran.stdout
