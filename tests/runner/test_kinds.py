"""A second kind of message: a class, and a row in the table of handlers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from chalicelib.jobs.errors import Unavailable
from chalicelib.runner.ends import Done, End, Left
from chalicelib.runner.invocation import Delivery, Invocation, Runner
from chalicelib.storage import queue
from chalicelib.storage.queue import FetchMessage, Message
from tests.world import World

URL = "https://a.example/"


@dataclass(frozen=True, slots=True)
class Greeting(Message):
    """Asks for a greeting."""

    kind: ClassVar[str] = "greeting"

    name: str


class Greetings:
    """Greets everybody but one; it does nothing for them together."""

    def __init__(self) -> None:
        self.greeted: list[str] = []

    def take(self, deliveries: Sequence[Delivery], invocation: Invocation) -> Greetings:
        return self

    def take_each(self, invocation: Invocation) -> Greetings:
        return self

    def goes_last(self, delivery: Delivery) -> bool:
        return False

    def handle(self, delivery: Delivery) -> End:
        assert isinstance(delivery.message, Greeting)
        if delivery.message.name == "nobody":
            return Left()
        self.greeted.append(delivery.message.name)
        return Done()


@pytest.fixture
def greetings(w: World, monkeypatch: pytest.MonkeyPatch) -> Greetings:
    monkeypatch.setitem(queue.KINDS, Greeting.kind, Greeting)
    handler = Greetings()
    monkeypatch.setattr(w.runner, "handlers", {**w.runner.handlers, Greeting.kind: handler})
    return handler


def test_kinds_are_worked_on_in_one_invocation(w: World, greetings: Greetings) -> None:
    """Each by its own handler; what one leaves comes back."""
    job_id = w.submit(URL)["id"]
    w.service.queue.send([Greeting("Ada"), Greeting("nobody")])
    left = w.run()
    assert [Message.parse(message["body"]) for message in left] == [Greeting("nobody")]
    assert greetings.greeted == ["Ada"]
    assert w.job(job_id)["status"] == "succeeded"


def test_a_kind_without_a_handler_is_left(w: World, greetings: Greetings) -> None:
    """As a message that cannot be read: a worker that is older than who sent it gives it back."""
    runner: Runner = w.runner
    runner.handlers = {kind: handler for kind, handler in runner.handlers.items() if kind == FetchMessage.kind}
    w.service.queue.send([Greeting("Ada")])
    assert len(w.run()) == 1
    assert greetings.greeted == []


@pytest.mark.parametrize("body", ['{"v": 9, "kind": "fetch", "job_id": "x"}', '{"v": 1, "kind": "later"}'])
def test_a_dead_letter_of_a_later_version_is_left(w: World, body: str) -> None:
    """Who knows it comes with the next update, or is back after a rollback; what is no message of ours goes."""
    for text in (body, "no message"):
        w.clients["sqs"].send_message(QueueUrl=w.names["DEAD_LETTER_QUEUE_URL"], MessageBody=text)
    left = w.deliver(w.receive_dead_letters(), dead_letters=True)
    assert [message["body"] for message in left] == [body]


def test_a_kind_that_cannot_be_worked_on_leaves_the_others(w: World, greetings: Greetings) -> None:
    """What one kind has begun for its messages is not given up because another's needs are away."""
    w.submit(URL)
    w.service.queue.send([Greeting("Ada")])

    def away(**_: Any) -> None:
        raise Unavailable("the table is away")

    events = w.clients["dynamodb"].meta.events
    events.register("before-call.dynamodb.BatchGetItem", away, unique_id="away")
    left = w.run()
    events.unregister("before-call.dynamodb.BatchGetItem", unique_id="away")
    (message,) = left
    assert isinstance(Message.parse(message["body"]), FetchMessage)
    assert greetings.greeted == ["Ada"]
