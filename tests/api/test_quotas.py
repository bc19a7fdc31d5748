"""Quotas: URLs a minute and a day of each tenant, counted before anything is stored, exactly."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from chalice.test import HTTPResponse

from chalicelib.jobs.access import Counted, Span, Usage
from chalicelib.storage.access import AccessTable, Exceeded
from tests.crash.stepping import Conductor, Operation, Schedules
from tests.test_faults import answered, error
from tests.world import DAY, HOUR, MINUTE, SECOND, START, World, world

URL = "https://example.com/"


@pytest.fixture
def limited() -> Iterator[World]:
    """Five URLs a minute and eight a day."""
    with world(quota_urls_per_minute=5, quota_urls_per_day=8) as made:
        yield made


def post(w: World, urls: int, key: str | None = None, **headers: str) -> HTTPResponse:
    """Submit so many URLs that are new."""
    if key is not None:
        headers["Idempotency-Key"] = key
    body = {"urls": [f"{URL}{w.new_id()}" for _ in range(urls)]}
    return w.request("POST", "/batches", body, headers)


def used(w: World, tenant: str = "local") -> tuple[int, int]:
    """What was counted in the minute and in the day."""
    item = w.items()[f"QUOTA#{tenant}"]
    return item["minute_used"], item["day_used"]


def test_a_minute_and_a_day(limited: World) -> None:
    """What is accepted counts; what would be too much is refused as a whole, and may be sent again when it says."""
    assert post(limited, 3).headers["RateLimit"] == '"minute";r=2;t=60, "day";r=5;t=86400'
    limited.pass_time(10 * SECOND + 1)
    refused = post(limited, 3)
    assert (refused.status_code, refused.json_body["type"].rpartition("/")[2]) == (429, "quota-exceeded")
    assert (
        refused.json_body["detail"]
        == "You may submit 5 URLs a minute, of which 2 are left; this request has 3. Send it again in 50 s."
    )
    assert refused.headers["Retry-After"] == "50"
    assert refused.headers["RateLimit-Policy"] == '"minute";q=5;w=60, "day";q=8;w=86400'
    assert refused.headers["RateLimit"] == '"minute";r=2;t=50, "day";r=5;t=86390'
    assert post(limited, 2).status_code == 202
    limited.pass_time(50 * SECOND)
    assert post(limited, 3).headers["RateLimit"] == '"minute";r=2;t=60, "day";r=0;t=86340'
    refused = limited.request("POST", "/jobs", {"url": URL})
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "86340")
    limited.pass_time(DAY)
    assert limited.request("POST", "/jobs", {"url": URL}).headers["RateLimit"] == '"minute";r=4;t=60, "day";r=7;t=86340'


def test_no_quota(w: World) -> None:
    """Where none is set nothing is counted, and no header speaks of it."""
    answer = post(w, 50)
    assert (answer.status_code, [name for name in answer.headers if name.startswith("RateLimit")]) == (202, [])
    assert "QUOTA#local" not in w.items()


def test_what_can_never_fit(limited: World) -> None:
    """More than a whole minute's URLs at once is no matter of waiting."""
    answer = post(limited, 6)
    assert (answer.status_code, answer.json_body["errors"][0]["pointer"]) == (422, "/urls")
    assert "Split" in answer.json_body["detail"]


def test_only_accepted_urls_count(limited: World) -> None:
    """Rejected ones do not, nor a request that is refused."""
    body = {"urls": [URL, "ftp://example.com/", "http://10.0.0.1/", URL]}
    assert limited.request("POST", "/batches", body).status_code == 202
    assert used(limited) == (2, 2)
    assert limited.request("POST", "/batches", {"urls": ["x"]}).status_code == 422
    assert limited.request("POST", "/jobs", {"url": "x"}).status_code == 422
    assert limited.request("POST", "/jobs", raw=b"{").status_code == 415
    assert used(limited) == (2, 2)


@pytest.mark.parametrize(("path", "body"), [("/jobs", {"url": URL}), ("/batches", {"urls": [URL, f"{URL}2"]})])
def test_replays_do_not_count(limited: World, path: str, body: Any) -> None:
    """They are answered when the quota is used up, too, and so is a key that stands for another body."""
    key = {"Idempotency-Key": "k"}
    first = limited.request("POST", path, body, key)
    assert post(limited, 5 - used(limited)[0]).status_code == 202
    again = limited.request("POST", path, body, key)
    assert (again.status_code, again.json_body["id"]) == (202, first.json_body["id"])
    other = {"url": f"{URL}3"} if path == "/jobs" else {"urls": [f"{URL}3"]}
    assert limited.request("POST", path, other, key).status_code == 422
    assert used(limited) == (5, 5)
    assert limited.request("POST", path, other, {"Idempotency-Key": "new"}).status_code == 429
    assert used(limited) == (5, 5)


def submit_at(w: World, now: int) -> None:
    """Submit with the same key as ever; each request has a time of its own."""
    w.now = now
    w.submit(URL, "k")


def test_two_replays_at_once() -> None:
    """The same key twice at the same moment: whoever comes second gives back what it had counted, in every order."""
    conductor = Conductor()
    schedules = Schedules()
    with world(conductor.client, quota_urls_per_minute=5) as w:
        for choose in schedules:
            w.reset()
            w.submit(f"{URL}before")  # the tenant's limits are known, and this minute is counted in
            bodies = [functools.partial(submit_at, w, START + n) for n in range(2)]
            conductor.take_turns([Operation(str(n), body) for n, body in enumerate(bodies)], choose)
            assert used(w) == (2, 2), schedules.order
            assert len([key for key in w.items() if key.startswith("JOB#")]) == 2
    assert schedules.count > 20


def test_giving_back_when_the_minute_has_turned(limited: World) -> None:
    """It is taken from the day that still runs, and from no minute that it was not counted in."""
    table = limited.service.access_table
    limits = {Span.MINUTE: 5, Span.DAY: 8}
    counted = table.count("local", 3, limits, limited.now)
    assert not isinstance(counted, Exceeded)
    table.count("local", 2, limits, limited.now + MINUTE)
    table.give_back("local", 3, counted)
    assert used(limited) == (2, 2)
    table.count("local", 1, limits, limited.now + DAY)
    table.give_back("local", 3, counted)
    assert used(limited) == (1, 1)


def test_each_tenant_has_its_own(limited: World) -> None:
    """Nobody uses up another's, or learns how much another has used."""
    alice, bob = ({"Authorization": f"Bearer {limited.grant(name)}"} for name in ("alice", "bob"))
    assert post(limited, 5, **alice).status_code == 202
    assert post(limited, 1, **alice).status_code == 429
    assert post(limited, 5, **bob).headers["RateLimit"].startswith('"minute";r=0')
    assert used(limited, "alice") == used(limited, "bob") == (5, 5)


def test_a_tenants_own_limits(limited: World) -> None:
    """Stand before everybody's; none at all may be one of them."""
    limited.clients["dynamodb"].put_item(
        TableName=limited.names["TABLE_NAME"],
        Item={"pk": {"S": "QUOTA#local"}, "minute_limit": {"N": "0"}, "day_limit": {"N": "9"}},
    )
    token = {"Authorization": f"Bearer {limited.grant()}"}
    answer = post(limited, 7, **token)
    assert (answer.status_code, answer.headers["RateLimit-Policy"]) == (202, '"day";q=9;w=86400')
    assert post(limited, 3, **token).status_code == 429


@pytest.mark.parametrize("urls", [1, 4])
def test_one_request_for_any_number_of_urls(limited: World, urls: int) -> None:
    """And a second one when a minute has turned."""
    post(limited, 1)
    with limited.counted_calls() as calls:
        post(limited, urls)
    assert calls["UpdateItem"] == 1 + 1  # the batch's acceptance is another
    limited.pass_time(DAY)
    with limited.counted_calls() as calls:
        post(limited, urls)
    assert calls["UpdateItem"] == 2 + 1


def test_who_is_refused_for_both_waits_for_the_later() -> None:
    """Else they would come back in a minute to be refused again."""
    with world(quota_urls_per_minute=5, quota_urls_per_day=5) as w:
        assert post(w, 5).status_code == 202
        refused = post(w, 1)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "86400")
        assert refused.headers["RateLimit"] == '"minute";r=0;t=60, "day";r=0;t=86400'


@contextmanager
def answers_lost(w: World, operation: str) -> Iterator[None]:
    """The first call has its effect, its answer is lost, and the driver repeats it: the service hears the second."""
    client = w.clients["dynamodb"]
    call = getattr(client, operation)
    lost = iter([True])

    def twice(**arguments: Any) -> Any:
        if next(lost, False):
            call(**arguments)
        return call(**arguments)

    setattr(client, operation, twice)
    try:
        yield
    finally:
        delattr(client, operation)


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize(("path", "body"), [("/jobs", {"url": URL}), ("/batches", {"urls": [URL, f"{URL}2"]})])
def test_a_write_whose_answer_was_lost(limited: World, path: str, body: Any, key: str | None) -> None:
    """Is counted, and once; the driver's repetition is no replay."""
    headers = {} if key is None else {"Idempotency-Key": key}
    with answers_lost(limited, "put_item"):
        answer = limited.request("POST", path, body, headers)
    urls = len(body.get("urls", [URL]))
    assert answer.status_code == 202
    assert used(limited) == (urls, urls)
    assert len([item for item in limited.items().values() if "url" in item]) == urls


TWO = {"urls": [URL, f"{URL}2"]}


@pytest.mark.parametrize(
    ("path", "body", "service", "operation", "key"),
    [
        ("/jobs", {"url": URL}, "dynamodb", "PutItem", None),
        ("/jobs", {"url": URL}, "sqs", "SendMessageBatch", None),
        ("/jobs", {"url": URL}, "sqs", "SendMessageBatch", "k"),
        ("/batches", TWO, "dynamodb", "PutItem", None),
        ("/batches", TWO, "dynamodb", "BatchWriteItem", None),
        ("/batches", TWO, "sqs", "SendMessageBatch", None),
        ("/batches", TWO, "sqs", "SendMessageBatch", "k"),
    ],
)
def test_an_outage_does_not_use_up_the_quota(
    limited: World, path: str, body: Any, service: str, operation: str, key: str | None
) -> None:
    """What ended in 503 is not counted, or is not counted again when it is sent again."""
    headers = {} if key is None else {"Idempotency-Key": key}
    with answered(limited, service, operation, lambda number, params: error(500, "InternalError")):
        for _ in range(6):
            assert limited.request("POST", path, body, headers).status_code == 503
    assert limited.request("POST", path, body, headers).status_code == 202
    urls = len(body.get("urls", [URL]))
    assert used(limited) == (urls, urls)


@pytest.mark.parametrize(("path", "body"), [("/jobs", {"url": URL}), ("/batches", TWO)])
def test_a_message_that_was_sent_all_the_same_starts_nothing_that_is_not_counted(
    limited: World, path: str, body: Any
) -> None:
    """The queue took it and did not say so: the submission is 503, given back, and its job withdrawn."""
    sqs = limited.clients["sqs"]

    def send_and_fail(number: int, params: dict[str, Any]) -> Any:
        if number:
            return None  # the one that this makes
        sqs.send_message_batch(**json.loads(params["body"]))
        return error(500, "InternalError")

    with answered(limited, "sqs", "SendMessageBatch", send_and_fail):
        assert limited.request("POST", path, body).status_code == 503
    limited.run_until_done()
    assert (used(limited), limited.site.requests) == ((0, 0), {})


@pytest.mark.parametrize(("path", "body"), [("/jobs", {"url": URL}), ("/batches", TWO)])
def test_what_is_stored_stays_counted(limited: World, path: str, body: Any) -> None:
    """A row is put and its answer lost, so the submission is 503; its key finds it, and does not count again."""
    table = limited.clients["dynamodb"]

    def put_and_fail(number: int, params: dict[str, Any]) -> Any:
        if number:
            return None
        table.put_item(**json.loads(params["body"]))
        return error(500, "InternalServerError")

    with answered(limited, "dynamodb", "PutItem", put_and_fail):
        assert limited.request("POST", path, body, {"Idempotency-Key": "k"}).status_code == 503
    assert limited.request("POST", path, body, {"Idempotency-Key": "k"}).status_code == 202
    urls = len(body.get("urls", [URL]))
    assert used(limited) == (urls, urls)


def test_a_count_whose_answer_was_lost(limited: World) -> None:
    """Counts twice: too few may be let in then, and never too many."""
    with answers_lost(limited, "update_item"):
        assert limited.request("POST", "/jobs", {"url": URL}).status_code == 202
    assert used(limited) in ((1, 1), (2, 2))


THREE = {Span.MINUTE: 5, Span.DAY: 7}


def count(table: AccessTable, urls: int, answers: list[tuple[int, Usage | Exceeded]]) -> None:
    """Count, and note the answer."""
    answers.append((urls, table.count("t", urls, THREE, START)))


def test_every_order_of_three_counts() -> None:
    """Three at once, the first ever or across a turn of the minute: never more than the limit, never less than fits."""
    conductor = Conductor()
    for before in (None, START - MINUTE, START - DAY, START):
        schedules = Schedules()
        with world(conductor.client) as w:
            table = AccessTable(w.clients["dynamodb"], w.names["TABLE_NAME"], patience=w.outside.patience)
            for choose in schedules:
                w.clients["dynamodb"].delete_item(TableName=w.names["TABLE_NAME"], Key={"pk": {"S": "QUOTA#t"}})
                if before is not None:
                    table.count("t", 2, THREE, before)
                answers: list[tuple[int, Usage | Exceeded]] = []
                operations = [
                    Operation(f"count {urls}", functools.partial(count, table, urls, answers)) for urls in (2, 2, 3)
                ]
                conductor.take_turns(operations, choose)
                fits = sum(urls for urls, answer in answers if not isinstance(answer, Exceeded))
                standing = 2 if before == START else 0
                today = 2 if before in (START, START - MINUTE) and START % DAY >= MINUTE else standing
                item = w.items()["QUOTA#t"]
                assert (item["minute_used"], item["day_used"]) == (fits + standing, fits + today), schedules.order
                assert fits + standing <= 5
                left = [urls for urls, answer in answers if isinstance(answer, Exceeded)]
                assert all(urls + fits + standing > 5 for urls in left), schedules.order
        assert schedules.count >= 6


def test_a_clock_that_is_behind(limited: World) -> None:
    """Counts in the minute that others have begun: no minute is counted twice."""
    limits = {Span.MINUTE: 5}
    limited.service.access_table.count("local", 5, limits, START)
    late = limited.service.access_table.count("local", 1, limits, START - SECOND)
    assert late == Exceeded(span=Span.MINUTE, used={Span.MINUTE: 5, Span.DAY: 5})
    minute = Span.MINUTE.number(START)
    answer = limited.service.access_table.count("local", 5, limits, START + MINUTE)
    assert not isinstance(answer, Exceeded)
    assert answer[Span.MINUTE] == Counted(minute + 1, 5)


def test_a_count_that_meets_a_giving_back(limited: World) -> None:
    """A conflict of the two is no reason to refuse: the same again."""
    limited.submit(URL)

    def conflict(number: int, _: object) -> object:
        return error(400, "TransactionConflictException") if number < 3 else None

    with answered(limited, "dynamodb", "UpdateItem", conflict):
        assert limited.request("POST", "/jobs", {"url": URL}).status_code == 202
    assert used(limited) == (2, 2)


def test_a_quota_that_cannot_be_counted(limited: World) -> None:
    """Is no reason to let anything pass: 503, nothing stored."""
    limited.submit(URL)  # the limits are known from here on

    def refuse(**_: Any) -> None:
        raise limited.clients["dynamodb"].exceptions.ProvisionedThroughputExceededException(
            {"Error": {"Code": "ProvisionedThroughputExceededException"}}, "UpdateItem"
        )

    before = limited.items()
    events = limited.clients["dynamodb"].meta.events
    events.register("before-call.dynamodb.UpdateItem", refuse)
    try:
        answer = limited.request("POST", "/jobs", {"url": f"{URL}new"})
    finally:
        events.unregister("before-call.dynamodb.UpdateItem", refuse)
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    assert limited.items() == before


def test_spans() -> None:
    """Each begins with the clock's own, in UTC, and ends whole seconds later."""
    assert [span.seconds_left(START) for span in Span] == [60, 86400]
    assert [span.seconds_left(START + 1) for span in Span] == [60, 86400]
    assert [span.seconds_left(START + 59_001) for span in Span] == [1, 86341]
    assert Span.DAY.number(START + 23 * HOUR) == Span.DAY.number(START)
