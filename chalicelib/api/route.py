"""What a route is: where it answers, what answers there, and what the documentation says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from chalice.app import Response

from chalicelib.api.problems import Kind

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a good answer is."""

    says: str
    body: type[msgspec.Struct] | None = None
    content_type: str | None = None  # of a body that is no JSON of ours, or not as a whole
    headers: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method and a path, and what answers there. Its view's docstring is its description."""

    method: str
    path: str
    view: Callable[..., Response]
    query: Sequence[str] = ()
    headers: Sequence[str] = ()  # of the request, those that have a meaning here
    public: bool = False  # answers without a token
    body: type[msgspec.Struct] | None = None
    answers: Mapping[int, Answer] = field(default_factory=dict)
    problems: Sequence[Kind] = ()  # those of its own; `openapi` adds those that every route has
