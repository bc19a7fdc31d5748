"""A queue's event source as Lambda runs it: one invocation for up to ten messages, and only messages that the answer
does not name are acknowledged. Visibility and redrive are up to the queue."""

from __future__ import annotations

import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

Handler = Callable[[dict[str, Any], "Context"], Any]

BATCH_SIZE = 10  # messages of one invocation, Lambda's default for a queue
WAIT_SECONDS = 1  # Lambda waits 20; with 1 a worker ends at once, and one that is killed hides few messages
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0


class Context:
    """What an invocation knows about itself, as far as Lambda's context is used here."""

    def __init__(self, function_name: str, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.function_name = function_name
        self.aws_request_id = str(uuid.uuid4())
        self._clock = clock
        self._deadline = clock() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """How long until the invocation is ended, in milliseconds."""
        return max(0, int((self._deadline - self._clock()) * 1000))


class MalformedAnswer(Exception):
    """A function's answer that Lambda would take for a failure of the whole batch."""


def failures(answer: object, message_ids: set[str]) -> set[str]:
    """The ids that `answer` names in `batchItemFailures`; none of them when it is empty.

    Raises MalformedAnswer for what Lambda counts as a complete failure
    (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html): another shape, an empty id, an id
    that is not of this batch.
    """
    if answer is None:
        return set()
    if not isinstance(answer, Mapping):
        raise MalformedAnswer(f"the answer is {type(answer).__name__}, not an object")
    entries = answer.get("batchItemFailures")
    if entries is None:
        return set()
    if not isinstance(entries, list):
        raise MalformedAnswer("batchItemFailures is not a list")
    named = set()
    for entry in entries:
        identifier = entry.get("itemIdentifier") if isinstance(entry, Mapping) else None
        if not isinstance(identifier, str) or identifier not in message_ids:
            raise MalformedAnswer(f"batchItemFailures names {identifier!r}, which is not a message of this batch")
        named.add(identifier)
    return named


def event_of(messages: list[MessageTypeDef], queue_arn: str) -> dict[str, Any]:
    """The event that Lambda makes of received messages."""
    region = queue_arn.split(":")[3]
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": dict(message.get("Attributes", {})),
                "messageAttributes": {
                    name: {
                        "dataType": attribute["DataType"],
                        **({"stringValue": attribute["StringValue"]} if "StringValue" in attribute else {}),
                    }
                    for name, attribute in message.get("MessageAttributes", {}).items()
                },
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": queue_arn,
                "awsRegion": region,
            }
            for message in messages
        ]
    }


def _all_of(count: int) -> str:
    return "its message comes" if count == 1 else f"all {count} messages come"


class Outage:
    """Reports once that the queue cannot be polled and once that it is back, however many pollers notice."""

    def __init__(self, report: Callable[[str], object]) -> None:
        self._report = report
        self._lock = threading.Lock()
        self._down = False

    def seen(self, error: Exception) -> None:
        """A poller met `error`."""
        with self._lock:
            if not self._down:
                self._report(f"the queue cannot be polled, still trying: {type(error).__name__}: {error}")
            self._down = True

    def over(self) -> None:
        """A poller was answered."""
        with self._lock:
            if self._down:
                self._report("the queue answers again")
            self._down = False


@dataclass(slots=True, kw_only=True)
class EventSource:
    """Feeds one queue's messages to one function. `run` may run in several threads at once."""

    sqs: SQSClient
    queue_url: str
    function_name: str
    handler: Handler
    function_seconds: float
    time_out: Callable[[str], object]  # called with a sentence when an invocation outlives function_seconds
    report: Callable[[str], object]
    outage: Outage
    wait_seconds: int = WAIT_SECONDS
    _queue_arn: str = field(default="", init=False)

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set, whatever a poll raises.

        What is no Exception ends it, as it ends a function's process on Lambda: messages that it held come back.
        """
        pause = FIRST_PAUSE_SECONDS
        while not stop.is_set():
            try:
                self.poll()
            except Exception as error:  # noqa: BLE001 - half an answer may raise anything, and must not end the poller
                self.outage.seen(error)
                stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                self.outage.over()
                pause = FIRST_PAUSE_SECONDS

    def poll(self) -> int:
        """Receive once, invoke once if anything came, and delete what is finished. Returns how many came."""
        if not self._queue_arn:
            attributes = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["QueueArn"])
            self._queue_arn = attributes["Attributes"]["QueueArn"]
        received = self.sqs.receive_message(
            QueueUrl=self.queue_url,
            MaxNumberOfMessages=BATCH_SIZE,
            WaitTimeSeconds=self.wait_seconds,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        messages = received.get("Messages", [])
        if messages:
            done_with = {message["MessageId"] for message in messages} - self._invoke(messages)
            self._delete([message for message in messages if message["MessageId"] in done_with])
        return len(messages)

    def _invoke(self, messages: list[MessageTypeDef]) -> set[str]:
        """Call the function; returns the ids of the messages that must come back."""
        ids = {message["MessageId"] for message in messages}
        context = Context(self.function_name, self.function_seconds)
        late = f"{self.function_name} {context.aws_request_id} timed out after {self.function_seconds:g} s"
        timer = threading.Timer(self.function_seconds, self.time_out, [late])
        timer.daemon = True
        timer.start()
        try:
            return failures(self.handler(event_of(messages, self._queue_arn), context), ids)
        except MalformedAnswer as error:
            self.report(f"{self.function_name}: {error}; {_all_of(len(ids))} back")
        except (Exception, SystemExit):  # noqa: BLE001 - whatever it raises fails its batch, and must not end the poller
            self.report(f"{self.function_name} raised; {_all_of(len(ids))} back\n{traceback.format_exc()}")
        finally:
            timer.cancel()
        return ids

    def _delete(self, messages: list[MessageTypeDef]) -> None:
        if not messages:
            return
        answer = self.sqs.delete_message_batch(
            QueueUrl=self.queue_url,
            Entries=[
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(messages)
            ],
        )
        for failed in answer.get("Failed", []):
            self.report(f"{self.function_name}: a message was not deleted and comes back: {failed.get('Message')}")
