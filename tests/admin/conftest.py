"""The operator's commands, in the world of the other tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import pytest

from admin.__main__ import main
from admin.table import OpenedStage
from chalicelib.storage.grants import Grants
from chalicelib.storage.rows import Rows
from tests.world import World, world

API = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command left behind."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Admin:
    """Runs commands on the table of a world."""

    w: World
    captured: pytest.CaptureFixture[str]

    def __call__(self, *typed: str, stage: str = "prod") -> Said:
        """`python -m admin --stage prod ...`, which may fail."""
        place = OpenedStage(grants=grants(self.w), api_url=API)
        status, last = 0, ""
        try:
            main(
                ["--stage", stage, *typed],
                opened=lambda stage: nullcontext(place),
                clock=lambda: self.w.now,
                random_hex=secrets.token_hex,
            )
        except SystemExit as ended:  # Python prints its text, and ends with status 1
            status, last = (1, f"{ended.code}\n") if isinstance(ended.code, str) else (ended.code or 0, "")
        out, err = self.captured.readouterr()
        return Said(status, out, err + last)

    def says(self, *typed: str) -> str:
        """What a command prints that does not fail."""
        said = self(*typed)
        assert (said.status, said.err) == (0, "")
        return said.out

    def create(self, *typed: str) -> str:
        """A new token."""
        said = self("token", "create", *typed)
        assert said.status == 0, said.err
        (token,) = said.out.splitlines()
        return token

    def lets_in(self, token: str) -> bool:
        """True where the API takes the token."""
        headers = {"Authorization": f"Bearer {token}"}
        status = self.w.request("GET", "/jobs/none", headers=headers).status_code
        assert status in (401, 404)
        return status == 404


def grants(w: World) -> Grants:
    """What the table has of tokens and limits, written again without pauses."""
    return Grants(Rows(w.clients["dynamodb"], w.names["TABLE_NAME"], patience=w.outside.patience))


@pytest.fixture
def w() -> Iterator[World]:
    """A world that asks for tokens, as a deployed one does."""
    with world(require_tokens=1) as made:
        yield made


@pytest.fixture
def admin(w: World, capsys: pytest.CaptureFixture[str]) -> Admin:
    """The commands."""
    return Admin(w, capsys)


def id_of(token: str) -> str:
    """A token's id."""
    return token.split("_")[1]
