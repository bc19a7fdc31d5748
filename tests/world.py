"""The whole service in one process and one thread: moto for AWS, a clock that is set, ids that are counted, a site
that is told what to answer. Operations are the real code's."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
from botocore.config import Config as BotoConfig
from botocore.credentials import ReadOnlyCredentials
from chalice.app import Chalice
from chalice.config import Config
from chalice.local import LocalGateway, LocalGatewayException
from chalice.test import HTTPResponse
from moto import mock_aws

from chalicelib import wiring, wiring_webhooks
from chalicelib.api import serve
from chalicelib.jobs import access
from chalicelib.jobs.access import LOCAL_TENANT, Token
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.entities import ErrorType, FetchError
from chalicelib.jobs.submitted import NO_HEADERS, RequestHeaders
from chalicelib.jobs.urls import InvalidURL, normal_form
from chalicelib.metrics import Metrics
from chalicelib.runner.fetch_messages import FetchMessages
from chalicelib.runner.outcome import Failure, Fetched, Sink
from chalicelib.runner.poster import Reply
from chalicelib.settings import Settings
from chalicelib.storage import calls, items
from chalicelib.storage.items import decode_item
from chalicelib.storage.queue import MAX_VISIBILITY_SECONDS, DeliverMessage, FetchMessage, Message, WatchMessage
from chalicelib.storage.table import Table
from chalicelib.wiring import Outside
from local_stack import resources
from tests import emulated

START = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

REGION = "us-east-1"
Answer = Fetched | Failure
Body = bytes


@dataclass
class Site:
    """A fetcher that asks nobody: it answers as told, and counts what it was asked for."""

    requests: Counter[str] = field(default_factory=Counter)
    answers: dict[str, list[bytes | Failure]] = field(default_factory=dict)  # the last one stays
    during: Callable[[str], None] | None = None  # happens while a fetch runs
    note: Callable[[str], None] | None = None  # is told of each request
    sent: dict[str, list[RequestHeaders]] = field(default_factory=lambda: defaultdict(list))  # with each request

    def fetch(self, url: str, sink: Sink, request_headers: RequestHeaders = NO_HEADERS) -> Fetched | Failure:
        """One attempt at the URL."""
        self.requests[url] += 1
        self.sent[url].append(request_headers)
        if self.note is not None:
            self.note(url)
        if self.during is not None:
            self.during(url)
        told = self.answers.get(url, [b"bytes of " + url.encode()])
        answer = told.pop(0) if len(told) > 1 else told[0]
        if isinstance(answer, Failure):
            return answer
        sink.begin("text/plain")
        sink.write(answer)
        return Fetched(
            content_type="text/plain",
            size=len(answer),
            sha256=hashlib.sha256(answer).hexdigest(),
            http_status=200,
            final_url=url,
            headers={"ETag": '"1"'},
            text=True,
        )


@dataclass(frozen=True, slots=True)
class Told:
    """What a receiver was sent."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The event's."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The event."""
        event: dict[str, Any] = json.loads(self.body)
        return event


@dataclass
class Receiver:
    """A poster that tells nobody: it answers as told, and keeps what it was sent."""

    told: list[Told] = field(default_factory=list)
    answers: dict[str, list[Reply]] = field(default_factory=dict)  # by URL; the last one stays
    during: Callable[[str], None] | None = None  # happens while a receiver answers

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """One try."""
        self.told.append(Told(url, dict(headers), body))
        if self.during is not None:
            self.during(url)
        told = self.answers.get(url, [Reply(status=200)])
        return told.pop(0) if len(told) > 1 else told[0]


def failure(
    status: int = 404, *, retryable: bool = False, retry_after: float | None = None, excerpt: str | None = None
) -> Failure:
    """A site's answer that is no result."""
    error = FetchError(
        type=ErrorType.HTTP_STATUS, detail=f"The site answered {status}.", http_status=status, excerpt=excerpt
    )
    refused = status == 429 or (status == 503 and retry_after is not None)
    return Failure(error=error, retryable=retryable, retry_after=retry_after, refused=refused)


@dataclass
class World:
    """Everything that a test may look at or turn."""

    settings: Settings
    names: dict[str, str]
    clients: dict[str, Any]
    event_source: Any  # the SQS client that receives and acknowledges, as Lambda's would
    site: Site = field(default_factory=Site)
    receiver: Receiver = field(default_factory=Receiver)
    now: int = START
    ids: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)  # received and not acknowledged
    delays: list[tuple[str, int]] = field(default_factory=list)  # bodies that were sent to come later, and when
    delayed: list[tuple[int, dict[str, Any]]] = field(default_factory=list)  # messages that are to come, and when
    seconds_left: float = 1000.0
    metrics: list[str] = field(default_factory=list)  # lines
    meanwhile: Callable[[], object] | None = None  # happens each time that the API waits
    # Headers, by the URLs in normal form that are submitted with them.
    private: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.given = self.settings
        self.wire()

    def wire(self) -> None:
        """Make the stores, the API and the runner from what the world is told."""
        self.wired = settings = replace(
            self.settings,
            table_name=self.names["TABLE_NAME"],
            queue_url=self.names["QUEUE_URL"],
            dead_letter_queue_url=self.names["DEAD_LETTER_QUEUE_URL"],
            webhook_queue_url=self.names["WEBHOOK_QUEUE_URL"],
            bucket_name=self.names["BUCKET_NAME"],
        )
        self.outside = Outside(
            client=self.clients.__getitem__,
            credentials=lambda: ReadOnlyCredentials("test", "test", None),
            parallel=calls.serial,
            patience=calls.Patience(sleep=lambda seconds: None, jitter=lambda: 0.0),
            clock=lambda: self.now,
            sleep=self.sleep,
            new_id=self.new_id,
            random=lambda: 1.0,
            metrics=Metrics("api", enabled=True, write=self.metrics.append),
        )
        self.service = wiring.make_service(settings, self.outside, AddressPolicy())
        metrics = Metrics("runner", enabled=True, write=self.metrics.append)
        self.runner = wiring.make_runner(settings, replace(self.outside, metrics=metrics), self.site)
        self.webhooks = wiring_webhooks.make_runner(
            settings,
            replace(self.outside, metrics=Metrics("webhooks", enabled=True, write=self.metrics.append)),
            self.receiver,
            within=calls.serial,
        )
        self.app = Chalice(app_name="test")
        serve.register(self.app, lambda: wiring.make_api(settings, self.service))
        self.gateway = LocalGateway(self.app, Config.create())

    @property
    def runners_table(self) -> Table:
        """The table as the runner has it, for a test that lets it read or write something else."""
        handler = self.runner.handlers[FetchMessage.kind]
        assert isinstance(handler, FetchMessages)
        return handler.table

    # Time and ids

    def new_id(self) -> str:
        """The next id: counted, so that a failing test reads the same each time."""
        self.ids += 1
        return f"{self.ids:032x}"

    def pass_time(self, ms: int) -> None:
        """Let time go by."""
        self.now += ms

    @contextmanager
    def counted_calls(self) -> Iterator[Counter[str]]:
        """The AWS calls that are made meanwhile, by name; but for the event source's own acknowledgements."""
        calls: Counter[str] = Counter()

        def count(model: Any, **_: Any) -> None:
            if model.name != "DeleteMessage":
                calls[model.name] += 1

        for client in self.clients.values():
            client.meta.events.register("before-call.*.*", count, unique_id="count")
        try:
            yield calls
        finally:
            for client in self.clients.values():
                client.meta.events.unregister("before-call.*.*", unique_id="count")

    # Access

    def grant(self, tenant: str = LOCAL_TENANT, *, expires_at: int | None = None, revoked_at: int | None = None) -> str:
        """A new access token."""
        token_id = f"{self.new_id()[-12:]}"
        text = access.token_text(token_id, f"{self.new_id():0>40}")
        token = Token(
            id=token_id,
            tenant=tenant,
            digest=access.digest(text),
            name="test",
            created_at=self.now,
            expires_at=expires_at,
            revoked_at=revoked_at,
        )
        self.clients["dynamodb"].put_item(TableName=self.names["TABLE_NAME"], Item=items.item_of(token, None))
        return text

    def sleep(self, seconds: float) -> None:
        """What happens while the API waits: time goes by, and whatever a test lets happen."""
        self.pass_time(int(seconds * SECOND))
        if self.meanwhile is not None:
            self.meanwhile()

    # HTTP

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        raw: bytes | None = None,
    ) -> HTTPResponse:
        """A request to the API; `body` is sent as JSON, `raw` as it is."""
        sent = {"Host": "127.0.0.1:8000"} | dict(headers or {})
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            raw = json.dumps(self._with_headers(body) if self.private else body).encode()
        # Not by chalice.test's client: it changes the environment meanwhile, and requests of several threads overlap.
        try:
            answer = self.gateway.handle_request(method=method.upper(), path=path, headers=sent, body=raw or b"")
        except LocalGatewayException as error:
            return HTTPResponse(headers=error.headers, body=error.body or b"", status_code=error.CODE)
        return HTTPResponse.create_from_dict(answer)

    def _with_headers(self, body: Any) -> Any:
        """The body of a submission, with the headers of those of its URLs that have some."""
        if "urls" in body:
            return body | {"urls": [self._with_headers({"url": url}) for url in body["urls"]]}
        headers = self.headers_of(body.get("url", ""))
        return body | ({"headers": headers} if headers else {})

    def headers_of(self, url: str) -> dict[str, str]:
        """What is sent with a URL, in whatever spelling."""
        try:
            return self.private.get(normal_form(url), {})
        except InvalidURL:
            return {}

    def submit(self, url: str, key: str | None = None) -> dict[str, Any]:
        """Submit one URL that is accepted."""
        headers = {} if key is None else {"Idempotency-Key": key}
        response = self.request("POST", "/jobs", {"url": url}, headers)
        assert response.status_code == 202, response.body
        answer: dict[str, Any] = response.json_body
        return answer

    def submit_batch(self, urls: list[str], key: str | None = None) -> dict[str, Any]:
        """Submit a batch that is accepted."""
        headers = {} if key is None else {"Idempotency-Key": key}
        response = self.request("POST", "/batches", {"urls": urls}, headers)
        assert response.status_code == 202, response.body
        answer: dict[str, Any] = response.json_body
        return answer

    def job(self, job_id: str) -> dict[str, Any]:
        """A job that is there."""
        response = self.request("GET", f"/jobs/{job_id}")
        assert response.status_code == 200, response.body
        answer: dict[str, Any] = response.json_body
        return answer

    # The queue, as Lambda's event source

    def receive(self) -> list[dict[str, Any]]:
        """Take what is on the queue; the messages stay with the world until they are acknowledged."""
        return self._receive("QUEUE_URL")

    def copies(self) -> list[dict[str, Any]]:
        """Take the messages that are to come later, before their time."""
        self.receive()
        taken = [message for _, message in self.delayed]
        self.delayed = []
        self.messages += taken
        return taken

    def receive_webhooks(self) -> list[dict[str, Any]]:
        """Take what is on the webhooks' queue."""
        return self._receive("WEBHOOK_QUEUE_URL")

    def receive_dead_letters(self) -> list[dict[str, Any]]:
        """Take what is on the dead-letter queue."""
        return self._receive("DEAD_LETTER_QUEUE_URL")

    def _receive(self, queue: str) -> list[dict[str, Any]]:
        fresh = []
        while True:
            answer = self.event_source.receive_message(QueueUrl=self.names[queue], MaxNumberOfMessages=10)
            if not answer.get("Messages"):
                break
            fresh += [
                {"messageId": m["MessageId"], "receiptHandle": m["ReceiptHandle"], "body": m["Body"], "queue": queue}
                for m in answer["Messages"]
            ]
        others = [(due, message) for due, message in self.delayed if message["queue"] != queue]
        waiting = [(due, message) for due, message in self.delayed if message["queue"] == queue]
        held = [(self._due(message), message) for message in fresh] + waiting
        self.delayed = [*others, *((due, message) for due, message in held if due > self.now)]
        come = [message for due, message in held if due <= self.now]
        self.messages += come
        return come

    @property
    def more_will_come(self) -> bool:
        """True while messages are to come later, other than webhooks'."""
        bodies = [body for body, _ in self.delays] + [message["body"] for _, message in self.delayed]
        return not all(isinstance(Message.parse(body), WatchMessage | DeliverMessage) for body in bodies)

    def _due(self, message: dict[str, Any]) -> int:
        for sent in self.delays:
            if sent[0] == message["body"]:
                self.delays.remove(sent)
                return sent[1]
        return 0

    @contextmanager
    def own_delays(self) -> Iterator[None]:
        """Delay messages by this world's clock, which the queue does not know."""

        def hold(params: dict[str, Any], **_: Any) -> None:
            for entry in params["Entries"]:
                seconds = entry.pop("DelaySeconds", 0)
                if seconds:
                    self.delays.append((entry["MessageBody"], self.now + seconds * SECOND))

        events = self.clients["sqs"].meta.events
        events.register("provide-client-params.sqs.SendMessageBatch", hold, unique_id="delays")
        try:
            yield
        finally:
            events.unregister("provide-client-params.sqs.SendMessageBatch", unique_id="delays")

    def deliver(
        self,
        records: list[dict[str, Any]],
        *,
        dead_letters: bool = False,
        seconds_left: Callable[[], float] | None = None,
    ) -> list[dict[str, Any]]:
        """One invocation with these messages; acknowledged ones are gone, the left ones are the answer."""
        work = self.runner.run_dead_letters if dead_letters else self.runner.run_jobs
        left = set(work(records, seconds_left or (lambda: self.seconds_left)))
        self._acknowledge([m for m in self.messages if m in records and m["messageId"] not in left])
        return [record for record in records if record["messageId"] in left]

    def deliver_webhooks(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The same of the webhooks' function."""
        left = set(self.webhooks.run_jobs(records, lambda: self.seconds_left))
        self._acknowledge([m for m in self.messages if m in records and m["messageId"] not in left])
        return [record for record in records if record["messageId"] in left]

    def _acknowledge(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            self.messages.remove(record)
            self.event_source.delete_message(
                QueueUrl=self.names[record["queue"]], ReceiptHandle=record["receiptHandle"]
            )

    def run_webhooks(self) -> list[dict[str, Any]]:
        """Watch and tell once, until nothing is due; returns what is left."""
        while fresh := self.receive_webhooks():
            for at in range(0, len(fresh), 10):
                self.deliver_webhooks(fresh[at : at + 10])
        left = [message for message in self.messages if message["queue"] == "WEBHOOK_QUEUE_URL"]
        return self.deliver_webhooks(left) if left else []

    def run_webhooks_until(self, ms: int) -> None:
        """Watch and tell, each message when it is due, until so much time has passed."""
        until = self.now + ms
        self.run_webhooks()
        while due := [at for at, message in self.delayed if message["queue"] == "WEBHOOK_QUEUE_URL" and at <= until]:
            self.now = max(self.now, min(due))
            self.run_webhooks()
        self.now = until

    def run(self) -> list[dict[str, Any]]:
        """Deliver what there is once, in batches of ten; returns what is left."""
        self.receive()
        waiting = [message for message in self.messages if message["queue"] != "WEBHOOK_QUEUE_URL"]
        for at in range(0, len(waiting), 10):
            self.deliver(waiting[at : at + 10])
        return [message for message in self.messages if message["queue"] != "WEBHOOK_QUEUE_URL"]

    def run_until_done(self, rounds: int = 50) -> None:
        """Deliver, and let a lease's time go by, until no message is left."""
        for _ in range(rounds):
            if not self.run() and not self.more_will_come:
                return
            self.pass_time(self.settings.lease_ms + SECOND)
        raise AssertionError(f"messages are still left: {self.messages} {self.delayed}")

    def reset(self) -> None:
        """Empty everything, as if the world were new."""
        self.settings = self.given
        self.wire()
        table, bucket = self.names["TABLE_NAME"], self.names["BUCKET_NAME"]
        for item in self.clients["dynamodb"].scan(TableName=table)["Items"]:
            self.clients["dynamodb"].delete_item(TableName=table, Key={"pk": item["pk"]})
        for key in self.objects():
            self.clients["s3"].delete_object(Bucket=bucket, Key=key)
        for upload in self.uploads():
            self.clients["s3"].abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        self.receive()
        self.receive_webhooks()
        self.receive_dead_letters()
        self.messages += [message for _, message in self.delayed]
        self._acknowledge(list(self.messages))
        self.metrics.clear()
        self.delays.clear()
        self.delayed.clear()
        self.site.requests.clear()
        self.site.sent.clear()
        self.site.answers.clear()
        self.receiver.told.clear()
        self.receiver.answers.clear()
        self.site.during = self.meanwhile = self.receiver.during = None
        self.now, self.ids, self.seconds_left = START, 0, 1000.0

    # What is stored

    def items(self) -> dict[str, dict[str, Any]]:
        """The table's items by key, as plain values."""
        found = self.clients["dynamodb"].scan(TableName=self.names["TABLE_NAME"])["Items"]
        return {item["pk"]["S"]: decode_item(item) for item in found}

    def sweep(self) -> None:
        """Remove what is past its time, as DynamoDB's TTL would some day."""
        for key, item in self.items().items():
            if item.get("sweep_at", math.inf) <= self.now // 1000:
                self.clients["dynamodb"].delete_item(TableName=self.names["TABLE_NAME"], Key={"pk": {"S": key}})

    def forget_hosts(self) -> None:
        """No host has objected, and nobody waits for one."""
        for key in self.items():
            if key.startswith("HOST#"):
                self.clients["dynamodb"].delete_item(TableName=self.names["TABLE_NAME"], Key={"pk": {"S": key}})

    def objects(self) -> set[str]:
        """The bucket's keys."""
        listed = self.clients["s3"].list_objects_v2(Bucket=self.names["BUCKET_NAME"])
        return {entry["Key"] for entry in listed.get("Contents", [])}

    def uploads(self) -> list[dict[str, Any]]:
        """Multipart uploads that are under way."""
        listed: list[dict[str, Any]] = (
            self.clients["s3"].list_multipart_uploads(Bucket=self.names["BUCKET_NAME"]).get("Uploads", [])
        )
        return listed


@functools.cache
def _clients(endpoint: str) -> dict[str, Any]:
    """Made once: moto answers them in whatever world is open."""
    emulated.speed_up()
    session = boto3.session.Session()
    once: Any = {"total_max_attempts": 1}  # a fault that a test makes is seen, not repaired

    def client(service: Any, signature: str | None = None) -> Any:
        config = BotoConfig(retries=once, signature_version=signature)
        made = session.client(
            service,
            region_name=REGION,
            endpoint_url=endpoint or None,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=config if endpoint else emulated.fast_config(config, service),
        )
        calls.refuse_cut_answers(made)
        return made

    plain = ("cloudformation", "dynamodb", "sqs")
    clients = {service: client(service) for service in plain} | {"s3": client("s3", "s3v4")}
    if endpoint:
        clients["sqs"].meta.events.register("provide-client-params.sqs.ChangeMessageVisibility", _stay_hidden)
    return clients


def _stay_hidden(params: dict[str, Any], **_: Any) -> dict[str, Any]:
    """An emulator's own clock is not the world's: a message must not come back before the world delivers it."""
    return {**params, "VisibilityTimeout": MAX_VISIBILITY_SECONDS}


@contextmanager
def world(
    wrap: Callable[[Any], Any] = lambda client: client, *, endpoint: str = "", **settings: int | str
) -> Iterator[World]:
    """A world of its own, with the stack made from the one template: in moto, or in an emulator at `endpoint`.

    `wrap` may put something around each client.
    """
    # One thread works on one message after the other: none would wait for another's slot.
    chosen = Settings(**{"host_parallel": 1000, **settings})  # type: ignore[arg-type]
    with nullcontext() if endpoint else mock_aws():
        clients = _clients(endpoint)
        name = f"fetch-queue-{secrets.token_hex(4)}" if endpoint else resources.NAME
        names = resources.create(clients["cloudformation"], chosen, name)
        wrapped = {name: wrap(client) for name, client in clients.items()}
        made = World(settings=chosen, names=names, clients=wrapped, event_source=clients["sqs"])
        with made.own_delays():
            yield made
