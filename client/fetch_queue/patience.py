"""Trying again: how long to wait, and when to give up. Time and chance are injected, so that tests need not wait."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from fetch_queue.errors import Unreachable

GIVE_UP_AFTER = 300.0  # seconds of trying again, for one request
FIRST_CONTACT = 15.0  # the same, of a service that has never answered: the address may be wrong
FIRST_PAUSE = 0.5
LEAST_PAUSE = 0.5  # whatever an answer says
LONGEST_PAUSE = 30.0

Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Timing:
    """Where time and randomness come from."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random  # 0 to 1
    today: Callable[[], datetime] = lambda: datetime.now(UTC)


def seconds(header: str | None, now: datetime) -> float | None:
    """A Retry-After header (RFC 9110, 10.2.3) in seconds; None if there is none that can be read."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())


def pause(tries: int, retry_after: float | None, chance: float) -> float:
    """Seconds until the next try: never before the time that was given; without one, longer with each try."""
    if retry_after is not None:
        return max(retry_after, LEAST_PAUSE) + chance * min(2.0, 0.1 + retry_after / 10)
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(tries, 16)) * (0.5 + chance / 2)


class Patience:
    """The tries of one request."""

    def __init__(self, timing: Timing, limit: Callable[[], float], notice: Notice) -> None:
        self._timing = timing
        self._limit = limit
        self._notice = notice
        self._since: float | None = None
        self.tries = 0

    def wait(self, why: str, retry_after: float | None = None) -> None:
        """Wait before the next try. Raises Unreachable at once if that would exceed the limit."""
        now = self._timing.clock()
        self._since = now if self._since is None else self._since
        length = pause(self.tries, retry_after, self._timing.random())
        limit = self._limit()
        if now - self._since + length > limit:
            if retry_after is not None and retry_after > limit:
                raise Unreachable(
                    f"{why} Gave up: that is in {retry_after:.0f} s, and the longest wait is {limit:.0f} s."
                )
            raise Unreachable(f"{why} Gave up after {now - self._since:.0f} s.")
        if self.tries == 0:
            self._notice(f"{why} Trying again in {length:.0f} s, for {limit:.0f} s at most.")
        self.tries += 1
        self._timing.sleep(length)
