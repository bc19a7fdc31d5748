"""One attempt at a URL: fetch, store, and end the attempt with a write that only its holder can make."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from chalicelib.jobs.entities import Fetch, FetchError, Job, Result, Status
from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.submitted import RequestHeaders
from chalicelib.logs import log_context
from chalicelib.metrics import Metric, Metrics
from chalicelib.runner import retry
from chalicelib.runner.ends import Done, End, Later, Left
from chalicelib.runner.invocation import Invocation
from chalicelib.runner.outcome import Failure, Fetched, Fetches
from chalicelib.runner.retry import RetryPolicy
from chalicelib.runner.turns import HostBusy, Turns
from chalicelib.storage.bucket import Bucket, result_key
from chalicelib.storage.table import Table

log = logging.getLogger("fetch_queue.runner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt that the table says has begun."""

    fetch_id: str
    url: str
    headers: RequestHeaders
    host_key: str  # empty if its message is an older version's
    submitted_at: int
    number: int  # from 1
    counted: int  # from 1, without those that the host refused
    at: int = 0  # when its turn at the host is

    @staticmethod
    def first(job: Job, host_key: str, at: int = 0) -> Attempt:
        """The first attempt of a fetch that was just started."""
        return Attempt(
            fetch_id=job.id,
            url=job.url,
            headers=job.request_headers,
            host_key=host_key,
            submitted_at=job.submitted_at,
            number=1,
            counted=1,
            at=at,
        )

    @staticmethod
    def next(fetch: Fetch, host_key: str) -> Attempt:
        """The next attempt of a fetch that was resumed in the state that was read."""
        return Attempt(
            fetch_id=fetch.id,
            url=fetch.url,
            headers=fetch.request_headers,
            host_key=host_key,
            submitted_at=fetch.submitted_at,
            number=fetch.attempt + 1,
            counted=fetch.spent + 1,
        )


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
        sleep: Callable[[float], object],
        metrics: Metrics,
    ) -> None:
        self._table = table
        self._bucket = bucket
        self._fetcher = fetcher
        self._retries = retries
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._metrics = metrics

    def carry_out(
        self, attempt: Attempt, invocation: Invocation, turns: Turns, unreadable: Failure | None = None
    ) -> End:
        """Carry out an attempt that has begun, when its turn is.

        If the site's robots.txt was `unreadable`, the attempt fails as that did, and nothing is requested.
        """
        with log_context(fetch_id=attempt.fetch_id, attempt=attempt.number):
            if attempt.number == 1:
                self._metrics.add(Metric.QUEUE_AGE, self._clock() - attempt.submitted_at)
            if unreadable is not None:
                return self._fail_or_retry(attempt, unreadable)
            early = attempt.at - self._clock()
            if early > 0:
                self._sleep(early / 1000)
            if invocation.has_time:
                return self._fetch_and_end(attempt, turns)
            return Left()  # the write that began the attempt was slow; when the message is back, the lease is over

    def _fetch_and_end(self, attempt: Attempt, turns: Turns) -> End:
        key = result_key(attempt.fetch_id, attempt.counted)
        began = self._clock()
        try:
            with self._bucket.create_result(key) as upload:
                outcome = self._fetcher.fetch(attempt.url, upload, attempt.headers)
                if isinstance(outcome, Fetched):
                    upload.complete()
        except Unavailable:
            # The lease runs until it ends. Anything stored is removed with the fetch's last job.
            self._remove(key)
            raise
        self._metrics.add(Metric.FETCH_TIME, self._clock() - began)
        if isinstance(outcome, Fetched):
            turns.answered(attempt.host_key, sent_at=began, well=True)
            return self._finish(attempt.fetch_id, attempt.number, self._result(outcome, key))
        if outcome.refused and attempt.host_key:
            return self._deferred(attempt, outcome, began, turns)
        with suppress(Unavailable):  # then the host is not slowed this time
            turns.answered(attempt.host_key, sent_at=began, well=not outcome.overloaded)
        return self._fail_or_retry(attempt, outcome)

    def _deferred(self, attempt: Attempt, refusal: Failure, sent_at: int, turns: Turns) -> End:
        """The host refused: it is slowed, and the fetch gets a place in its line."""
        try:
            turns.refused(attempt.host_key, sent_at=sent_at, cooling=retry.cooling(refusal))
            (turn,) = turns.take(attempt.host_key)
        except Unavailable:
            return self._fail_or_retry(attempt, refusal)
        except HostBusy:
            turn = None
        if turn is None or turn.at > turns.latest(attempt.submitted_at):
            return self._failed(attempt, turns.busy(attempt.host_key))
        self._metrics.add(Metric.REFUSED)
        if _insisted(lambda: self._table.defer(attempt.fetch_id, attempt.number, turn)):
            log.info("host refused", extra={"until": turn.at, "http_status": refusal.error.http_status})
            return Later(turn.at)
        return _lost(self._table.fetch(attempt.fetch_id, now=self._clock()))

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

    def _fail_or_retry(self, attempt: Attempt, failure: Failure) -> End:
        seconds = retry.delay(
            failure,
            attempt.counted,
            max_attempts=self._table.rules.max_attempts,
            base_seconds=self._retries.backoff_seconds,
            cap_seconds=self._retries.backoff_cap_seconds,
            random=self._random,
        )
        if seconds is None:
            return self._failed(attempt, failure.error)
        until = self._clock() + int(seconds * 1000)
        if _insisted(lambda: self._table.retry(attempt.fetch_id, attempt.number, until=until)):
            self._metrics.add(Metric.RETRIED)
            error_type = str(failure.error.type)
            log.info("attempt failed, another follows", extra={"error_type": error_type, "seconds": seconds})
            return Left(until)
        return _lost(self._table.fetch(attempt.fetch_id, now=self._clock()))

    def _failed(self, attempt: Attempt, error: FetchError) -> End:
        now = self._clock()
        if _insisted(lambda: self._table.fail(attempt.fetch_id, attempt.number, error, now=now)):
            self._metrics.add(Metric.FAILED, error_type=error.type)
            log.info("fetch failed", extra={"error_type": str(error.type)})
            return Done()
        return _lost(self._table.fetch(attempt.fetch_id, now=now))

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
