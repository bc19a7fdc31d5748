"""What each route does: it parses, makes one call and renders. The table of routes is in `routes`."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from chalice.app import Response

from chalicelib.api import page, parameters, requests, result, submitted
from chalicelib.api.bodies import BatchRequest, JobRequest
from chalicelib.api.headers import rate_limit
from chalicelib.api.polls import batch_poll, first_batch_poll, job_poll
from chalicelib.api.route import Call, json_answer
from chalicelib.api.types import BatchList, Health, JobList
from chalicelib.service import delete, gate, lists, read, results, retry, submit, submit_batch, webhooks
from chalicelib.service.storing import AcceptedBatch

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
    return json_answer(202, call.render.job(accepted.job, webhook=accepted.webhook), answer_headers)


def create_batch(call: Call) -> Response:
    """`POST /batches`: submit several URLs."""
    body = requests.body(call.raw_body(), call.content_type(), BatchRequest)
    key = call.get(parameters.IDEMPOTENCY_KEY)
    webhook = submitted.webhook(body, call.service.addresses)
    return _accepted(call, submit_batch.submit_batch(call.service, call.access, submitted.several(body), key, webhook))


def get_job(call: Call, job_id: str) -> Response:
    """`GET /jobs/{id}`: a job's status."""
    asked, preferred = call.get(parameters.WAIT), call.get(parameters.PREFER)
    seconds = min(asked if asked is not None else preferred or 0, call.api.most_wait)
    shown = read.await_job(call.service, call.tenant, job_id, seconds)
    answer_headers = _job_poll(call, shown)
    if asked is None and seconds:
        answer_headers |= parameters.PREFERENCE_APPLIED.of(f"wait={seconds}")
    telling = webhooks.telling_of_job(call.service, shown.job)
    return json_answer(200, call.render.job(shown, webhook=telling), answer_headers)


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
    return json_answer(200, call.render.page(found, status, telling), later)


def retry_batch(call: Call, batch_id: str) -> Response:
    """`POST /batches/{id}/retry`: submit the failed jobs of a batch again, as a new batch."""
    requests.no_body(call.raw_body())
    only, key = call.get(parameters.ONLY), call.get(parameters.IDEMPOTENCY_KEY)
    return _accepted(call, retry.retry_batch(call.service, call.access, batch_id, only, key))


def get_batches(call: Call) -> Response:
    """`GET /batches`: your batches, newest first."""
    limit = call.get(parameters.LIMIT)
    page = lists.read_batches(call.service, call.tenant, call.get(parameters.LIST_CURSOR), limit)
    following = _following(call, "/batches", page.next, limit)
    listed = BatchList(batches=[call.render.summary(batch) for batch in page.entries], next=following)
    return json_answer(200, listed, _next_page(following))


def get_jobs(call: Call) -> Response:
    """`GET /jobs`: your jobs that were submitted alone, newest first."""
    limit = call.get(parameters.LIMIT)
    page = lists.read_jobs(call.service, call.tenant, call.get(parameters.LIST_CURSOR), limit)
    following = _following(call, "/jobs", page.next, limit)
    listed = JobList(jobs=[call.render.job(shown) for shown in page.entries], next=following)
    return json_answer(200, listed, _next_page(following))


def get_usage(call: Call) -> Response:
    """`GET /usage`: how many URLs you may still submit."""
    quota = gate.usage(call.service.access_table, call.access, call.service.clock())
    return json_answer(200, call.render.usage(quota), rate_limit(quota) if quota.limits else {})


def get_batch_results(call: Call, batch_id: str) -> Response:
    """`GET /batches/{id}/results`: a batch's jobs, one per line, with links to their results."""
    cursor = call.get(parameters.CURSOR)
    found = results.read_links(call.service, call.tenant, batch_id, cursor=cursor)
    views = [call.render.linked(shown, link, found.links_until) for shown, link in found.jobs]
    lines = [msgspec.json.encode(view).decode() + "\n" for view in views]
    answer_headers = {"Content-Type": LINES, "Cache-Control": "no-store"}
    if found.next is not None:
        answer_headers |= _next_page(f"{call.render.batch_path(batch_id)}/results?cursor={found.next}")
    if not found.finished:
        answer_headers |= parameters.RETRY_AFTER.of(batch_poll(call.service.clock(), found.submitted_at))
    return text(200, "".join(lines), answer_headers)


def delete_batch(call: Call, batch_id: str) -> Response:
    """`DELETE /batches/{id}`: delete every job of a batch for good."""
    delete.delete_batch(call.service, call.tenant, batch_id)
    return Response(body="", status_code=204)


def get_health(_: Call) -> Response:
    """`GET /health`: the API answers."""
    return json_answer(200, Health(status="ok"))


def get_page(call: Call) -> Response:
    """`GET /`: the web page."""
    rendered = page.page(call.render.prefix, call.service.links.origin)
    answer_headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-cache",
        PAGE_POLICY: rendered.policy,
    }
    return text(200, rendered.text, answer_headers)


def text(status: int, body: str, answer_headers: Mapping[str, str]) -> Response:
    """An answer that is text."""
    return Response(body=body, status_code=status, headers={**answer_headers})


def _accepted(call: Call, accepted: AcceptedBatch) -> Response:
    location = call.render.batch_path(accepted.batch.id)
    unfinished = sum(not shown.finished for shown in accepted.jobs)
    first = parameters.RETRY_AFTER.of(first_batch_poll(unfinished)) if unfinished else {}
    answer_headers = parameters.LOCATION.of(location) | first | rate_limit(accepted.quota)
    return json_answer(202, call.render.accepted(accepted), answer_headers)


def _following(call: Call, path: str, cursor: str | None, limit: int) -> str | None:
    if cursor is None:
        return None
    chosen = "" if limit == lists.LONGEST_LIST else f"&limit={limit}"
    return f"{call.render.prefix}{path}?cursor={cursor}{chosen}"


def _next_page(path: str | None) -> dict[str, str]:
    return {} if path is None else parameters.LINK.of(f'<{path}>; rel="next"')


def _job_poll(call: Call, shown: read.Shown) -> dict[str, str]:
    if shown.finished:
        return {}
    return parameters.RETRY_AFTER.of(job_poll(call.service.clock(), shown.next_attempt_at))
