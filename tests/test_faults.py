"""AWS that fails or does half of what it was asked: the client gets 503 or a whole answer, and a replay mends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ReadTimeoutError
from chalice.test import HTTPResponse

from chalicelib.storage.clients import client_config
from tests.world import REGION, SECOND, World

URL = "https://example.com/"
KEY = {"Idempotency-Key": "k"}


@contextmanager
def answered(w: World, service: str, operation: str, answer: Callable[[int, dict[str, Any]], Any]) -> Iterator[None]:
    """Let `answer` stand in for the service: given the number of the call and its request, it returns an answer as
    botocore has it, or None to let the call through."""
    calls = iter(range(10_000))
    events = w.clients[service].meta.events
    name = f"before-call.{service}.{operation}"

    def stand_in(params: dict[str, Any], **kwargs: Any) -> Any:
        return answer(next(calls), params)

    events.register(name, stand_in, unique_id="stand-in")
    try:
        yield
    finally:
        events.unregister(name, unique_id="stand-in")


def error(status: int, code: str) -> tuple[AWSResponse, dict[str, Any]]:
    return (
        AWSResponse("", status, HTTPHeaders(), None),
        {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}},
    )


BATCH_CALLS = [
    ("dynamodb", "PutItem"),
    ("dynamodb", "BatchWriteItem"),
    ("dynamodb", "UpdateItem"),
    ("sqs", "SendMessageBatch"),
]
JOB_CALLS = [("dynamodb", "PutItem"), ("sqs", "SendMessageBatch")]
CODES = ["ThrottlingException", "InternalServerError"]


def assert_unavailable(response: HTTPResponse) -> None:
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert response.json_body["type"].endswith("/unavailable")


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(("service", "operation"), JOB_CALLS)
def test_a_submission_that_fails_is_mended_by_its_replay(w: World, service: str, operation: str, code: str) -> None:
    """503 with Retry-After; the same request again ends with the URL fetched once."""
    with answered(w, service, operation, lambda number, params: error(500, code)):
        assert_unavailable(w.request("POST", "/jobs", {"url": URL}, KEY))
    w.run()  # whatever is on the queue already is harmless
    w.submit(URL, "k")
    w.run_until_done()
    assert w.site.requests == {URL: 1}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(("service", "operation"), BATCH_CALLS)
def test_a_batch_that_fails_is_mended_by_its_replay(w: World, service: str, operation: str, code: str) -> None:
    """503; the same again at once is accepted, for the first handler has let go; each URL is fetched once."""
    urls = [f"{URL}{n}" for n in range(30)]
    with answered(w, service, operation, lambda number, params: error(500, code)):
        assert_unavailable(w.request("POST", "/batches", {"urls": urls}, KEY))
    w.run()
    if operation in ("UpdateItem", "BatchWriteItem"):  # by which the lease would have ended; which may be made yet
        assert w.request("POST", "/batches", {"urls": urls}, KEY).status_code == 409
        w.pass_time(35 * SECOND)
    w.submit_batch(urls, "k")
    w.run_until_done()
    assert w.site.requests == dict.fromkeys(urls, 1)


def test_rows_that_are_written_late_undo_nothing(w: World) -> None:
    """A BatchWriteItem that the driver gave up is carried out all the same, once the runner has been at work: it is not
    repeated, so no row of it was linked before; 503, and the same key finishes the batch."""
    plain = w.clients["dynamodb"]
    w.clients["dynamodb"] = driver = botocore.session.Session().create_client(
        "dynamodb",
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=client_config("dynamodb"),
    )
    w.wire()
    sent: list[Any] = []

    def time_out(request: Any, **_: Any) -> None:
        sent.append(request)
        if len(sent) == 1:
            raise ReadTimeoutError(endpoint_url=request.url)

    driver.meta.events.register("before-send.dynamodb.BatchWriteItem", time_out)
    urls = [f"{URL}{n}" for n in range(20)]
    response = w.request("POST", "/batches", {"urls": urls}, KEY)
    w.run()
    plain.batch_write_item(RequestItems=json.loads(sent[0].body)["RequestItems"])
    assert_unavailable(response)
    assert len(sent) == 1
    waiting = w.request("POST", "/batches", {"urls": urls}, KEY)
    assert (waiting.status_code, waiting.headers["Retry-After"]) == (409, "35")
    assert waiting.json_body["type"].endswith("/in-progress")
    w.pass_time(35 * SECOND)
    batch = w.submit_batch(urls, "k")
    w.run_until_done()
    assert w.request("GET", batch["links"]["self"]).json_body["counts"]["succeeded"] == 20
    assert w.site.requests == dict.fromkeys(urls, 1)


def test_entries_that_fail_under_a_success_are_sent_again(w: World) -> None:
    """SendMessageBatch answers 200 with some entries failed: 202 is given only when each was taken."""
    lost: list[str] = []

    def fail_some(number: int, params: dict[str, Any]) -> Any:
        if number:
            return None
        lost.append("first call")
        entries = [{"Id": str(n), "Code": "InternalError", "SenderFault": False} for n in range(10)]
        return AWSResponse("", 200, HTTPHeaders(), None), {
            "Failed": entries,
            "ResponseMetadata": {"HTTPStatusCode": 200},
        }

    with answered(w, "sqs", "SendMessageBatch", fail_some):
        batch = w.submit_batch([f"{URL}{n}" for n in range(30)])
    assert lost
    w.run()
    assert w.request("GET", batch["links"]["self"]).json_body["counts"]["succeeded"] == 30


def test_items_that_are_left_over_are_written_again(w: World) -> None:
    """BatchWriteItem hands some items back: each row is written all the same."""

    def leave_all(number: int, params: dict[str, Any]) -> Any:
        if number > 2:
            return None
        asked = json.loads(params["body"])
        return AWSResponse("", 200, HTTPHeaders(), None), {
            "UnprocessedItems": asked["RequestItems"],
            "ResponseMetadata": {"HTTPStatusCode": 200},
        }

    with answered(w, "dynamodb", "BatchWriteItem", leave_all):
        batch = w.submit_batch([f"{URL}{n}" for n in range(30)])
    w.run()
    assert w.request("GET", batch["links"]["self"]).json_body["counts"]["succeeded"] == 30


@pytest.mark.parametrize("operation", ["BatchWriteItem", "BatchGetItem"])
def test_what_is_left_over_for_ever_is_unavailable(w: World, operation: str) -> None:
    """503, and never half an answer."""
    batch = w.submit_batch([URL])
    left = "UnprocessedItems" if operation == "BatchWriteItem" else "UnprocessedKeys"

    def leave_all(number: int, params: dict[str, Any]) -> Any:
        return AWSResponse("", 200, HTTPHeaders(), None), {
            left: {w.names["TABLE_NAME"]: [1]},
            "Responses": {},
            "ResponseMetadata": {"HTTPStatusCode": 200},
        }

    with answered(w, "dynamodb", operation, leave_all):
        if operation == "BatchWriteItem":
            response = w.request("POST", "/batches", {"urls": [URL]})
        else:
            response = w.request("GET", batch["links"]["self"])
    assert response.status_code == 503


@pytest.mark.parametrize("conflicts", [1, 7, 8])
def test_a_conflict_is_not_a_refusal(w: World, conflicts: int) -> None:
    """A transaction cancelled by another one is sent again; at last the message is left, never acknowledged."""
    job_id = w.submit(URL)["id"]

    def conflict(number: int, params: dict[str, Any]) -> Any:
        if number >= conflicts:
            return None
        response, body = error(400, "TransactionCanceledException")
        return response, {**body, "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}]}

    with answered(w, "dynamodb", "TransactWriteItems", conflict):
        left = w.run()
    assert len(left) == (1 if conflicts == 8 else 0)
    w.run_until_done()
    assert w.job(job_id)["status"] == "succeeded"
    assert w.site.requests[URL] == 1


PASSING = [
    "TransactionConflictException",
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
]


@pytest.mark.parametrize("code", PASSING)
@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem"])
def test_a_write_that_meets_a_throttle_is_sent_again(w: World, operation: str, code: str) -> None:
    """A submission and a finish that the table has no room for at first: the client and the site see nothing of it."""
    refusal = error(400, code)

    def refuse(number: int, params: dict[str, Any]) -> Any:
        return refusal if number < 7 else None

    with answered(w, "dynamodb", operation, refuse):
        job_id = w.submit(URL)["id"]
        assert w.run() == []
    assert (w.job(job_id)["status"], w.site.requests[URL]) == ("succeeded", 1)


@pytest.mark.parametrize("code", [*PASSING, "TransactionInProgressException"])
def test_a_start_that_meets_a_throttle_is_sent_again(w: World, code: str) -> None:
    """A transaction, too: as itself, and not in the next delivery."""
    job_id = w.submit(URL)["id"]
    refusal = error(400, code)
    with answered(w, "dynamodb", "TransactWriteItems", lambda number, params: refusal if number < 7 else None):
        assert w.run() == []
    assert (w.job(job_id)["status"], w.site.requests[URL]) == ("succeeded", 1)


@pytest.mark.parametrize("code", ["TransactionInProgressException", "ThrottlingException"])
def test_a_transaction_that_may_be_under_way_keeps_its_token(w: World, code: str) -> None:
    """By which DynamoDB knows it again: it is made once. What was cancelled gets another."""
    w.submit(URL)
    tokens: list[str] = []
    refusals = [error(400, code), error(400, code), error(400, "TransactionCanceledException")]
    refusals[2][1]["CancellationReasons"] = [{"Code": "TransactionConflict"}]

    def refuse(number: int, params: dict[str, Any]) -> Any:
        tokens.append(json.loads(params["body"])["ClientRequestToken"])
        return refusals[number] if number < 3 else None

    with answered(w, "dynamodb", "TransactWriteItems", refuse):
        assert w.run() == []
    assert tokens[0] == tokens[1] == tokens[2] != tokens[3]


def test_what_the_driver_repeats_is_not_sent_as_often_again(w: World) -> None:
    """It has waited for seconds then, of the few that a function has: after nine requests it is 503."""
    throttled = error(400, "ThrottlingException")
    throttled[1]["ResponseMetadata"]["RetryAttempts"] = 2
    asked = 0

    def refuse(number: int, params: dict[str, Any]) -> Any:
        nonlocal asked
        asked = number + 1
        return throttled

    with answered(w, "dynamodb", "PutItem", refuse):
        assert_unavailable(w.request("POST", "/jobs", {"url": URL}))
    assert asked == 3


def test_a_conflict_at_finish_keeps_the_result(w: World) -> None:
    """A good result is not thrown away because a join was in between."""
    job_id = w.submit(URL)["id"]
    fail_once = iter([error(400, "TransactionConflictException")])
    with answered(w, "dynamodb", "UpdateItem", lambda number, params: next(fail_once, None)):
        assert w.run() == []
    assert (w.job(job_id)["status"], w.site.requests[URL]) == ("succeeded", 1)


def test_many_conflicts_at_finish_keep_the_result(w: World) -> None:
    """Where a thousand jobs join a fetch as it ends, finish is tried for longer than other writes."""
    job_id = w.submit(URL)["id"]
    conflict = error(400, "TransactionConflictException")
    with answered(w, "dynamodb", "UpdateItem", lambda number, params: conflict if number < 12 else None):
        assert w.run() == []
    assert (w.job(job_id)["status"], w.site.requests[URL]) == ("succeeded", 1)


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("dynamodb", "BatchGetItem"),
        ("dynamodb", "TransactWriteItems"),
        ("dynamodb", "DeleteItem"),
        ("dynamodb", "BatchWriteItem"),
        ("s3", "DeleteObjects"),
    ],
)
def test_a_delete_that_fails_is_finished_by_its_repeat(w: World, service: str, operation: str) -> None:
    """503; DELETE again is 204 and nothing of the job is left."""
    job_id = w.submit(URL)["id"]
    w.run()
    with answered(w, service, operation, lambda number, params: error(500, "InternalError")):
        assert w.request("DELETE", f"/jobs/{job_id}").status_code == 503
    assert w.request("DELETE", f"/jobs/{job_id}").status_code == 204
    assert w.objects() == set()
    assert w.items().keys() == {f"JOB#{job_id}"}
    assert w.request("DELETE", f"/jobs/{job_id}").status_code == 404


def test_what_a_delete_has_done_is_not_done_again(w: World) -> None:
    """Claims whose removal failed are what is left for its repeat: where many calls fail it still comes to its end."""
    batch = w.submit_batch([f"https://{number}.example/" for number in range(6)])
    w.run()
    calls: list[int] = []

    def two_of_three_fail(number: int, params: dict[str, Any]) -> Any:
        calls.append(number)
        return error(500, "InternalServerError") if len(calls) % 3 else None

    path = f"/batches/{batch['id']}"
    with answered(w, "dynamodb", "DeleteItem", two_of_three_fail):
        answers = [w.request("DELETE", path).status_code for _ in range(4)]
    assert answers == [503, 503, 503, 503]
    assert len(calls) == 6 + 4 + 3 + 2
    assert len([key for key in w.items() if key.startswith("URL#")]) == 1
    assert w.request("DELETE", path).status_code == 204
    assert not [key for key in w.items() if key.startswith(("URL#", "FETCH#"))]


@pytest.mark.parametrize("operation", ["BatchGetItem", "TransactWriteItems", "UpdateItem"])
def test_a_table_that_fails_leaves_the_message(w: World, operation: str) -> None:
    """The message comes back and the job ends well."""
    job_id = w.submit(URL)["id"]
    with answered(w, "dynamodb", operation, lambda number, params: error(500, "InternalServerError")):
        assert len(w.run()) == 1
    w.pass_time(w.settings.lease_ms)
    w.run_until_done()
    assert w.job(job_id)["status"] == "succeeded"


@pytest.mark.parametrize("operation", ["BatchGetItem", "TransactWriteItems"])
@pytest.mark.parametrize(("delivery", "pauses"), [(1, []), (2, [720]), (5, [5760]), (9, [42240])])
def test_an_outage_does_not_use_up_the_deliveries(
    w: World, operation: str, delivery: int, pauses: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """A message that meets it again stays away for twice as long, up to what SQS allows."""
    w.submit(URL)
    (message,) = w.receive()
    message["attributes"] = {"ApproximateReceiveCount": str(delivery)}
    with outage(w, operation) as asked:
        assert w.deliver([message]) == [message]
    assert asked == pauses
    assert "a message comes back later than necessary" not in caplog.text  # SQS took it


@pytest.mark.parametrize(("tried", "pauses"), [(0, [360]), (100, [360]), (1000, [1000]), (10_000, [5760])])
def test_a_short_outage_does_not_become_a_long_one(w: World, tried: int, pauses: list[int]) -> None:
    """A message stays away no longer than it has been tried for, however often it was delivered meanwhile."""
    w.submit(URL)
    (message,) = w.receive()
    first = {"ApproximateFirstReceiveTimestamp": str(w.now - tried * 1000)}
    message["attributes"] = {"ApproximateReceiveCount": "5", **first}
    with outage(w, "BatchGetItem") as asked:
        assert w.deliver([message]) == [message]
    assert asked == pauses


def test_a_dead_letter_does_not_wait_longer_each_time(w: World) -> None:
    """It has no deliveries to save, though it was delivered before."""
    w.submit(URL)
    (message,) = w.receive()
    message["attributes"] = {"ApproximateReceiveCount": "11"}
    with outage(w, "BatchGetItem") as asked:
        assert w.deliver([message], dead_letters=True) == [message]
    assert asked == []


@pytest.mark.parametrize(("delivery", "pauses"), [(1, []), (2, [720]), (9, [42240])])
def test_lack_of_time_uses_up_no_more_deliveries_than_an_outage(w: World, delivery: int, pauses: list[int]) -> None:
    """Where AWS is slow, ten deliveries must not pass in ten seconds."""
    w.submit(URL)
    (message,) = w.receive()
    message["attributes"] = {"ApproximateReceiveCount": str(delivery)}
    w.seconds_left = 1
    with noted_visibilities(w) as asked:
        assert w.deliver([message]) == [message]
    assert asked == pauses


@contextmanager
def outage(w: World, operation: str) -> Iterator[list[int]]:
    """The table is away meanwhile; gives the visibilities that messages were left with."""
    away = answered(w, "dynamodb", operation, lambda number, params: error(500, "InternalServerError"))
    with noted_visibilities(w) as asked, away:
        yield asked


@contextmanager
def noted_visibilities(w: World) -> Iterator[list[int]]:
    """The visibilities that messages are left with meanwhile."""
    asked: list[int] = []

    def note(model: Any, params: Any, **_: Any) -> None:
        asked.append(json.loads(params["body"])["VisibilityTimeout"])

    events = w.clients["sqs"].meta.events
    events.register("before-call.sqs.ChangeMessageVisibility", note, unique_id="note")
    try:
        yield asked
    finally:
        events.unregister("before-call.sqs.ChangeMessageVisibility", unique_id="note")


def test_a_visibility_that_cannot_be_changed_is_no_harm(w: World) -> None:
    """The message comes back later than it could."""
    job_id = w.submit(URL)["id"]
    messages = w.receive()
    w.seconds_left = 0
    with answered(w, "sqs", "ChangeMessageVisibility", lambda number, params: error(500, "InternalError")):
        assert w.deliver(messages) == messages
    w.seconds_left = 1000
    assert w.deliver(messages) == []
    assert w.job(job_id)["status"] == "succeeded"
