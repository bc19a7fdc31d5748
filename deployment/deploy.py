"""The commands deploy and destroy. Each reports what it does, line by line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from deployment import artefacts, parameters
from deployment.account import connect
from deployment.errors import DeploymentError
from deployment.package import Package, package
from deployment.stack import Report, Stack, name_of

Template = dict[str, Any]

LONGEST_TEMPLATE = 1_000_000  # bytes that CloudFormation takes from a bucket
NO_CONTACT = "Warning: ContactUrl is not set, so the owners of the sites that you fetch cannot reach you."
_CHALICES_OWN = ("RestAPIId", "APIHandlerName", "APIHandlerArn", "EndpointURL")  # outputs: for tools, not for people


def deploy(
    stage: str,
    report: Report,
    *,
    name: str | None = None,
    overrides: Mapping[str, str] | None = None,
    made: Package | None = None,
    adapt: Callable[[Template], Template] = lambda template: template,
    pause_seconds: float = 2.0,
) -> dict[str, str]:
    """Package the service and bring the stage's stack to it; returns the stack's outputs.

    Nothing is uploaded before the stage's values are consistent. The stack's `name`, `overrides` of its parameters, a
    package that was `made` before, and what an emulator wants `adapt`ed in the template are for tests.
    Raises DeploymentError.
    """
    values = parameters.of_stage(stage, overrides)
    account = connect()
    report(f"Deploying stage {stage} to account {account.number}, region {account.region}.")
    if not values["ContactUrl"]:
        report(NO_CONTACT)
    if made is None:
        report("Packaging ...")
        made = package(stage)
    url, new = artefacts.upload(account, made)
    size = f"{made.archive.stat().st_size / 1e6:.1f} MB"
    report(f"Uploaded {size} to {url}" if new else f"The package ({size}) is already there: {url}")
    template = adapt(json.loads(made.template.read_text(encoding="utf-8")))
    stack = Stack(account, name or name_of(stage), report, pause_seconds)
    text = template_text(template, url, values)
    changed = stack.deploy(artefacts.upload_template(account, text), json.loads(text)["Parameters"], values)
    report(f"The stack {stack.name} is deployed." if changed else f"No changes: the stack {stack.name} is up to date.")
    outputs = {key: value for key, value in stack.outputs.items() if key not in _CHALICES_OWN}
    for key in sorted(outputs, key=lambda key: (key != "URL", key)):
        report(f"  {key:20} {outputs[key]}")
    return stack.outputs


def destroy(stage: str, report: Report, *, name: str | None = None, pause_seconds: float = 2.0) -> None:
    """Remove the stage's stack, and say what is kept. Raises DeploymentError."""
    parameters.file_of(stage)
    account = connect()
    stack = Stack(account, name or name_of(stage), report, pause_seconds)
    report(f"Removing the stack {stack.name} from account {account.number}, region {account.region}.")
    outputs = stack.outputs
    if not stack.destroy():
        report(f"There is no stack {stack.name}; nothing was removed.")
        return
    report(f"The stack {stack.name} is removed. Kept, with what is in them:")
    report(f"  table  {outputs.get('TableName', '(not named by the stack)')}")
    report(f"  bucket {outputs.get('BucketName', '(not named by the stack)')}")
    report("A new deployment makes new ones, with other names. Remove these yourself when you no longer need them.")


def template_text(template: Template, archive_url: str, values: Mapping[str, str]) -> str:
    """The template, with the functions' code at the URL. Raises DeploymentError if it is too long to be sent."""
    # API Gateway serves what was deployed last, and SAM deploys anew only where the definition's text has changed, not
    # where a parameter in it has.
    info = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["info"]
    info["description"] = f"Allowed origins: {values['AllowedOrigins'] or 'none'}"
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = archive_url
    text = json.dumps(template, separators=(",", ":"))
    if len(text) > LONGEST_TEMPLATE:
        raise DeploymentError(f"the template has {len(text)} bytes; CloudFormation takes at most {LONGEST_TEMPLATE}")
    return text
