"""What must never go missing from the template that goes to the cloud, and that its references have no cycle."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from chalicelib.api import problems
from deployment.deploy import LONGEST_TEMPLATE, template_text
from deployment.package import Package
from tests.deployment.deployed import GATEWAY_RESPONSES

FUNCTIONS = {
    "APIHandler": ("ApiHandlerRole", "ApiLog", "ApiMemory", "ApiFunctionSeconds"),
    "RunJobs": ("RunJobsRole", "RunnerLog", "RunnerMemory", "FunctionSeconds"),
    "RunWebhooks": ("RunWebhooksRole", "WebhooksLog", "WebhooksMemory", "FunctionSeconds"),
    "RunDeadLetters": ("RunDeadLettersRole", "DeadLettersLog", "DeadLettersMemory", "FunctionSeconds"),
}
TEMPLATE_LINTER = "cfn-lint==1.58.0"  # with sympy and networkx 150 MB, so it has an environment of its own


@pytest.fixture(scope="session")
def template(made: Package) -> dict[str, Any]:
    """The packaged template."""
    read: dict[str, Any] = json.loads(made.template.read_text())
    return read


@pytest.fixture(scope="session")
def resources(template: dict[str, Any]) -> dict[str, Any]:
    """Its resources."""
    found: dict[str, Any] = template["Resources"]
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(resources: dict[str, Any], name: str) -> None:
    """Each has a role, a log, a memory and a time-out of its own, all of them settings."""
    role, log, memory, seconds = FUNCTIONS[name]
    properties = resources[name]["Properties"]
    assert properties["Role"] == {"Fn::GetAtt": [role, "Arn"]}
    assert properties["LoggingConfig"] == {"LogGroup": {"Ref": log}}
    assert properties["MemorySize"] == {"Ref": memory}
    assert properties["Timeout"] == {"Ref": seconds}
    assert resources[log]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


@pytest.mark.parametrize(
    ("name", "queue"),
    [("RunJobs", "JobsQueue"), ("RunWebhooks", "WebhooksQueue"), ("RunDeadLetters", "DeadLetterQueue")],
)
def test_partial_batch_responses(resources: dict[str, Any], name: str, queue: str) -> None:
    """Without them a message that is left would be acknowledged."""
    (source,) = resources[name]["Properties"]["Events"].values()
    assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["Properties"]["Queue"] == {"Fn::Sub": f"${{{queue}.Arn}}"}
    assert source["Properties"]["ScalingConfig"]["MaximumConcurrency"]


LOOPS = {"RunJobs": "JobsQueue", "RunWebhooks": "WebhooksQueue", "RunDeadLetters": "WebhooksQueue"}


@pytest.mark.parametrize("name", LOOPS)
def test_a_message_may_go_round(resources: dict[str, Any], name: str) -> None:
    """What waits comes back as a copy, also by way of the dead letters. Lambda ends such a loop after 16 rounds, unless
    it is allowed, and the function must have the right to send to the queue. Both show on AWS only."""
    assert resources[name]["Properties"]["RecursiveLoop"] == "Allow"
    assert all("RecursiveLoop" not in resources[other]["Properties"] for other in FUNCTIONS if other not in LOOPS)
    (policy,) = resources[f"{name}Role"]["Properties"]["Policies"]
    queue = {"Fn::GetAtt": [LOOPS[name], "Arn"]}
    to_queue = [each for each in policy["PolicyDocument"]["Statement"] if each["Resource"] == queue]
    assert "sqs:SendMessage" in [action for statement in to_queue for action in statement["Action"]]


def test_who_is_given_the_services_key(resources: dict[str, Any]) -> None:
    """The API, and who signs events with secrets that follow from it."""
    given = {name for name in FUNCTIONS if "SERVICE_KEY" in resources[name]["Properties"]["Environment"]["Variables"]}
    assert given == {"APIHandler", "RunWebhooks"}


def test_the_table(resources: dict[str, Any]) -> None:
    """On demand, swept, recoverable, kept."""
    table = resources["Table"]
    assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "sweep_at", "Enabled": True}
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    kept(table)


def test_the_queues(resources: dict[str, Any]) -> None:
    """Encrypted, and what cannot be done goes to the dead letters."""
    for name in ("JobsQueue", "WebhooksQueue", "DeadLetterQueue"):
        assert resources[name]["Properties"]["SqsManagedSseEnabled"] is True
    for name in ("JobsQueue", "WebhooksQueue"):
        assert resources[name]["Properties"]["RedrivePolicy"] == {
            "deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]},
            "maxReceiveCount": {"Ref": "MaxReceiveCount"},
        }


def test_the_bucket(resources: dict[str, Any]) -> None:
    """Private, encrypted, over TLS only, swept, kept; a page may read what a link allows."""
    bucket = resources["ResultsBucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert {"Ref": "LifecycleDays"} in [rule.get("ExpirationInDays") for rule in rules]
    assert [rule["ExpirationInDays"] for rule in rules if rule["Prefix"] == "robots/"] == [2]  # more than it stands
    assert {"DaysAfterInitiation": 1} in [rule.get("AbortIncompleteMultipartUpload") for rule in rules]
    (cors,) = bucket["CorsConfiguration"]["CorsRules"]
    assert (cors["AllowedMethods"], cors["AllowedOrigins"]) == (["GET"], ["*"])
    (statement,) = resources["ResultsBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    kept(resources["ResultsBucket"])


def kept(resource: dict[str, Any]) -> None:
    """Stays when the stack is removed, and when another takes its place; a failed first deployment leaves nothing."""
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_roles_allow_no_star(resources: dict[str, Any]) -> None:
    """What Chalice makes of the policies: four roles, and no star but keys that begin with something."""
    roles = {name: body for name, body in resources.items() if body["Type"] == "AWS::IAM::Role"}
    assert set(roles) == {role for role, *_ in FUNCTIONS.values()}
    for body in roles.values():
        assert set(body["Properties"]) == {"AssumeRolePolicyDocument", "Policies"}
        (policy,) = body["Properties"]["Policies"]
        text = re.sub(r"{ResultsBucket.Arn}/(results|robots)/\*", "", json.dumps(policy["PolicyDocument"]))
        assert "*" not in re.sub(r'"[A-Z]+#\*"', "", text)


def test_the_api(resources: dict[str, Any]) -> None:
    """Regional, throttled, and named after its stack, as the alarm on it says."""
    api = resources["RestAPI"]["Properties"]
    assert (api["EndpointConfiguration"], api["StageName"]) == ("REGIONAL", "api")
    assert api["MinimumCompressionSize"] == 1024
    assert api["OpenApiVersion"] == "2.0"  # without it SAM makes one more stage, with no throttle
    (settings,) = api["MethodSettings"]
    assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    assert settings["ThrottlingRateLimit"] == {"Ref": "ThrottleRate"}
    assert settings["ThrottlingBurstLimit"] == {"Ref": "ThrottleBurst"}
    assert api["DefinitionBody"]["info"]["title"] == {"Ref": "AWS::StackName"}


def test_the_gateways_own_answers_are_problems(resources: dict[str, Any]) -> None:
    """Those with a name are worded as the service words them; CORS only where an origin is allowed."""
    answers = resources["RestAPI"]["Properties"]["DefinitionBody"][GATEWAY_RESPONSES]
    titles = {problems.TYPE_BASE + kind.name: (kind.status, kind.title) for kind in problems.KINDS}
    for name, answer in answers.items():
        parameters = answer["responseParameters"]
        assert parameters["gatewayresponse.header.Content-Type"] == f"'{problems.CONTENT_TYPE}'"
        condition, origin, otherwise = parameters["gatewayresponse.header.Access-Control-Allow-Origin"]["Fn::If"]
        assert (condition, otherwise) == ("OriginAllowed", {"Ref": "AWS::NoValue"})
        assert origin == "'*'"
        problem = json.loads(answer["responseTemplates"]["application/json"])
        assert problem.get("status") == answer.get("statusCode"), name
        if problem["type"] != "about:blank":
            assert (problem["status"], problem["title"]) == titles[problem["type"]]
    assert answers["MISSING_AUTHENTICATION_TOKEN"]["statusCode"] == 404
    assert answers["REQUEST_TOO_LARGE"]["statusCode"] == 413
    assert {"DEFAULT_4XX", "DEFAULT_5XX", "THROTTLED", "INTEGRATION_TIMEOUT"} <= set(answers)


def test_alarms(resources: dict[str, Any]) -> None:
    """On dead letters, the age of the oldest message, the API's faults, the runner's, and throttling."""
    alarms = [body["Properties"] for body in resources.values() if body["Type"] == "AWS::CloudWatch::Alarm"]
    watched = {
        (alarm["MetricName"], json.dumps([dimension["Value"] for dimension in alarm["Dimensions"]])) for alarm in alarms
    }
    dead, jobs = (json.dumps([{"Fn::GetAtt": [queue, "QueueName"]}]) for queue in ("DeadLetterQueue", "JobsQueue"))
    assert watched >= {
        ("NumberOfMessagesReceived", dead),
        ("ApproximateAgeOfOldestMessage", dead),
        # The age leaves out what was received three times and is still there.
        ("ApproximateNumberOfMessagesNotVisible", dead),
        ("ApproximateAgeOfOldestMessage", jobs),
        ("5XXError", '[{"Ref": "AWS::StackName"}, "api"]'),
        ("Errors", '[{"Ref": "RunJobs"}]'),
        ("Errors", '[{"Ref": "RunWebhooks"}]'),
        ("Throttles", '[{"Ref": "RunJobs"}]'),
        ("Throttles", '[{"Ref": "APIHandler"}]'),
    }
    assert all(alarm["TreatMissingData"] == "notBreaching" for alarm in alarms)


def references(value: Any) -> Iterator[str]:
    """Every name that a part of a template refers to."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Ref":
                yield item
            elif key == "Fn::GetAtt":
                yield item[0] if isinstance(item, list) else item.partition(".")[0]
            elif key == "Fn::Sub":
                text, values = item if isinstance(item, list) else (item, {})
                names = re.findall(r"\$\{([A-Za-z0-9]+)(?:\.[A-Za-z0-9.]+)?\}", text)
                yield from (name for name in names if name not in values)
                yield from references(values)
            elif key == "DependsOn":
                yield from [item] if isinstance(item, str) else item
            else:
                yield from references(item)


def order(resources: dict[str, Any]) -> list[str]:
    """An order in which CloudFormation could make them. Raises CycleError when there is none."""
    graph = {name: {other for other in references(body) if other in resources} for name, body in resources.items()}
    return list(TopologicalSorter(graph).static_order())


def test_references_have_no_cycle(resources: dict[str, Any]) -> None:
    """Which the linter does not see, and CloudFormation says only when it is deployed."""
    assert set(order(resources)) == set(resources)


def test_a_cycle_would_be_found(resources: dict[str, Any]) -> None:
    """As the one that naming the API in the bucket would make."""
    bucket = resources["ResultsBucket"]
    around = {**resources, "ResultsBucket": {**bucket, "Metadata": {"Fn::Sub": "https://${RestAPI}/"}}}
    with pytest.raises(ValueError, match="cycle"):
        order(around)


def test_every_reference_leads_somewhere(template: dict[str, Any]) -> None:
    """To a parameter, a resource or a pseudo parameter."""
    known = set(template["Parameters"]) | set(template["Resources"])
    for name in references({"Resources": template["Resources"], "Outputs": template["Outputs"]}):
        assert name in known or name.startswith("AWS::"), name


def test_it_fits_into_a_request(template: dict[str, Any]) -> None:
    """CloudFormation takes the template."""
    assert (
        len(template_text(template, "s3://" + "x" * 150, {"AllowedOrigins": "https://" + "x" * 150})) < LONGEST_TEMPLATE
    )


@pytest.mark.emulator
def test_the_linter_finds_no_error(made: Package) -> None:
    """cfn-lint, installed once beside the project's packages."""
    home = Path(sys.prefix) / "cfn-lint"
    if not (home / TEMPLATE_LINTER).exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(home)]
        subprocess.run([*pip, TEMPLATE_LINTER], check=True, stdin=subprocess.DEVNULL)
        (home / TEMPLATE_LINTER).touch()
    command = [
        sys.executable,
        "-c",
        "from cfnlint.runner import main; main()",
        "--regions",
        "us-east-1",
        "eu-central-1",
    ]
    linted = subprocess.run(
        [*command, "--template", str(made.template)],
        env={"PYTHONPATH": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")
