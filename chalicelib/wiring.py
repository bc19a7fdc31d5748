"""The one place where clients and stores are created: lazily, once per process, and only those that it uses."""

from __future__ import annotations

import functools
import random
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from chalicelib import settings as settings_module
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.decide import Rules
from chalicelib.jobs.ids import RANDOM_BYTES
from chalicelib.jobs.pace import HostRules
from chalicelib.metrics import Metrics
from chalicelib.settings import LAMBDA_RUNTIME_PORT, Settings
from chalicelib.storage import clients
from chalicelib.storage.terms import Terms
from chalicelib.storage.threads import Threads

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

    from chalicelib.api.api import Api
    from chalicelib.runner.fetch_messages import FetchMessages
    from chalicelib.runner.fetcher import FetchLimits
    from chalicelib.runner.invocation import Runner
    from chalicelib.runner.outcome import Fetches
    from chalicelib.runner.retry import RetryPolicy
    from chalicelib.runner.robots import Robots
    from chalicelib.service.service import Service
    from chalicelib.storage.bucket import Bucket
    from chalicelib.storage.calls import Parallel, Patience
    from chalicelib.storage.events import Events
    from chalicelib.storage.lines import Lines
    from chalicelib.storage.table import Table

ABOUT_URL = "https://fetch-queue.dev/how-sites-are-asked"  # docs/how-sites-are-asked.md
API_THREADS = 16  # how many of a batch's 142 calls are made at once
HOUR_MS = 3_600_000
LEAST_KEY = 32  # characters; `make deploy` makes one of 64
RUNNER_THREADS = 64  # enough for several batches of ten messages, if one process takes several


@functools.cache
def settings() -> Settings:
    """The settings of this process, checked. Raises SettingsError."""
    return settings_module.from_environment()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a process gets from outside: AWS, time, and randomness. Times are milliseconds, durations seconds."""

    client: Callable[[str], Any]  # of an AWS service, by its name
    credentials: Callable[[], ReadOnlyCredentials]  # as they are now
    parallel: Parallel
    patience: Patience | None = None  # with throttling and conflicts; None is the default
    clock: Callable[[], int]
    sleep: Callable[[float], object]
    new_id: Callable[[], str]
    random: Callable[[], float]
    metrics: Metrics


@functools.cache
def api() -> Api:
    """What the API works with, in this process."""
    s = settings()
    return make_api(s, make_service(s, make_outside("api", API_THREADS), address_policy(s)))


@functools.cache
def runner() -> Runner:
    """What runs jobs, in this process."""
    from chalicelib.runner.fetcher import Fetcher, FetchLimits

    s = settings()
    limits = FetchLimits(
        connect_seconds=s.connect_seconds,
        total_seconds=s.fetch_seconds,
        max_bytes=s.max_body_bytes,
        max_redirects=s.max_redirects,
    )
    fetcher = Fetcher(limits=limits, policy=address_policy(s), user_agent=user_agent(s))
    robots_fetcher = None
    if s.robots:
        robots_fetcher = Fetcher(limits=limits_of_robots(limits), policy=address_policy(s), user_agent=user_agent(s))
    return make_runner(s, make_outside("runner", RUNNER_THREADS), fetcher, robots_fetcher)


def make_api(s: Settings, service: Service) -> Api:
    """What the API works with."""
    from chalicelib.api.api import Api

    return Api(service=service, most_wait=s.wait_seconds, local=s.local, origins=s.origins)


def make_service(s: Settings, outside: Outside, addresses: AddressPolicy) -> Service:
    """What the use cases work with."""
    from chalicelib.jobs.access import Span
    from chalicelib.service.gate import Gate
    from chalicelib.service.service import Service
    from chalicelib.storage.access import AccessTable
    from chalicelib.storage.bucket import Bucket
    from chalicelib.storage.links import Links
    from chalicelib.storage.listing import Listing
    from chalicelib.storage.queue import Queue
    from chalicelib.storage.webhook_secrets import WebhookSecrets

    parallel, patience = outside.parallel, outside.patience
    access = AccessTable(outside.client("dynamodb"), s.table_name, patience=patience)
    limits = {Span.MINUTE: s.quota_urls_per_minute, Span.DAY: s.quota_urls_per_day}
    return Service(
        access_table=access,
        gate=Gate(access, outside.clock, default_limits=limits, is_open=s.open),
        table=make_table(s, outside),
        lines=_lines(s, outside),
        listing=Listing(outside.client("dynamodb"), s.table_name, parallel=parallel),
        events=make_events(s, outside),
        webhook_secrets=WebhookSecrets(outside.client("dynamodb"), s.table_name, patience=patience),
        queue=Queue(outside.client("sqs"), s.queue_url, parallel=parallel, patience=patience),
        webhook_queue=Queue(outside.client("sqs"), s.webhook_queue_url, patience=patience),
        bucket=Bucket(outside.client("s3"), s.bucket_name, parallel=parallel),
        links=Links(outside.client("s3"), s.bucket_name, credentials=outside.credentials, clock=outside.clock),
        addresses=addresses,
        batch_lease=s.batch_lease_seconds * 1000,
        secret=service_secret(s),
        clock=outside.clock,
        sleep=outside.sleep,
        new_id=outside.new_id,
        metrics=outside.metrics,
    )


def service_secret(s: Settings) -> bytes:
    """What hides what is hashed, and what webhooks' secrets are derived from. Raises SettingsError."""
    if not s.local and len(s.service_key) < LEAST_KEY:
        raise settings_module.SettingsError(f"SERVICE_KEY must have at least {LEAST_KEY} characters")
    return s.service_key.encode()


def make_runner(s: Settings, outside: Outside, fetcher: Fetches, robots_fetcher: Fetches | None = None) -> Runner:
    """What runs jobs, with a fetcher, and one that asks for robots.txt, if that is another one."""
    from chalicelib.runner.invocation import Runner
    from chalicelib.runner.retry import RetryPolicy
    from chalicelib.runner.returned import ReturnedMessages
    from chalicelib.storage.queue import DeliverMessage, FetchMessage, Queue, WatchMessage

    webhook_queue = Queue(outside.client("sqs"), s.webhook_queue_url, patience=outside.patience)
    returned = ReturnedMessages(table=make_table(s, outside), queue=webhook_queue, clock=outside.clock)
    retries = RetryPolicy(
        fetch_seconds=s.fetch_seconds,
        margin_seconds=s.margin_seconds,
        backoff_seconds=s.backoff_seconds,
        backoff_cap_seconds=s.backoff_cap_seconds,
        visibility_seconds=s.visibility_seconds,
    )
    return Runner(
        handlers={
            FetchMessage.kind: _fetch_messages(s, outside, fetcher, retries, robots_fetcher),
            **dict.fromkeys((WatchMessage.kind, DeliverMessage.kind), returned),
        },
        queue=Queue(outside.client("sqs"), s.queue_url, patience=outside.patience),
        dead_letters=Queue(outside.client("sqs"), s.dead_letter_queue_url, patience=outside.patience),
        retries=retries,
        clock=outside.clock,
        parallel=outside.parallel,
        metrics=outside.metrics,
    )


def _fetch_messages(
    s: Settings, outside: Outside, fetcher: Fetches, retries: RetryPolicy, robots_fetcher: Fetches | None
) -> FetchMessages:
    from chalicelib.runner.attempt import Attempts
    from chalicelib.runner.fetch_messages import FetchMessages
    from chalicelib.runner.slots import Slots
    from chalicelib.storage.bucket import Bucket

    table = make_table(s, outside)
    bucket = Bucket(outside.client("s3"), s.bucket_name)
    attempts = Attempts(
        table=table,
        bucket=bucket,
        fetcher=fetcher,
        retries=retries,
        clock=outside.clock,
        random=outside.random,
        sleep=outside.sleep,
        metrics=outside.metrics,
    )
    return FetchMessages(
        table=table,
        lines=_lines(s, outside),
        slots=Slots(s.host_parallel),
        bucket=bucket,
        attempts=attempts,
        robots=_robots(s, outside, bucket, robots_fetcher or fetcher) if s.robots else None,
        clock=outside.clock,
        sleep=outside.sleep,
        metrics=outside.metrics,
    )


def _robots(s: Settings, outside: Outside, bucket: Bucket, fetcher: Fetches) -> Robots:
    from chalicelib.runner.robots import Robots
    from chalicelib.storage.robots import RobotsFiles

    return Robots(
        files=RobotsFiles(outside.client("dynamodb"), s.table_name, patience=outside.patience),
        bucket=bucket,
        fetcher=fetcher,
        policy=address_policy(s),
        lease=s.lease_ms,
        clock=outside.clock,
    )


def address_policy(s: Settings) -> AddressPolicy:
    """Which addresses may be fetched: in stage dev also loopback, but never the servers that the service uses."""
    forbidden = {LAMBDA_RUNTIME_PORT}
    if s.aws_endpoint_url:
        port = s.aws_endpoint_url.rpartition(":")[2].strip("/")
        forbidden.add(int(port) if port.isdigit() else 80)
    return AddressPolicy(loopback_allowed=s.local, forbidden_ports=frozenset(forbidden))


def limits_of_robots(limits: FetchLimits) -> FetchLimits:
    """Those of a request for robots.txt: of any size, since its first part is enough; five redirects (RFC 9309)."""
    return replace(limits, max_bytes=sys.maxsize, max_redirects=max(5, limits.max_redirects))


def user_agent(s: Settings) -> str:
    """What the owners of fetched sites see: whom to write to, or else how sites are asked."""
    url = s.contact_url or ("" if s.local else ABOUT_URL)
    return f"FetchQueue/1.0 (+{url})" if url else "FetchQueue/1.0"


def make_table(s: Settings, outside: Outside) -> Table:
    """Jobs, batches, claims and fetches."""
    from chalicelib.storage.table import Table

    parallel, patience = outside.parallel, outside.patience
    return Table(outside.client("dynamodb"), s.table_name, _terms(s), parallel=parallel, patience=patience)


def make_events(s: Settings, outside: Outside) -> Events:
    """What webhooks are told."""
    from chalicelib.storage.events import Events

    parallel, patience = outside.parallel, outside.patience
    return Events(outside.client("dynamodb"), s.table_name, _terms(s), parallel=parallel, patience=patience)


def _terms(s: Settings) -> Terms:
    rules = Rules(
        window=s.window_ms,
        retention=s.retention_ms,
        max_attempts=s.max_attempts,
        skew=s.skew_seconds * 1000,
        wait=s.host_wait_hours * HOUR_MS,
    )
    return Terms(rules=rules, lease=s.lease_ms)


def _lines(s: Settings, outside: Outside) -> Lines:
    from chalicelib.storage.lines import Lines

    rules = HostRules(
        interval=s.host_interval_ms, wait=s.host_wait_hours * HOUR_MS, longest_cooling=s.backoff_cap_seconds * 1000
    )
    return Lines(outside.client("dynamodb"), s.table_name, rules, parallel=outside.parallel, patience=outside.patience)


def make_outside(role: str, threads: int) -> Outside:
    """What this process gets: AWS, the time, and real randomness."""
    return Outside(
        client=clients.client,
        credentials=clients.credentials,
        parallel=Threads(threads),
        clock=_clock,
        sleep=time.sleep,
        new_id=lambda: secrets.token_hex(RANDOM_BYTES),
        random=random.random,
        metrics=Metrics(role, enabled=bool(settings().aws_lambda_function_name)),
    )


def _clock() -> int:
    return time.time_ns() // 1_000_000
