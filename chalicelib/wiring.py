"""The one place where clients and stores are made: lazily, once per process, and only those that it uses."""

from __future__ import annotations

import functools
import random
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, TypeVar

from chalicelib import settings as settings_module
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.decide import Rules
from chalicelib.jobs.ids import RANDOM_BYTES
from chalicelib.metrics import Metrics
from chalicelib.settings import LAMBDA_RUNTIME_PORT, Settings
from chalicelib.storage.protocol import Terms

if TYPE_CHECKING:
    from botocore.config import Config

    from chalicelib.api.service import Service
    from chalicelib.runner.run import Runner
    from chalicelib.storage.table import Table

T = TypeVar("T")
R = TypeVar("R")

API_THREADS = 16  # of a batch's 142 calls so many at once
RUNNER_THREADS = 64  # a batch of ten messages, a few times over where one process takes several


@functools.cache
def settings() -> Settings:
    """The settings of this process, checked. Raises SettingsError."""
    return settings_module.from_environment()


@functools.cache
def service() -> Service:
    """What the API works with."""
    from chalicelib.api.access import Gate
    from chalicelib.api.service import Service
    from chalicelib.jobs.access import Span
    from chalicelib.storage.access import AccessTable
    from chalicelib.storage.bucket import Bucket
    from chalicelib.storage.queue import Queue

    s = settings()
    parallel = Threads(API_THREADS)
    access = AccessTable(_client("dynamodb"), s.table_name)
    limits = {Span.MINUTE: s.quota_urls_per_minute, Span.DAY: s.quota_urls_per_day}
    return Service(
        access=access,
        gate=Gate(access, _clock, everybodys=limits, is_open=s.open),
        table=_table(parallel),
        queue=Queue(_client("sqs"), s.queue_url, parallel=parallel),
        bucket=Bucket(_client("s3"), s.bucket_name, parallel=parallel),
        addresses=address_policy(s),
        most_wait=s.wait_seconds,
        batch_lease=s.batch_lease_seconds * 1000,
        local=s.local,
        origins=s.origins,
        clock=_clock,
        sleep=time.sleep,
        new_id=lambda: secrets.token_hex(RANDOM_BYTES),
        metrics=Metrics("api", enabled=bool(s.aws_lambda_function_name)),
    )


@functools.cache
def runner() -> Runner:
    """What runs jobs."""
    from chalicelib.runner.fetcher import Fetcher, Limits
    from chalicelib.runner.run import RetryPolicy, Runner
    from chalicelib.storage.bucket import Bucket
    from chalicelib.storage.queue import Queue

    s = settings()
    parallel = Threads(RUNNER_THREADS)
    fetcher = Fetcher(
        limits=Limits(
            connect_seconds=s.connect_seconds,
            total_seconds=s.fetch_seconds,
            max_bytes=s.max_body_bytes,
            max_redirects=s.max_redirects,
        ),
        policy=address_policy(s),
        user_agent=user_agent(s),
    )
    return Runner(
        table=_table(parallel),
        queue=Queue(_client("sqs"), s.queue_url),
        dead_letters=Queue(_client("sqs"), s.dead_letter_queue_url),
        bucket=Bucket(_client("s3"), s.bucket_name),
        fetcher=fetcher,
        retries=RetryPolicy(
            fetch_seconds=s.fetch_seconds,
            margin_seconds=s.margin_seconds,
            backoff_seconds=s.backoff_seconds,
            backoff_cap_seconds=s.backoff_cap_seconds,
            visibility_seconds=s.visibility_seconds,
        ),
        clock=_clock,
        random=random.random,
        parallel=parallel,
        metrics=Metrics("runner", enabled=bool(s.aws_lambda_function_name)),
    )


class Threads:
    """`Parallel` with threads that are kept. One value needs none, so calls may nest where the inner one has one."""

    def __init__(self, size: int) -> None:
        self._pool = ThreadPoolExecutor(size)

    def __call__(self, function: Callable[[T], R], values: list[T], /) -> list[R]:
        """Apply the function to all of the values.

        Once one fails no further one is begun; raises what it raised when those that run have ended.
        """
        if len(values) <= 1:
            return [function(value) for value in values]
        failed: list[Exception] = []

        def begin(value: T) -> list[R]:
            if failed:
                return []
            try:
                return [function(value)]
            except Exception as error:
                failed.append(error)
                raise

        futures = [self._pool.submit(begin, value) for value in values]
        wait(futures)
        if failed:
            raise failed[0]
        return [result for future in futures for result in future.result()]


def address_policy(s: Settings) -> AddressPolicy:
    """Which addresses may be fetched: loopback in stage dev, but never what serves the service there."""
    forbidden = {LAMBDA_RUNTIME_PORT}
    if s.aws_endpoint_url:
        port = s.aws_endpoint_url.rpartition(":")[2].strip("/")
        forbidden.add(int(port) if port.isdigit() else 80)
    return AddressPolicy(loopback_allowed=s.local, forbidden_ports=frozenset(forbidden))


def user_agent(s: Settings) -> str:
    """What the owners of fetched sites see."""
    return f"FetchQueue/1.0 (+{s.contact_url})" if s.contact_url else "FetchQueue/1.0"


@functools.cache
def _session() -> Any:
    import botocore.session  # makes boto3's clients, without the time that boto3's import takes

    return botocore.session.get_session()  # one for all: each loads botocore's data anew


@functools.cache
def _client(name: str) -> Any:
    from chalicelib.storage.calls import refuse_cut_answers

    client = _session().create_client(name, config=client_config(name))
    refuse_cut_answers(client)
    return client


def client_config(name: str) -> Config:
    """How the client of an AWS service is made."""
    from botocore.config import Config

    of_s3: dict[str, Any] = {
        "signature_version": "s3v4",
        # Links name the bucket's region. Without this they go by the global name, which knows no new bucket for hours,
        # and none at all in regions that were opened since 2019.
        "s3": {"addressing_style": "virtual"},
        # The signature covers each body. A part's checksum would have to be declared with its upload, too.
        "request_checksum_calculation": "when_required",
    }
    return Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=64,
        # It takes CPU at each call. The tests' clients validate, and make the same calls.
        parameter_validation=False,
        user_agent="FetchQueue/1.0",  # one that is given is not put together anew for each call
        **(of_s3 if name == "s3" else {}),
    )


def _table(parallel: Threads) -> Table:
    from chalicelib.storage.table import Table

    s = settings()
    rules = Rules(window=s.window_ms, retention=s.retention_ms, max_attempts=s.max_attempts, skew=s.skew_seconds * 1000)
    terms = Terms(rules=rules, lease=s.lease_ms)
    return Table(_client("dynamodb"), s.table_name, terms, parallel=parallel)


def _clock() -> int:
    return time.time_ns() // 1_000_000
