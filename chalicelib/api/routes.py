"""The routes: a table, a function for each, and what they have in common. A route is parse, one call, render."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from chalice.app import Chalice, Request, Response

from chalicelib.api import delete, headers, problems, read, requests, result, submit
from chalicelib.api.access import Meter
from chalicelib.api.problems import ProblemError
from chalicelib.api.render import Renderer
from chalicelib.api.service import Service
from chalicelib.api.types import BatchRequest, Health, JobRequest, Problem
from chalicelib.jobs.access import Access
from chalicelib.jobs.errors import Unavailable

log = logging.getLogger("fetch_queue.api")

JOB_POLL_SECONDS = 1
BATCH_POLL_SECONDS = (2, 10)  # grows with the batch's age
UNAVAILABLE_SECONDS = 5
PUBLIC = Access(tenant="")  # who asks for what is public is not looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, as a route's function gets it."""

    service: Service
    request: Request
    access: Access
    query: Mapping[str, str]
    render: Renderer

    @property
    def tenant(self) -> str:
        """Who asks."""
        return self.access.tenant

    def meter(self) -> Meter:
        """What counts the URLs that the request submits."""
        return self.service.meter(self.access)

    def header(self, name: str) -> str | None:
        """A header of the request."""
        value: str | None = self.request.headers.get(name)
        return value

    def raw_body(self) -> bytes:
        """The request's body."""
        body = self.request.raw_body
        return body.encode() if isinstance(body, str) else body


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method and a path, and what answers there."""

    method: str
    path: str
    view: Callable[..., Response]
    query: Sequence[str] = ()
    public: bool = False  # answers without a token


def create_jobs(call: Call) -> Response:
    """`POST /jobs`: submit one URL."""
    body = requests.body(call.raw_body(), call.header("content-type"), JobRequest)
    key = requests.idempotency_key(call.header("idempotency-key"))
    meter = call.meter()
    shown = submit.submit_job(call.service, meter, body.url, key)
    call.service.metrics.flush()
    return _json(202, call.render.job(shown), {"Location": call.render.job_path(shown.job.id), **meter.headers()})


def create_batch(call: Call) -> Response:
    """`POST /batches`: submit several URLs."""
    body = requests.body(call.raw_body(), call.header("content-type"), BatchRequest)
    key = requests.idempotency_key(call.header("idempotency-key"))
    meter = call.meter()
    accepted = submit.submit_batch(call.service, meter, body.urls, key)
    call.service.metrics.flush()
    location = call.render.batch_path(accepted.batch.id)
    return _json(202, call.render.accepted(accepted), {"Location": location, **meter.headers()})


def get_job(call: Call, job_id: str) -> Response:
    """`GET /jobs/{id}`: a job's status."""
    shown = read.read_job(call.service, call.tenant, job_id)
    later = {} if shown.finished else {"Retry-After": str(JOB_POLL_SECONDS)}
    return _json(200, call.render.job(shown), later)


def get_result(call: Call, job_id: str) -> Response:
    """`GET /jobs/{id}/result`: the fetched bytes, inline or by a redirect to where they are."""
    found = result.read_result(call.service, call.tenant, job_id, call.header("if-none-match"))
    about: dict[str, str | list[str]] = {
        "ETag": found.etag,
        "Cache-Control": "private, no-cache",
        # A stranger's HTML must not run as a page of ours.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    match found:
        case result.Unchanged():
            return Response(body="", status_code=304, headers=about)
        case result.Inline(text=text, content_type=content_type):
            return Response(body=text, status_code=200, headers={**about, "Content-Type": content_type})
        case result.Elsewhere(url=url):
            about |= {"Location": url, "Content-Type": "text/plain"}
            return Response(body="", status_code=303, headers=about)


def delete_job(call: Call, job_id: str) -> Response:
    """`DELETE /jobs/{id}`: delete a job for good."""
    delete.delete_job(call.service, call.tenant, job_id)
    return Response(body="", status_code=204)


def get_batch(call: Call, batch_id: str) -> Response:
    """`GET /batches/{id}`: counts over a batch, and a page of its jobs."""
    cursor = requests.cursor(call.query.get("cursor"))
    status = requests.status(call.query.get("status"))
    page = read.read_page(call.service, call.tenant, batch_id, cursor=cursor, status=status)
    later = {} if page.finished else {"Retry-After": str(_batch_poll(call.service.clock() - page.batch.submitted_at))}
    return _json(200, call.render.page(page, status), later)


def delete_batch(call: Call, batch_id: str) -> Response:
    """`DELETE /batches/{id}`: delete every job of a batch for good."""
    delete.delete_batch(call.service, call.tenant, batch_id)
    return Response(body="", status_code=204)


def get_health(_: Call) -> Response:
    """`GET /health`: the API answers."""
    return _json(200, Health(status="ok"))


ROUTES = (
    Route(method="POST", path="/jobs", view=create_jobs),
    Route(method="POST", path="/batches", view=create_batch),
    Route(method="GET", path="/jobs/{job_id}", view=get_job),
    Route(method="GET", path="/jobs/{job_id}/result", view=get_result),
    Route(method="DELETE", path="/jobs/{job_id}", view=delete_job),
    Route(method="GET", path="/batches/{batch_id}", view=get_batch, query=("cursor", "status")),
    Route(method="DELETE", path="/batches/{batch_id}", view=delete_batch),
    Route(method="GET", path="/health", view=get_health, public=True),
)


def register(app: Chalice, service: Callable[[], Service]) -> None:
    """Serve every route by the app. `service` is called with the first request, never at import."""
    # A text result may have any content type: none is sent as base64, none needs a matching Accept.
    app.api.binary_types = []
    app.register_middleware(_guarding(service), "http")
    app.register_middleware(_reshape, "http")
    for route in (*ROUTES, *_preflights()):
        # A body's type is judged by `requests.body`, in our words; a request without one has none to judge.
        app.route(route.path, methods=[route.method], name=route.view.__name__, content_types=["*/*"])(
            _endpoint(app, route, service)
        )


def _endpoint(app: Chalice, route: Route, service: Callable[[], Service]) -> Callable[..., Response]:
    @functools.wraps(route.view)
    def answer(**path: str) -> Response:
        request = app.current_request
        if request is None:
            raise RuntimeError("a route was called outside a request")
        try:
            access = PUBLIC if route.public else service().gate.admit(request.headers.get("authorization"))
            given = request.query_params
            many = {} if given is None else {name: given.getlist(name) for name in given}
            call = Call(
                service=service(),
                request=request,
                access=access,
                query=requests.query(many, route.query),
                render=Renderer(prefix=_prefix(request, path), retention=service().rules.retention),
            )
            return route.view(call, **path)
        except ProblemError as error:
            return _problem(error.problem, error.headers)
        except Unavailable:
            if service().local:
                log.error("table, queue or bucket does not answer; `make run` starts an emulator for them")
            return _problem(
                problems.problem(
                    problems.UNAVAILABLE,
                    f"Something that the service needs is away. Send the same again in {UNAVAILABLE_SECONDS} s.",
                ),
                {"Retry-After": str(UNAVAILABLE_SECONDS)},
            )

    return answer


def _preflights() -> list[Route]:
    """A route for each path that answers what a browser asks before a page of another origin may send a request."""
    methods: dict[str, list[str]] = {}
    for route in ROUTES:
        methods.setdefault(route.path, []).append(route.method)

    def view(allowed: str) -> Callable[..., Response]:
        def preflight(call: Call, **_: str) -> Response:
            let_in = headers.cors(call.service.origins, call.header("origin"))
            if "Access-Control-Allow-Origin" in let_in:
                return Response(body="", status_code=204, headers={**let_in, **headers.preflight(allowed)})
            detail = f"Allowed here: {allowed}. Pages of other origins are let in by ALLOWED_ORIGINS."
            return _problem(problems.problem(problems.METHOD_NOT_ALLOWED, detail), {"Allow": allowed})

        return preflight

    return [
        Route(method="OPTIONS", path=path, view=view(", ".join(allowed)), public=True)
        for path, allowed in methods.items()
    ]


def _guarding(service: Callable[[], Service]) -> Callable[..., Response]:
    def guard(event: Any, get_response: Callable[[Any], Response]) -> Response:
        """Answer on this machine alone where the service is local, and give every answer its headers."""
        let_in: Mapping[str, str] = {}
        try:
            made = service()
        except Exception:  # settings that do not hold together: what Chalice does for a route, it does not here
            log.exception("the service cannot be made")
            response = _internal()
        else:
            let_in = headers.cors(made.origins, event.headers.get("origin"))
            if made.local and not headers.is_loopback(event.headers.get("host")):
                detail = "Stage dev answers this machine alone: use http://127.0.0.1 or http://localhost."
                response = _problem(problems.problem(problems.MISDIRECTED, detail), {})
            else:
                response = get_response(event)
        response.headers = headers.merged(response.headers, {**headers.SECURITY, **let_in})
        return response

    return guard


def _reshape(event: Any, get_response: Callable[[Any], Response]) -> Response:
    """Give Chalice's own errors the form of ours."""
    response = get_response(event)
    if response.status_code < 400 or response.headers.get("Content-Type") == problems.CONTENT_TYPE:
        return response
    allow = response.headers.get("Allow")
    if response.status_code == problems.METHOD_NOT_ALLOWED.status and allow:
        methods = ", ".join(method for method in str(allow).split(", ") if method != "OPTIONS")
        detail = f"Allowed here: {methods}."
        return _problem(problems.problem(problems.METHOD_NOT_ALLOWED, detail), {"Allow": methods})
    if response.status_code == problems.MALFORMED.status:
        return _problem(problems.problem(problems.MALFORMED, "The request is not HTTP as it should be."), {})
    return _internal()


def _internal() -> Response:
    detail = "The request met a fault of ours. It is logged; try again, or try something else."
    return _problem(problems.problem(problems.INTERNAL, detail), {})


def _problem(problem: Problem, headers: Mapping[str, str]) -> Response:
    return Response(
        body=problems.render(problem),
        status_code=problem.status,
        headers={"Content-Type": problems.CONTENT_TYPE, "Cache-Control": "no-store", **headers},
    )


def _json(status: int, body: msgspec.Struct, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        body=msgspec.json.encode(body).decode() + "\n",
        status_code=status,
        headers={"Content-Type": "application/json", "Cache-Control": "no-store", **(headers or {})},
    )


def _prefix(request: Request, path: Mapping[str, str]) -> str:
    """What API Gateway's stage puts before our paths."""
    whole: str = request.context.get("path") or ""
    ours: str = request.context["resourcePath"].format(**path)
    return whole.removesuffix("/").removesuffix(ours) if whole.removesuffix("/").endswith(ours) else ""


def _batch_poll(age: int) -> int:
    least, most = BATCH_POLL_SECONDS
    return max(least, min(most, math.ceil(age / 10_000)))
