"""Every stage's values hold together; what does not is said in a line before anything is uploaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.settings import STAGES, Settings
from deployment.errors import DeploymentError
from deployment.parameters import CHALICE, is_secret, of_stage

STAGES_TO_DEPLOY = [path.stem.removeprefix("parameters-") for path in sorted(CHALICE.glob("parameters-*.json"))]


@pytest.mark.parametrize("stage", STAGES_TO_DEPLOY)
def test_every_stage_holds_together(stage: str) -> None:
    """`of_stage` checks; what it gives is all that the template asks for, but secrets, which are made."""
    declared = json.loads((CHALICE / "resources.json").read_text())["Parameters"]
    parameters = of_stage(stage)
    assert set(parameters) == {name for name, body in declared.items() if not is_secret(body)}
    assert parameters["Stage"] == stage
    assert parameters["Name"] == ""


def test_every_stage_has_values() -> None:
    """All but this machine."""
    assert set(STAGES_TO_DEPLOY) == set(STAGES) - {"dev"}


def test_what_is_listed_for_prod_is_the_default() -> None:
    """So that a default that is changed is changed there too. Who deploys with other values changes this test, too."""
    listed = json.loads((CHALICE / "parameters-prod.json").read_text())
    defaults = Settings().stack_parameters
    shared = listed.keys() & defaults.keys()
    assert len(shared) > 10
    assert {name: str(listed[name]) for name in shared} == {name: defaults[name] for name in shared}


def test_what_follows_is_computed(tmp_path: Path) -> None:
    """From the stage's own values, as the settings compute it."""
    write(tmp_path, MaxAttempts=2, RetentionDays=3, QueueRetentionDays=4, DeadLetterRetentionDays=6)
    parameters = of_stage("prod", directory=tmp_path)
    expected = Settings(max_attempts=2, retention_days=3, queue_retention_days=4, dead_letter_retention_days=6)
    for name in ("MaxReceiveCount", "LifecycleDays", "QueueRetentionSeconds", "DeadLetterRetentionSeconds"):
        assert parameters[name] == expected.stack_parameters[name]


@pytest.mark.parametrize("name", ["FunctionSeconds", "VisibilitySeconds", "LeaseSeconds", "BatchLeaseSeconds"])
def test_nothing_given_for_what_follows(tmp_path: Path, name: str) -> None:
    """0 is none given, as it is in the environment: a message with a visibility of 0 would come back at once."""
    write(tmp_path, **{name: 0})
    assert of_stage("prod", directory=tmp_path)[name] == Settings().stack_parameters[name]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"FunctionSeconds": 10}, "FUNCTION_SECONDS must be at least FETCH_SECONDS"),
        ({"FunctionSeconds": "soon"}, "FunctionSeconds must be a whole number, not 'soon'"),
        ({"RunnerReservedConcurrency": 19}, "RunnerReservedConcurrency must be at least MaximumConcurrency, 20: "),
        ({"VisibilitySeconds": 300}, "VisibilitySeconds must be at least 6 x FunctionSeconds"),
        ({"RunnerMemory": 64}, "RunnerMemory must be from 128 to 10240, not 64"),
        ({"RunnerMemory": "much"}, "RunnerMemory must be a whole number, not 'much'"),
        ({"BatchSize": 11}, "BatchSize must be from 1 to 10, not 11"),
        ({"MaximumConcurrency": 1}, "MaximumConcurrency must be from 2 to 1000"),
        ({"LogRetentionDays": 31}, "LogRetentionDays must be one of 1, 3, 5"),
        ({"AllowedOrigins": "example.com'"}, "AllowedOrigins cannot be"),
        ({"RunnerMemroy": 512}, "RunnerMemroy is unknown; did you mean RunnerMemory?"),
        ({"MaxReceiveCount": 10}, "MaxReceiveCount follows from MaxAttempts; leave it out"),
        ({"Stage": "dev"}, "Stage is set by the deployment; leave it out"),
    ],
)
def test_what_breaks_a_rule_is_said(tmp_path: Path, values: dict[str, Any], sentence: str) -> None:
    """In one line that names the file and the value."""
    write(tmp_path, **values)
    with pytest.raises(DeploymentError) as caught:
        of_stage("prod", directory=tmp_path)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("parameters-prod.json: ")
    assert "\n" not in str(caught.value)


def test_everything_broken_is_said_at_once(tmp_path: Path) -> None:
    """Nobody mends values one error at a time."""
    write(tmp_path, BatchSize=0, RunnerMemory=1, LeaseSeconds=1)
    with pytest.raises(DeploymentError, match=r"LEASE_SECONDS.*BatchSize|BatchSize.*LEASE_SECONDS") as caught:
        of_stage("prod", directory=tmp_path)
    assert "RunnerMemory" in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    """It is named."""
    (tmp_path / "parameters-prod.json").write_text(text)
    with pytest.raises(DeploymentError, match=r"^parameters-prod\.json "):
        of_stage("prod", directory=tmp_path)


def test_stage_dev_is_this_machine() -> None:
    """It is not deployed."""
    with pytest.raises(DeploymentError, match="make run"):
        of_stage("dev")


def write(directory: Path, **values: Any) -> None:
    """A stage's values."""
    (directory / "parameters-prod.json").write_text(json.dumps(values))
