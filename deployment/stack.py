"""The CloudFormation stack of a stage: changed by a change set, watched event by event, removed."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from deployment.account import Account, as_deployment_error
from deployment.errors import DeploymentError
from deployment.parameters import is_secret

Report = Callable[[str], object]

_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
_LEFT_HALF_MADE = ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS", "ROLLBACK_FAILED")


def name_of(stage: str) -> str:
    """What a stage's stack is called."""
    return f"fetch-queue-{stage}"


@dataclass
class Stack:
    """One stack, and those of its events that were already reported."""

    account: Account
    name: str
    report: Report
    pause_seconds: float = 2.0
    told: set[str] = field(default_factory=set)
    new_secret: Callable[[], str] = lambda: secrets.token_hex(32)

    def deploy(self, template_url: str, declared: Mapping[str, Any], parameters: Mapping[str, str]) -> bool:
        """Bring the stack to what the template says, which declares these parameters; False if it already is.

        Raises DeploymentError with the reasons if it could not be done.
        """
        with as_deployment_error(f"deploying the stack {self.name}"):
            status = self.status
            if status in _LEFT_HALF_MADE:
                self.report(f"The stack was left {status} by a failed deployment; it is removed first.")
                self._delete()
                status = None
            if status is not None and status.endswith("_IN_PROGRESS"):
                raise DeploymentError(f"the stack {self.name} is {status}: wait until that has finished")
            change_set = self._propose(template_url, declared, parameters, "CREATE" if status is None else "UPDATE")
            if change_set is None:
                return False
            self._remember()
            self.account.cloudformation.execute_change_set(ChangeSetName=change_set)
            ended = self._watch(self.name)
        if not ended.endswith(("CREATE_COMPLETE", "UPDATE_COMPLETE")) or "ROLLBACK" in ended:
            raise DeploymentError(f"the stack {self.name} could not be deployed ({ended}); the reasons are above")
        return True

    def destroy(self) -> bool:
        """Remove the stack; False if there is none. Raises DeploymentError if it could not be removed."""
        with as_deployment_error(f"removing the stack {self.name}"):
            if self.status is None:
                return False
            self._delete()
            return True

    @property
    def status(self) -> str | None:
        """CloudFormation's word for its state; None if there is no such stack."""
        found = self._describe(self.name)
        return None if found is None or found["StackStatus"] == "DELETE_COMPLETE" else str(found["StackStatus"])

    @property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        with as_deployment_error(f"reading the outputs of {self.name}"):
            found = self._describe(self.name) or {}
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}

    def _describe(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.account.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return found

    def _propose(
        self, template_url: str, declared: Mapping[str, Any], parameters: Mapping[str, str], kind: str
    ) -> str | None:
        """Make a change set and wait until it can be executed; None if it would change nothing."""
        cloudformation = self.account.cloudformation
        change_set = cloudformation.create_change_set(
            StackName=self.name,
            ChangeSetName=f"deploy-{uuid.uuid4().hex}",
            ChangeSetType=kind,
            TemplateURL=template_url,
            Capabilities=_CAPABILITIES,
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in parameters.items()
                if name in declared
            ]
            + self._secrets(declared),
            Tags=[{"Key": "application", "Value": "fetch-queue"}],
        )["Id"]
        while True:
            found = cloudformation.describe_change_set(ChangeSetName=change_set)
            if found["Status"] == "CREATE_COMPLETE":
                break
            if found["Status"] == "FAILED":
                reason = found.get("StatusReason", "no reason given")
                cloudformation.delete_change_set(ChangeSetName=change_set)
                if any(words in reason for words in _NO_CHANGES):
                    return None
                raise DeploymentError(f"CloudFormation refused the change: {' '.join(reason.split())}")
            time.sleep(self.pause_seconds)
        for change in found.get("Changes", []):
            what = change["ResourceChange"]
            self.report(f"  to {what['Action'].lower():8} {what['ResourceType']} {what['LogicalResourceId']}")
        return str(change_set)

    def _secrets(self, declared: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The values of secret parameters: those that the stack has, or new ones."""
        found = self._describe(self.name) or {}
        known = {parameter["ParameterKey"] for parameter in found.get("Parameters", [])}
        return [
            {"ParameterKey": name, "UsePreviousValue": True}
            if name in known
            else {"ParameterKey": name, "ParameterValue": self.new_secret()}
            for name, body in declared.items()
            if is_secret(body)
        ]

    def _delete(self) -> None:
        found = self._describe(self.name)
        identity = self.name if found is None else found["StackId"]
        self._remember()
        self.account.cloudformation.delete_stack(StackName=self.name)
        ended = self._watch(identity)
        if ended != "DELETE_COMPLETE":
            raise DeploymentError(f"the stack {self.name} could not be removed ({ended}); the reasons are above")

    def _watch(self, identity: str) -> str:
        """Report events as they come, until the stack is no longer in progress; returns its status."""
        while True:
            found = self._describe(identity)
            for event in self._events(identity):
                self.report(_line(event))
            if found is None:
                return "DELETE_COMPLETE"
            if not found["StackStatus"].endswith("_IN_PROGRESS"):
                return str(found["StackStatus"])
            time.sleep(self.pause_seconds)

    def _remember(self) -> None:
        """Do not report what happened before."""
        for _ in self._events(self.name):
            pass

    def _events(self, identity: str) -> Iterator[dict[str, Any]]:
        """Events that were not reported yet, the oldest first."""
        pages = self.account.cloudformation.get_paginator("describe_stack_events").paginate(StackName=identity)
        try:
            events = [event for page in pages for event in page["StackEvents"]]
        except ClientError as error:
            if "does not exist" in str(error):
                return
            raise
        for event in reversed(events):
            if event["EventId"] not in self.told:
                self.told.add(event["EventId"])
                yield event


def _line(event: Mapping[str, Any]) -> str:
    reason = " ".join(event.get("ResourceStatusReason", "").split())
    text = f"  {event['ResourceStatus']:20} {event['ResourceType']} {event['LogicalResourceId']}"
    return f"{text}: {reason}" if reason and "FAILED" in event["ResourceStatus"] else text
