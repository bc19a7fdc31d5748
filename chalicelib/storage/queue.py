"""The SQS queues: messages that ask for a fetch, or for a webhook to be told; the API sends them, the runners read and
leave them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import Field, asdict, dataclass, fields, replace
from typing import Any, ClassVar

from chalicelib.jobs.entities import Job
from chalicelib.jobs.errors import Unavailable
from chalicelib.storage.calls import Parallel, Patience, serial, unavailable

SEND_LIMIT = 10  # messages in a SendMessageBatch
MAX_DELAY_SECONDS = 840  # SQS allows 900, after which QueueAgeAlarm would take a delayed message for a forgotten one
MAX_VISIBILITY_SECONDS = 43200  # SQS allows no more, counted from when the message was received
LONGEST_HIDE_SECONDS = MAX_VISIBILITY_SECONDS - 960  # since receipt an invocation may have passed, and a minute more

_VERSIONS = (1, 2)


@dataclass(frozen=True, slots=True)
class Message:
    """A request to a worker. The base class of all kinds of messages; their members are texts and numbers.

    A member with a default may be missing: an older version sent the message.
    """

    kind: ClassVar[str]

    def ids(self) -> dict[str, str]:
        """The ids to log: all its members, unless a kind chooses fewer."""
        return asdict(self)

    def copy(self) -> Message:
        """The message that is sent in place of this one, to come later."""
        return self

    @property
    def version(self) -> int:
        """Of the format; who does not know it leaves the message to others."""
        return 1

    def body(self) -> str:
        """The message as text."""
        defaults = {each.name: each.default for each in fields(self)}
        given = {name: value for name, value in asdict(self).items() if value != defaults[name]}
        return json.dumps({"v": self.version, "kind": self.kind, **given})

    @staticmethod
    def is_later(body: str) -> bool:
        """True for a message of a version or a kind that only later versions of the service know."""
        try:
            match json.loads(body):
                case {"v": int(version), "kind": str(kind)}:
                    return version not in _VERSIONS or kind not in KINDS
        except (ValueError, RecursionError):
            pass
        return False

    @staticmethod
    def parse(body: str) -> Message | None:
        """The message in a text; None for one that is not ours. Further members of a newer version are ignored."""
        try:
            match json.loads(body):
                case {"v": version, "kind": str(kind), **members} if version in _VERSIONS and kind in KINDS:
                    values = {field.name: members.get(field.name, field.default) for field in fields(KINDS[kind])}
                    if all(map(_is_good, fields(KINDS[kind]), values.values())):
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
    host_key: str = ""
    copies: int = 0  # how often it has come back as a copy of itself
    headers: int = 0  # how many are sent with the URL

    @staticmethod
    def of(job: Job) -> FetchMessage:
        """The message of a job."""
        return FetchMessage(job.id, job.url_key, job.host_key or "", headers=job.header_count)

    @property
    def version(self) -> int:
        """A version that knows no headers must not fetch the URL without them."""
        return 2 if self.headers else 1

    @property
    def host(self) -> str:
        """The host that is asked, whoever's job it is."""
        return self.host_key.partition("/")[2]

    def copy(self) -> FetchMessage:
        """The same, counted: Lambda ends what goes round and round, unless it is told not to."""
        return replace(self, copies=self.copies + 1)

    def ids(self) -> dict[str, str]:
        """The job's id."""
        return {"job_id": self.job_id}


@dataclass(frozen=True, slots=True)
class WatchMessage(Message):
    """Asks that a webhook's event is made when a job or a batch is finished. It contains no URL: the rows have them."""

    kind: ClassVar[str] = "watch"

    subject: str  # "job" or "batch"
    subject_id: str
    submitted_at: int = 0  # when that was submitted; milliseconds since the epoch
    position: int = 0  # in a batch: how many of its jobs, from the first one on, were seen to be finished
    succeeded: int = 0  # how many of those have succeeded
    failed: int = 0  # and have failed; the others are deleted
    finished_at: int = 0  # when the last one of those was finished; milliseconds since the epoch
    copies: int = 0  # how often it has come back as a copy of itself

    def is_older(self, submitted_at: int) -> bool:
        """True where it is about an older subject with the same Idempotency-Key: the new one has its own message."""
        return self.submitted_at != submitted_at

    def copy(self) -> WatchMessage:
        """The same, counted."""
        return replace(self, copies=self.copies + 1)

    def ids(self) -> dict[str, str]:
        """The subject's id."""
        return {f"{self.subject}_id": self.subject_id}


@dataclass(frozen=True, slots=True)
class DeliverMessage(Message):
    """Asks that the event of a job or a batch is delivered."""

    kind: ClassVar[str] = "deliver"

    subject: str  # "job" or "batch"
    subject_id: str
    copies: int = 0  # how often it has come back as a copy of itself

    def copy(self) -> DeliverMessage:
        """The same, counted."""
        return replace(self, copies=self.copies + 1)

    def ids(self) -> dict[str, str]:
        """The subject's id."""
        return {f"{self.subject}_id": self.subject_id}


def _is_good(member: Field[Any], value: object) -> bool:
    if member.type == "int":
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, str) and (value != "" or member.default == "")


KINDS: dict[str, type[Message]] = {kind.kind: kind for kind in (FetchMessage, WatchMessage, DeliverMessage)}


@dataclass(frozen=True, slots=True)
class _Entry:
    message: Message
    delay: int = 0  # seconds

    def as_sent(self, entry_id: str) -> dict[str, Any]:
        delay = {"DelaySeconds": self.delay} if self.delay else {}
        return {"Id": entry_id, "MessageBody": self.message.body(), **delay}


class Queue:
    """The jobs' queue, the webhooks' queue, or their dead-letter queue. Raises `Unavailable` if SQS does not answer."""

    def __init__(self, client: Any, url: str, *, parallel: Parallel = serial, patience: Patience | None = None) -> None:
        self._client = client
        self._url = url
        self._parallel = parallel
        self._patience = patience or Patience()

    def send(self, messages: Sequence[Message]) -> None:
        """Send all of them; returns when each is durable."""
        self._send([_Entry(message) for message in messages])

    def send_later(self, copies: Sequence[tuple[Message, float]]) -> None:
        """Send messages that come after so many seconds each: whole ones, rounded down, at most MAX_DELAY_SECONDS."""
        self._send([_Entry(message, min(max(0, int(seconds)), MAX_DELAY_SECONDS)) for message, seconds in copies])

    def hide(self, receipt_handle: str, seconds: float) -> None:
        """Let a received message come back after this long: rounded up to whole seconds, at least one.

        At most LONGEST_HIDE_SECONDS: SQS refuses more than its limit, and the message would come back at once.
        """
        visibility = min(max(math.ceil(seconds), 1), LONGEST_HIDE_SECONDS)
        with unavailable("hiding a message"):
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt_handle, VisibilityTimeout=visibility
            )

    def _send(self, entries: list[_Entry]) -> None:
        self._parallel(self._send_chunk, [entries[at : at + SEND_LIMIT] for at in range(0, len(entries), SEND_LIMIT)])

    def _send_chunk(self, chunk: list[_Entry]) -> None:
        entries = [entry.as_sent(str(number)) for number, entry in enumerate(chunk)]
        for _ in self._patience.rounds():
            with unavailable("sending messages"):
                answer = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            # Entries can fail although the call as a whole succeeds. Only those listed as successful are durable.
            sent = {entry.get("Id") for entry in answer.get("Successful", [])}
            entries = [entry for entry in entries if entry["Id"] not in sent]
            if not entries:
                return
        raise Unavailable("the queue kept refusing messages")
