"""AWS's answers that are cut, or lack what they must have: asked for again, or `Unavailable`, and never believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import botocore.session
import pytest

from chalicelib.jobs.access import Span
from chalicelib.jobs.decide import Rules, Start
from chalicelib.jobs.entities import Batch, Job
from chalicelib.jobs.errors import Unavailable
from chalicelib.storage import calls, items
from chalicelib.storage.access import AccessTable
from chalicelib.storage.bucket import PART_BYTES, Bucket
from chalicelib.storage.clients import client_config
from chalicelib.storage.queue import FetchMessage, Queue
from chalicelib.storage.table import Table
from chalicelib.storage.terms import Terms
from tests.storage.cutting import Cutting, answer, chunked, cuts, cutting

JOB = Job(id="1", tenant="local", url="https://example.com/", url_key="k", submitted_at=1)
BATCH = Batch(id="b", tenant="local", size=1, digest="d", submitted_at=1, lease_until=2, holder="h")
TERMS = Terms(rules=Rules(window=1000, retention=10_000, max_attempts=3, skew=0, wait=0), lease=100)
ROW = items.item_of(JOB, 100)


@dataclass
class Stores:
    """The service's stores, with clients as the service makes them."""

    server: Cutting
    table: Table = field(init=False)
    access: AccessTable = field(init=False)
    queue: Queue = field(init=False)
    bucket: Bucket = field(init=False)

    def __post_init__(self) -> None:
        patience = calls.Patience(sleep=lambda seconds: None)
        self.table = Table(self._client("dynamodb"), "t", TERMS, patience=patience)
        self.access = AccessTable(self._client("dynamodb"), "t", patience=patience)
        self.queue = Queue(self._client("sqs"), f"{self.server.url}/1/q", patience=patience)
        self.bucket = Bucket(self._client("s3"), "results")

    def _client(self, service: str) -> Any:
        client = SESSION.create_client(
            service,
            region_name="us-east-1",
            endpoint_url=self.server.url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=client_config(service),
        )
        calls.refuse_cut_answers(client)
        return client


SESSION = botocore.session.Session()


@pytest.fixture
def stores() -> Iterator[Stores]:
    with cutting() as server:
        yield Stores(server)


def of_table(body: object, status: str = "200 OK") -> bytes:
    return answer(json.dumps(body).encode(), "Content-Type: application/x-amz-json-1.0", status=status, crc32=True)


def of_queue(body: object) -> bytes:
    return answer(json.dumps(body).encode(), "Content-Type: application/x-amz-json-1.0")


REFUSAL = of_table({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}, "400 Bad Request")
ABSENT_OBJECT = answer(b"<Error><Code>NoSuchKey</Code></Error>", "x-amz-request-id: 1", status="404 Not Found")
COUNTED = {"minute": {"N": "0"}, "minute_used": {"N": "2"}, "day": {"N": "0"}, "day_used": {"N": "2"}}


def count(stores: Stores) -> object:
    return stores.access.count("local", 2, {}, now=1)


def store_in_parts(stores: Stores) -> None:
    with stores.bucket.create_result("key") as upload:
        upload.write(b"a" * (PART_BYTES + 1))
        upload.complete()


@dataclass(frozen=True)
class Call:
    """A call that reads its answer, the answer, and what follows from it."""

    name: str
    make: Callable[[Stores], object]
    whole: bytes
    result: object


CALLS = [
    Call("GetItem", lambda s: s.table.job("1"), of_table({"Item": ROW}), JOB),
    Call("GetItem of nothing", lambda s: s.table.job("1"), of_table({}), None),
    Call(
        "BatchGetItem",
        lambda s: s.table.jobs(["1"], tenant="local"),
        of_table({"Responses": {"t": [ROW]}, "UnprocessedKeys": {}}),
        {"1": JOB},
    ),
    Call("BatchWriteItem", lambda s: s.table.put_jobs([JOB]), of_table({"UnprocessedItems": {}}), None),
    Call("PutItem", lambda s: s.table.submit_job(JOB), of_table({}), True),
    Call("PutItem, refused", lambda s: s.table.submit_batch(BATCH), REFUSAL, False),
    Call("DeleteItem", lambda s: s.table._remove_claim(("k", "1")), of_table({}), ("k", "1")),
    Call("TransactWriteItems", lambda s: s.table.start(Start(JOB), now=1), of_table({}), True),
    Call("UpdateItem", count, of_table({"Attributes": COUNTED}), dict.fromkeys(Span, (0, 2))),
    Call(
        "SendMessageBatch",
        lambda s: s.queue.send([FetchMessage("1", "k")]),
        of_queue({"Successful": [{"Id": "0", "MessageId": "1", "MD5OfMessageBody": "1"}]}),
        None,
    ),
    Call("GetObject of nothing", lambda s: s.bucket.read("key"), ABSENT_OBJECT, None),
    Call(
        "DeleteObjects",
        lambda s: s.bucket.delete(["key"]),
        answer(b"<DeleteResult><Deleted><Key>key</Key></Deleted></DeleteResult>", "x-amz-request-id: 1"),
        None,
    ),
]


def outcome(call: Call, stores: Stores) -> object:
    result = call.make(stores)
    if call.name == "UpdateItem":
        assert isinstance(result, dict)
        return {span: (counted.number, counted.used) for span, counted in result.items()}
    return result


REPEATED = [call for call in CALLS if call.name != "BatchWriteItem"]


@pytest.mark.parametrize("call", REPEATED, ids=lambda call: call.name)
def test_an_answer_that_is_cut_is_asked_for_again(stores: Stores, call: Call) -> None:
    """Wherever it is cut: the second answer counts."""
    for place in cuts(call.whole):
        stores.server.answer(call.whole[:place], call.whole)
        assert outcome(call, stores) == call.result, f"cut after {place} bytes"
        assert stores.server.requests == 2, f"cut after {place} bytes"


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_answers_that_are_all_cut_are_unavailable(stores: Stores, call: Call) -> None:
    """503 at last, and nothing is concluded from the part that came."""
    for place in cuts(call.whole):
        stores.server.answer(call.whole[:place])
        with pytest.raises(Unavailable):
            print(f"cut after {place} bytes:", call.make(stores))


def test_rows_are_sent_once(stores: Stores) -> None:
    """A first request that is carried out after its repeat would unlink a job that the runner has linked in between."""
    whole = of_table({"UnprocessedItems": {}})
    unknown = [whole[:place] for place in cuts(whole)]
    unknown += [
        of_table({"__type": "InternalServerError"}, "500 Internal Server Error"),
        answer(b"", status="503 Busy"),
    ]
    for first in unknown:
        stores.server.answer(first, whole)
        with pytest.raises(Unavailable):
            stores.table.put_jobs([JOB])
        assert stores.server.requests == 1, first
    stores.server.answer(of_table({"__type": "ThrottlingException"}, "400 Bad Request"), whole)
    stores.table.put_jobs([JOB])  # that one was answered, and not carried out
    assert stores.server.requests == 2


def test_a_checksum_that_does_not_fit_is_refused(stores: Stores) -> None:
    """DynamoDB sends one of each answer: as long as it should be is not yet what was sent."""
    whole = of_table({"Item": ROW})
    stores.server.answer(whole.replace(b"example", b"ex4mple"), whole)
    assert stores.table.job("1") == JOB
    assert stores.server.requests == 2


def test_chunks_are_checked(stores: Stores) -> None:
    """An answer without a length, in chunks: whole it is taken, cut it is not."""
    whole = chunked(b"<DeleteResult><Deleted><Key>key</Key></Deleted></DeleteResult>")
    stores.server.answer(whole)
    stores.bucket.delete(["key"])
    for place in cuts(whole.removesuffix(b"\r\n\r\n")):  # before the empty chunk that ends it
        stores.server.answer(whole[:place], whole)
        stores.bucket.delete(["key"])
        assert stores.server.requests == 2, f"cut after {place} bytes"


def test_an_answer_that_ends_with_its_connection_is_taken(stores: Stores) -> None:
    """It says neither its length nor that there are chunks, but has a body."""
    stores.server.answer(b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps({"Item": ROW}).encode())
    assert stores.table.job("1") == JOB


def test_a_result_that_is_cut_is_unavailable(stores: Stores) -> None:
    """Its bytes are read after the driver's repeats: short of one byte they are nothing, an empty head included."""
    whole = answer(b"result", "ETag: 1")
    stores.server.answer(whole)
    assert stores.bucket.read("key") == b"result"
    for place in cuts(whole):
        stores.server.answer(whole[:place])
        with pytest.raises(Unavailable):
            print(f"cut after {place} bytes:", stores.bucket.read("key"))


def test_an_empty_result_is_a_result(stores: Stores) -> None:
    """A length of nothing is a length."""
    stores.server.answer(answer(b"", "ETag: 1"))
    assert stores.bucket.read("key") == b""


def test_an_upload_in_parts_is_never_half_believed(stores: Stores) -> None:
    """Begin, parts, end: each answer is cut once, everywhere."""
    created = answer(b"<R><UploadId>1</UploadId></R>", "x-amz-request-id: 1")
    part = answer(b"", "x-amz-request-id: 1", "ETag: 1")
    completed = answer(b"<R><ETag>1</ETag></R>", "x-amz-request-id: 1")
    whole = [created, part, part, completed]
    stores.server.answer(*whole)
    store_in_parts(stores)
    for number in (0, 3):
        for place in cuts(whole[number]):
            stores.server.answer(*whole[:number], whole[number][:place], *whole[number:])
            store_in_parts(stores)
            assert stores.server.requests == 5, f"answer {number} cut after {place} bytes"
    for place in cuts(part)[1:]:
        stores.server.answer(created, part[:place])
        with pytest.raises(Unavailable):
            store_in_parts(stores)


def test_writes_whose_answer_says_nothing_succeed_by_their_status(stores: Stores) -> None:
    """Where there is no body to read, there is none to miss."""
    stores.server.answer(answer(b""))
    stores.queue.hide("handle", 3)
    with stores.bucket.create_result("key") as upload:
        upload.write(b"small")
        upload.complete()


LACKING = [
    ("BatchGetItem", of_table({"UnprocessedKeys": {}})),
    ("BatchGetItem", of_table({"Responses": {}})),
    ("BatchWriteItem", of_table({})),
    ("UpdateItem", of_table({})),
    ("SendMessageBatch", of_queue({})),
    ("SendMessageBatch", of_queue({"Successful": [{"Id": "1"}]})),
    ("DeleteObjects", answer(b"<DeleteResult></DeleteResult>")),
]


@pytest.mark.parametrize(("name", "lacking"), LACKING, ids=[name for name, _ in LACKING])
def test_an_answer_without_what_it_must_have_is_unavailable(stores: Stores, name: str, lacking: bytes) -> None:
    """Whole by its length, and yet it does not say what became of what was asked."""
    (call,) = (call for call in CALLS if call.name == name)
    stores.server.answer(lacking)
    with pytest.raises(Unavailable):
        call.make(stores)


def test_a_message_that_is_named_nowhere_is_sent_again(stores: Stores) -> None:
    """Neither sent nor failed: it is not sent."""
    sent = {"MessageId": "1", "MD5OfMessageBody": "1"}
    stores.server.answer(
        of_queue({"Successful": [{"Id": "0", **sent}]}),
        of_queue({"Successful": [{"Id": "1", **sent}]}),
    )
    stores.queue.send([FetchMessage("1", "k"), FetchMessage("2", "k")])
    assert stores.server.requests == 2
