"""What a route is: its method and path, the function that answers, what that gets, and what the documentation says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from chalice.app import Request, Response

from chalicelib.api.api import Api
from chalicelib.api.parameters import AnswerHeader, Parameter
from chalicelib.api.problems import Kind
from chalicelib.api.render import Renderer
from chalicelib.jobs.access import Access
from chalicelib.service.service import Service

JSON = "application/json"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, as a route's function gets it."""

    api: Api
    request: Request
    access: Access
    query: Mapping[str, str]
    render: Renderer

    @property
    def service(self) -> Service:
        """The use cases' dependencies."""
        return self.api.service

    @property
    def tenant(self) -> str:
        """Who asks."""
        return self.access.tenant

    def get(self, parameter: Parameter[T]) -> T:
        """The request's value for a parameter of its route. Raises ProblemError if it cannot be read."""
        given = self.query if parameter.where == "query" else self.request.headers
        return parameter.read(given.get(parameter.name))

    def content_type(self) -> str | None:
        """The type of the request's body."""
        value: str | None = self.request.headers.get("content-type")
        return value

    def raw_body(self) -> bytes:
        """The request's body."""
        body = self.request.raw_body
        return body.encode() if isinstance(body, str) else body


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodAnswer:
    """What a successful answer is."""

    says: str
    body: type[msgspec.Struct] | None = None
    content_type: str | None = None  # of a body that is not JSON of ours, or not as a whole
    schema: Mapping[str, Any] = field(default_factory=dict)  # of such a body
    headers: Sequence[AnswerHeader] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method and a path, and what answers there. Its view's docstring is its description."""

    method: str
    path: str
    view: Callable[..., Response]
    query: Sequence[Parameter[Any]] = ()
    headers: Sequence[Parameter[Any]] = ()  # of the request, those that are used here
    public: bool = False  # answers without a token
    body: type[msgspec.Struct] | None = None
    answers: Mapping[int, GoodAnswer] = field(default_factory=dict)
    problems: Sequence[Kind] = ()  # its own; `openapi` adds those that every route has


def json_answer(status: int, body: msgspec.Struct, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with one of our types as its body."""
    return Response(
        body=msgspec.json.encode(body).decode() + "\n",
        status_code=status,
        headers={"Content-Type": JSON, "Cache-Control": "no-store", **(headers or {})},
    )
