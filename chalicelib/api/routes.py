"""The routes: a function for each, and a table. A route parses, makes one call and renders."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from chalice.app import Response

from chalicelib.api import page, parameters, problems, requests, result, submitted, webhook_routes
from chalicelib.api.headers import rate_limit
from chalicelib.api.polls import batch_poll, first_batch_poll, job_poll
from chalicelib.api.route import JSON, Call, GoodAnswer, Route
from chalicelib.api.route import json_answer as _json
from chalicelib.api.types import (
    BatchAccepted,
    BatchRequest,
    BatchView,
    Health,
    JobRequest,
    JobView,
    LinkedJobView,
)
from chalicelib.service import delete, read, results, submit, submit_batch, webhooks

PAGE_POLICY = "Content-Security-Policy"
LINES = "application/x-ndjson"


def create_jobs(call: Call) -> Response:
    """`POST /jobs`: submit one URL."""
    body = requests.body(call.raw_body(), call.content_type(), JobRequest)
    key = call.get(parameters.IDEMPOTENCY_KEY)
    webhook = submitted.webhook(body, call.service.addresses)
    accepted = submit.submit_job(call.service, call.access, submitted.one(body), key, webhook)
    location = call.render.job_path(accepted.job.job.id)
    answer_headers = parameters.LOCATION.of(location) | _job_poll(call, accepted.job) | rate_limit(accepted.quota)
    return _json(202, call.render.job(accepted.job, webhook=accepted.webhook), answer_headers)


def create_batch(call: Call) -> Response:
    """`POST /batches`: submit several URLs."""
    body = requests.body(call.raw_body(), call.content_type(), BatchRequest)
    key = call.get(parameters.IDEMPOTENCY_KEY)
    webhook = submitted.webhook(body, call.service.addresses)
    accepted = submit_batch.submit_batch(call.service, call.access, submitted.several(body), key, webhook)
    location = call.render.batch_path(accepted.batch.id)
    unfinished = sum(not shown.finished for shown in accepted.jobs)
    first = parameters.RETRY_AFTER.of(first_batch_poll(unfinished)) if unfinished else {}
    answer_headers = parameters.LOCATION.of(location) | first | rate_limit(accepted.quota)
    return _json(202, call.render.accepted(accepted), answer_headers)


def get_job(call: Call, job_id: str) -> Response:
    """`GET /jobs/{id}`: a job's status."""
    asked, preferred = call.get(parameters.WAIT), call.get(parameters.PREFER)
    seconds = min(asked if asked is not None else preferred or 0, call.api.most_wait)
    shown = read.await_job(call.service, call.tenant, job_id, seconds)
    answer_headers = _job_poll(call, shown)
    if asked is None and seconds:
        answer_headers |= parameters.PREFERENCE_APPLIED.of(f"wait={seconds}")
    telling = webhooks.telling_of_job(call.service, shown.job)
    return _json(200, call.render.job(shown, webhook=telling), answer_headers)


def get_result(call: Call, job_id: str) -> Response:
    """`GET /jobs/{id}/result`: the fetched bytes, inline or by a redirect to them."""
    if_none_match = call.get(parameters.IF_NONE_MATCH)
    found = results.read_result(
        call.service,
        call.tenant,
        job_id,
        is_known=lambda known: result.matches(if_none_match, known),
        may_be_inline=result.is_one_page,
    )
    answer_headers: dict[str, str | list[str]] = {
        **parameters.ETAG.of(result.etag_of(found.result)),
        "Cache-Control": "private, no-cache",
        # HTML from a stranger must not run as one of our pages.
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    match found:
        case results.Known():
            return Response(body="", status_code=304, headers=answer_headers)
        case results.Inline(text=text):
            return Response(
                body=text, status_code=200, headers={**answer_headers, "Content-Type": found.result.content_type}
            )
        case results.Elsewhere(url=url):
            answer_headers |= {**parameters.LOCATION.of(url), "Content-Type": "text/plain"}
            return Response(body="", status_code=303, headers=answer_headers)


def delete_job(call: Call, job_id: str) -> Response:
    """`DELETE /jobs/{id}`: delete a job for good."""
    delete.delete_job(call.service, call.tenant, job_id)
    return Response(body="", status_code=204)


def get_batch(call: Call, batch_id: str) -> Response:
    """`GET /batches/{id}`: a batch's counts, and a page of its jobs."""
    cursor = call.get(parameters.CURSOR)
    status = call.get(parameters.STATUS)
    found = read.read_page(call.service, call.tenant, batch_id, cursor=cursor, status=status)
    seconds = batch_poll(call.service.clock(), found.batch.submitted_at, found.quiet_until)
    later = {} if found.finished else parameters.RETRY_AFTER.of(seconds)
    telling = webhooks.telling_of_batch(call.service, found.batch)
    return _json(200, call.render.page(found, status, telling), later)


def get_batch_results(call: Call, batch_id: str) -> Response:
    """`GET /batches/{id}/results`: a batch's jobs, one per line, with links to their results."""
    cursor = call.get(parameters.CURSOR)
    found = results.read_links(call.service, call.tenant, batch_id, cursor=cursor)
    views = [call.render.linked(shown, link, found.links_until) for shown, link in found.jobs]
    lines = [msgspec.json.encode(view).decode() + "\n" for view in views]
    answer_headers = {"Content-Type": LINES, "Cache-Control": "no-store"}
    if found.next is not None:
        path = f"{call.render.batch_path(batch_id)}/results?cursor={found.next}"
        answer_headers |= parameters.LINK.of(f'<{path}>; rel="next"')
    if not found.finished:
        answer_headers |= parameters.RETRY_AFTER.of(batch_poll(call.service.clock(), found.submitted_at))
    return _text(200, "".join(lines), answer_headers)


def delete_batch(call: Call, batch_id: str) -> Response:
    """`DELETE /batches/{id}`: delete every job of a batch for good."""
    delete.delete_batch(call.service, call.tenant, batch_id)
    return Response(body="", status_code=204)


def get_health(_: Call) -> Response:
    """`GET /health`: the API answers."""
    return _json(200, Health(status="ok"))


def get_page(call: Call) -> Response:
    """`GET /`: the web page."""
    rendered = page.page(call.render.prefix, call.service.links.origin)
    answer_headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-cache",
        PAGE_POLICY: rendered.policy,
    }
    return _text(200, rendered.text, answer_headers)


def get_openapi(call: Call) -> Response:
    """`GET /openapi.json`: this document."""
    from chalicelib.api import openapi  # no other request needs it

    document = openapi.document(
        ROUTES, prefix=call.render.prefix, is_open=call.service.gate.is_open, most_wait=call.api.most_wait
    )
    return _text(
        200, msgspec.json.encode(document).decode() + "\n", {"Content-Type": JSON, "Cache-Control": "no-cache"}
    )


QUOTA = (parameters.RATE_LIMIT_POLICY, parameters.RATE_LIMIT)
SUBMISSION = (
    problems.INVALID_KEY,
    problems.DELETED,
    problems.TOO_LARGE,
    problems.UNSUPPORTED_TYPE,
    problems.KEY_REUSED,
    problems.QUOTA_EXCEEDED,
)
A_JOB = GoodAnswer(says="The job.", body=JobView, headers=(parameters.RETRY_AFTER, parameters.PREFERENCE_APPLIED))
TEXT = {"type": "string"}
BYTES = {"type": "string", "format": "binary"}  # as client generators understand it
GONE = GoodAnswer(says="It is deleted for good.")

ROUTES = (
    Route(
        method="POST",
        path="/jobs",
        view=create_jobs,
        headers=(parameters.IDEMPOTENCY_KEY,),
        body=JobRequest,
        answers={
            202: GoodAnswer(
                says="The job, which may already be finished.",
                body=JobView,
                headers=(parameters.LOCATION, parameters.RETRY_AFTER, *QUOTA),
            )
        },
        problems=SUBMISSION,
    ),
    Route(
        method="POST",
        path="/batches",
        view=create_batch,
        headers=(parameters.IDEMPOTENCY_KEY,),
        body=BatchRequest,
        answers={
            202: GoodAnswer(
                says="The batch.", body=BatchAccepted, headers=(parameters.LOCATION, parameters.RETRY_AFTER, *QUOTA)
            )
        },
        problems=(*SUBMISSION, problems.IN_PROGRESS),
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}",
        view=get_job,
        query=(parameters.WAIT,),
        headers=(parameters.PREFER,),
        answers={200: A_JOB},
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/result",
        view=get_result,
        headers=(parameters.IF_NONE_MATCH,),
        answers={
            200: GoodAnswer(
                says="The bytes as fetched: a short text.", content_type="*/*", schema=BYTES, headers=(parameters.ETAG,)
            ),
            303: GoodAnswer(
                says="The bytes can be read at this Location for a minute.",
                headers=(parameters.LOCATION, parameters.ETAG),
            ),
            304: GoodAnswer(says="The client already has them.", headers=(parameters.ETAG,)),
        },
        problems=(problems.NOT_FINISHED, problems.JOB_FAILED),
    ),
    Route(method="DELETE", path="/jobs/{job_id}", view=delete_job, answers={204: GONE}),
    Route(
        method="GET",
        path="/batches/{batch_id}",
        view=get_batch,
        query=(parameters.CURSOR, parameters.STATUS),
        answers={
            200: GoodAnswer(says="Counts, and up to 100 jobs.", body=BatchView, headers=(parameters.RETRY_AFTER,))
        },
    ),
    Route(
        method="GET",
        path="/batches/{batch_id}/results",
        view=get_batch_results,
        query=(parameters.CURSOR,),
        answers={
            200: GoodAnswer(
                says="Up to 100 lines, each a LinkedJobView.",
                body=LinkedJobView,
                content_type=LINES,
                schema=TEXT,
                headers=(parameters.LINK, parameters.RETRY_AFTER),
            )
        },
    ),
    Route(method="DELETE", path="/batches/{batch_id}", view=delete_batch, answers={204: GONE}),
    *webhook_routes.ROUTES,
    Route(
        method="GET",
        path="/health",
        view=get_health,
        public=True,
        answers={200: GoodAnswer(says="The API answers.", body=Health)},
    ),
    Route(
        method="GET",
        path="/openapi.json",
        view=get_openapi,
        public=True,
        answers={200: GoodAnswer(says="An OpenAPI document.", content_type=JSON, schema={"type": "object"})},
    ),
    Route(
        method="GET",
        path="/",
        view=get_page,
        public=True,
        answers={200: GoodAnswer(says="A page for people.", content_type="text/html", schema=TEXT)},
    ),
)


def _text(status: int, body: str, answer_headers: Mapping[str, str]) -> Response:
    return Response(body=body, status_code=status, headers={**answer_headers})


def _job_poll(call: Call, shown: read.Shown) -> dict[str, str]:
    if shown.finished:
        return {}
    return parameters.RETRY_AFTER.of(job_poll(call.service.clock(), shown.next_attempt_at))
