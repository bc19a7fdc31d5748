"""Who is let in: every route with every kind of credential, the memory of a process, hosts, origins and headers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chalice.app import Chalice
from chalice.test import Client, HTTPResponse

from chalicelib.api.api import Api
from chalicelib.api.headers import SECURITY
from chalicelib.api.route import Route
from chalicelib.api.routes import ROUTES
from chalicelib.api.serve import register
from chalicelib.service.gate import REMEMBERED_MS
from tests.world import DAY, SECOND, World, failure, world

UNKNOWN = "0" * 32
URL = "https://example.com/"
BODIES: dict[str, Any] = {"/jobs": {"url": URL}, "/batches": {"urls": [URL]}}


@pytest.fixture
def closed() -> Iterator[World]:
    """A world that asks for tokens."""
    with world(require_tokens=1) as made:
        yield made


def ask(w: World, route: Route, authorization: str | None, path: str | None = None) -> HTTPResponse:
    """A request that would be good if it were let in."""
    headers = {} if authorization is None else {"Authorization": authorization}
    at = path or route.path.format(job_id=UNKNOWN, batch_id=UNKNOWN)
    return w.request(route.method, at, BODIES.get(route.path, {}) if route.method == "POST" else None, headers)


# What the credential is, what it makes of a good token's text, and whether it lets in.
CREDENTIALS: dict[str, tuple[Callable[[World, str], str | None], bool]] = {
    "good": (lambda _, good: f"Bearer {good}", True),
    "good, the scheme in small letters": (lambda _, good: f"bearer  {good} ", True),
    "good, and expires later": (lambda w, _: f"Bearer {w.grant(expires_at=w.now + 1)}", True),
    "missing": (lambda *_: None, False),
    "empty": (lambda *_: "", False),
    "no scheme": (lambda _, good: good, False),
    "another scheme": (lambda _, good: f"Basic {good}", False),
    "two tokens": (lambda _, good: f"Bearer {good} {good}", False),
    "no token": (lambda *_: "Bearer", False),
    "no token of ours": (lambda *_: "Bearer eyJhbGciOiJub25lIn0.e30.", False),
    "cut short": (lambda _, good: f"Bearer {good[:-1]}", False),
    "too long": (lambda _, good: f"Bearer {good}0", False),
    "another secret": (lambda _, good: f"Bearer {good[:-1]}{'f' if good[-1] != 'f' else '0'}", False),
    "another id": (lambda *_: f"Bearer fq_{'a' * 12}_{'0' * 40}", False),
    "capital letters": (lambda _, good: f"Bearer {good.upper()}", False),
    "expired": (lambda w, _: f"Bearer {w.grant(expires_at=w.now)}", False),
    "revoked": (lambda w, _: f"Bearer {w.grant(revoked_at=w.now)}", False),
    "no ASCII": (lambda *_: "Bearer fq_\u00e9", False),
    "hostile": (lambda *_: "Bearer " + "a" * 9000, False),
}


@pytest.mark.parametrize("kind", CREDENTIALS)
def test_every_route_with_every_credential(closed: World, kind: str) -> None:
    """Public routes answer anybody; the others let in who has a good token and give all others one and the same 401."""
    good = closed.grant()
    make, lets_in = CREDENTIALS[kind]
    for route in ROUTES:
        answer = ask(closed, route, make(closed, good))
        if route.public:
            assert answer.status_code == 200, route
        elif lets_in:
            made = route.path in BODIES or route.path.endswith("retry")
            expected = 404 if "{" in route.path else 202 if route.method == "POST" and made else 200
            assert answer.status_code == expected, (route, answer.body)
        else:
            refused = ask(closed, route, None)
            assert (answer.status_code, answer.json_body["type"].rpartition("/")[2]) == (401, "unauthorized"), route
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="fetch-queue"'
            assert (answer.body, answer.headers) == (refused.body, refused.headers)


def test_which_routes_are_public() -> None:
    """Those that tell nothing of anybody."""
    assert {route.path for route in ROUTES if route.public} <= {"/health", "/openapi.json", "/"}


def test_who_is_refused_is_told_nothing_else(closed: World) -> None:
    """The token comes before query, body and path: nothing is judged, nothing stored, nothing looked up."""
    job = closed.grant()
    before = closed.items()
    for method, path, body in (
        ("POST", "/jobs", b"{"),
        ("POST", "/batches", b"x" * 2_000_000),
        ("GET", "/jobs/x?y=1", None),
        ("DELETE", "/jobs/" + "x" * 500, None),
    ):
        assert closed.request(method, path, raw=body).status_code == 401
    assert closed.items() == before
    assert closed.request("GET", "/jobs/x?y=1", headers={"Authorization": f"Bearer {job}"}).status_code == 422


def test_only_a_hash_is_kept(closed: World) -> None:
    """Neither the token nor its secret is in the table."""
    token = closed.grant()
    assert token.rpartition("_")[2] not in str(closed.items())
    assert len(bytes.fromhex(token.rpartition("_")[2])) * 8 >= 128


def test_a_process_remembers_a_token(closed: World) -> None:
    """One reading of a token and its tenant's limits a minute, whatever the number of requests."""
    token = {"Authorization": f"Bearer {closed.grant()}"}
    job = closed.request("POST", "/jobs", {"url": URL}, token).json_body
    with closed.counted_calls() as calls:
        assert closed.request("GET", f"/jobs/{job['id']}", headers=token).status_code == 200
    assert calls == {"GetItem": 1}
    closed.pass_time(REMEMBERED_MS)
    with closed.counted_calls() as calls:
        assert closed.request("GET", f"/jobs/{job['id']}", headers=token).status_code == 200
    assert calls == {"GetItem": 3}


def test_a_token_that_is_revoked(closed: World) -> None:
    """A process that knows it lets it in for a minute at most."""
    text = closed.grant()
    route = next(route for route in ROUTES if not route.public)
    assert ask(closed, route, f"Bearer {text}").status_code == 202
    closed.clients["dynamodb"].update_item(
        TableName=closed.names["TABLE_NAME"],
        Key={"pk": {"S": f"TOKEN#{text.split('_')[1]}"}},
        UpdateExpression="SET revoked_at = :now",
        ExpressionAttributeValues={":now": {"N": str(closed.now)}},
    )
    closed.pass_time(60 * SECOND - 1)
    assert ask(closed, route, f"Bearer {text}").status_code == 202
    closed.pass_time(1)
    assert ask(closed, route, f"Bearer {text}").status_code == 401


def test_a_token_that_expires(closed: World) -> None:
    """It ends to the millisecond, in a process that knows it too."""
    token = f"Bearer {closed.grant(expires_at=closed.now + SECOND)}"
    route = next(route for route in ROUTES if not route.public)
    assert ask(closed, route, token).status_code == 202
    closed.pass_time(SECOND - 1)
    assert ask(closed, route, token).status_code == 202
    closed.pass_time(1)
    assert ask(closed, route, token).status_code == 401


def test_many_tokens_are_forgotten(closed: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process remembers so many and no more, and lets in those that it has forgotten."""
    monkeypatch.setattr("chalicelib.service.gate.MOST_REMEMBERED", 3)
    route = next(route for route in ROUTES if not route.public)
    tokens = [closed.grant() for _ in range(5)]
    for _ in range(2):
        assert [ask(closed, route, f"Bearer {token}").status_code for token in tokens] == [202] * 5
    assert len(closed.service.gate._known) <= 3


def test_stage_dev_needs_no_token_and_takes_one(w: World) -> None:
    """Open to who asks without; who sends a token is who the token says, or nobody."""
    job = w.submit(URL)
    theirs = {"Authorization": f"Bearer {w.grant('alice')}"}
    assert w.request("GET", f"/jobs/{job['id']}", headers=theirs).status_code == 404
    ours = {"Authorization": f"Bearer {w.grant()}"}
    assert w.request("GET", f"/jobs/{job['id']}", headers=ours).status_code == 200
    assert w.request("GET", f"/jobs/{job['id']}", headers={"Authorization": "Bearer x"}).status_code == 401


# Hosts


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "a.localhost", "127.1.2.3"]
)
def test_stage_dev_answers_this_machine(w: World, host: str) -> None:
    """By each of its names."""
    assert w.request("GET", "/health", headers={"Host": host}).status_code == 200


STRANGE_HOSTS = [
    "[::1].evil.example",
    "[127.0.0.1]x",
    "example.com",
    "localhost.example.com",
    "127.0.0.1.example.com",
    "evil.test:8000",
    "10.0.0.1",
    "[::2]:80",
    "",
    "notlocalhost",
    "0.0.0.0:8000",
]


@pytest.mark.parametrize("host", STRANGE_HOSTS)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/health"), ("POST", "/jobs"), ("PATCH", "/jobs"), ("OPTIONS", "/jobs")]
)
def test_stage_dev_answers_nobody_else(w: World, host: str, method: str, path: str) -> None:
    """A page that gets here by DNS rebinding brings its own name."""
    answer = w.request(method, path, {"url": URL} if method == "POST" else None, {"Host": host})
    assert (answer.status_code, answer.json_body["type"].rpartition("/")[2]) == (421, "misdirected-request")
    assert not [key for key in w.items() if key.startswith("JOB#")]


def test_a_deployed_stage_has_any_name() -> None:
    """API Gateway has judged it already."""
    with world(stage="prod", service_key="k" * 32) as w:
        assert (
            w.request("GET", "/health", headers={"Host": "x.execute-api.eu-central-1.amazonaws.com"}).status_code == 200
        )
        assert w.request("GET", "/jobs/x", headers={"Host": "example.com"}).status_code == 401


@pytest.mark.parametrize("form", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_simple_form_is_no_submission(w: World, form: str) -> None:
    """What a page may send across origins without being asked is refused."""
    answer = w.request("POST", "/jobs", {"url": URL}, {"Content-Type": form})
    assert answer.status_code == 415
    assert not [key for key in w.items() if key.startswith("JOB#")]


# Headers and origins


def answers(w: World, headers: dict[str, str] | None = None) -> list[HTTPResponse]:
    """Every route with and without what it needs, a wrong method and a wrong body."""
    job = w.submit(URL)
    w.run()
    paths = [("GET", "/health"), ("GET", f"/jobs/{job['id']}"), ("GET", f"/jobs/{job['id']}/result")]
    paths += [("GET", f"/jobs/{UNKNOWN}"), ("PUT", "/jobs"), ("OPTIONS", "/jobs"), ("POST", "/batches")]
    paths += [("DELETE", f"/jobs/{job['id']}")]
    return [w.request(method, path, headers=headers) for method, path in paths]


def test_security_headers(w: World) -> None:
    """On every answer, good or bad. A result has a stricter policy, which lets nothing run in it."""
    given = answers(w)
    assert {answer.status_code for answer in given} == {200, 204, 404, 405, 415}
    for answer in given:
        for name, value in SECURITY.items():
            if name != "Content-Security-Policy":
                assert answer.headers[name] == value
        assert answer.headers["Content-Security-Policy"] in (SECURITY["Content-Security-Policy"], "sandbox")
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert given[2].headers["Content-Security-Policy"] == "sandbox"


def test_a_fault_of_ours_has_them_too() -> None:
    """Where the settings do not hold together, no service is made; the answer is a problem as any other."""

    def broken() -> Api:
        raise RuntimeError("the settings are broken")

    app = Chalice(app_name="broken")
    register(app, broken)
    with Client(app) as client:
        answer = client.http.get("/health", headers={"Host": "localhost"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"broken" not in answer.body


# What a page of another origin may see and send: all that routes answer and read.
EXPOSED = "ETag, Link, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After"
SENT = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer"


def test_another_origin_reads_nothing(w: World) -> None:
    """As long as no setting names it."""
    for answer in answers(w, {"Origin": "https://app.example.com"}):
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
    assert w.request("OPTIONS", "/jobs").headers["Allow"] == "POST, GET"


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null", "http://127.0.0.1.evil.example.com"])
def test_a_page_of_another_site_changes_nothing(w: World, origin: str) -> None:
    """Not even by a POST that browsers send without asking first."""
    w.site.answers[URL] = [failure(404)]
    batch = w.submit_batch([URL])
    w.run()
    path = f"/batches/{batch['id']}/retry"
    before = w.items()
    assert w.request("POST", path, headers={"Origin": origin}).status_code == 421
    assert w.items() == before
    for trusted in ("http://127.0.0.1:8000", "http://localhost:8000"):
        assert w.request("POST", path, headers={"Origin": trusted}).status_code == 202


@pytest.mark.parametrize("origins", ["https://app.example.com", "https://a.example.com, https://app.example.com", "*"])
def test_an_allowed_origin_reads_everything(origins: str) -> None:
    """Errors too; and it may send what needs a preflight."""
    with world(allowed_origins=origins) as w:
        for answer in answers(w, {"Origin": "https://app.example.com"}):
            assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
            assert answer.headers["Access-Control-Expose-Headers"] == EXPOSED
            assert answer.headers["Vary"] == "Origin"
        asked = w.request("OPTIONS", f"/jobs/{UNKNOWN}", headers={"Origin": "https://app.example.com"})
        assert (asked.status_code, asked.headers["Access-Control-Allow-Methods"]) == (204, "GET, DELETE")
        assert asked.headers["Access-Control-Allow-Headers"] == SENT
        if origins != "*":
            other = w.request("OPTIONS", f"/jobs/{UNKNOWN}", headers={"Origin": "https://evil.example.com"})
            assert (other.status_code, "Access-Control-Allow-Origin" in other.headers) == (405, False)
            assert other.headers["Vary"] == "Origin"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_preflight_may_have_a_query(route: Route) -> None:
    """A browser asks for the whole URL."""
    path = route.path.format(job_id=UNKNOWN, batch_id=UNKNOWN)
    with world(allowed_origins="https://a.example") as w:
        asked = w.request(
            "OPTIONS",
            f"{path}?{'&'.join(f'{each.name}=1' for each in route.query)}",
            headers={"Origin": "https://a.example"},
        )
    assert asked.status_code == 204
    assert route.method in asked.headers["Access-Control-Allow-Methods"]


def test_who_asked_is_logged(closed: World, caplog: pytest.LogCaptureFixture) -> None:
    """By the token's id, which is no secret; who has none writes no id of theirs into the log."""
    token = closed.grant()
    with caplog.at_level("INFO", "fetch_queue.api"):
        closed.request("GET", f"/jobs/{UNKNOWN}", headers={"Authorization": f"Bearer {token}"})
        closed.request("GET", "/jobs/strange")
    known, stranger = (vars(record) for record in caplog.records if record.message == "request")
    assert (known["token_id"], known["route"], known["job_id"], known["status"]) == (
        token.split("_")[1],
        "GET /jobs/{job_id}",
        UNKNOWN,
        404,
    )
    assert (stranger["token_id"], stranger["status"], "job_id" in stranger) == (None, 401, False)
    assert token not in caplog.text


def test_a_preflight_needs_no_token(closed: World) -> None:
    """A browser sends none with it."""
    assert closed.request("OPTIONS", "/jobs", headers={"Origin": "https://a.example"}).status_code == 405


def test_expired_and_then_valid_again(closed: World) -> None:
    """A token's end may be put off: a process that knows the old end learns the new one within a minute."""
    text = closed.grant(expires_at=closed.now + SECOND)
    route = next(route for route in ROUTES if not route.public)
    assert ask(closed, route, f"Bearer {text}").status_code == 202
    closed.clients["dynamodb"].update_item(
        TableName=closed.names["TABLE_NAME"],
        Key={"pk": {"S": f"TOKEN#{text.split('_')[1]}"}},
        UpdateExpression="SET expires_at = :later",
        ExpressionAttributeValues={":later": {"N": str(closed.now + DAY)}},
    )
    closed.pass_time(REMEMBERED_MS)
    assert ask(closed, route, f"Bearer {text}").status_code == 202
