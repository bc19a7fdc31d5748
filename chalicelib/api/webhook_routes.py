"""The routes of webhooks: an event is sent again, a tenant's secret is shown and renewed."""

from __future__ import annotations

from chalice.app import Response

from chalicelib.api import parameters, problems, requests
from chalicelib.api.route import Call, GoodAnswer, Route, json_answer
from chalicelib.api.types import SecretView, WebhookView
from chalicelib.service import webhooks


def send_job_webhook(call: Call, job_id: str) -> Response:
    """`POST /jobs/{id}/webhook`: send the event of a finished job again, now."""
    requests.no_body(call.raw_body())
    return json_answer(202, call.render.webhook(webhooks.send_job_again(call.service, call.tenant, job_id)))


def send_batch_webhook(call: Call, batch_id: str) -> Response:
    """`POST /batches/{id}/webhook`: send the event of a finished batch again, now."""
    requests.no_body(call.raw_body())
    return json_answer(202, call.render.webhook(webhooks.send_batch_again(call.service, call.tenant, batch_id)))


def get_webhook_secret(call: Call) -> Response:
    """`GET /webhook-secret`: the secret that signs your events."""
    return json_answer(200, call.render.secret(webhooks.read_secret(call.service, call.tenant)))


def renew_webhook_secret(call: Call) -> Response:
    """`POST /webhook-secret`: get another secret; the one before it signs too for a day."""
    requests.no_body(call.raw_body())
    key = call.get(parameters.IDEMPOTENCY_KEY)
    return json_answer(200, call.render.secret(webhooks.renew_secret(call.service, call.tenant, key)))


SENT = GoodAnswer(says="How far the sending is; it may be done by now.", body=WebhookView)
SECRET = GoodAnswer(says="The secret.", body=SecretView)

ROUTES = (
    Route(
        method="POST",
        path="/jobs/{job_id}/webhook",
        view=send_job_webhook,
        answers={202: SENT},
        problems=(problems.NOTHING_TO_SEND,),
    ),
    Route(
        method="POST",
        path="/batches/{batch_id}/webhook",
        view=send_batch_webhook,
        answers={202: SENT},
        problems=(problems.NOTHING_TO_SEND,),
    ),
    Route(method="GET", path="/webhook-secret", view=get_webhook_secret, answers={200: SECRET}),
    Route(
        method="POST",
        path="/webhook-secret",
        view=renew_webhook_secret,
        headers=(parameters.IDEMPOTENCY_KEY,),
        answers={200: SECRET},
        problems=(problems.INVALID_KEY,),
    ),
)
