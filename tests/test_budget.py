"""What a job costs in AWS requests, counted through botocore's events."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.depth import depth
from tests.world import World, failure

URL = "https://example.com/"


def test_submitting_one(w: World) -> None:
    """A row and a message, after a reading of the URL's claim."""
    with w.counted_calls() as calls:
        w.submit(URL)
    assert calls == {"BatchGetItem": 1, "PutItem": 1, "SendMessageBatch": 1}


def test_submitting_one_again(w: World) -> None:
    """Its claim and its fetch, and one write; no message, and no invocation."""
    w.submit(URL)
    w.run()
    with w.counted_calls() as calls:
        w.submit(URL)
    assert calls == {"BatchGetItem": 2, "TransactWriteItems": 1}
    assert w.receive() == []


@pytest.mark.parametrize(("urls", "writes", "sends"), [(1, 1, 1), (25, 1, 3), (60, 3, 6)])
def test_submitting_a_batch(w: World, urls: int, writes: int, sends: int) -> None:
    """Claims by 100, rows by 25, messages by 10, and two writes of the batch: 152 requests for a thousand."""
    with w.counted_calls() as calls:
        w.submit_batch([f"{URL}{n}" for n in range(urls)])
    assert calls == {
        "PutItem": 1,
        "BatchGetItem": 1,
        "BatchWriteItem": writes,
        "SendMessageBatch": sends,
        "UpdateItem": 1,
    }


def test_submitting_a_batch_again(w: World) -> None:
    """Claims and fetches by 100, joins by 50: 42 requests for a thousand, and nothing is left to run."""
    urls = [f"{URL}{n}" for n in range(60)]
    w.submit_batch(urls)
    w.run()
    with w.counted_calls() as calls:
        w.submit_batch(urls)
    assert calls == {"PutItem": 1, "BatchGetItem": 2, "TransactWriteItems": 2, "UpdateItem": 1}
    assert w.receive() == []


def test_submitting_one_url_often_in_a_batch(w: World) -> None:
    """Up to 99 repeats of one URL to a write."""
    w.submit(URL)
    w.run()
    with w.counted_calls() as calls:
        w.submit_batch([URL] * 100)
    assert calls == {"PutItem": 1, "BatchGetItem": 2, "TransactWriteItems": 2, "UpdateItem": 1}


def test_ten_new_urls(w: World) -> None:
    """22 requests: one reading and one start for all, then two for each."""
    w.submit_batch([f"{URL}{n}" for n in range(10)])
    messages = w.receive()
    with w.counted_calls() as calls:
        w.deliver(messages)
    assert calls == {"BatchGetItem": 1, "TransactWriteItems": 1, "PutObject": 10, "UpdateItem": 10}
    assert calls.total() == 22


def test_ten_new_urls_of_which_one_is_started_meanwhile(w: World) -> None:
    """The start for all is refused, and each goes alone; the one that was too late joins."""
    batch = w.submit_batch([f"{URL}{n}" for n in range(10)])
    messages = w.receive()
    w.submit(f"{URL}9")
    other = w.receive()
    events = w.clients["dynamodb"].meta.events

    def meanwhile(**_: Any) -> None:
        events.unregister("before-call.dynamodb.TransactWriteItems", unique_id="meanwhile")
        w.deliver(other)

    events.register("before-call.dynamodb.TransactWriteItems", meanwhile, unique_id="meanwhile")
    with w.counted_calls() as calls:
        w.deliver(messages)
    assert {w.job(job["id"])["status"] for job in batch["jobs"]} == {"succeeded"}
    assert w.job(batch["jobs"][9]["id"])["reused"] is True
    assert set(w.site.requests.values()) == {1}
    # What the other worker did is counted too: a reading, a start, an object, a finish.
    assert calls == {"BatchGetItem": 3, "TransactWriteItems": 13, "PutObject": 10, "UpdateItem": 10}


def test_a_repeat_that_was_submitted_before_its_fetch_began(w: World) -> None:
    """Two requests, and none to the bucket."""
    w.submit(URL)
    w.submit(URL)
    first, second = w.receive()
    w.deliver([first])
    with w.counted_calls() as calls:
        w.deliver([second])
    assert calls == {"BatchGetItem": 1, "TransactWriteItems": 1}


def test_ten_of_them(w: World) -> None:
    """As many for ten of one invocation."""
    batches = [w.submit_batch([f"{URL}{n}" for n in range(10)]) for _ in range(2)]
    messages = w.receive()
    w.deliver(messages[:10])
    with w.counted_calls() as calls:
        w.deliver(messages[10:])
    assert calls == {"BatchGetItem": 1, "TransactWriteItems": 1}
    assert all(w.job(job["id"])["status"] == "succeeded" for batch in batches for job in batch["jobs"])


def test_repeats_in_one_invocation(w: World) -> None:
    """The first starts, nine join together: none is refused first."""
    w.submit_batch([URL] * 10)
    messages = w.receive()
    with w.counted_calls() as calls:
        assert w.deliver(messages) == []
    assert calls == {"BatchGetItem": 1, "TransactWriteItems": 2, "PutObject": 1, "UpdateItem": 1}


def test_a_failure(w: World) -> None:
    """As many as a success, without the bucket."""
    w.site.answers[URL] = [failure(404)]
    w.submit(URL)
    messages = w.receive()
    with w.counted_calls() as calls:
        w.deliver(messages)
    assert calls == {"BatchGetItem": 1, "TransactWriteItems": 1, "UpdateItem": 1}


def test_a_redelivery_of_something_finished(w: World) -> None:
    """Two readings: the first leaves out what a new job cannot have."""
    w.submit(URL)
    messages = w.receive()
    w.deliver(messages)
    with w.counted_calls() as calls:
        w.deliver(messages)
    assert calls == {"BatchGetItem": 2}


def test_reading_a_job(w: World) -> None:
    """The job, then its fetch."""
    job_id = w.submit(URL)["id"]
    w.run()
    with w.counted_calls() as calls:
        w.job(job_id)
    assert calls == {"GetItem": 1, "BatchGetItem": 1}


def test_reading_a_batch(w: World) -> None:
    """A reading per hundred jobs, and one per hundred fetches: 21 requests for a thousand."""
    size = depth(101, 201)
    batch = w.submit_batch([f"{URL}{n}" for n in range(size)])
    w.deliver(w.receive()[:10])
    with w.counted_calls() as calls:
        w.request("GET", batch["links"]["self"])
    begun = 1  # reading of fetches, since only a few jobs have one
    assert calls == {"GetItem": 1, "BatchGetItem": math.ceil(size / 100) + begun}


def test_reading_a_batch_that_is_finished(w: World) -> None:
    """The first time its counts are kept, and then they need not be counted: three requests, whatever its size."""
    size = depth(101, 201)
    batch = w.submit_batch([f"{URL}{n}" for n in range(size)])
    w.run()
    with w.counted_calls() as calls:
        w.request("GET", batch["links"]["self"])
    assert calls == {"GetItem": 1, "BatchGetItem": 2 * math.ceil(size / 100), "UpdateItem": 1}
    with w.counted_calls() as calls:
        w.request("GET", batch["links"]["self"])
    assert calls == {"GetItem": 1, "BatchGetItem": 2}


def test_reading_a_batch_of_one_page(w: World) -> None:
    """Its jobs and their fetches, once."""
    batch = w.submit_batch([f"{URL}{n}" for n in range(20)])
    w.run()
    for _ in range(2):
        with w.counted_calls() as calls:
            w.request("GET", batch["links"]["self"])
        assert calls == {"GetItem": 1, "BatchGetItem": 2}


def test_deleting_the_last_job_of_a_fetch(w: World) -> None:
    """Two readings, the transaction, the object, the claim, the mark."""
    job_id = w.submit(URL)["id"]
    w.run()
    with w.counted_calls() as calls:
        w.request("DELETE", f"/jobs/{job_id}")
    assert calls == {
        "BatchGetItem": 2,
        "TransactWriteItems": 1,
        "DeleteObjects": 1,
        "DeleteItem": 1,
        "BatchWriteItem": 1,
    }


def test_deleting_a_batch(w: World) -> None:
    """Fifty jobs to a transaction, a thousand objects to a request; a claim is a request of its own."""
    batch = w.submit_batch([f"{URL}{n}" for n in range(60)])
    w.run()
    with w.counted_calls() as calls:
        w.request("DELETE", batch["links"]["self"])
    assert calls == {
        "GetItem": 1,
        "BatchGetItem": 2,
        "UpdateItem": 1,
        "TransactWriteItems": 2,
        "DeleteObjects": 1,
        "DeleteItem": 60,
        "BatchWriteItem": 3,
        "PutItem": 1,
    }
