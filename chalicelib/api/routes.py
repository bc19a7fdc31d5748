"""The table of routes: what each takes, and what it answers."""

from __future__ import annotations

import msgspec
from chalice.app import Response

from chalicelib.api import parameters, problems, views, webhook_routes
from chalicelib.api.bodies import BatchRequest, JobRequest
from chalicelib.api.route import JSON, Call, GoodAnswer, Route
from chalicelib.api.types import BatchAccepted, BatchList, BatchView, Health, JobList, JobView, LinkedJobView, UsageView

QUOTA = (parameters.RATE_LIMIT_POLICY, parameters.RATE_LIMIT)
WITH_KEY = (problems.INVALID_KEY, problems.DELETED, problems.KEY_REUSED, problems.QUOTA_EXCEEDED)
SUBMISSION = (*WITH_KEY, problems.TOO_LARGE, problems.UNSUPPORTED_TYPE)
LISTING = (parameters.LIST_CURSOR, parameters.LIMIT)
A_JOB = GoodAnswer(says="The job.", body=JobView, headers=(parameters.RETRY_AFTER, parameters.PREFERENCE_APPLIED))
A_BATCH = GoodAnswer(
    says="The batch.", body=BatchAccepted, headers=(parameters.LOCATION, parameters.RETRY_AFTER, *QUOTA)
)
TEXT = {"type": "string"}
BYTES = {"type": "string", "format": "binary"}  # as client generators understand it
GONE = GoodAnswer(says="It is deleted for good.")


def get_openapi(call: Call) -> Response:
    """`GET /openapi.json`: this document."""
    from chalicelib.api import openapi  # no other request needs it

    document = openapi.document(
        ROUTES, prefix=call.render.prefix, is_open=call.service.gate.is_open, most_wait=call.api.most_wait
    )
    return views.text(
        200, msgspec.json.encode(document).decode() + "\n", {"Content-Type": JSON, "Cache-Control": "no-cache"}
    )


ROUTES = (
    Route(
        method="POST",
        path="/jobs",
        view=views.create_jobs,
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
        view=views.create_batch,
        headers=(parameters.IDEMPOTENCY_KEY,),
        body=BatchRequest,
        answers={202: A_BATCH},
        problems=(*SUBMISSION, problems.IN_PROGRESS),
    ),
    Route(
        method="GET",
        path="/jobs",
        view=views.get_jobs,
        query=LISTING,
        answers={200: GoodAnswer(says="Up to 100 jobs.", body=JobList, headers=(parameters.LINK,))},
    ),
    Route(
        method="GET",
        path="/batches",
        view=views.get_batches,
        query=LISTING,
        answers={200: GoodAnswer(says="Up to 100 batches.", body=BatchList, headers=(parameters.LINK,))},
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}",
        view=views.get_job,
        query=(parameters.WAIT,),
        headers=(parameters.PREFER,),
        answers={200: A_JOB},
    ),
    Route(
        method="GET",
        path="/jobs/{job_id}/result",
        view=views.get_result,
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
    Route(method="DELETE", path="/jobs/{job_id}", view=views.delete_job, answers={204: GONE}),
    Route(
        method="GET",
        path="/batches/{batch_id}",
        view=views.get_batch,
        query=(parameters.CURSOR, parameters.STATUS),
        answers={
            200: GoodAnswer(says="Counts, and up to 100 jobs.", body=BatchView, headers=(parameters.RETRY_AFTER,))
        },
    ),
    Route(
        method="GET",
        path="/batches/{batch_id}/results",
        view=views.get_batch_results,
        query=(parameters.CURSOR,),
        answers={
            200: GoodAnswer(
                says="Up to 100 lines, each a LinkedJobView.",
                body=LinkedJobView,
                content_type=views.LINES,
                schema=TEXT,
                headers=(parameters.LINK, parameters.RETRY_AFTER),
            )
        },
    ),
    Route(
        method="POST",
        path="/batches/{batch_id}/retry",
        view=views.retry_batch,
        query=(parameters.ONLY,),
        headers=(parameters.IDEMPOTENCY_KEY,),
        answers={202: A_BATCH},
        problems=(*WITH_KEY, problems.IN_PROGRESS, problems.NOTHING_FAILED),
    ),
    Route(method="DELETE", path="/batches/{batch_id}", view=views.delete_batch, answers={204: GONE}),
    Route(
        method="GET",
        path="/usage",
        view=views.get_usage,
        answers={200: GoodAnswer(says="Your quotas.", body=UsageView, headers=QUOTA)},
    ),
    *webhook_routes.ROUTES,
    Route(
        method="GET",
        path="/health",
        view=views.get_health,
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
        view=views.get_page,
        public=True,
        answers={200: GoodAnswer(says="A page for people.", content_type="text/html", schema=TEXT)},
    ),
)
