"""Least privilege: each function may make the calls that it makes, on what it makes them on, and no others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.submitted import NO_HEADERS, RequestHeaders
from chalicelib.runner import failures
from chalicelib.runner.outcome import Failure, Fetched, Sink
from deployment.parameters import CHALICE
from tests.world import Site, World, failure

URL = "https://example.com/"
BIG = 20_000_000  # bytes: more than one part

Allowed = set[tuple[str, str]]  # action, resource

# The IAM actions of calls that are not called like their action.
ACTIONS = {
    "CompleteMultipartUpload": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "DeleteObjects": "s3:DeleteObject",
    "SendMessageBatch": "sqs:SendMessage",
}
TRANSACTED = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem", "ConditionCheck": "ConditionCheckItem"}

# What is allowed although no call of the code needs it, and why.
LOG = "Lambda writes the function's output to its log group"
EVENT_SOURCE = "Lambda's event source asks how many messages wait, to scale"
EXPLAINED = {
    "api": {
        "s3:ListBucket": "without it S3 answers 403, not 404, for a result that is gone, and the API 503, not 404",
        "logs:CreateLogStream": LOG,
        "logs:PutLogEvents": LOG,
    },
    "runner": {
        "sqs:GetQueueAttributes": EVENT_SOURCE,
        "logs:CreateLogStream": LOG,
        "logs:PutLogEvents": LOG,
    },
    "webhooks": {
        "sqs:GetQueueAttributes": EVENT_SOURCE,
        "logs:CreateLogStream": LOG,
        "logs:PutLogEvents": LOG,
    },
    "dead-letters": {
        "sqs:GetQueueAttributes": EVENT_SOURCE,
        "logs:CreateLogStream": LOG,
        "logs:PutLogEvents": LOG,
    },
}


def policy(name: str) -> dict[str, Any]:
    """A function's policy, as it is written."""
    read: dict[str, Any] = json.loads((CHALICE / f"policy-{name}.json").read_text())
    return read


def allowed(name: str) -> Allowed:
    """What a policy allows."""
    return {
        (action, resource_of(statement["Resource"]))
        for statement in policy(name)["Statement"]
        for action in statement["Action"]
    }


def resource_of(value: dict[str, Any]) -> str:
    """The logical name in a reference, with what follows it."""
    if "Fn::GetAtt" in value:
        name, attribute = value["Fn::GetAtt"]
        assert attribute == "Arn"
        return str(name)
    text: str = value["Fn::Sub"]
    assert text.startswith("${")
    return text.replace("${", "", 1).replace(".Arn}", "", 1)


@dataclass
class Recorder:
    """Notes which calls are made, as IAM sees them, and by whom."""

    w: World
    by: str | None = None
    calls: dict[str, Allowed] = field(default_factory=dict)

    @contextmanager
    def _made_by(self, name: str) -> Iterator[None]:
        before, self.by = self.by, name
        try:
            yield
        finally:
            self.by = before

    def calls_of(self, name: str) -> Callable[[], AbstractContextManager[None]]:
        """Begins a passage in which the calls are this function's."""
        return lambda: self._made_by(name)

    def note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        """One call, before it is made."""
        if self.by is None:
            return
        service = model.service_model.service_name
        assert service in ("dynamodb", "sqs", "s3")
        noted = self.calls.setdefault(self.by, set())
        if model.name == "TransactWriteItems":
            for operation in params["TransactItems"]:
                ((kind, members),) = operation.items()
                noted.add((f"dynamodb:{TRANSACTED[kind]}", self._resource(members)))
        else:
            noted.add((ACTIONS.get(model.name, f"{service}:{model.name}"), self._resource(params)))

    def _resource(self, params: dict[str, Any]) -> str:
        named = {value: name for name, value in self.w.names.items()}
        if "RequestItems" in params:
            (table,) = params["RequestItems"]
            variable = named[table]
        else:
            variable = next(named[params[name]] for name in ("TableName", "QueueUrl", "Bucket") if name in params)
        keys = [params["Key"]] if "Bucket" in params and "Key" in params else []
        keys += [entry["Key"] for entry in params.get("Delete", {}).get("Objects", [])]
        (prefix,) = {key.partition("/")[0] for key in keys} or {"results"}
        assert prefix in ("results", "robots")
        if "IndexName" in params:
            return f"Table/index/{params['IndexName']}"
        names = {
            "TABLE_NAME": "Table",
            "QUEUE_URL": "JobsQueue",
            "WEBHOOK_QUEUE_URL": "WebhooksQueue",
            "DEAD_LETTER_QUEUE_URL": "DeadLetterQueue",
        }
        return names.get(variable, f"ResultsBucket/{prefix}/*")


@pytest.fixture
def recorder(w: World) -> Iterator[Recorder]:
    """Listens to every client of the world."""
    recorder = Recorder(w)
    for client in w.clients.values():
        client.meta.events.register("before-parameter-build.*.*", recorder.note)
    yield recorder
    for client in w.clients.values():
        client.meta.events.unregister("before-parameter-build.*.*", recorder.note)


class Binary(Site):
    """A site with one page that is no text."""

    def fetch(self, url: str, sink: Sink, request_headers: RequestHeaders = NO_HEADERS) -> Fetched | Failure:
        """As any site, but for that page."""
        outcome = super().fetch(url, sink, request_headers)
        return replace(outcome, text=False) if isinstance(outcome, Fetched) and url.endswith("big") else outcome


class BreaksOff(Site):
    """A site whose answers end in the middle."""

    def fetch(self, url: str, sink: Sink, request_headers: RequestHeaders = NO_HEADERS) -> Fetched | Failure:
        """Several parts, and then no more."""
        sink.begin("text/plain")
        sink.write(b"x" * BIG)
        return failure()


class Killed(BaseException):
    """A worker dies."""


def use_everything(w: World, recorder: Recorder) -> None:
    """Every operation of the API and of both runners, with their better and worse ends."""
    api = recorder.calls_of("api")
    runner = recorder.calls_of("runner")
    dead_letters = recorder.calls_of("dead-letters")
    urls = [URL, f"{URL}big", f"{URL}gone", f"{URL}flaky", "https://slow.example/"]
    w.site = Binary()
    w.wire()
    w.site.answers = {
        f"{URL}big": [b"x" * BIG],
        f"{URL}gone": [failure()],
        f"{URL}flaky": [failure(503, retryable=True), b"x"],
        "https://slow.example/": [failures.http_status(429, 5.0, None), b"x"],
    }

    # Submit, repeat, run, read.
    with api():
        job = w.submit(URL, "key")
        w.submit(URL, "key")
        batch = w.submit_batch(urls, "batch")
        w.submit_batch(urls, "batch")
    with runner():
        w.run_until_done()
    with api():
        for path in ("/jobs", "/batches", "/usage"):
            assert w.request("GET", path).status_code == 200
        for path in (f"/jobs/{job['id']}", f"/jobs/{job['id']}/result", f"/batches/{batch['id']}"):
            assert w.request("GET", path).status_code == 200
        assert w.request("GET", f"/jobs/{batch['id']}-1/result").status_code == 303
        assert w.request("POST", f"/batches/{batch['id']}/retry").status_code == 202
    with runner():
        w.run_until_done()

    # A job that is deleted while its fetch runs, and a large answer that breaks off.
    def delete(_: str) -> None:
        with api():
            assert w.request("DELETE", f"/jobs/{running['id']}").status_code == 204

    with api():
        running = w.submit(f"{URL}running")
    w.site.during = delete
    with runner():
        w.run_until_done()
    with api():
        w.submit(f"{URL}broken")
    w.site = BreaksOff()
    w.wire()
    with runner():
        w.run_until_done()

    # With ROBOTS=1: by a process that asks for a robots.txt, and whose page waits; by one that finds it in the bucket.
    w.settings = replace(w.settings, robots=1)
    w.site = Site(answers={f"{URL}asks": [failure(429, retryable=True, retry_after=1), b"x"]})
    for name in ("asks", "reads"):
        w.wire()
        with api():
            w.submit(f"{URL}{name}")
        with runner():
            w.run_until_done()
    w.settings = w.given

    # Deletes: of a job that is queued, of one that shares, of the last one, of a batch.
    with api():
        queued = w.submit(f"{URL}queued")
        for path in (f"/jobs/{queued['id']}", f"/jobs/{job['id']}", f"/batches/{batch['id']}"):
            assert w.request("DELETE", path).status_code == 204
    w.site = Site()
    w.wire()
    with runner():
        w.run_until_done()

    # Dead letters: of a fetch whose worker died, within its lease and after it; of a job that was never started, of one
    # whose URL is claimed, and of one that is deleted.
    def die(_: str) -> None:
        raise Killed

    w.site.during = die
    with api():
        w.submit(f"{URL}killed")
    killed = w.receive()
    with runner(), pytest.raises(Killed):
        w.deliver(killed)
    with api():
        w.submit(f"{URL}unstarted")
        w.submit(f"{URL}killed")
        deleted = w.submit(f"{URL}deleted")
        w.request("DELETE", f"/jobs/{deleted['id']}")
    for record in [*w.receive(), *killed]:
        w.clients["sqs"].send_message(QueueUrl=w.names["DEAD_LETTER_QUEUE_URL"], MessageBody=record["body"])
    w.messages.clear()
    with dead_letters():
        left = w.deliver(w.receive_dead_letters(), dead_letters=True)
        assert len(left) == 1
        w.pass_time(w.settings.lease_ms)
        assert w.deliver(left, dead_letters=True) == []


def use_webhooks(w: World, recorder: Recorder) -> None:
    """A job and a batch whose receivers are told, asked again and deleted; a message that comes as a dead letter."""
    api = recorder.calls_of("api")
    runner = recorder.calls_of("runner")
    webhooks = recorder.calls_of("webhooks")
    dead_letters = recorder.calls_of("dead-letters")
    hook = "https://told.example/"
    w.site.during = None
    with api():
        job = w.request("POST", "/jobs", {"url": f"{URL}told", "webhook": hook}).json_body
        each = {"urls": [f"{URL}each", f"{URL}other"], "webhook": {"url": hook, "each": True}}
        batch = w.request("POST", "/batches", each).json_body
    with runner():
        w.run()
    w.pass_time(w.settings.lease_ms)
    lost = w.receive_webhooks()
    for record in lost:
        w.clients["sqs"].send_message(QueueUrl=w.names["DEAD_LETTER_QUEUE_URL"], MessageBody=record["body"])
    w.messages.clear()
    with dead_letters():
        assert w.deliver(w.receive_dead_letters(), dead_letters=True) == []
    with webhooks():
        w.pass_time(900_000)
        records = w.receive_webhooks()
        outcomes = [w.deliver_webhooks(records)]
        w.pass_time(2000)
        outcomes.append(w.run_webhooks())
    assert outcomes == [[], []]
    assert len(w.receiver.told) == 4
    with api():
        for path in (f"/jobs/{job['id']}", f"/batches/{batch['id']}"):
            assert w.request("GET", path).json_body["webhook"]["status"] == "delivered"
            assert w.request("POST", f"{path}/webhook").status_code == 202
            assert w.request("DELETE", path).status_code == 204
        for method in ("GET", "POST"):
            assert w.request(method, "/webhook-secret").status_code == 200
    with webhooks():
        w.run_webhooks_until(120_000)

    # A message that comes for the second time while the table is away.
    def away(**_: Any) -> None:
        raise Unavailable("the table is away")

    with api():
        w.request("POST", "/jobs", {"url": f"{URL}away", "webhook": hook})
    w.pass_time(w.settings.lease_ms)
    (record,) = w.receive_webhooks()
    events = w.clients["dynamodb"].meta.events
    events.register("before-call.dynamodb.GetItem", away, unique_id="away")
    with webhooks():
        assert w.deliver_webhooks([{**record, "attributes": {"ApproximateReceiveCount": "2"}}])
    events.unregister("before-call.dynamodb.GetItem", unique_id="away")


def test_each_function_may_do_what_it_does_and_nothing_else(w: World, recorder: Recorder) -> None:
    """Every call is allowed on what it was made on; what is allowed beyond that has its reason."""
    use_everything(w, recorder)
    use_webhooks(w, recorder)
    assert set(recorder.calls) == set(EXPLAINED)
    for name, calls in recorder.calls.items():
        may = allowed(name)
        assert calls <= may, name
        assert {action for action, _ in may - calls} == set(EXPLAINED[name]), name


@pytest.mark.parametrize("name", EXPLAINED)
def test_no_policy_has_a_star(name: str) -> None:
    """Neither an action nor a resource, save the keys under a prefix of the one bucket."""
    for statement in policy(name)["Statement"]:
        assert statement["Effect"] == "Allow"
        assert set(statement) - {"Condition"} == {"Sid", "Effect", "Action", "Resource"}
        assert "*" not in "".join(statement["Action"])
        assert resource_of(statement["Resource"]) in {
            "ResultsBucket/results/*",
            "ResultsBucket/robots/*",
            "Table",
            "Table/index/Listed",
            "JobsQueue",
            "WebhooksQueue",
            "DeadLetterQueue",
            "ResultsBucket",
            "ApiLog",
            "RunnerLog",
            "WebhooksLog",
            "DeadLettersLog",
        }


def test_who_may_not_do_what() -> None:
    """The API writes no result; no runner deletes a job; the dead letters' runner asks for no fetch, removes results,
    and neither reads nor writes one; the job runner reads robots.txt files, and no result; who tells webhooks writes
    neither fetches nor results, and asks for no fetch."""
    actions = {name: {action for action, _ in allowed(name)} for name in EXPLAINED}
    assert "s3:PutObject" not in actions["api"]
    for name in ("runner", "dead-letters"):
        assert not actions[name] & {"dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}
        assert ("s3:GetObject", "ResultsBucket/results/*") not in allowed(name)
    for name in ("webhooks", "dead-letters"):
        assert ("sqs:SendMessage", "WebhooksQueue") in allowed(name)
        assert ("sqs:SendMessage", "JobsQueue") not in allowed(name)
    assert not [action for action in actions["webhooks"] if action.startswith("s3:")]
    assert [action for action in actions["dead-letters"] if action.startswith("s3:")] == ["s3:DeleteObject"]


def keys(name: str, action: str) -> set[str]:
    """The items that a policy allows an action on, by how their keys begin. The emulator knows no such limit."""
    found = set()
    for statement in policy(name)["Statement"]:
        if action in statement["Action"]:
            ((operator, condition),) = statement["Condition"].items()
            assert operator == "ForAllValues:StringLike"
            found |= set(condition["dynamodb:LeadingKeys"])
    return found


def test_no_function_makes_a_token() -> None:
    """The API reads tokens and writes none; no runner sees a token or a quota, or writes a batch; no secret's number is
    written but by the API, and who tells webhooks writes events alone."""
    jobs = {"JOB#*", "FETCH#*", "URL#*", "HOST#*"}
    for name, more in (("runner", {"ROBOTS#*"}), ("dead-letters", set[str]())):
        assert keys(name, "dynamodb:PutItem") == keys(name, "dynamodb:BatchGetItem") == jobs | more
    assert keys("dead-letters", "dynamodb:GetItem") == {"JOB#*", "BATCH#*"}
    for action in ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:BatchWriteItem"):
        assert keys("webhooks", action) == {"EVENT#*"}
    assert keys("webhooks", "dynamodb:BatchGetItem") == {"JOB#*", "FETCH#*", "BATCH#*", "EVENT#*"}
    assert keys("webhooks", "dynamodb:GetItem") == keys("webhooks", "dynamodb:BatchGetItem") | {"SECRET#*"}
    assert keys("api", "dynamodb:PutItem") == jobs | {"BATCH#*", "QUOTA#*", "EVENT#*", "SECRET#*"}
    assert keys("api", "dynamodb:GetItem") == keys("api", "dynamodb:PutItem") | {"TOKEN#*"}
    for name in EXPLAINED:
        for statement in policy(name)["Statement"]:
            assert not statement["Sid"] or "Condition" in statement or "dynamodb" not in str(statement["Action"])
