"""A stage's table, and a client for it: on this machine the emulator's, else the deployed stack's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from admin.errors import AdminError, as_admin_error
from chalicelib.settings import DEV, STAGES
from chalicelib.storage.calls import refuse_cut_answers
from chalicelib.storage.grants import Grants
from chalicelib.storage.rows import Rows
from deployment.account import connect
from deployment.parameters import CHALICE
from deployment.stack import Stack, name_of
from local_stack import api, emulator, environment, sockets
from local_stack.errors import StackError

_OUTPUTS = ("TableName", "URL")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedStage:
    """Where a stage keeps its tokens and quotas, and where its API is."""

    grants: Grants
    api_url: str


@contextmanager
def opened(stage: str) -> Iterator[OpenedStage]:
    """The place of a stage, for a while. Raises AdminError if there is none, or it cannot be reached."""
    if stage not in STAGES:
        raise AdminError(f"no such stage: {stage!r}; use one of: {', '.join(STAGES)}")
    if stage != DEV:
        yield _deployed(stage)
        return
    variables, api_url = of_dev(os.environ)
    with environment.applied(variables):
        if not emulator.answers(variables["AWS_ENDPOINT_URL"]):
            raise AdminError(
                f"nothing answers at {variables['AWS_ENDPOINT_URL']}, the address of stage dev's emulator; start it: "
                "make run (if it uses another port: EMULATOR_PORT=...)"
            )
        yield OpenedStage(grants=_grants(None, variables["TABLE_NAME"]), api_url=api_url)


def of_dev(given: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """The environment of a process of stage dev, and the API's URL. Nothing of a person's own AWS configuration is
    left in it.

    Raises AdminError if EMULATOR_PORT or PORT is not a port.
    """
    config = json.loads((CHALICE / "config.json").read_text(encoding="utf-8"))
    listed: dict[str, str] = config["stages"][DEV]["environment_variables"]
    usual = urlsplit(listed["AWS_ENDPOINT_URL"])
    try:
        port = environment.number(given, "EMULATOR_PORT", usual.port or 0, sockets.HIGHEST_PORT)
        api_port = environment.number(given, "PORT", api.DEFAULT_PORT, sockets.HIGHEST_PORT)
    except StackError as error:
        raise AdminError(str(error)) from error
    endpoint = f"{usual.scheme}://{usual.hostname}:{port}"
    variables = environment.scrubbed(given, endpoint) | listed | {"AWS_ENDPOINT_URL": endpoint}
    return variables, f"http://{environment.HOST}:{api_port}"


def _deployed(stage: str) -> OpenedStage:
    account = connect()
    stack = Stack(account, name_of(stage), report=lambda _: None)
    outputs = stack.outputs
    if not outputs.keys() >= set(_OUTPUTS):
        raise AdminError(
            f"no stack {stack.name} is deployed in account {account.number}, region {account.region}; "
            f"deploy it: make deploy STAGE={stage}"
        )
    return OpenedStage(grants=_grants(account.region, outputs["TableName"]), api_url=outputs["URL"])


def _grants(region: str | None, table_name: str) -> Grants:
    """What a table has of tokens and quotas; its region is the environment's if none is given."""
    config = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 5})
    with as_admin_error("opening the table"):
        client = boto3.session.Session().client("dynamodb", region_name=region, config=config)
    refuse_cut_answers(client)
    return Grants(Rows(client, table_name))
