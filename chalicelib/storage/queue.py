"""The SQS queue: messages that ask for a fetch; the API sends them, the job runner reads and leaves them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from chalicelib.jobs.errors import Unavailable
from chalicelib.storage.calls import Parallel, Patience, serial, unavailable

SEND_LIMIT = 10  # messages in a SendMessageBatch
MAX_VISIBILITY_SECONDS = 43200  # SQS allows no more, counted from when the message was received
LONGEST_HIDE_SECONDS = MAX_VISIBILITY_SECONDS - 960  # since receipt an invocation may have passed, and a minute more

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Message:
    """A request to a worker. The base class of all kinds of messages; their members are strings."""

    kind: ClassVar[str]

    def ids(self) -> dict[str, str]:
        """The ids to log: all its members, unless a kind chooses fewer."""
        return asdict(self)

    def body(self) -> str:
        """The message as text."""
        return json.dumps({"v": _VERSION, "kind": self.kind, **asdict(self)})

    @staticmethod
    def parse(body: str) -> Message | None:
        """The message in a text; None for one that is not ours. Further members of a newer version are ignored."""
        try:
            match json.loads(body):
                case {"v": 1, "kind": str(kind), **members} if kind in KINDS:
                    values = {field.name: members.get(field.name) for field in fields(KINDS[kind])}
                    if all(isinstance(value, str) and value for value in values.values()):
                        return KINDS[kind](**values)
        except (ValueError, RecursionError):
            pass
        return None


@dataclass(frozen=True, slots=True)
class FetchMessage(Message):
    """Asks for the fetch of a job. It contains no time and no URL: the rows have them."""

    kind: ClassVar[str] = "fetch"

    job_id: str
    url_key: str

    def ids(self) -> dict[str, str]:
        """The job's id."""
        return {"job_id": self.job_id}


KINDS: dict[str, type[Message]] = {kind.kind: kind for kind in (FetchMessage,)}


class Queue:
    """The jobs' queue, or its dead-letter queue. Raises `Unavailable` if SQS does not answer."""

    def __init__(self, client: Any, url: str, *, parallel: Parallel = serial, patience: Patience | None = None) -> None:
        self._client = client
        self._url = url
        self._parallel = parallel
        self._patience = patience or Patience()

    def send(self, messages: Sequence[Message]) -> None:
        """Send all of them; returns when each is durable."""
        self._parallel(
            self._send_chunk, [list(messages[at : at + SEND_LIMIT]) for at in range(0, len(messages), SEND_LIMIT)]
        )

    def hide(self, receipt_handle: str, seconds: float) -> None:
        """Let a received message come back after this long: rounded up to whole seconds, at least one.

        At most LONGEST_HIDE_SECONDS: SQS refuses more than its limit, and the message would come back at once.
        """
        visibility = min(max(math.ceil(seconds), 1), LONGEST_HIDE_SECONDS)
        with unavailable("hiding a message"):
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt_handle, VisibilityTimeout=visibility
            )

    def _send_chunk(self, messages: list[Message]) -> None:
        entries = [{"Id": str(number), "MessageBody": message.body()} for number, message in enumerate(messages)]
        for _ in self._patience.rounds():
            with unavailable("sending messages"):
                answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            # Entries can fail although the call as a whole succeeds. Only those listed as successful are durable.
            sent = {entry.get("Id") for entry in answer.get("Successful", [])}
            entries = [entry for entry in entries if entry["Id"] not in sent]
            if not entries:
                return
        raise Unavailable("the queue kept refusing messages")
