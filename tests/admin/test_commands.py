"""What is typed, which calls it makes, and which stage's table it reaches."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from admin import table
from admin.__main__ import main
from admin.errors import AdminError
from chalicelib.settings import Settings
from deployment.parameters import PROJECT
from local_stack import environment, resources
from tests.admin.conftest import Admin, id_of
from tests.deployment.deployed import emulated
from tests.world import REGION, World, world

TOKEN = f"fq_{'ab' * 6}_{'cd' * 20}"

# What an operator needs, besides sts:GetCallerIdentity and cloudformation:DescribeStacks.
CALLS = {"GetItem", "BatchGetItem", "UpdateItem", "TransactWriteItems"}


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("token",), "the following arguments are required: COMMAND"),
        (("tokens",), "argument COMMAND: invalid choice: 'tokens'"),
        (("token", "create", "name"), "unrecognized arguments: name"),
        (("token", "create", "--expires", "3"), "unrecognized arguments: --expires 3"),
        (("token", "create", "--expires-days", "0"), "argument --expires-days: must be a whole number from 1 to 36500"),
        (("token", "create", "--expires-days", "36501"), "argument --expires-days: must be"),
        (("token", "create", "--expires-days", "\u0663"), "argument --expires-days: must be"),
        (("token", "create", "--expires-days", "1.5"), "argument --expires-days: must be"),
        (("token", "create", "--name", "x" * 101), "argument --name: must be at most 100 printable characters"),
        (("token", "create", "--name", "two\nlines"), "argument --name: must be"),
        (("token", "create", "--name", "\x1b[2J"), "argument --name: must be"),
        (("token", "create", "--name", "\udcff"), "argument --name: must be"),
        (("token", "create", "--tenant", ""), "argument --tenant: must be 1 to 64 letters"),
        (("token", "create", "--tenant", "a#b"), "argument --tenant: must be"),
        (("token", "revoke"), "the following arguments are required: ID"),
        (("token", "revoke", "x"), "argument ID: must be the 12 hexadecimal digits"),
        (("token", "revoke", TOKEN), "argument ID: must be the 12 hexadecimal digits"),
        (("token", "revoke", f"{'ab' * 6}_{'cd' * 20}"), "argument ID: must be the 12 hexadecimal digits"),
        (("token", "expire", "ab" * 6), "one of the arguments --in-days --at --never is required"),
        (("token", "expire", "ab" * 6, "--never", "--in-days", "1"), "argument --in-days: not allowed with argument"),
        (("token", "expire", "ab" * 6, "--at", "2027-01-01"), "argument --at: must be a date and time with its zone"),
        (("token", "expire", "ab" * 6, "--at", "2027-01-01T00:00:00"), "argument --at: must be"),
        (("token", "expire", "ab" * 6, "--at", "2027-13-01T00:00:00Z"), "argument --at: must be"),
        (("token", "expire", "ab" * 6, "--at", "20270101T000000Z"), "argument --at: must be"),
        (("token", "expire", "ab" * 6, "--at", "2026-01-01T00:00:00Z"), "--at must be in the future"),
        (("token", "expire", "ab" * 6, "--at", "9999-12-31T23:59:59-12:00"), "--at must be in the future"),
        (("quota", "show", "-x"), "unrecognized arguments: -x"),
        (("quota", "show", "a b"), "argument TENANT: must be 1 to 64 letters"),
        (("quota", "set"), "nothing to set: give --per-minute, --per-day or both"),
        (("quota", "set", "acme"), "nothing to set"),
        (
            ("quota", "set", "--per-day", "0"),
            "argument --per-day: must be a whole number from 1 to 1000000000, or none",
        ),
        (("quota", "set", "--per-minute", "-1"), "argument --per-minute: "),
        (("quota", "set", "--per-minute", "many"), "argument --per-minute: must be"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(w: World, admin: Admin, typed: tuple[str, ...], sentence: str) -> None:
    """With status 1; nothing is written, and no secret is shown again."""
    said = admin(*typed)
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith(f"Fetch Queue: {sentence}")
    assert said.err.count("\n") == 1
    assert "cd" * 20 not in said.err
    assert w.items() == {}


def test_help_is_no_error(admin: Admin) -> None:
    """On standard output."""
    said = admin("token", "create", "--help")
    assert (said.status, said.err) == (0, "")
    assert "--expires-days" in said.out


def test_what_aws_refuses_is_said_in_a_line(w: World, admin: Admin) -> None:
    """By every command: here there is no such table."""
    w.names["TABLE_NAME"] = "another"
    for typed in (
        ("token", "create"),
        ("token", "list"),
        ("token", "revoke", "ab" * 6),
        ("token", "expire", "ab" * 6, "--never"),
        ("quota", "show"),
        ("quota", "set", "--per-day", "1"),
    ):
        said = admin(*typed)
        assert (said.status, said.out) == (1, "")
        assert said.err.startswith("Fetch Queue: ")
        assert "was refused: ResourceNotFoundException" in said.err
        assert said.err.count("\n") == 1


def test_nothing_is_ever_scanned(w: World, admin: Admin) -> None:
    """Each command, with its better and worse ends, reads and writes by key."""
    called = set()

    def note(model: Any, **_: Any) -> None:
        called.add(model.name)

    events = w.clients["dynamodb"].meta.events
    events.register("before-parameter-build.dynamodb.*", note, unique_id="note")
    try:
        admin.says("token", "list")
        swept = id_of(admin.create("--expires-days", "1"))
        for typed in (("list",), ("expire", swept, "--in-days", "1"), ("revoke", swept), ("revoke", swept)):
            admin.says("token", *typed)
        w.clients["dynamodb"].delete_item(TableName=w.names["TABLE_NAME"], Key={"pk": {"S": f"TOKEN#{swept}"}})
        called.remove("DeleteItem")
        admin.says("token", "list", "--json")
        assert admin("token", "revoke", swept).status == 1
        admin.says("quota", "set", "--per-minute", "1")
        admin.says("quota", "show")
    finally:
        events.unregister("before-parameter-build.dynamodb.*", unique_id="note")
    assert called == CALLS


# Which stage


def run(*typed: str, given: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """`python -m admin` in a process of its own."""
    command = [sys.executable, "-m", "admin", *typed]
    return subprocess.run(command, cwd=PROJECT, env=dict(given), capture_output=True, text=True, check=False)


def persons_own(**variables: str) -> dict[str, str]:
    """The environment of somebody who works with AWS, through a proxy, elsewhere; nothing there answers."""
    nowhere = "http://127.0.0.1:9"
    return {
        "PATH": os.environ["PATH"],
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "secret",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": nowhere,
        "AWS_ENDPOINT_URL_DYNAMODB": nowhere,
        "HTTP_PROXY": nowhere,
        "http_proxy": nowhere,
        "TABLE_NAME": "production-table",
        **variables,
    }


class Told(http.server.BaseHTTPRequestHandler):
    """Answers as a table would that has nothing, and keeps what it was asked."""

    asked: list[tuple[str, dict[str, Any]]]

    def do_GET(self) -> None:
        """Somebody is there."""
        self._answer(b"")

    def do_POST(self) -> None:
        """There is no item."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.headers["Authorization"], json.loads(body)))
        self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002, http.server's name
        """Nothing."""


@contextmanager
def listening() -> Iterator[tuple[int, list[tuple[str, dict[str, Any]]]]]:
    """The port of such a table, and what it was asked."""
    asked: list[tuple[str, dict[str, Any]]] = []
    handler = type("Handler", (Told,), {"asked": asked})
    with http.server.ThreadingHTTPServer((environment.HOST, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def test_stage_dev_is_this_machine() -> None:
    """Whatever AWS configuration and proxy a person has, the emulator is asked, as .chalice/config.json says."""
    with listening() as (port, asked):
        ran = run("--stage", "dev", "token", "list", given=persons_own(EMULATOR_PORT=str(port)))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == 'There are no tokens. Create one: make admin DO="token create"\n'
    ((authorization, request),) = asked
    assert "Credential=test/" in authorization
    assert f"/{REGION}/dynamodb/" in authorization
    assert request["TableName"] == "fetch-queue-table"


@pytest.mark.parametrize(
    ("port", "sentence"),
    [
        ("9", "nothing answers at http://127.0.0.1:9, the address of stage dev's emulator; start it: make run"),
        ("0", "nothing answers at http://127.0.0.1:0"),
        ("x", "EMULATOR_PORT must be a whole number up to 65535, not 'x'"),
    ],
)
def test_stage_dev_without_an_emulator(port: str, sentence: str) -> None:
    """It is said what starts one."""
    ran = run("--stage", "dev", "token", "create", given=persons_own(EMULATOR_PORT=port))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"Fetch Queue: {sentence}")
    assert ran.stderr.count("\n") == 1


def test_the_port_of_stage_dev() -> None:
    """As .chalice/config.json has it, unless EMULATOR_PORT says otherwise; so with the API's."""
    assert table.of_dev({})[0]["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    variables, api_url = table.of_dev({"EMULATOR_PORT": "4600", "PORT": "9000"})
    assert (variables["AWS_ENDPOINT_URL"], api_url) == ("http://127.0.0.1:4600", "http://127.0.0.1:9000")


@pytest.mark.parametrize("without", ["AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"])
def test_a_deployed_stage_needs_credentials_and_a_region(without: str) -> None:
    """As deploying it does."""
    given = environment.scrubbed(os.environ, "http://127.0.0.1:9")
    given = {name: value for name, value in given.items() if name != without}
    ran = run("--stage", "prod", "token", "list", given=given)
    assert ran.returncode == 1
    assert ran.stderr.startswith("Fetch Queue: no AWS region" if "REGION" in without else "Fetch Queue: no AWS cred")
    assert ran.stderr.count("\n") == 1


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual ones, of an account that moto plays."""
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", REGION)):
        monkeypatch.setenv(f"AWS_{name}", value)


def stack(w: World, outputs: Mapping[str, str]) -> None:
    """Deploy a stack of stage prod that has these outputs."""
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    w.clients["cloudformation"].create_stack(StackName="fetch-queue-prod", TemplateBody=json.dumps(template))


@pytest.mark.usefixtures("credentials")
def test_a_deployed_stage_is_found_by_its_stack(capsys: pytest.CaptureFixture[str]) -> None:
    """Its outputs name the table and the API."""
    with world(require_tokens=1) as w:
        stack(w, {"TableName": w.names["TABLE_NAME"], "URL": "https://example.execute-api.amazonaws.com/api"})
        main(["--stage", "prod", "token", "create"])
        out, err = capsys.readouterr()
        assert f"TOKEN#{id_of(out.strip())}" in w.items()
        assert err.endswith(" https://example.execute-api.amazonaws.com/api/jobs\n")


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize("outputs", [None, {"BucketName": "x"}])
def test_a_stage_that_is_not_deployed(outputs: dict[str, str] | None) -> None:
    """No stack, or one that never came up; it is said where it was looked for, and what makes one."""
    with world() as w:
        if outputs:
            stack(w, outputs)
        with pytest.raises(AdminError) as raised, table.opened("prod"):
            pass
    assert str(raised.value) == (
        "no stack fetch-queue-prod is deployed in account 123456789012, region us-east-1; "
        "deploy it: make deploy STAGE=prod"
    )


def test_an_unknown_stage() -> None:
    """What stages there are."""
    with pytest.raises(AdminError) as raised, table.opened("production"):
        pass
    assert str(raised.value) == "no such stage: 'production'; use one of: dev, prod"


@pytest.mark.emulator
def test_every_command_on_the_emulator(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It takes what moto takes, under the table's name that `make run` gives."""
    with emulated(tmp_path_factory.mktemp("emulator")) as emulator:
        given = persons_own(EMULATOR_PORT=emulator.url.rpartition(":")[2])

        def says(*typed: str, status: int = 0) -> str:
            ran = run("--stage", "dev", *typed, given=given)
            assert ran.returncode == status, ran.stderr
            return ran.stdout if status == 0 else ran.stderr

        with environment.applied(environment.scrubbed(os.environ, emulator.url)):
            resources.create(boto3.client("cloudformation"), Settings())
            dynamodb = boto3.client("dynamodb")
        ids = [id_of(says("token", "create", "--expires-days", "1").strip()) for _ in range(2)]
        assert "expires at" in says("token", "expire", ids[0], "--in-days", "2")
        assert "does not expire" in says("token", "expire", ids[0], "--never")
        assert "takes effect" in says("token", "revoke", ids[0])
        assert "nothing was changed" in says("token", "revoke", ids[0])
        assert "is revoked" in says("token", "expire", ids[0], "--never", status=1)
        assert "no such token" in says("token", "revoke", "ab" * 6, status=1)
        assert [token["id"] for token in json.loads(says("token", "list", "--json"))] == ids
        dynamodb.delete_item(TableName="fetch-queue-table", Key={"pk": {"S": f"TOKEN#{ids[0]}"}})
        assert [token["id"] for token in json.loads(says("token", "list", "--json"))] == ids[1:]
        index = dynamodb.get_item(TableName="fetch-queue-table", Key={"pk": {"S": "TOKENS"}})["Item"]
        assert index["ids"] == {"SS": ids[1:]}
        assert "2 URLs" in says("quota", "set", "--per-minute", "2", "--per-day", "none")
        shown = says("quota", "set", "--per-minute", "default")
        assert "the limits are those that stage dev was started with" in shown
        assert shown.startswith(says("quota", "show"))
