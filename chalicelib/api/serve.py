"""How every route is served: who may ask, what every answer includes, and what is answered when something fails."""

from __future__ import annotations

import functools
import logging
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from chalice.app import Chalice, Request, Response

from chalicelib.api import headers, parameters, problems, requests
from chalicelib.api.api import Api
from chalicelib.api.parameters import Parameter
from chalicelib.api.refusals import problem_of
from chalicelib.api.render import Renderer
from chalicelib.api.route import Call, Route
from chalicelib.api.routes import ROUTES
from chalicelib.api.types import Problem
from chalicelib.jobs.access import Access
from chalicelib.jobs.errors import FetchQueueError, Unavailable

log = logging.getLogger("fetch_queue.api")

PUBLIC = Access(tenant="")  # for public routes it does not matter who asks
# What pages of other origins may send and read: what routes read and answer, and what every request has.
REQUEST_HEADERS = ", ".join(
    sorted({"Authorization", "Content-Type", *(header.name for route in ROUTES for header in route.headers)})
)
ANSWER_HEADERS = ", ".join(
    sorted({header.name for route in ROUTES for answer in route.answers.values() for header in answer.headers})
)
_PREFIX = re.compile(r"/[A-Za-z0-9_-]+")


def register(app: Chalice, api: Callable[[], Api]) -> None:
    """Serve every route by the app. `api` is first called with the first request, never at import."""
    # A text result may have any content type: none is sent as base64, none needs a matching Accept.
    app.api.binary_types = []
    app.register_middleware(_guarding(api), "http")
    app.register_middleware(_reshape, "http")
    for route in (*ROUTES, *_preflights()):
        # `requests.body` checks a body's type, and answers in our own words; a request without a body needs no type.
        app.route(route.path, methods=[route.method], name=route.view.__name__, content_types=["*/*"])(
            _endpoint(app, route, api)
        )


def _endpoint(app: Chalice, route: Route, api: Callable[[], Api]) -> Callable[..., Response]:
    @functools.wraps(route.view)
    def answer(**path: str) -> Response:
        request = app.current_request
        if request is None:
            raise RuntimeError("a route was called outside a request")
        the_api = api()
        access = PUBLIC
        try:
            if not route.public:
                access = the_api.service.gate.admit(headers.bearer(request.headers.get("authorization")))
            response = route.view(_call(the_api, route, request, access, path), **path)
        except FetchQueueError as error:
            if the_api.local and isinstance(error, Unavailable):
                log.error("the table, the queue or the bucket does not answer; `make run` starts an emulator for them")
            refusal = problem_of(error)
            response = _problem(refusal.problem, refusal.headers)
        finally:
            the_api.service.metrics.flush()
        _log(route, access, path, response)
        return response

    return answer


def _call(api: Api, route: Route, request: Request, access: Access, path: Mapping[str, str]) -> Call:
    given = request.query_params
    many = {} if given is None else {name: given.getlist(name) for name in given}
    return Call(
        api=api,
        request=request,
        access=access,
        query=requests.query(many, [parameter.name for parameter in route.query]),
        render=Renderer(prefix=_prefix(request, path), retention=api.service.rules.retention),
    )


def _log(route: Route, access: Access, path: Mapping[str, str], response: Response) -> None:
    """Log who did what, in case a token falls into the wrong hands."""
    if access.token_id is not None or response.status_code == problems.UNAUTHORIZED.status:
        ids = path if access.token_id else {}  # a stranger must not be able to write text into the log
        members = {"token_id": access.token_id, "route": f"{route.method} {route.path}", **ids}
        log.info("request", extra={**members, "status": response.status_code})


def _preflights() -> list[Route]:
    """A route for each path that answers a browser's preflight, sent before a request from a page of another origin."""
    methods: dict[str, list[str]] = defaultdict(list)
    queries: dict[str, list[Parameter[Any]]] = defaultdict(list)
    for route in ROUTES:
        methods[route.path].append(route.method)
        queries[route.path] += route.query

    def view(allowed: str) -> Callable[..., Response]:
        def preflight(call: Call, **_: str) -> Response:
            cors_headers = headers.cors(call.api.origins, call.request.headers.get("origin"), ANSWER_HEADERS)
            if "Access-Control-Allow-Origin" in cors_headers:
                return Response(
                    body="", status_code=204, headers={**cors_headers, **headers.preflight(allowed, REQUEST_HEADERS)}
                )
            detail = f"Allowed here: {allowed}. ALLOWED_ORIGINS says which other origins' pages may use the API."
            return _problem(problems.problem(problems.METHOD_NOT_ALLOWED, detail), parameters.ALLOW.of(allowed))

        return preflight

    return [
        Route(method="OPTIONS", path=path, view=view(", ".join(allowed)), query=queries[path], public=True)
        for path, allowed in methods.items()
    ]


def _misdirected(api: Api, event: Any) -> str | None:
    """Why a service that is for this machine alone does not answer."""
    if not headers.is_loopback(event.headers.get("host")):
        return headers.NOT_THIS_MACHINE
    if event.method == "POST" and not headers.may_change_things(event.headers.get("origin"), api.origins):
        return headers.NOT_FROM_THERE
    return None


def _guarding(api: Callable[[], Api]) -> Callable[..., Response]:
    def guard(event: Any, get_response: Callable[[Any], Response]) -> Response:
        """Answer only this machine if the service is local, and give every answer its headers."""
        cors_headers: Mapping[str, str] = {}
        try:
            the_api = api()
        except Exception:  # inconsistent settings; here, unlike in a route, Chalice does not catch it
            log.exception("the service cannot be set up")
            response = _internal()
        else:
            cors_headers = headers.cors(the_api.origins, event.headers.get("origin"), ANSWER_HEADERS)
            if refusal := _misdirected(the_api, event) if the_api.local else None:
                response = _problem(problems.problem(problems.MISDIRECTED, refusal), {})
            else:
                response = get_response(event)
        response.headers = headers.merged(response.headers, {**headers.SECURITY, **cors_headers})
        return response

    return guard


def _reshape(event: Any, get_response: Callable[[Any], Response]) -> Response:
    """Give Chalice's own errors the form of our problems."""
    response = get_response(event)
    if response.status_code < 400 or response.headers.get("Content-Type") == problems.CONTENT_TYPE:
        return response
    allow = response.headers.get(parameters.ALLOW.name)
    if response.status_code == problems.METHOD_NOT_ALLOWED.status and allow:
        methods = ", ".join(method for method in str(allow).split(", ") if method != "OPTIONS")
        detail = f"Allowed here: {methods}."
        return _problem(problems.problem(problems.METHOD_NOT_ALLOWED, detail), parameters.ALLOW.of(methods))
    if response.status_code == problems.MALFORMED.status:
        return _problem(problems.problem(problems.MALFORMED, "The request is not valid HTTP."), {})
    return _internal()


def _internal() -> Response:
    detail = "The request failed because of an error on our side. It is logged; try again, or try something else."
    return _problem(problems.problem(problems.INTERNAL, detail), {})


def _problem(problem: Problem, headers: Mapping[str, str]) -> Response:
    return Response(
        body=problems.render(problem),
        status_code=problem.status,
        headers={"Content-Type": problems.CONTENT_TYPE, "Cache-Control": "no-store", **headers},
    )


def _prefix(request: Request, path: Mapping[str, str]) -> str:
    """The prefix that API Gateway's stage puts before our paths."""
    whole: str = request.context.get("path") or ""
    ours: str = request.context["resourcePath"].format(**path).removesuffix("/")
    prefix = whole.removesuffix("/").removesuffix(ours) if whole.removesuffix("/").endswith(ours) else ""
    return prefix if _PREFIX.fullmatch(prefix) else ""
