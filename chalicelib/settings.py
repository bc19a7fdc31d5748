"""The only reader of the environment. Every setting is typed, has its unit in its name, and is checked
against the others before the first job is handled."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from chalicelib.jobs.errors import FetchQueueError

STAGES = ("dev", "prod")
DEV = "dev"
WAIT_MARGIN_SECONDS = 5  # for the reads before and after a wait
CALL_SECONDS = 6  # the longest that a call to AWS takes if it has to be repeated once
LAMBDA_RUNTIME_PORT = 9001  # Lambda's runtime API listens there, on loopback

_Rule = tuple[bool, str]  # whether it holds, and what to say if it does not

_HOUR_SECONDS = 60 * 60
_DAY_SECONDS = 24 * _HOUR_SECONDS
_DAY_MS = _DAY_SECONDS * 1000


class SettingsError(FetchQueueError):
    """The environment describes a service that could not keep its promises; the text lists what is wrong."""


def _number(default: int, *, least: int = 1, most: int | None = None, why: str = "") -> Any:
    """A number with its bounds, and the reason for the upper one. It is also a parameter of the stack."""
    return field(default=default, metadata={"least": least, "most": most, "why": why})


DERIVED = 0  # the default of a setting that `Settings.__post_init__` derives from others


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The service's configuration. The environment variable of a member is its name in capitals.

    `dataclasses.replace` keeps derived values: give the ones that should follow as DERIVED.
    """

    # Where it runs and what it uses
    stage: str = DEV  # dev is this machine; every other stage is a deployment
    table_name: str = ""
    queue_url: str = ""
    dead_letter_queue_url: str = ""
    webhook_queue_url: str = ""
    bucket_name: str = ""
    contact_url: str = ""  # goes into the User-Agent, for the owners of fetched sites

    # Who may use it
    require_tokens: int = 0  # 1: stage dev asks for a token too, as every other stage always does
    allowed_origins: str = ""  # web origins whose pages may read the API, separated by commas; * is any
    quota_urls_per_minute: int = _number(0, least=0)  # of each tenant; 0: no limit
    quota_urls_per_day: int = _number(0, least=0)
    service_key: str = ""  # of this deployment alone; hides what is hashed from who could guess it

    # The once-an-hour rule, and how long jobs and results are kept
    window_seconds: int = _number(3600)
    retention_days: int = _number(7)
    queue_retention_days: int = _number(10)
    dead_letter_retention_days: int = _number(14, most=14, why="SQS keeps messages no longer")

    # One attempt
    connect_seconds: int = _number(5)
    fetch_seconds: int = _number(30)
    max_body_bytes: int = _number(100 * 1024 * 1024)
    max_redirects: int = _number(10, least=0)

    # Several attempts
    max_attempts: int = _number(4)
    backoff_seconds: int = _number(2)
    backoff_cap_seconds: int = _number(300)

    # How a host is asked
    host_interval_ms: int = _number(0, least=0)  # the least between two requests of a tenant to a host
    host_parallel: int = _number(8)  # requests of one worker process that a host has to answer at once
    robots: int = _number(0, least=0, most=1, why="it is on or off")  # 1: robots.txt is obeyed
    host_wait_hours: int = _number(6)  # how long a job may wait for its turn at its host

    # The API
    api_function_seconds: int = _number(29, most=29, why="API Gateway waits no longer")
    wait_seconds: int = _number(20, least=0)  # the longest wait of a request for a job's end

    # Derived from the others; need not be given
    skew_seconds: int = _number(5, least=0)  # how much two clocks may differ
    function_seconds: int = _number(DERIVED, most=900, why="Lambda runs a function no longer")  # of the job runner
    lease_seconds: int = _number(DERIVED)  # how long a worker may hold a fetch
    visibility_seconds: int = _number(DERIVED, most=43200, why="SQS allows no more")
    batch_lease_seconds: int = _number(DERIVED)  # how long one handler may be storing a batch

    # Given by the platform
    aws_endpoint_url: str = ""  # an emulator's; empty on AWS
    aws_lambda_runtime_api: str = ""  # set inside Lambda
    aws_lambda_function_name: str = ""  # set inside Lambda, also by an emulator

    def __post_init__(self) -> None:
        """Fill in derived settings that were not given: docs/settings.md has the formulas."""
        formulas: dict[str, Callable[[], int]] = {
            "function_seconds": lambda: self.fetch_seconds + 30,
            "lease_seconds": lambda: self.function_seconds + 3 * self.skew_seconds,
            "visibility_seconds": lambda: 6 * self.function_seconds,
            "batch_lease_seconds": lambda: self.api_function_seconds + self.skew_seconds + 1,
        }
        for name, formula in formulas.items():
            if getattr(self, name) == DERIVED:
                object.__setattr__(self, name, formula())

    @property
    def window_ms(self) -> int:
        """The window, in milliseconds."""
        return self.window_seconds * 1000

    @property
    def retention_ms(self) -> int:
        """How long after its submission a job can be read, in milliseconds."""
        return self.retention_days * _DAY_MS

    @property
    def lease_ms(self) -> int:
        """How long a worker may hold a fetch, in milliseconds."""
        return self.lease_seconds * 1000

    @property
    def margin_seconds(self) -> float:
        """How much time an invocation needs after a fetch, for the write that ends it."""
        return min(CALL_SECONDS, (self.function_seconds - self.fetch_seconds) / 2)

    @property
    def max_receive_count(self) -> int:
        """How often a message is delivered before it is a dead letter: each attempt may cost two deliveries."""
        return 2 * self.max_attempts + 2

    @property
    def lifecycle_days(self) -> int:
        """After how many whole days the bucket drops a result."""
        return self.retention_days + math.ceil(
            (2 * self.window_seconds + self.host_wait_hours * _HOUR_SECONDS) / _DAY_SECONDS
        )

    @property
    def stack_parameters(self) -> dict[str, str]:
        """The stack's parameters that follow from the settings, for CloudFormation, which has no arithmetic."""
        numbers = {number.name: getattr(self, number.name) for number in _NUMBERS}
        more = {
            "lifecycle_days": self.lifecycle_days,
            "queue_retention_seconds": self.queue_retention_days * _DAY_SECONDS,
            "dead_letter_retention_seconds": self.dead_letter_retention_days * _DAY_SECONDS,
            "max_receive_count": self.max_receive_count,
        }
        return {name.title().replace("_", ""): str(value) for name, value in {**numbers, **more}.items()}

    @property
    def origins(self) -> frozenset[str]:
        """The allowed web origins."""
        return frozenset(filter(None, (origin.strip() for origin in self.allowed_origins.split(","))))

    @property
    def open(self) -> bool:
        """True if no token is needed."""
        return self.local and not self.require_tokens

    @property
    def local(self) -> bool:
        """True in stage dev, where loopback may be fetched."""
        return self.stage == DEV


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process.

    Raises SettingsError if a number is not a number, or if `check` finds anything.
    """
    given = os.environ if environment is None else environment
    values, broken = dict[str, object](), list[str]()
    for member in fields(Settings):
        text = given.get(member.name.upper(), "")
        if text == "":
            continue
        if member.type == "int":
            if text.isascii() and text.isdigit():
                values[member.name] = int(text)
            else:
                broken.append(f"{member.name.upper()} must be a whole number, not {text!r}")
        else:
            values[member.name] = text
    settings = Settings(**values)  # type: ignore[arg-type]
    broken += check(settings)
    if broken:
        raise SettingsError("; ".join(broken))
    return settings


def check(s: Settings) -> list[str]:
    """What is wrong with the settings, one sentence each; empty if they are consistent."""
    rules = [*_stage_rules(s), *_of_bounds(s), *_retention_rules(s), *_of_an_attempt(s), *_of_leases(s)]
    return [sentence for holds, sentence in rules if not holds]


def _stage_rules(s: Settings) -> list[_Rule]:
    return [
        (s.stage in STAGES, f"STAGE must be one of {', '.join(STAGES)}, not {s.stage!r}"),
        (
            s.contact_url == "" or re.fullmatch(r"(https?://|mailto:)[!-~]+", s.contact_url) is not None,
            "CONTACT_URL must be an http, https or mailto URL in ASCII: it is sent to sites in the User-Agent",
        ),
        (
            s.wait_seconds + WAIT_MARGIN_SECONDS <= s.api_function_seconds,
            f"WAIT_SECONDS must be at most API_FUNCTION_SECONDS - {WAIT_MARGIN_SECONDS}: time must be left to answer",
        ),
        (
            not (s.open and "*" in s.origins),
            "ALLOWED_ORIGINS * would open this machine to every web page: name the origins, or set REQUIRE_TOKENS=1",
        ),
        (s.require_tokens in (0, 1), "REQUIRE_TOKENS must be 0 or 1"),
        (
            all(_ORIGIN.fullmatch(origin) for origin in s.origins),
            "ALLOWED_ORIGINS must be * or origins such as https://example.com: lower case, no path, commas between",
        ),
        (
            not (s.aws_lambda_runtime_api and s.local),
            "STAGE dev fetches loopback addresses and must not run in Lambda",
        ),
        (
            not (s.aws_lambda_runtime_api and s.aws_endpoint_url),
            "AWS_ENDPOINT_URL is for an emulator and must not be set inside Lambda",
        ),
    ]


def _of_bounds(s: Settings) -> Iterator[_Rule]:
    for number in _NUMBERS:
        value, least, most = getattr(s, number.name), number.metadata["least"], number.metadata["most"]
        yield value >= least, f"{number.name.upper()} must be at least {least}"
        if most is not None:
            yield value <= most, f"{number.name.upper()} must be at most {most}: {number.metadata['why']}"


def _retention_rules(s: Settings) -> list[_Rule]:
    return [
        (
            s.window_seconds <= s.retention_days * _DAY_SECONDS,
            "WINDOW_SECONDS must not exceed RETENTION_DAYS: an expired job's claim would still stand",
        ),
        (s.host_wait_hours <= 24 * s.retention_days, "HOST_WAIT_HOURS must not exceed RETENTION_DAYS"),
        (
            s.retention_days <= s.queue_retention_days,
            "RETENTION_DAYS must not exceed QUEUE_RETENTION_DAYS: the queue would drop live jobs",
        ),
        (
            s.queue_retention_days < s.dead_letter_retention_days,
            "QUEUE_RETENTION_DAYS must be less than DEAD_LETTER_RETENTION_DAYS",
        ),
    ]


def _of_an_attempt(s: Settings) -> list[_Rule]:
    # For a call before a fetch and one after it; each may have to be repeated. In stage dev the emulator answers.
    around = 3 if s.local else 2 * CALL_SECONDS
    return [
        (not s.robots or s.contact_url != "", "ROBOTS=1 needs a CONTACT_URL, by which the owners of sites can ask"),
        (s.connect_seconds <= s.fetch_seconds, "CONNECT_SECONDS must not exceed FETCH_SECONDS"),
        (
            s.function_seconds >= s.fetch_seconds + around,
            f"FUNCTION_SECONDS must be at least FETCH_SECONDS + {around}: an attempt must end before its worker",
        ),
    ]


def _of_leases(s: Settings) -> list[_Rule]:
    return [
        (
            s.lease_seconds >= s.function_seconds + s.skew_seconds,
            "LEASE_SECONDS must be at least FUNCTION_SECONDS + SKEW_SECONDS: two workers would fetch at once",
        ),
        (
            s.visibility_seconds >= s.lease_seconds + s.skew_seconds,
            "VISIBILITY_SECONDS must be at least LEASE_SECONDS + SKEW_SECONDS: deliveries would be wasted",
        ),
        (s.max_receive_count <= 1000, "MAX_ATTEMPTS must be at most 499: SQS delivers no message more than 1000 times"),
        (s.backoff_seconds <= s.backoff_cap_seconds, "BACKOFF_SECONDS must not exceed BACKOFF_CAP_SECONDS"),
        (
            s.batch_lease_seconds >= s.api_function_seconds + s.skew_seconds,
            "BATCH_LEASE_SECONDS must be at least API_FUNCTION_SECONDS + SKEW_SECONDS",
        ),
    ]


def function_role() -> str:
    """Which Lambda function this process is: `api`, `runner`, or empty for one that is both (a local one)."""
    return os.environ.get("FUNCTION_ROLE", "")


_NUMBERS = [member for member in fields(Settings) if "least" in member.metadata]
_ORIGIN = re.compile(r"\*|https?://[a-z0-9.-]+(:[0-9]{1,5})?")
