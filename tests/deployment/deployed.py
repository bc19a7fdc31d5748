"""The service as it is when deployed: reached through API Gateway, run by Lambda, its logs in CloudWatch."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

from deployment import deploy
from deployment.package import Package
from local_stack import sockets
from local_stack.demo import HttpAnswer
from local_stack.emulator import Emulator, install
from local_stack.site import Site
from tests.e2e.running import until

NAME = "fetch-queue-tested"
FOREIGN = "not a message of ours"  # on the queue from the beginning
GATEWAY_RESPONSES = "x-amazon-apigateway-gateway-responses"

# Short enough to see leases and visibility pass, and still as settings.check wants them. Stage dev, for only dev may
# fetch from loopback; Lambda itself would refuse it.
OVERRIDES = {
    "Stage": "dev",
    "ConnectSeconds": "2",
    "FetchSeconds": "3",
    "FunctionSeconds": "6",
    "SkewSeconds": "1",
    "LeaseSeconds": "7",
    "VisibilitySeconds": "8",
    "MaxAttempts": "2",
    "BackoffSeconds": "1",
}


@dataclass
class Deployed:
    """A deployed service and the site that it fetches from."""

    emulator: Emulator
    outputs: dict[str, str]
    site: Site
    said: list[str] = field(default_factory=list)  # by the deployment

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> HttpAnswer:
        """One request to the API at a path with its stage; a redirect is an answer."""
        data = None if body is None else json.dumps(body)
        if data is not None:
            headers["Content-Type"] = "application/json"
        # By path, not by a host name of the API's own: stage dev answers to this machine's names only.
        api = f"{self.emulator.url}/_aws/execute-api/{self.outputs['RestAPIId']}"
        return request(method, f"{api}{path}", data, headers)

    def submit(self, page: str, **headers: str) -> dict[str, Any]:
        """Submit a page of the site that is accepted."""
        answer = self.ask("POST", "/api/jobs", {"url": self.site.url + page}, **headers)
        assert answer.status == 202, answer
        job: dict[str, Any] = answer.json
        return job

    def job(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """What a job's own link says."""
        answer = self.ask("GET", job["links"]["self"])
        assert answer.status == 200, answer
        read: dict[str, Any] = answer.json
        return read

    def finished(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """A job, once it is finished."""

        def done() -> dict[str, Any] | None:
            read = self.job(job)
            return read if read["status"] in ("succeeded", "failed") else None

        read: dict[str, Any] = until(done, what=f"{job['id']} is not finished: {self.log('RunnerLogName')}")
        return read

    def log(self, output: str) -> list[str]:
        """The lines of the log group that an output names."""
        logs = boto3.client("logs")
        group = self.outputs[output]
        events = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        return [line for page in events for event in page["events"] for line in event["message"].splitlines()]

    def records(self, output: str) -> list[dict[str, Any]]:
        """The JSON lines of a log group."""
        return [json.loads(line) for line in self.log(output) if line.startswith("{")]

    def waiting(self, output: str) -> int:
        """How many messages are on the queue that an output names, those in flight included."""
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        asked: Any = boto3.client("sqs").get_queue_attributes(QueueUrl=self.outputs[output], AttributeNames=names)
        return sum(int(asked["Attributes"][name]) for name in names)


def request(method: str, url: str, body: str | None = None, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    """One request, straight to where the URL says; redirects are not followed."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=40)
    try:
        connection.request(method, url.removeprefix(f"{parts.scheme}://{parts.netloc}"), body, dict(headers or {}))
        response = connection.getresponse()
        return HttpAnswer(response.status, response.headers, response.read())
    finally:
        connection.close()


@contextmanager
def emulated(directory: Path, *, enforce: bool = False) -> Iterator[Emulator]:
    """An emulator on a free port. With `enforce`, roles are held to their policies."""
    port = sockets.free_port(0, "EMULATOR_PORT")
    emulator = Emulator(install(print), port, directory, whole=True, enforce=enforce)
    try:
        emulator.start()
        yield emulator
    finally:
        workers = functions_of(emulator)
        emulator.end(10)
        until(lambda: not set(workers) & set(_processes()), 10, what="a function outlives the emulator")


def deployed(emulator: Emulator, made: Package, site: Site) -> Deployed:
    """Deploy to the emulator that the environment names."""
    said: list[str] = []
    outputs = deploy.deploy(
        "prod", said.append, name=NAME, overrides=OVERRIDES, made=made, adapt=adapt, pause_seconds=0.1
    )
    boto3.client("sqs").send_message(QueueUrl=outputs["QueueURL"], MessageBody=FOREIGN)
    return Deployed(emulator, outputs, site, said)


def adapt(template: dict[str, Any]) -> dict[str, Any]:
    """The same template, where the emulator reads it otherwise than AWS."""
    resources = template["Resources"]
    # It takes gateway responses as resources only. On AWS such resources come after the API's deployment, which does
    # not have them then.
    for kind, body in resources["RestAPI"]["Properties"]["DefinitionBody"].pop(GATEWAY_RESPONSES).items():
        status = {"StatusCode": str(body["statusCode"])} if "statusCode" in body else {}
        resources[f"{kind.title().replace('_', '')}Response"] = {
            "Type": "AWS::ApiGateway::GatewayResponse",
            "Properties": {
                "RestApiId": {"Ref": "RestAPI"},
                "ResponseType": kind,
                "ResponseParameters": body["responseParameters"],
                "ResponseTemplates": body["responseTemplates"],
                **status,
            },
        }
    # It keeps a number that comes by reference as text, and then cannot compare it.
    for name in ("RunJobs", "RunWebhooks"):
        events = resources[name]["Properties"]["Events"]
        events[f"{name}SqsEventSource"]["Properties"]["ScalingConfig"] = {"MaximumConcurrency": 4}
    # It is reached without TLS, on loopback, and would refuse every read and write, as the bucket's policy says.
    del resources["ResultsBucketPolicy"]
    # It asks for an action that IAM does not have: on AWS SendMessage covers both.
    for resource in resources.values():
        for policy in resource["Properties"].get("Policies", []) if resource["Type"] == "AWS::IAM::Role" else []:
            for statement in policy["PolicyDocument"]["Statement"]:
                if "sqs:SendMessage" in statement["Action"]:
                    statement["Action"] = [*statement["Action"], "sqs:SendMessageBatch"]
    return template


def functions_of(emulator: Emulator) -> list[int]:
    """The processes that the emulator runs functions in."""
    return [pid for pid, parent in _processes().items() if parent == emulator.child.pid]


def _processes() -> dict[int, int]:
    """Every process that is more than its parent's memory of it, and its parent."""
    shown = subprocess.run(["ps", "-eo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = (line.split() for line in shown.splitlines())
    return {int(pid): int(parent) for pid, parent, state in rows if not state.startswith("Z")}
