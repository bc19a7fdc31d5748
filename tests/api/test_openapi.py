"""The OpenAPI document: whole, valid, and what the service really answers."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest

from chalicelib.api import headers, openapi, problems
from chalicelib.api.examples import EXAMPLES
from chalicelib.api.openapi import problems_of
from chalicelib.api.routes import ROUTES
from tests.world import World, world


def document(w: World) -> dict[str, Any]:
    """What is served."""
    answer = w.request("GET", "/openapi.json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    served: dict[str, Any] = answer.json_body
    return served


def test_it_has_every_route(w: World) -> None:
    """With its query, its answers and its problems, each of which is described."""
    paths = document(w)["paths"]
    for route in ROUTES:
        operation = paths[route.path][route.method.lower()]
        assert operation["summary"]
        assert operation["operationId"] == route.view.__name__
        named = [parameter["name"] for parameter in operation.get("parameters", [])]
        assert named == [*re.findall(r"{(\w+)}", route.path), *(each.name for each in (*route.query, *route.headers))]
        assert set(operation["responses"]) == {
            *map(str, route.answers),
            *(str(kind.status) for kind in problems_of(route)),
        }
    assert sum(map(len, paths.values())) == len(ROUTES)


def test_it_has_every_problem(w: World) -> None:
    """Each type that an answer may have, at a status; but for what no operation that is listed meets."""
    listed = set(re.findall(rf"{problems.TYPE_BASE}([a-z-]+)", json.dumps(document(w))))
    assert {kind.name for kind in problems.KINDS} - listed == {problems.METHOD_NOT_ALLOWED.name}


def test_its_references_lead_somewhere(w: World) -> None:
    """Within the document."""
    served = document(w)
    for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(served)):
        assert name in served["components"]["schemas"]


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_examples_are_what_their_types_say(kind: type[msgspec.Struct]) -> None:
    """Each is read by the type that it is shown for."""
    assert msgspec.to_builtins(msgspec.convert(EXAMPLES[kind], kind)) == EXAMPLES[kind]


def test_a_token_where_one_is_needed() -> None:
    """A closed service says so; an open one that it may be left out."""
    with world(require_tokens=1) as w:
        assert document(w)["paths"]["/jobs"]["post"]["security"] == [{"token": []}]
        assert "security" not in document(w)["paths"]["/health"]["get"]
    with world() as w:
        assert document(w)["paths"]["/jobs"]["post"]["security"] == [{"token": []}, {}]


def test_it_knows_the_stages_prefix() -> None:
    """Where API Gateway puts one before our paths."""
    assert openapi.document(ROUTES, prefix="/api", is_open=False, most_wait=1)["servers"] == [{"url": "/api"}]
    assert openapi.document(ROUTES, prefix="", is_open=False, most_wait=1)["servers"] == [{"url": "/"}]


def test_what_generators_of_clients_go_by(w: World) -> None:
    """URLs say that they are URLs, and how they begin; bodies that are not JSON say what they are."""
    served = document(w)
    schemas = served["components"]["schemas"]
    urls = [
        schemas["JobRequest"]["properties"]["url"],
        schemas["BatchRequest"]["properties"]["urls"]["items"]["anyOf"][0],
        schemas["ResultView"]["properties"]["final_url"],
        schemas["LinkedResultView"]["properties"]["link"],
    ]
    for schema in urls:
        assert schema["format"] == "uri"
        assert re.match(schema["pattern"], "https://example.com/")
        assert not re.match(schema["pattern"], "ftp://example.com/")
    paths = [schemas["ResultView"]["properties"]["href"], *schemas["JobLinks"]["properties"].values()]
    assert all("uri-reference" in json.dumps(schema) for schema in paths)
    content = {
        path: served["paths"][path]["get"]["responses"]["200"]["content"]
        for path in ("/jobs/{job_id}/result", "/batches/{batch_id}/results")
    }
    assert list(content.values()) == [
        {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        {"application/x-ndjson": {"schema": {"type": "string"}}},
    ]


def test_no_answer_has_a_header_that_is_not_declared(w: World) -> None:
    """Before the job is run and after it, and once it is gone; but for the headers that every answer has."""
    every = {"Content-Type", "Cache-Control", *headers.SECURITY}
    url = "https://example.com/"
    batch = w.submit_batch([url])
    batch_id, job_id = batch["id"], batch["jobs"][0]["id"]
    declared = _declared_headers(document(w))
    reads = ["/jobs/{job_id}", "/jobs/{job_id}/result", "/batches/{batch_id}", "/batches/{batch_id}/results", "/health"]

    def ask(method: str, route: str, query: str = "") -> None:
        path = route.format(job_id=job_id, batch_id=batch_id) + query
        answer = w.request(method, path, {"url": url} if method == "POST" else None)
        assert set(answer.headers) - every <= declared[method, route, answer.status_code], (path, answer.status_code)

    for step in (w.run, lambda: ask("DELETE", "/jobs/{job_id}"), lambda: ask("DELETE", "/batches/{batch_id}")):
        for route in reads:
            ask("GET", route)
        ask("GET", "/jobs/{job_id}", "?wait=1")
        ask("POST", "/jobs")
        step()


def _declared_headers(served: dict[str, Any]) -> dict[tuple[str, str, int], set[str]]:
    return {
        (method.upper(), path, int(status)): set(response.get("headers", {}))
        for path, operations in served["paths"].items()
        for method, operation in operations.items()
        for status, response in operation["responses"].items()
    }
