"""One attempt at a URL: fetch, store, and end the attempt with a write that only its holder can make."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from chalicelib.jobs.entities import Fetch, Job, Result, Status
from chalicelib.jobs.errors import Unavailable
from chalicelib.logs import log_context
from chalicelib.metrics import Metric, Metrics
from chalicelib.runner import retry
from chalicelib.runner.ends import Done, End, Left
from chalicelib.runner.invocation import Invocation
from chalicelib.runner.outcome import Failure, Fetched, Sink
from chalicelib.runner.retry import RetryPolicy
from chalicelib.storage.bucket import Bucket, result_key
from chalicelib.storage.table import Table

log = logging.getLogger("fetch_queue.runner")


class Fetches(Protocol):
    """Fetches a URL's bytes into a sink."""

    def fetch(self, url: str, sink: Sink) -> Fetched | Failure:
        """One attempt at the URL."""


class Attempts:
    """Carries out attempts that the table says have begun."""

    def __init__(
        self,
        *,
        table: Table,
        bucket: Bucket,
        fetcher: Fetches,
        retries: RetryPolicy,
        clock: Callable[[], int],
        random: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._table = table
        self._bucket = bucket
        self._fetcher = fetcher
        self._retries = retries
        self._clock = clock
        self._random = random
        self._metrics = metrics

    def first(self, job: Job, invocation: Invocation) -> End:
        """The first attempt of a fetch that was just started."""
        self._metrics.add(Metric.QUEUE_AGE, self._clock() - job.submitted_at)
        return self._attempt(job.id, job.url, 1, invocation)

    def next(self, fetch: Fetch, invocation: Invocation) -> End:
        """The next attempt of a fetch that was resumed in the state that was read."""
        return self._attempt(fetch.id, fetch.url, fetch.attempt + 1, invocation)

    def _attempt(self, fetch_id: str, url: str, attempt: int, invocation: Invocation) -> End:
        with log_context(fetch_id=fetch_id, attempt=attempt):
            if invocation.has_time:
                return self._fetch_and_end(fetch_id, url, attempt)
            return Left()  # the write that began the attempt was slow; when the message is back, the lease is over

    def _fetch_and_end(self, fetch_id: str, url: str, attempt: int) -> End:
        key = result_key(fetch_id, attempt)
        began = self._clock()
        try:
            with self._bucket.create_result(key) as upload:
                outcome = self._fetcher.fetch(url, upload)
                if isinstance(outcome, Fetched):
                    upload.complete()
        except Unavailable:
            # The lease runs until it ends. Anything stored is removed with the fetch's last job.
            self._remove(key)
            raise
        self._metrics.add(Metric.FETCH_TIME, self._clock() - began)
        if isinstance(outcome, Fetched):
            return self._finish(fetch_id, attempt, self._result(outcome, key))
        return self._fail_or_retry(fetch_id, attempt, outcome)

    def _finish(self, fetch_id: str, attempt: int, result: Result) -> End:
        now = self._clock()
        if _insisted(lambda: self._table.finish(fetch_id, attempt, result, now=now)):
            self._metrics.add(Metric.FETCHED)
            self._metrics.add(Metric.BYTES, result.size)
            log.info("fetch succeeded", extra={"size": result.size, "http_status": result.http_status})
            return Done()
        own = self._table.fetch(fetch_id, now=self._clock())
        if own is not None and own.status is Status.SUCCEEDED and own.attempt == attempt:
            return Done()  # it was this very write; its answer was lost
        self._bucket.delete([result.key])  # where that fails the message is left, and comes back to it
        return _lost(own)

    def _fail_or_retry(self, fetch_id: str, attempt: int, failure: Failure) -> End:
        seconds = retry.delay(
            failure,
            attempt,
            max_attempts=self._table.rules.max_attempts,
            base_seconds=self._retries.backoff_seconds,
            cap_seconds=self._retries.backoff_cap_seconds,
            random=self._random,
        )
        now = self._clock()
        error = {"error_type": str(failure.error.type)}
        if seconds is None:
            if _insisted(lambda: self._table.fail(fetch_id, attempt, failure.error, now=now)):
                self._metrics.add(Metric.FAILED, error_type=failure.error.type)
                log.info("fetch failed", extra=error)
                return Done()
        else:
            until = now + int(seconds * 1000)
            if _insisted(lambda: self._table.retry(fetch_id, attempt, until=until)):
                self._metrics.add(Metric.RETRIED)
                log.info("attempt failed, another follows", extra={**error, "seconds": seconds})
                return Left(until)
        return _lost(self._table.fetch(fetch_id, now=now))

    def _remove(self, key: str) -> None:
        try:
            self._bucket.delete([key])
        except Unavailable:
            log.warning("a result that no row names stays until its fetch is deleted", extra={"key": key})

    def _result(self, fetched: Fetched, key: str) -> Result:
        return Result(
            content_type=fetched.content_type,
            size=fetched.size,
            sha256=fetched.sha256,
            http_status=fetched.http_status,
            final_url=fetched.final_url,
            headers=fetched.headers,
            fetched_at=self._clock(),
            key=key,
            text=fetched.text,
        )


def _insisted(write: Callable[[], bool]) -> bool:
    """Make the write that ends an attempt. Without it the site is asked again, so it is tried twice as long as others.

    Reading after a refusal shows this write, if it was made.
    """
    try:
        return write()
    except Unavailable:
        return write()


def _lost(own: Fetch | None) -> End:
    """The end of a worker whose attempt was taken over, deleted, or ended by a write whose answer was lost."""
    return Done() if own is None or own.finished else Left(own.lease_until)
