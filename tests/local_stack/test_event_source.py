"""The event source does with messages what Lambda would, on moto's queues."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from urllib3.exceptions import ProtocolError

from chalicelib.settings import Settings
from local_stack import resources
from local_stack.event_source import Context, EventSource, Handler, MalformedAnswer, Outage, event_of, failures


@dataclass
class Queues:
    """The stack's two queues, and what the event source says."""

    sqs: Any
    jobs_url: str
    dead_letters_url: str
    said: list[str] = field(default_factory=list)
    timed_out: list[str] = field(default_factory=list)

    def source(self, handler: Handler, *, dead: bool = False, seconds: float = 60) -> EventSource:
        return EventSource(
            sqs=self.sqs,
            queue_url=self.dead_letters_url if dead else self.jobs_url,
            function_name="run_dead_letters" if dead else "run_jobs",
            handler=handler,
            function_seconds=seconds,
            time_out=self.timed_out.append,
            report=self.said.append,
            outage=Outage(self.said.append),
            wait_seconds=0,
        )

    def send(self, *bodies: str) -> None:
        for body in bodies:
            self.sqs.send_message(QueueUrl=self.jobs_url, MessageBody=body)

    def come_back(self) -> None:
        """Make what was received and not deleted visible again, as the passing of its time would."""
        for queue in mock_queues():
            for message in queue._messages:
                message.change_visibility(0)

    def held(self) -> list[str]:
        """The bodies that are still on the queue, seen or not."""
        self.come_back()
        answer = self.sqs.receive_message(QueueUrl=self.jobs_url, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return sorted(message["Body"] for message in answer.get("Messages", []))


def mock_queues() -> list[Any]:
    from moto.sqs.models import sqs_backends

    return list(sqs_backends["123456789012"]["us-east-1"].queues.values())


@pytest.fixture
def queues() -> Iterator[Queues]:
    with mock_aws():
        session = boto3.session.Session("test", "test", region_name="us-east-1")
        names = resources.create(session.client("cloudformation"), Settings(max_attempts=1))
        yield Queues(session.client("sqs"), names["QUEUE_URL"], names["DEAD_LETTER_QUEUE_URL"])


def test_the_event_is_lambdas(queues: Queues) -> None:
    """Each record says which message it is, how often it came, and from where."""
    queues.send("one", "two")
    events: list[dict[str, Any]] = []
    assert queues.source(lambda event, context: events.append(event)).poll() == 2
    [event] = events
    for record, body in zip(event["Records"], ["one", "two"], strict=True):
        assert record["body"] == body
        assert record["attributes"]["ApproximateReceiveCount"] == "1"
        assert record["attributes"]["SentTimestamp"].isdigit()
        assert record["eventSource"] == "aws:sqs"
        assert record["eventSourceARN"].endswith(":fetch-queue-jobs")
        assert record["awsRegion"] == "us-east-1"
        assert record["messageAttributes"] == {}
        assert record["messageId"]
        assert record["receiptHandle"]
        assert record["md5OfBody"]
    assert len({record["messageId"] for record in event["Records"]}) == 2


def test_message_attributes_are_named_as_lambda_names_them() -> None:
    """Lambda's names begin in lower case, SQS's in upper case."""
    message: Any = {
        "MessageId": "1",
        "ReceiptHandle": "r",
        "Body": "b",
        "MD5OfBody": "m",
        "MessageAttributes": {"trace": {"DataType": "String", "StringValue": "x"}},
    }
    [record] = event_of([message], "arn:aws:sqs:eu-west-1:1:q")["Records"]
    assert record["messageAttributes"] == {"trace": {"dataType": "String", "stringValue": "x"}}
    assert record["awsRegion"] == "eu-west-1"


def test_no_message_is_no_invocation(queues: Queues) -> None:
    """A function is not called for nothing."""
    assert queues.source(lambda event, context: pytest.fail("was called")).poll() == 0


def test_what_is_not_named_is_deleted(queues: Queues) -> None:
    """Of three messages the one that the answer names comes back."""
    queues.send("good", "bad", "fine")

    def handler(event: dict[str, Any], context: Context) -> Any:
        return {
            "batchItemFailures": [
                {"itemIdentifier": record["messageId"]} for record in event["Records"] if record["body"] == "bad"
            ]
        }

    queues.source(handler).poll()
    assert queues.held() == ["bad"]
    assert queues.said == []


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": None}, {"batchItemFailures": []}])
def test_an_empty_answer_is_success(queues: Queues, answer: Any) -> None:
    """All of the batch is deleted."""
    queues.send("one", "two")
    queues.source(lambda event, context: answer).poll()
    assert queues.held() == []


@pytest.mark.parametrize(
    "answer",
    [
        {"batchItemFailures": [{"itemIdentifier": "nobody's"}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"id": "wrong key"}]},
        {"batchItemFailures": ["no object"]},
        {"batchItemFailures": "no list"},
        "no object",
        ["no object"],
    ],
)
def test_a_malformed_answer_deletes_nothing(queues: Queues, answer: Any) -> None:
    """The whole batch comes back, whatever else the answer says."""
    queues.send("one", "two")
    queues.source(lambda event, context: answer).poll()
    assert queues.held() == ["one", "two"]
    assert "all 2 messages come back" in queues.said[0]


def test_a_right_id_beside_a_wrong_one() -> None:
    """One wrong id is enough."""
    with pytest.raises(MalformedAnswer):
        failures({"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "z"}]}, {"a", "b"})


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1)])
def test_a_function_that_raises_deletes_nothing(queues: Queues, error: BaseException) -> None:
    """The whole batch comes back, and the poller lives on."""
    queues.send("one", "two")

    def handler(event: dict[str, Any], context: Context) -> Any:
        raise error

    queues.source(handler).poll()
    assert queues.held() == ["one", "two"]
    assert type(error).__name__ in queues.said[0]


def test_a_message_that_fails_for_ever_ends_as_a_dead_letter(queues: Queues) -> None:
    """After maxReceiveCount deliveries the queue hands it to the other function, and once that is done it is gone."""
    queues.send("poison")
    counts: list[str] = []

    def fail(event: dict[str, Any], context: Context) -> Any:
        counts.extend(record["attributes"]["ApproximateReceiveCount"] for record in event["Records"])
        return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in event["Records"]]}

    jobs = queues.source(fail)
    for _ in range(6):
        jobs.poll()
        queues.come_back()
    assert counts == ["1", "2", "3", "4"]  # 2 x MAX_ATTEMPTS + 2
    buried = []
    dead = queues.source(lambda event, context: buried.extend(event["Records"]), dead=True)
    assert (dead.poll(), [record["body"] for record in buried]) == (1, ["poison"])
    queues.come_back()
    assert dead.poll() == 0


def test_a_function_knows_how_long_it_has() -> None:
    """The time left runs down to nothing, and not below."""
    now = [100.0]
    context = Context("run_jobs", 60, clock=lambda: now[0])
    assert context.get_remaining_time_in_millis() == 60_000
    now[0] += 59.5
    assert context.get_remaining_time_in_millis() == 500
    now[0] += 10
    assert context.get_remaining_time_in_millis() == 0


def test_a_function_that_takes_too_long(queues: Queues) -> None:
    """Whoever ends functions is told, while it still runs; one that is done in time is left alone."""
    queues.send("slow")
    told = threading.Event()

    def time_out(sentence: str) -> None:
        queues.timed_out.append(sentence)
        told.set()

    source = queues.source(lambda event, context: told.wait(60) and None, seconds=0.05)
    source.time_out = time_out
    source.poll()
    assert "timed out after 0.05 s" in queues.timed_out[0]

    queues.send("fast")
    queues.source(lambda event, context: None, seconds=600).poll()
    assert_no_timer_runs()


def assert_no_timer_runs() -> None:
    """One that was cancelled ends at once; the others would run for ten minutes."""
    for timer in [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]:
        timer.join(60)
        assert not timer.is_alive()


class Unsteady:
    """A queue that cannot be reached for a while; the test stops the poller once it answers."""

    def __init__(self, refusals: int, stop: threading.Event) -> None:
        self.left = refusals
        self.stop = stop

    def get_queue_attributes(self, **_: Any) -> Any:
        if self.left:
            self.left -= 1
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        return {"Attributes": {"QueueArn": "arn:aws:sqs:us-east-1:1:q"}}

    def receive_message(self, **_: Any) -> Any:
        self.stop.set()
        return {}


class Impatient(threading.Event):
    """Does not wait for pauses, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        return self.is_set()


def test_a_queue_that_is_away_for_a_while(queues: Queues) -> None:
    """The poller says so once, tries again with growing pauses up to a bound, and says once that it is back."""
    stop = Impatient()
    queues.sqs = Unsteady(6, stop)
    queues.source(lambda event, context: None).run(stop)
    assert stop.pauses == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert len(queues.said) == 2
    assert "cannot be polled, still trying: EndpointConnectionError: " in queues.said[0]
    assert "answers again" in queues.said[1]


class Broken:
    """A queue whose answers are not as they should be, for a while; the test stops the poller once they are."""

    def __init__(self, wrong: list[Any], stop: threading.Event) -> None:
        self.wrong = wrong
        self.stop = stop

    def get_queue_attributes(self, **_: Any) -> Any:
        return {"Attributes": {"QueueArn": "arn:aws:sqs:us-east-1:1:q"}}

    def receive_message(self, **_: Any) -> Any:
        if not self.wrong:
            self.stop.set()
            return {}
        answer = self.wrong.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def delete_message_batch(self, **_: Any) -> Any:
        raise ConnectionResetError("gone")


WHOLE = {"MessageId": "1", "ReceiptHandle": "r", "Body": "b", "MD5OfBody": "m"}


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (KeyError("QueueArn"), "KeyError"),
        (ProtocolError("cut"), "ProtocolError"),
        (RuntimeError("can't start new thread"), "RuntimeError"),
        (None, "AttributeError"),
        ({"Messages": [{"ReceiptHandle": "r"}]}, "KeyError"),
        ({"Messages": [WHOLE]}, "ConnectionResetError"),  # done with, and not deleted: it comes back
    ],
)
def test_a_poller_survives_whatever_a_poll_raises(queues: Queues, wrong: Any, kind: str) -> None:
    """As an outage: said once, with what it was; then a pause, then on."""
    stop = Impatient()
    queues.sqs = Broken([wrong, wrong], stop)
    queues.source(lambda event, context: None).run(stop)
    assert stop.pauses == [0.5, 1.0]
    assert len(queues.said) == 2
    assert f"still trying: {kind}: " in queues.said[0]
    assert "answers again" in queues.said[1]


def test_a_function_that_wants_to_end_the_process(queues: Queues) -> None:
    """Ends the poller, and acknowledges nothing; nobody is told later that it timed out."""
    queues.send("one")

    def handler(event: dict[str, Any], context: Context) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        queues.source(handler, seconds=600).run(threading.Event())
    assert queues.held() == ["one"]
    assert_no_timer_runs()


def test_a_message_that_cannot_be_deleted_is_reported(queues: Queues) -> None:
    """SQS reports such a failure under HTTP 200."""
    queues.send("one")

    class Sqs:
        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def delete_message_batch(self, **_: Any) -> Any:
            return {"Failed": [{"Id": "0", "Message": "no such receipt"}]}

    real, queues.sqs = queues.sqs, Sqs()
    queues.source(lambda event, context: None).poll()
    assert "no such receipt" in queues.said[0]
