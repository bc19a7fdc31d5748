"""The OpenAPI document, made from the routes and from the types that parse requests and render answers."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from chalicelib.api import parameters, problems
from chalicelib.api.bodies import BatchRequest, JobRequest
from chalicelib.api.examples import EXAMPLES
from chalicelib.api.parameters import AnswerHeader
from chalicelib.api.problems import CONTENT_TYPE, TYPE_BASE, Kind
from chalicelib.api.route import JSON, GoodAnswer, Route
from chalicelib.api.types import Problem

Schema = dict[str, Any]

VERSION = "1.0.0"
INTRODUCTION = """\
Submit one URL, or up to a thousand at once. Each becomes a job: its URL is fetched, and the result kept for some days.
**A URL that was submitted within the last hour is not fetched again**: the new job shares the existing fetch.

Times are RFC 3339, UTC. Every error is `application/problem+json` (RFC 9457): its `type` ends in one of the names
listed with each status, and its `detail` says what to do. Unknown members and query parameters are refused.
"""

EVERYWHERE = (problems.MALFORMED, problems.MISDIRECTED, problems.INVALID, problems.INTERNAL)
WITH_TOKEN = (problems.UNAUTHORIZED, problems.UNAVAILABLE)
BY_ID = (problems.NOT_FOUND,)

PROBLEM_HEADERS = {
    401: (parameters.WWW_AUTHENTICATE,),
    409: (parameters.RETRY_AFTER,),
    429: (parameters.RETRY_AFTER, parameters.RATE_LIMIT_POLICY, parameters.RATE_LIMIT),
    503: (parameters.RETRY_AFTER,),
}


def document(routes: Sequence[Route], *, prefix: str, is_open: bool, most_wait: int) -> Schema:
    """The document, for an API under a prefix; if it is open, a token is allowed but not needed."""
    paths: dict[str, Schema] = defaultdict(dict)
    for route in routes:
        paths[route.path][route.method.lower()] = _operation(route, is_open, most_wait)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fetch Queue", "version": VERSION, "description": INTRODUCTION},
        "servers": [{"url": prefix or "/"}],
        "paths": dict(paths),
        "components": {
            "schemas": _schemas(routes),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An access token: `fq_...`"}
            },
        },
    }


def problems_of(route: Route) -> list[Kind]:
    """Every problem that a route may answer with."""
    by_id = BY_ID if "{" in route.path else ()
    kinds = {*EVERYWHERE, *(() if route.public else WITH_TOKEN), *by_id, *route.problems}
    return [kind for kind in problems.KINDS if kind in kinds]


def _operation(route: Route, is_open: bool, most_wait: int) -> Schema:
    text = re.sub(r"^`[^`]*`: ", "", inspect.getdoc(route.view) or "")
    summary = text.partition("\n")[0].rstrip(".")
    operation: Schema = {
        "operationId": route.view.__name__,
        "summary": summary[:1].upper() + summary[1:],
        "responses": {**_answers(route), **_problems(route)},
    }
    if taken := list(_parameters(route, most_wait)):
        operation["parameters"] = taken
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: _content(route.body)}}
    if not route.public:
        operation["security"] = [{"token": []}, {}] if is_open else [{"token": []}]
    return operation


def _parameters(route: Route, most_wait: int) -> Iterator[Schema]:
    in_path = [parameter for parameter in parameters.IN_PATHS if f"{{{parameter.name}}}" in route.path]
    for parameter in (*in_path, *route.query, *route.headers):
        example = {} if parameter.example is None else {"example": parameter.example}
        yield {
            "name": parameter.name,
            "in": parameter.where,
            "required": parameter.where == "path",
            "description": parameter.says.format(most_wait=most_wait),
            "schema": parameter.schema,
            **example,
        }


def _answers(route: Route) -> Schema:
    return {str(status): _answer(answer) for status, answer in route.answers.items()}


def _answer(answer: GoodAnswer) -> Schema:
    described: Schema = {"description": answer.says}
    if answer.headers:
        described["headers"] = _headers(answer.headers)
    if answer.content_type is not None:
        described["content"] = {answer.content_type: {"schema": dict(answer.schema)}}
    elif answer.body is not None:
        described["content"] = {JSON: _content(answer.body)}
    return described


def _problems(route: Route) -> Schema:
    by_status: dict[int, list[Kind]] = defaultdict(list)
    for kind in problems_of(route):
        by_status[kind.status].append(kind)
    described = {}
    for status, kinds in sorted(by_status.items()):
        names = "; ".join(f"`{kind.name}`: {kind.title}" for kind in kinds)
        first = problems.problem(kinds[0], kinds[0].title)
        answer: Schema = {
            "description": f"{HTTPStatus(status).phrase}. {names}.",
            "content": {
                CONTENT_TYPE: {
                    "schema": {
                        "allOf": [_reference(Problem)],
                        "properties": {
                            "type": {"enum": [TYPE_BASE + kind.name for kind in kinds]},
                            "status": {"const": status},
                        },
                    },
                    "example": msgspec.to_builtins(first),
                }
            },
        }
        if status in PROBLEM_HEADERS:
            answer["headers"] = _headers(PROBLEM_HEADERS[status])
        described[str(status)] = answer
    return described


def _headers(headers: Sequence[AnswerHeader]) -> Schema:
    return {header.name: {"description": header.says, "schema": {"type": "string"}} for header in headers}


def _content(kind: type[msgspec.Struct]) -> Schema:
    return {"schema": _reference(kind), "example": EXAMPLES[kind]}


def _reference(kind: type[msgspec.Struct]) -> Schema:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _schemas(routes: Sequence[Route]) -> Schema:
    kinds: list[Any] = [JobRequest, BatchRequest, Problem]
    kinds += [answer.body for route in routes for answer in route.answers.values() if answer.body is not None]
    _, components = msgspec.json.schema_components(
        list(dict.fromkeys(kinds)), ref_template="#/components/schemas/{name}"
    )
    return components
