"""A stage's values: `.chalice/parameters-<stage>.json` over the defaults, held against the settings' own rules and the
template's limits before anything is uploaded."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from chalicelib import settings as settings_module
from chalicelib.settings import DEV, STAGES, Settings
from deployment.errors import DeploymentError

PROJECT = Path(__file__).parent.parent
CHALICE = PROJECT / ".chalice"

COMPUTED = {
    "LifecycleDays": "RetentionDays and WindowSeconds",
    "QueueRetentionSeconds": "QueueRetentionDays",
    "DeadLetterRetentionSeconds": "DeadLetterRetentionDays",
    "MaxReceiveCount": "MaxAttempts",
}
_GIVEN_ELSEWHERE = ("Name", "Stage", "ServiceKey")
_VISIBILITY_FACTOR = (
    6  # times the function's time-out: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
)


def of_stage(stage: str, overrides: Mapping[str, str] | None = None, directory: Path = CHALICE) -> dict[str, str]:
    """The stack's parameters for a stage, all but its secrets. `overrides` come last, and may name the Stage.

    Raises DeploymentError if the stage or a value is unknown, or a value breaks a rule.
    """
    file = file_of(stage, directory)
    declared = json.loads((CHALICE / "resources.json").read_text(encoding="utf-8"))["Parameters"]
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DeploymentError(f"{file.name} is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise DeploymentError(f"{file.name} must be an object of parameter names and values")
    values = {name: str(value) for name, value in given.items()}
    broken = _unknown(values, declared)
    values = {"Stage": stage} | values | dict(overrides or {})
    settings, more = _settings(values)
    parameters = {name: str(body["Default"]) for name, body in declared.items() if not is_secret(body)}
    parameters |= values | settings.stack_parameters  # where a value is 0 for what follows from others, what follows
    broken += more + settings_module.check(settings) + _limits(parameters, declared) + _functions(settings, parameters)
    if broken:
        raise DeploymentError(f"{file.name}: {'; '.join(broken)}")
    return parameters


def file_of(stage: str, directory: Path = CHALICE) -> Path:
    """The file of a stage's values. Raises DeploymentError for a stage that does not exist, or is this machine."""
    if stage == DEV:
        raise DeploymentError("stage dev is this machine: make run. To deploy: make deploy STAGE=prod")
    file = directory / f"parameters-{stage}.json"
    if stage not in STAGES or not file.is_file():
        known = [known for known in STAGES if (directory / f"parameters-{known}.json").is_file()]
        raise DeploymentError(f"no such stage: {stage!r}; use: {', '.join(known)}")
    return file


def _unknown(values: Mapping[str, str], declared: Mapping[str, Any]) -> list[str]:
    broken = []
    for name in values:
        if name in COMPUTED:
            broken.append(f"{name} follows from {COMPUTED[name]}; leave it out")
        elif name in _GIVEN_ELSEWHERE:
            broken.append(f"{name} is set by the deployment; leave it out")
        elif name not in declared:
            near = difflib.get_close_matches(name, declared, 1)
            broken.append(f"{name} is unknown" + (f"; did you mean {near[0]}?" if near else ""))
    return broken


def _settings(values: Mapping[str, str]) -> tuple[Settings, list[str]]:
    known: dict[str, object] = {}
    broken = []
    for field in fields(Settings):
        name = "".join(word.capitalize() for word in field.name.split("_"))
        if name not in values:
            continue
        text = values[name]
        if field.type != "int":
            known[field.name] = text
        elif text.isascii() and text.isdigit():
            known[field.name] = int(text)
        else:
            broken.append(f"{name} must be a whole number, not {text!r}")
    return Settings(**known), broken  # type: ignore[arg-type]


def is_secret(declared: Mapping[str, Any]) -> bool:
    """True for a parameter that CloudFormation shows nobody: the deployment makes its value, and keeps it."""
    return bool(declared.get("NoEcho"))


def _limits(parameters: Mapping[str, str], declared: Mapping[str, Any]) -> list[str]:
    """What CloudFormation would refuse, reported before it is asked."""
    broken = []
    for name, body in declared.items():
        if is_secret(body):
            continue
        text = parameters[name]
        if body["Type"] == "Number" and not (text.isascii() and text.isdigit()):
            broken.append(f"{name} must be a whole number, not {text!r}")
        elif "AllowedValues" in body and text not in map(str, body["AllowedValues"]):
            broken.append(f"{name} must be one of {', '.join(map(str, body['AllowedValues']))}, not {text}")
        elif "AllowedPattern" in body and not re.search(body["AllowedPattern"], text):
            broken.append(f"{name} cannot be {text!r}: {body['Description']}")
        elif "MinValue" in body and not body["MinValue"] <= int(text) <= body["MaxValue"]:
            broken.append(f"{name} must be from {body['MinValue']} to {body['MaxValue']}, not {text}")
    return broken


def _functions(s: Settings, parameters: Mapping[str, str]) -> list[str]:
    broken = []
    if s.stage != DEV and s.visibility_seconds < _VISIBILITY_FACTOR * s.function_seconds:
        broken.append(f"VisibilitySeconds must be at least {_VISIBILITY_FACTOR} x FunctionSeconds, as Lambda asks")
    reserved, most = parameters["RunnerReservedConcurrency"], parameters["MaximumConcurrency"]
    if reserved.isdigit() and most.isdigit() and int(reserved) < int(most):
        broken.append(
            f"RunnerReservedConcurrency must be at least MaximumConcurrency, {most}: a refusal counts as a delivery"
        )
    return broken
