"""A process that is measured from its first import to its first answers. A child of `bench.api`.

    python -m bench.cold ours|bare

reads a table's, a queue's and a bucket's name, and two events, as JSON from standard input, and prints seconds and CPU
seconds of each step as JSON. `bare` is a Chalice app with nothing in it but the same three clients and two routes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

Answers = Callable[[dict[str, Any], Any], dict[str, Any]]


def ours() -> Answers:
    """The service, with its clients made."""
    import app
    from chalicelib import wiring

    wiring.api()
    answers: Answers = app.app
    return answers


def bare() -> Answers:
    """Chalice, boto3 and three clients, and what it takes at the least to take a job."""
    import boto3
    from botocore.config import Config
    from chalice.app import Chalice

    session = boto3.session.Session()
    config = Config(retries={"mode": "standard"}, signature_version="s3v4")
    dynamodb, sqs = session.client("dynamodb"), session.client("sqs")
    session.client("s3", config=config)
    app = Chalice(app_name="bare")

    @app.route("/health", methods=["GET"])
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.route("/jobs", methods=["POST"])
    def create_job() -> dict[str, str]:
        request: Any = app.current_request
        url = request.json_body["url"]
        dynamodb.put_item(TableName=os.environ["TABLE_NAME"], Item={"pk": {"S": "1"}, "url": {"S": url}})
        sqs.send_message_batch(QueueUrl=os.environ["QUEUE_URL"], Entries=[{"Id": "0", "MessageBody": url}])
        return {"status": "queued"}

    answers: Answers = app
    return answers


def main(which: str) -> None:
    """Measure one of them."""
    events = json.load(sys.stdin)
    steps: dict[str, tuple[float, float]] = {}
    began, cpu = time.perf_counter(), time.process_time()

    def done(step: str) -> None:
        steps[step] = time.perf_counter() - began, time.process_time() - cpu

    answers = ours() if which == "ours" else bare()
    done("import and clients")
    for step, event in events.items():
        answer = answers(event, None)
        if answer["statusCode"] >= 400:
            raise RuntimeError(f"{step} was answered {answer}")
        done(step)
    print(json.dumps(steps))


if __name__ == "__main__":
    main(*sys.argv[1:])
