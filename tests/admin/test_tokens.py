"""A token's life, as its operator and its holder see it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from admin.errors import AdminError
from admin.tokens import Tokens
from tests.admin.conftest import API, Admin, grants, id_of
from tests.test_faults import answered
from tests.world import DAY, MINUTE, SECOND, START, World


def states(admin: Admin) -> dict[str, str]:
    """Each listed token's state, by id."""
    return {token["id"]: token["state"] for token in json.loads(admin.says("token", "list", "--json"))}


def index(w: World) -> set[str]:
    """The ids in the index."""
    return set(w.items()["TOKENS"].get("ids", []))


def test_a_created_token_opens_the_api(w: World, admin: Admin) -> None:
    """It stands alone on standard output; what a person wants to know stands beside it."""
    said = admin("token", "create", "--name", "Nightly import")
    assert re.fullmatch(r"fq_[0-9a-f]{12}_[0-9a-f]{40}\n", said.out)
    token = said.out.strip()
    assert said.status == 0
    assert said.err.splitlines() == [
        f"id       {id_of(token)}",
        "name     Nightly import",
        "expires  never",
        "The token is shown only this once; only its hash is kept. With the token in TOKEN:",
        f"""  curl -H "Authorization: Bearer $TOKEN" --json '{{"url": "https://example.com/"}}' {API}/jobs""",
    ]
    assert admin.lets_in(token)
    assert not admin.lets_in(token[:-1] + ("0" if token[-1] != "0" else "1"))


def test_stage_dev_says_how_to_ask_for_tokens(admin: Admin) -> None:
    """There nobody needs one unless told so."""
    assert "make run REQUIRE_TOKENS=1" in admin("token", "create", stage="dev").err


def test_only_the_hash_is_kept(w: World, admin: Admin) -> None:
    """Neither the token nor its secret is anywhere in the table."""
    token = admin.create()
    assert token.split("_")[2] not in repr(w.items())
    assert set(w.items()[f"TOKEN#{id_of(token)}"]) == {"pk", "tenant", "digest", "name", "created_at", "v"}


def test_listing_tokens(w: World, admin: Admin) -> None:
    """The oldest first, with what state they are in; no word of tenants where there are none."""
    assert admin.says("token", "list") == ('There are no tokens. Create one: make admin STAGE=prod DO="token create"\n')
    assert admin.says("token", "list", "--json") == "[]\n"
    forever = admin.create("--name", "a person")
    w.pass_time(SECOND)
    expired = admin.create("--expires-days", "1")
    w.pass_time(DAY)
    revoked = admin.create()
    soon = admin.create("--expires-days", "1", "--name", "a week")
    admin.says("token", "revoke", id_of(revoked))
    w.pass_time(MINUTE)
    out = admin.says("token", "list")
    first, *lines = out.splitlines()
    assert first.split() == ["ID", "NAME", "STATE", "CREATED", "EXPIRES"]
    rows = {row[0]: row[1:] for row in (re.split(r" {2,}", line) for line in lines)}
    assert list(rows)[:2] == [id_of(forever), id_of(expired)]
    assert rows[id_of(forever)] == ["a person", "active", "2026-01-01T00:00:00.000Z", "never"]
    assert rows[id_of(expired)][:2] == ["-", "expired"]
    assert rows[id_of(revoked)][:2] == ["-", "revoked"]
    assert rows[id_of(soon)][1:] == ["expires in 24 hours", "2026-01-02T00:00:01.000Z", "2026-01-03T00:00:01.000Z"]
    assert "enant" not in out + admin.says("token", "list", "--json")
    listed = {token["id"]: token for token in json.loads(admin.says("token", "list", "--json"))}
    assert listed[id_of(revoked)] == {
        "id": id_of(revoked),
        "name": "",
        "state": "revoked",
        "created_at": "2026-01-02T00:00:01.000Z",
        "expires_at": None,
        "revoked_at": "2026-01-02T00:00:01.000Z",
    }


def test_tenants_are_shown_where_there_are_any(w: World, admin: Admin) -> None:
    """When such a token is created, and of each token in the list."""
    admin.create()
    said = admin("token", "create", "--tenant", "acme")
    assert "tenant   acme" in said.err
    token = said.out.strip()
    out = admin.says("token", "list")
    assert out.splitlines()[0].split() == ["ID", "NAME", "TENANT", "STATE", "CREATED", "EXPIRES"]
    assert {line.split()[2] for line in out.splitlines()[1:]} == {"local", "acme"}
    assert {token["tenant"] for token in json.loads(admin.says("token", "list", "--json"))} == {"local", "acme"}
    headers = {"Authorization": f"Bearer {token}"}
    job = w.request("POST", "/jobs", {"url": "https://example.com/"}, headers).json_body
    assert w.items()[f"JOB#{job['id']}"]["tenant"] == "acme"


def test_a_revoked_token_lets_in_for_a_minute_at_most(w: World, admin: Admin) -> None:
    """In a process that knows it; everywhere else for no time at all."""
    token, unknown = admin.create(), admin.create()
    assert admin.lets_in(token)
    w.pass_time(SECOND)
    for revoked in (token, unknown):
        out = admin.says("token", "revoke", id_of(revoked))
        assert out == f"The token {id_of(revoked)} is revoked. This takes effect within 60 s.\n"
    assert not admin.lets_in(unknown)
    assert admin.lets_in(token)
    w.pass_time(59 * SECOND)
    assert not admin.lets_in(token)


def test_revoking_twice_changes_nothing(w: World, admin: Admin) -> None:
    """It is said since when."""
    token = admin.create()
    admin.says("token", "revoke", id_of(token))
    before = w.items()
    w.pass_time(DAY)
    out = admin.says("token", "revoke", id_of(token))
    assert out == f"The token {id_of(token)} was revoked at 2026-01-01T00:00:00.000Z; nothing was changed.\n"
    assert w.items() == before


def test_a_token_expires(w: World, admin: Admin) -> None:
    """To the millisecond, also in a process that knows it."""
    token = admin.create("--expires-days", "2")
    w.pass_time(2 * DAY - 1)
    assert admin.lets_in(token)
    w.pass_time(1)
    assert not admin.lets_in(token)


@pytest.mark.parametrize(
    ("typed", "lasts"),
    [
        (("--in-days", "3"), 3 * DAY),
        (("--at", "2026-01-01T02:30:00+02:00"), 30 * MINUTE),
        (("--at", "2026-01-01t00:30:00.500z"), 30 * MINUTE + 500),
    ],
)
def test_another_end(w: World, admin: Admin, typed: tuple[str, str], lasts: int) -> None:
    """From now, or at a time in any zone; it is later or earlier than the first."""
    token = admin.create("--expires-days", "1")
    out = admin.says("token", "expire", id_of(token), *typed)
    assert re.fullmatch(rf"The token {id_of(token)} expires at 2026-01-0\S+Z\. This takes effect within 60 s\.\n", out)
    w.pass_time(lasts - 1)
    assert admin.lets_in(token)
    w.pass_time(1)
    assert not admin.lets_in(token)


def test_no_end_any_more(w: World, admin: Admin) -> None:
    """A token that is told to last lets in, and is never swept, even where it had expired already."""
    token = admin.create("--expires-days", "1")
    w.pass_time(2 * DAY)
    assert not admin.lets_in(token)
    out = admin.says("token", "expire", id_of(token), "--never")
    assert out == f"The token {id_of(token)} does not expire. This takes effect within 60 s.\n"
    w.pass_time(MINUTE + 1000 * DAY)
    w.sweep()
    assert admin.lets_in(token)
    assert states(admin) == {id_of(token): "active"}


def test_a_revoked_token_stays_so(w: World, admin: Admin) -> None:
    """No other end brings it back, nor keeps it longer."""
    token = admin.create()
    admin.says("token", "revoke", id_of(token))
    before = w.items()
    for typed in (("--never",), ("--in-days", "90")):
        said = admin("token", "expire", id_of(token), *typed)
        assert (said.status, said.out) == (1, "")
        assert said.err == f"Fetch Queue: the token {id_of(token)} is revoked, and stays revoked; create another\n"
    assert w.items() == before


@pytest.mark.parametrize(
    "end",
    [
        lambda admin: id_of(admin.create("--expires-days", "1")),
        lambda admin: ended(admin, "expire", "--in-days", "1"),
        lambda admin: ended(admin, "revoke", days=1),
        lambda admin: ended(admin, "revoke", days=1, lasts="90"),
    ],
    ids=["created to expire", "told to expire", "revoked", "revoked before its end"],
)
def test_an_ended_token_is_kept_for_30_days(w: World, admin: Admin, end: Any) -> None:
    """Then it is swept, and the list takes it out of the index; what has no end stays."""
    forever = id_of(admin.create())
    token_id = end(admin)
    w.now = START + 31 * DAY - SECOND
    w.sweep()
    assert states(admin)[token_id] in ("expired", "revoked")
    w.pass_time(SECOND)
    assert token_id in w.items()["TOKENS"]["ids"]
    assert list(states(admin)) == [forever]  # TTL may lag
    assert token_id in index(w)
    w.sweep()
    assert f"TOKEN#{token_id}" not in w.items()
    assert list(states(admin)) == [forever]
    assert index(w) == {forever}


def ended(admin: Admin, command: str, *typed: str, days: int = 0, lasts: str = "") -> str:
    """A token that ends a day after the start."""
    token_id = id_of(admin.create(*(("--expires-days", lasts) if lasts else ())))
    admin.w.pass_time(days * DAY)
    admin.says("token", command, token_id, *typed)
    return token_id


def test_the_last_token_may_be_swept(w: World, admin: Admin) -> None:
    """The index is empty then, and takes new ones."""
    admin.says("token", "revoke", id_of(admin.create()))
    w.pass_time(30 * DAY)
    w.sweep()
    assert states(admin) == {}
    assert index(w) == set()
    assert states(admin) == {}
    token = admin.create()
    assert states(admin) == {id_of(token): "active"}


@pytest.mark.parametrize("typed", [("revoke",), ("expire", "--never"), ("expire", "--in-days", "1")])
def test_there_is_no_such_token(w: World, admin: Admin, typed: tuple[str, ...]) -> None:
    """An unknown id is an error, and so is one that TTL has yet to remove: neither makes a token."""
    just, long = (id_of(admin.create("--expires-days", days)) for days in ("4", "1"))
    w.pass_time(34 * DAY)
    before = w.items()
    for absent in (just, long, "0123456789ab"):
        said = admin("token", typed[0], absent, *typed[1:])
        assert (said.status, said.out) == (1, "")
        assert said.err == f"Fetch Queue: no such token: {absent}; token list shows the ones that exist\n"
    assert w.items() == before


# What DynamoDB may do


def tokens(w: World) -> Tokens:
    """Without pauses."""
    digits: Iterator[int] = iter(range(1, 10_000))
    return Tokens(
        grants(w),
        clock=lambda: w.now,
        random_hex=lambda size: f"{next(digits):0{2 * size}x}",
    )


def test_more_tokens_than_one_read_takes(w: World) -> None:
    """A BatchGetItem takes 100 keys, and may leave any of them unread."""
    store = tokens(w)
    made = {store.create(name="", tenant="local", expires_at=None)[0].id for _ in range(120)}

    def leave_all(number: int, params: dict[str, Any]) -> Any:
        if number % 2:
            return None
        keys = [{"pk": {"S": f"TOKEN#{token_id}"}} for token_id in made]
        unread = {w.names["TABLE_NAME"]: {"Keys": keys[:100], "ConsistentRead": True}}
        return AWSResponse("", 200, HTTPHeaders(), None), {
            "Responses": {},
            "UnprocessedKeys": unread if number == 0 else {w.names["TABLE_NAME"]: {"Keys": keys[100:]}},
            "ResponseMetadata": {"HTTPStatusCode": 200},
        }

    assert {token.id for token in store.all()} == made
    with answered(w, "dynamodb", "BatchGetItem", leave_all):
        assert {token.id for token in store.all()} == made
    assert index(w) == made


def test_two_that_create_at_once(w: World) -> None:
    """Both write the index: one of them is cancelled, and sends the same again."""

    def conflict(number: int, params: dict[str, Any]) -> Any:
        if number:
            return None
        return AWSResponse("", 400, HTTPHeaders(), None), {
            "Error": {"Code": "TransactionCanceledException", "Message": "cancelled"},
            "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}],
            "ResponseMetadata": {"HTTPStatusCode": 400},
        }

    with answered(w, "dynamodb", "TransactWriteItems", conflict):
        token, _ = tokens(w).create(name="", tenant="local", expires_at=None)
    assert [listed.id for listed in tokens(w).all()] == [token.id]


def test_listing_while_another_creates(w: World, admin: Admin) -> None:
    """The index is written by somebody else just then: it is put right by the next list."""
    admin.says("token", "revoke", id_of(admin.create()))
    w.pass_time(30 * DAY)
    w.sweep()

    def conflict(number: int, params: dict[str, Any]) -> Any:
        return AWSResponse("", 400, HTTPHeaders(), None), {
            "Error": {"Code": "TransactionConflictException", "Message": "conflict"},
            "ResponseMetadata": {"HTTPStatusCode": 400},
        }

    with answered(w, "dynamodb", "UpdateItem", conflict):
        assert states(admin) == {}
    assert index(w)
    assert states(admin) == {}
    assert not index(w)


def test_an_id_that_is_taken(w: World, admin: Admin) -> None:
    """Nothing is written over."""
    tokens(w).create(name="first", tenant="local", expires_at=None)
    before = w.items()
    with pytest.raises(AdminError, match="id was taken already"):
        tokens(w).create(name="second", tenant="local", expires_at=None)
    assert w.items() == before
