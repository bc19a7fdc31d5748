"""The only reader of the environment. Every setting is typed, has its unit in its name, and is checked
against the others before the first job is touched."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from chalicelib.jobs.errors import FetchQueueError

STAGES = ("dev", "prod")
DEV = "dev"
WAIT_MARGIN_SECONDS = 5  # for the readings before and after a wait
CALL_SECONDS = 6  # the longest that a call to AWS takes which has to be made once more
LAMBDA_RUNTIME_PORT = 9001  # Lambda's runtime API listens there, on loopback

_Rule = tuple[bool, str]  # whether it holds, and what to say where it does not

_DAY_SECONDS = 24 * 60 * 60
_DAY_MS = _DAY_SECONDS * 1000


class SettingsError(FetchQueueError):
    """The environment does not describe a service that keeps its promises; the text lists what is broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the service is told. The environment variable of a field is its name in capitals."""

    # Where it runs and what it uses
    stage: str = DEV  # dev is this machine; every other stage is a deployment
    table_name: str = ""
    queue_url: str = ""
    dead_letter_queue_url: str = ""
    bucket_name: str = ""
    contact_url: str = ""  # goes into the User-Agent, for the owners of fetched sites

    # Who may use it
    require_tokens: int = 0  # 1: stage dev asks for a token too, as every other stage does anyway
    allowed_origins: str = ""  # web origins whose pages may read the API, with commas between them; * is any
    quota_urls_per_minute: int = 0  # of each tenant; 0: no limit
    quota_urls_per_day: int = 0

    # The once-an-hour rule, and how long jobs and results are kept
    window_seconds: int = 3600
    retention_days: int = 7
    queue_retention_days: int = 10
    dead_letter_retention_days: int = 14

    # One attempt, and one invocation of the job runner
    connect_seconds: int = 5
    fetch_seconds: int = 30
    function_seconds: int = 60
    lease_seconds: int = 75
    skew_seconds: int = 5
    visibility_seconds: int = 360
    max_body_bytes: int = 100 * 1024 * 1024
    max_redirects: int = 10

    # Several attempts
    max_attempts: int = 4
    backoff_seconds: int = 2
    backoff_cap_seconds: int = 300

    # The API
    api_function_seconds: int = 29
    batch_lease_seconds: int = 35
    wait_seconds: int = 20  # at most, of a reading that waits for a job's end; it holds an invocation so long

    # Given by the platform
    aws_endpoint_url: str = ""  # an emulator's; empty on AWS
    aws_lambda_runtime_api: str = ""  # set inside Lambda
    aws_lambda_function_name: str = ""  # set inside Lambda, an emulator's too

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
        """How long an invocation must last after a fetch, for the write that ends it."""
        return min(CALL_SECONDS, (self.function_seconds - self.fetch_seconds) / 2)

    @property
    def max_receive_count(self) -> int:
        """How often a message is delivered before it is a dead letter: each attempt may cost two deliveries."""
        return 2 * self.max_attempts + 2

    @property
    def lifecycle_days(self) -> int:
        """After how many whole days the bucket drops a result."""
        return self.retention_days + math.ceil(self.window_seconds / _DAY_SECONDS)

    @property
    def stack_parameters(self) -> dict[str, str]:
        """The stack's parameters that follow from the settings, for CloudFormation."""
        return {
            "WindowSeconds": str(self.window_seconds),
            "RetentionDays": str(self.retention_days),
            "LifecycleDays": str(self.lifecycle_days),
            "QueueRetentionDays": str(self.queue_retention_days),
            "QueueRetentionSeconds": str(self.queue_retention_days * _DAY_SECONDS),
            "DeadLetterRetentionDays": str(self.dead_letter_retention_days),
            "DeadLetterRetentionSeconds": str(self.dead_letter_retention_days * _DAY_SECONDS),
            "QuotaUrlsPerMinute": str(self.quota_urls_per_minute),
            "QuotaUrlsPerDay": str(self.quota_urls_per_day),
            "ConnectSeconds": str(self.connect_seconds),
            "FetchSeconds": str(self.fetch_seconds),
            "FunctionSeconds": str(self.function_seconds),
            "LeaseSeconds": str(self.lease_seconds),
            "SkewSeconds": str(self.skew_seconds),
            "VisibilitySeconds": str(self.visibility_seconds),
            "MaxBodyBytes": str(self.max_body_bytes),
            "MaxRedirects": str(self.max_redirects),
            "MaxAttempts": str(self.max_attempts),
            "MaxReceiveCount": str(self.max_receive_count),
            "BackoffSeconds": str(self.backoff_seconds),
            "BackoffCapSeconds": str(self.backoff_cap_seconds),
            "ApiFunctionSeconds": str(self.api_function_seconds),
            "BatchLeaseSeconds": str(self.batch_lease_seconds),
            "WaitSeconds": str(self.wait_seconds),
        }

    @property
    def origins(self) -> frozenset[str]:
        """The allowed web origins."""
        return frozenset(filter(None, (origin.strip() for origin in self.allowed_origins.split(","))))

    @property
    def open(self) -> bool:
        """True where nobody needs a token."""
        return self.local and not self.require_tokens

    @property
    def local(self) -> bool:
        """True in stage dev, where loopback may be fetched."""
        return self.stage == DEV


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process.

    Raises SettingsError when a number is not one, or when `check` finds anything.
    """
    given = os.environ if environment is None else environment
    values: dict[str, object] = {}
    broken = []
    for field in fields(Settings):
        text = given.get(field.name.upper(), "")
        if text == "":
            continue
        if field.type == "int":
            if text.isascii() and text.isdigit():
                values[field.name] = int(text)
            else:
                broken.append(f"{field.name.upper()} must be a whole number, not {text!r}")
        else:
            values[field.name] = text
    settings = Settings(**values)  # type: ignore[arg-type]
    broken += check(settings)
    if broken:
        raise SettingsError("; ".join(broken))
    return settings


def check(s: Settings) -> list[str]:
    """What is broken in the settings, a sentence each; empty when they hold together."""
    rules = [*_of_the_place(s), *_of_what_is_kept(s), *_of_an_attempt(s), *_of_leases(s)]
    return [sentence for holds, sentence in rules if not holds]


def _of_the_place(s: Settings) -> list[_Rule]:
    return [
        (s.stage in STAGES, f"STAGE must be one of {', '.join(STAGES)}, not {s.stage!r}"),
        (
            s.contact_url == "" or re.fullmatch(r"(https?://|mailto:)[!-~]+", s.contact_url) is not None,
            "CONTACT_URL must be an http, https or mailto URL in ASCII: it is sent to sites in the User-Agent",
        ),
        (
            s.wait_seconds + WAIT_MARGIN_SECONDS <= s.api_function_seconds,
            f"WAIT_SECONDS must be at most API_FUNCTION_SECONDS - {WAIT_MARGIN_SECONDS}: an answer has to follow",
        ),
        (
            not (s.open and "*" in s.origins),
            "ALLOWED_ORIGINS * would open this machine to every web page: name the origins, or set REQUIRE_TOKENS=1",
        ),
        (s.require_tokens in (0, 1), "REQUIRE_TOKENS must be 0 or 1"),
        (
            all(_ORIGIN.fullmatch(origin) for origin in s.origins),
            "ALLOWED_ORIGINS must be * or origins such as https://example.com: small letters, no path, commas between",
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


def _of_what_is_kept(s: Settings) -> list[_Rule]:
    return [
        *((getattr(s, name) >= 1, f"{name.upper()} must be at least 1") for name in _POSITIVE),
        (
            s.window_seconds <= s.retention_days * _DAY_SECONDS,
            "WINDOW_SECONDS must not exceed RETENTION_DAYS: an expired job's claim would stand",
        ),
        (
            s.retention_days <= s.queue_retention_days,
            "RETENTION_DAYS must not exceed QUEUE_RETENTION_DAYS: the queue would drop living jobs",
        ),
        (
            s.queue_retention_days < s.dead_letter_retention_days,
            "QUEUE_RETENTION_DAYS must be less than DEAD_LETTER_RETENTION_DAYS",
        ),
        (s.dead_letter_retention_days <= 14, "DEAD_LETTER_RETENTION_DAYS must be at most 14: SQS keeps no longer"),
    ]


def _of_an_attempt(s: Settings) -> list[_Rule]:
    # For a call before a fetch and one after it, each of which may have to be made again. Stage dev's emulator answers.
    around = 3 if s.local else 2 * CALL_SECONDS
    return [
        (s.connect_seconds <= s.fetch_seconds, "CONNECT_SECONDS must not exceed FETCH_SECONDS"),
        (
            s.function_seconds >= s.fetch_seconds + around,
            f"FUNCTION_SECONDS must be at least FETCH_SECONDS + {around}: an attempt must end before its worker",
        ),
        (s.function_seconds <= 900, "FUNCTION_SECONDS must be at most 900: Lambda runs no longer"),
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
        (s.visibility_seconds <= 43200, "VISIBILITY_SECONDS must be at most 43200: SQS allows no more"),
        (s.backoff_seconds <= s.backoff_cap_seconds, "BACKOFF_SECONDS must not exceed BACKOFF_CAP_SECONDS"),
        (s.api_function_seconds <= 29, "API_FUNCTION_SECONDS must be at most 29: API Gateway waits no longer"),
        (
            s.batch_lease_seconds >= s.api_function_seconds + s.skew_seconds,
            "BATCH_LEASE_SECONDS must be at least API_FUNCTION_SECONDS + SKEW_SECONDS",
        ),
    ]


def function_role() -> str:
    """Which Lambda function this process is: `api`, `runner`, or empty for one that is both (a local one)."""
    return os.environ.get("FUNCTION_ROLE", "")


_MAY_BE_ZERO = (
    "wait_seconds",
    "max_redirects",
    "skew_seconds",
    "require_tokens",
    "quota_urls_per_minute",
    "quota_urls_per_day",
)
_POSITIVE = tuple(f.name for f in fields(Settings) if f.type == "int" and f.name not in _MAY_BE_ZERO)
_ORIGIN = re.compile(r"\*|https?://[a-z0-9.-]+(:[0-9]{1,5})?")
