"""Thousands of requests that nobody sends in good faith: whatever is in path, headers and body, no answer is a 500."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from chalice.test import HTTPResponse
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chalicelib.api.problems import CONTENT_TYPE, KINDS, TYPE_BASE
from chalicelib.api.routes import ROUTES
from tests.depth import depth
from tests.world import World, failure, world

REQUESTS = depth(400, 6000)
URL = "https://example.com/"
NAMES = {kind.name: kind.status for kind in KINDS}

seen: Counter[int] = Counter()


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[World]:
    """A world with jobs in every state, closed, with a small quota; quick to answer, for nothing is ever run."""
    with world(require_tokens=1, quota_urls_per_day=1_000_000, quota_urls_per_minute=1000) as w:
        yield w


class Known:
    """What is there to be asked for: made once, found again by every example."""

    def __init__(self, w: World) -> None:
        self.tokens = [w.grant(), w.grant("other"), w.grant(revoked_at=w.now)]
        self.make(w)

    def make(self, w: World) -> None:
        """The jobs, again where they were deleted."""
        token = {"Authorization": f"Bearer {self.tokens[0]}"}
        w.site.answers = {f"{URL}fails": [failure()]}
        urls = [f"{URL}{name}" for name in ("a", "fails", "deleted")]
        batch = w.request("POST", "/batches", {"urls": urls}, token).json_body["id"]
        w.run()
        w.request("DELETE", f"/jobs/{batch}-2", headers=token)
        waiting = w.request("POST", "/jobs", {"url": f"{URL}waits"}, token).json_body["id"]
        self.ids = [f"{batch}-{n}" for n in range(3)] + [batch, waiting]


@pytest.fixture(scope="module")
def known(fuzzed: World) -> Known:
    """The jobs that are there."""
    return Known(fuzzed)


text = st.text(max_size=40) | st.sampled_from(
    ["", "\x00", "../..", "%00", "%2e%2e%2f", "\u202e", "\ud83d\ude00", "-1", "0" * 32, "0" * 33, "f" * 32 + "-1000",
     "f" * 32 + "-00", "JOB#1", "TOKENS", "TOKEN#1", "QUOTA#local", "a" * 3000, "1e9", "null", "{}", "' OR 1=1 --"]
)  # fmt: skip
scalar = st.none() | st.booleans() | st.integers() | st.floats() | text
anything = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=8
)
url_text = st.one_of(
    text,
    st.sampled_from(
        [URL, "http://[::1", "http://a@b/", "http://10.0.0.1/", "http://x:99999/", "//x", "http://%zz/", "ht\ttp://x/"]
    ),
    st.builds("https://{}/{}".format, text, text),
)
body = st.one_of(
    st.sampled_from([json.dumps({"url": f"{URL}x"}).encode(), json.dumps({"urls": [f"{URL}y", URL, "x"]}).encode()]),
    st.binary(max_size=60),
    anything.map(json.dumps).map(str.encode),
    st.fixed_dictionaries({"url": url_text | anything}).map(json.dumps).map(str.encode),
    st.fixed_dictionaries({"urls": st.lists(url_text | anything, max_size=5)}).map(json.dumps).map(str.encode),
    st.sampled_from([b"", b"\xef\xbb\xbf{}", b"[" * 5000, b'{"url": "' + b"\xff" + b'"}', b'{"url": 1e999}', b"{" * 3]),
)  # fmt: skip
# What a header may carry over HTTP: Latin-1 without line breaks.
header_text = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=60)


METHODS = ["PUT", "OPTIONS", "PATCH", "HEAD"]
HEADERS = ["Idempotency-Key", "If-None-Match", "Content-Type", "Accept", "Prefer", "Origin", "Cookie"]
VALUES = ["application/json", '"k"', "*", 'W/"x"', "wait=1", "application/json; charset=x"]
DELETES = [route for route in ROUTES if route.method == "DELETE"] * 2  # each drawn more often: few of them find a job
PARAMETERS = ["cursor", "limit", "only", "status", "wait"]


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request: mostly to a route, with an id that is there or is none, and any query, headers and body."""
    route = draw(st.sampled_from([*ROUTES, *DELETES]))
    query = st.lists(st.tuples(st.sampled_from(PARAMETERS) | text, text), max_size=3)
    headers = st.dictionaries(st.sampled_from(HEADERS), header_text | st.sampled_from(VALUES), max_size=4)
    return {
        "method": draw(st.sampled_from([route.method] * 20 + METHODS)),
        "path": route.path,
        "id": draw(st.integers(0, 4) | text),
        "query": draw(st.none() | st.none() | st.none() | query),
        "token": draw(st.sampled_from([0, 0, 0, 0, 1, 2]) | header_text),
        "headers": draw(headers),
        "body": draw(body),
        "json": draw(st.sampled_from([True, True, False])),
    }


def ask(w: World, known: Known, r: dict[str, Any]) -> HTTPResponse:
    """Send it."""
    name = known.ids[r["id"]] if isinstance(r["id"], int) else quote(r["id"], safe="", errors="surrogatepass") or "x"
    path = r["path"].format(job_id=name, batch_id=name)
    if r["query"]:
        path += "?" + urlencode(r["query"], errors="surrogatepass")
    headers = dict(r["headers"])
    if r["json"]:
        headers["Content-Type"] = "application/json"
    token = r["token"]
    headers["Authorization"] = f"Bearer {known.tokens[token]}" if isinstance(token, int) else token
    return w.request(r["method"], path, headers=headers, raw=r["body"])


@settings(
    max_examples=REQUESTS,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(r=requests())
def test_no_request_is_a_fault_of_ours(fuzzed: World, known: Known, r: dict[str, Any]) -> None:
    """Every answer is one that the documentation has, every error is a problem, and every answer has its headers."""
    fuzzed.pass_time(100)
    answer = ask(fuzzed, known, r)
    seen[answer.status_code] += 1
    if answer.status_code == 204 and r["method"] == "DELETE":
        known.make(fuzzed)
    assert answer.status_code < 500, answer.body
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        assert NAMES[answer.json_body["type"].removeprefix(TYPE_BASE)] == answer.status_code


def test_it_met_something(request: pytest.FixtureRequest) -> None:
    """The requests were not all refused at the door."""
    if not seen:
        pytest.skip("the requests were not sent in this run")
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nfuzzed: {sum(seen.values())} requests, by status: {dict(sorted(seen.items()))}")
    assert sum(seen.values()) >= REQUESTS * 5 // 6
    assert {200, 202, 204, 400, 401, 404, 405, 415, 422} <= set(seen)
