"""Creates the table, the queues and the bucket on an emulator from `.chalice/resources.json`, the one place
where they are declared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chalicelib.settings import Settings

RESOURCES = Path(__file__).parent.parent / ".chalice" / "resources.json"
NAME = "fetch-queue"  # fixes the names that stage dev lists in .chalice/config.json

# Chalice's own resources are merged into by name and have no Type there; policies and alarms need the deployment.
_TYPES = ("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::S3::Bucket")
_VARIABLES = {
    "Table": "TABLE_NAME",
    "JobsQueue": "QUEUE_URL",
    "DeadLetterQueue": "DEAD_LETTER_QUEUE_URL",
    "WebhooksQueue": "WEBHOOK_QUEUE_URL",
    "ResultsBucket": "BUCKET_NAME",
}


def template() -> dict[str, Any]:
    """The part of the merge template that an emulator can create by itself."""
    whole = json.loads(RESOURCES.read_text(encoding="utf-8"))
    resources = {name: body for name, body in whole["Resources"].items() if body.get("Type") in _TYPES}
    # The secret ones are the functions' own.
    parameters = {name: body for name, body in whole["Parameters"].items() if not body.get("NoEcho")}
    return {
        "Parameters": parameters,
        "Conditions": {"Named": whole["Conditions"]["Named"]},
        "Resources": resources,
    }


def create(cloudformation: Any, settings: Settings, name: str = NAME) -> dict[str, str]:
    """Create the stack `name` and wait for it.

    Returns the environment variables that tell the service what was created.
    """
    parameters = {"Name": name, "Stage": settings.stage, **settings.stack_parameters}
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template()),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    created = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    return {
        _VARIABLES[resource["LogicalResourceId"]]: resource["PhysicalResourceId"]
        for resource in created
        if resource["LogicalResourceId"] in _VARIABLES
    }
