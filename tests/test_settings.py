"""Settings: each is read from the environment, and all are held against each other."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from chalicelib.settings import Settings, SettingsError, check, from_environment
from deployment.parameters import is_secret
from local_stack.resources import RESOURCES


def test_the_defaults_are_consistent() -> None:
    """Nobody has to set anything."""
    assert check(from_environment({})) == []


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        ({"stage": "production"}, "STAGE"),
        ({"aws_lambda_runtime_api": "127.0.0.1:9001"}, "must not run in Lambda"),
        ({"stage": "prod", "aws_lambda_runtime_api": "x", "aws_endpoint_url": "http://127.0.0.1:4566"}, "emulator"),
        ({"contact_url": "https://例え.jp/"}, "CONTACT_URL"),
        ({"contact_url": "https://example.com/\r\nX: y"}, "CONTACT_URL"),
        ({"window_seconds": 0}, "WINDOW_SECONDS must be at least 1"),
        ({"window_seconds": 7 * 86400 + 1}, "WINDOW_SECONDS must not exceed RETENTION_DAYS"),
        ({"retention_days": 11}, "RETENTION_DAYS must not exceed QUEUE_RETENTION_DAYS"),
        ({"host_wait_hours": 169}, "HOST_WAIT_HOURS must not exceed RETENTION_DAYS"),
        ({"queue_retention_days": 14}, "must be less than DEAD_LETTER_RETENTION_DAYS"),
        ({"dead_letter_retention_days": 15}, "at most 14"),
        ({"connect_seconds": 31}, "CONNECT_SECONDS"),
        ({"function_seconds": 32}, "FUNCTION_SECONDS must be at least FETCH_SECONDS + 3"),
        ({"function_seconds": 901, "lease_seconds": 1000, "visibility_seconds": 2000}, "at most 900"),
        ({"lease_seconds": 64}, "LEASE_SECONDS"),
        ({"visibility_seconds": 79}, "VISIBILITY_SECONDS"),
        ({"max_attempts": 500}, "MAX_ATTEMPTS must be at most 499"),
        ({"visibility_seconds": 43201}, "at most 43200"),
        ({"backoff_seconds": 301}, "BACKOFF_SECONDS"),
        ({"api_function_seconds": 30, "batch_lease_seconds": 60}, "at most 29"),
        ({"batch_lease_seconds": 33}, "BATCH_LEASE_SECONDS"),
        ({"wait_seconds": 25}, "WAIT_SECONDS must be at most API_FUNCTION_SECONDS - 5"),
        ({"api_function_seconds": 10}, "WAIT_SECONDS"),
        ({"allowed_origins": "*"}, "would open this machine to every web page"),
        ({"allowed_origins": "https://Example.com"}, "lower case"),
        ({"allowed_origins": "https://example.com/path"}, "no path"),
        ({"require_tokens": 2}, "REQUIRE_TOKENS"),
        ({"robots": 2, "contact_url": "https://example.com/"}, "ROBOTS must be at most 1"),
        ({"robots": 1}, "ROBOTS=1 needs a CONTACT_URL"),
    ],
)
def test_what_is_broken_is_named(broken: dict[str, Any], word: str) -> None:
    """A setting that breaks a promise is refused by a sentence that names it."""
    found = check(replace(Settings(), **broken))
    assert len(found) == 1
    assert word in found[0]


@pytest.mark.parametrize("closed", [{"require_tokens": 1}, {"stage": "prod"}])
def test_a_closed_stage_may_let_in_every_origin(closed: dict[str, Any]) -> None:
    """A page of any origin has no token there."""
    assert check(replace(Settings(), allowed_origins="*", **closed)) == []


def test_a_value_that_is_not_a_number_is_refused() -> None:
    """The environment holds text; what is no whole number is said so."""
    with pytest.raises(SettingsError, match="FETCH_SECONDS must be a whole number, not 'soon'"):
        from_environment({"FETCH_SECONDS": "soon"})


def test_everything_broken_is_said_at_once() -> None:
    """Nobody mends settings one error at a time."""
    with pytest.raises(SettingsError) as caught:
        from_environment({"STAGE": "x", "LEASE_SECONDS": "1", "MAX_ATTEMPTS": "many"})
    assert all(name in str(caught.value) for name in ("STAGE", "LEASE_SECONDS", "MAX_ATTEMPTS"))


def test_deliveries_follow_from_attempts() -> None:
    """An attempt may cost two deliveries, and two are for duplicates."""
    assert from_environment({"MAX_ATTEMPTS": "4"}).max_receive_count == 10


@pytest.mark.parametrize(("window", "days"), [(1, 8), (3600, 8), (32400, 8), (32401, 9)])
def test_results_outlive_every_job(window: int, days: int) -> None:
    """The bucket keeps a result until its youngest sharer has expired, in whole days."""
    assert replace(Settings(), window_seconds=window).lifecycle_days == days


def test_the_template_declares_what_the_settings_give() -> None:
    """Settings and stack share their values by name, with the same defaults."""
    template = json.loads(RESOURCES.read_text())
    declared = {name: str(body["Default"]) for name, body in template["Parameters"].items() if not is_secret(body)}
    assert {name: declared[name] for name in Settings().stack_parameters} == Settings().stack_parameters
    assert set(declared) - set(Settings().stack_parameters) >= {"Name", "Stage", "ContactUrl"}


@pytest.mark.parametrize("function", ["APIHandler", "RunJobs", "RunDeadLetters"])
def test_every_setting_reaches_the_functions(function: str) -> None:
    """A deployed function is told each setting, by reference; the secret only the one that needs it."""
    template = json.loads(RESOURCES.read_text())
    variables = template["Resources"][function]["Properties"]["Environment"]["Variables"]
    told = {name.lower() for name in variables} - {"function_role", "res_options"}
    platform = {"aws_endpoint_url", "aws_lambda_runtime_api", "aws_lambda_function_name", "require_tokens"}
    secret = set() if function == "APIHandler" else {"service_key"}
    assert told == {field.name for field in fields(Settings)} - platform - secret
    assert all(isinstance(value, dict) for name, value in variables.items() if name.lower() in told)


def test_config_lists_no_tunable_setting() -> None:
    """Chalice's stage variables override the shell, so a setting there could not be changed any more."""
    config = json.loads((RESOURCES.parent / "config.json").read_text())
    listed = {name for stage in config["stages"].values() for name in stage.get("environment_variables", {})}
    tunable = {field.name.upper() for field in fields(Settings) if field.type == "int"}
    assert not listed & tunable


def test_what_follows_from_other_settings() -> None:
    """It need not be given, and may be."""
    derived = from_environment({"FETCH_SECONDS": "100", "API_FUNCTION_SECONDS": "28"})
    assert (derived.function_seconds, derived.lease_seconds, derived.visibility_seconds) == (130, 145, 780)
    assert derived.batch_lease_seconds == 34
    given = from_environment({"FETCH_SECONDS": "100", "FUNCTION_SECONDS": "120", "LEASE_SECONDS": "200"})
    assert (given.function_seconds, given.lease_seconds, given.visibility_seconds) == (120, 200, 720)
    assert derived.stack_parameters["VisibilitySeconds"] == "780"
