"""The Lambda entry points: the API, the job runner, the webhooks' runner, the dead letters' runner."""

from collections.abc import Callable
from typing import Any

from chalice.app import Chalice, SQSEvent

from chalicelib import logs, wiring, wiring_webhooks
from chalicelib.settings import function_role

logs.configure()

app = Chalice(app_name="fetch-queue")

if function_role() != "runner":
    from chalicelib.api import serve

    serve.register(app, wiring.api)


@app.on_sqs_message(queue="Jobs", batch_size=10)
def run_jobs(event: SQSEvent) -> dict[str, Any]:
    """Handle a batch of messages; those named in the answer come back."""
    return _left(wiring.runner().run_jobs(event.to_dict()["Records"], _seconds_left(event)))


@app.on_sqs_message(queue="Webhooks", batch_size=10)
def run_webhooks(event: SQSEvent) -> dict[str, Any]:
    """Watch what webhooks wait for, and tell them."""
    return _left(wiring_webhooks.runner().run_jobs(event.to_dict()["Records"], _seconds_left(event)))


@app.on_sqs_message(queue="DeadLetters", batch_size=10)
def run_dead_letters(event: SQSEvent) -> dict[str, Any]:
    """Bring failed messages to an end."""
    return _left(wiring.runner().run_dead_letters(event.to_dict()["Records"], _seconds_left(event)))


def _left(message_ids: list[str]) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in message_ids]}


def _seconds_left(event: SQSEvent) -> Callable[[], float]:
    context: Any = event.context
    return lambda: context.get_remaining_time_in_millis() / 1000
