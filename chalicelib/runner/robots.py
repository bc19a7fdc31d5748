"""Whether a site's robots.txt allows a fetch; it is asked for once a day, tenant and origin."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus

from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.decide import Resume, Start
from chalicelib.jobs.entities import ErrorType, FetchError
from chalicelib.jobs.errors import FetchQueueError, Unavailable
from chalicelib.jobs.robots import (
    DAY,
    FAILURE_STANDS,
    MOST_BYTES,
    PRODUCT,
    Found,
    Permissions,
    RobotsFile,
    keys_of,
    text_key,
    whole_lines,
    wish_of,
)
from chalicelib.jobs.target import Target
from chalicelib.jobs.urls import InvalidURL
from chalicelib.runner import failures
from chalicelib.runner.outcome import Failure, Fetches
from chalicelib.runner.retry import cooling
from chalicelib.runner.turns import Turns
from chalicelib.storage.bucket import Bucket
from chalicelib.storage.robots import RobotsFiles

_MOST_CACHED = 2**19  # bytes of texts whose rules are kept in memory, where they take up to a hundred times as much

log = logging.getLogger("fetch_queue.runner")


@dataclass(frozen=True, slots=True)
class Allowed:
    """The URL may be fetched."""


@dataclass(frozen=True, slots=True)
class Forbidden:
    """It may not."""

    error: FetchError


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The site could not be asked for its robots.txt, and so not for the URL."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Asked:
    """Another worker asks for the robots.txt."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The robots.txt has to be asked for."""

    target: Target


Verdict = Allowed | Forbidden | Unreadable | Asked | Unknown


class _Enough(FetchQueueError):
    """The first part has come; the rest is not read."""


class _Beginning:
    """A sink for the first part of a robots.txt."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.cut = False

    def begin(self, content_type: str) -> None:
        """Whatever it says it is, it is read as text."""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._data += data[: MOST_BYTES - len(self._data) + 1]
        if len(self._data) > MOST_BYTES:
            self.cut = True
            raise _Enough

    @property
    def text(self) -> bytes:
        """What came, without a line that is not whole."""
        return whole_lines(bytes(self._data[:MOST_BYTES])) if self.cut else bytes(self._data)


class Robots:
    """The robots.txt files, for all invocations of the process. Safe to use from many threads."""

    def __init__(
        self,
        *,
        files: RobotsFiles,
        bucket: Bucket,
        fetcher: Fetches,
        policy: AddressPolicy,
        lease: int,
        clock: Callable[[], int],
    ) -> None:
        self.files = files
        self.policy = policy
        self.lease = lease  # ms for which a worker may ask
        self.clock = clock
        self._bucket = bucket
        self._fetcher = fetcher
        self._cached: OrderedDict[str, Permissions] = OrderedDict()
        self._lock = threading.Lock()
        self._parsing = threading.Lock()  # one at a time: it takes memory

    def permissions(self, key: str) -> Permissions:
        """The rules of a text in the bucket. Raises Unavailable."""
        with self._lock:
            if key in self._cached:
                self._cached.move_to_end(key)
                return self._cached[key]
        text = self._bucket.read(key)
        if text is None:
            raise Unavailable("a robots.txt that is known is not in the bucket")
        return self._parse(key, text)

    def fetch(self, target: Target) -> bytes | Failure:
        """Ask for the target's robots.txt: the first part of its text, or why there is none."""
        sink = _Beginning()
        outcome = None
        with suppress(_Enough):
            outcome = self._fetcher.fetch(f"{target.origin}/robots.txt", sink)
        return outcome if isinstance(outcome, Failure) else sink.text

    def store(self, file: RobotsFile, text: bytes, *, mine: int) -> RobotsFile:
        """Put a text into the bucket, and say where it is and what it asks for. Raises Unavailable."""
        key = text_key(file.key, mine)
        delay = self._parse(key, text).delay
        with self._bucket.create_result(key) as upload:
            upload.begin("text/plain")
            upload.write(text)
            upload.complete()
        return replace(file, found=Found.TEXT, text_key=key, delay=delay)

    def _parse(self, key: str, text: bytes) -> Permissions:
        with self._parsing:
            permissions = Permissions(text)
        with self._lock:
            self._cached[key] = permissions
            while len(self._cached) > 1 and sum(each.size for each in self._cached.values()) > _MOST_CACHED:
                self._cached.popitem(last=False)
        return permissions


class Permits:
    """What the sites of an invocation's messages allow, as far as it is known."""

    def __init__(self, robots: Robots, turns: Turns) -> None:
        self._robots = robots
        self._turns = turns
        self._files: dict[str, RobotsFile] = {}

    def saw(self, host_key: str, files: list[RobotsFile]) -> None:
        """Remember what was read of a host's origins."""
        self._files.update({file.key: file for file in files})
        known = [self._files[key] for key in keys_of(host_key) if key in self._files]
        self._turns.wished(host_key, wish_of(known))

    def verdict(self, host_key: str, beginning: Start | Resume, *, now: int) -> Verdict:
        """Whether what is to begin may. Raises Unavailable.

        Each attempt asks anew for what could not be had: a failure counts for it only if it is younger than the last.
        """
        resumed = beginning.fetch if isinstance(beginning, Resume) else None
        since = resumed.lease_until if resumed is not None and resumed.attempt else 0
        try:
            target = Target.of(beginning.url, self._robots.policy)
        except InvalidURL:
            return Allowed()  # no request is sent, and the attempt says why
        if not host_key:
            return Allowed()  # an older version's message, for which nothing was read
        file = self._files.get(_key(host_key, target))
        if file is None or now >= max(file.valid_until, file.asked_until):
            return Unknown(target)
        if now >= file.valid_until:
            return Asked()
        if file.found is Found.FAILURE and file.error is not None:
            failure = Failure(error=file.error, retryable=file.retryable)
            return Unreadable(failure) if file.fetched_at >= since else Asked()
        if file.text_key is None or self._robots.permissions(file.text_key).allow(target.url):
            return Allowed()
        return Forbidden(_forbidden(target))

    def ask(self, host_key: str, target: Target) -> None:
        """Ask for the robots.txt, unless another does, and keep what is found. Raises Unavailable."""
        robots, key, now = self._robots, _key(host_key, target), self._robots.clock()
        mine = now + robots.lease
        if not robots.files.ask(key, until=mine, now=now):
            return
        outcome = robots.fetch(target)
        if isinstance(outcome, Failure):
            log.info("no robots.txt", extra={"key": key, "error_type": str(outcome.error.type)})
            if _is_refusal(outcome):
                robots.files.give_up(key, mine=mine)
                self._turns.refused(host_key, sent_at=now, cooling=cooling(outcome))
                return
        failed = isinstance(outcome, Failure) and not _is_unavailable(outcome)
        with suppress(Unavailable):  # then the host is not slowed this time
            overloaded = isinstance(outcome, Failure) and outcome.overloaded
            self._turns.answered(host_key, sent_at=now, well=not overloaded)
        at = robots.clock()
        file = RobotsFile(
            key=key,
            asked_until=0,
            valid_until=at + (FAILURE_STANDS if failed else DAY),
            found=Found.NONE,
            fetched_at=at,
        )
        if not isinstance(outcome, Failure):
            file = robots.store(file, outcome, mine=mine)
        elif failed:
            file = replace(file, found=Found.FAILURE, error=_unreadable(outcome), retryable=outcome.retryable)
        if robots.files.keep(file, mine=mine, now=at):
            self.saw(host_key, [file])
            self._turns.lay(host_key)


def _key(host_key: str, target: Target) -> str:
    return f"{host_key.partition('/')[0]}/{target.origin}"


def _is_refusal(failure: Failure) -> bool:
    """The host answers with an error of its own, or wants to be asked later (RFC 9309, 2.3.1.4)."""
    status = failure.error.http_status or 0
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _is_unavailable(failure: Failure) -> bool:
    """There is none: everything may be fetched (RFC 9309, 2.3.1.2 and 2.3.1.3)."""
    unfollowed = (
        failures.invalid_redirect(),
        failures.blocked_redirect(),
        failures.blocked_address(failures.REDIRECT_HOST),
    )
    return failure.error.type in (ErrorType.HTTP_STATUS, ErrorType.TOO_MANY_REDIRECTS) or failure in unfollowed


def _unreadable(failure: Failure) -> FetchError:
    detail = (
        f"nothing of the site may be fetched before its robots.txt is read, and that failed: {failure.error.detail}"
    )
    return FetchError(type=failure.error.type, detail=detail)


def _forbidden(target: Target) -> FetchError:
    return FetchError(
        type=ErrorType.ROBOTS,
        detail=f"the site's robots.txt does not allow this URL to be fetched by {PRODUCT}; "
        f"its rules are at {target.origin}/robots.txt",
    )
