"""How many requests of one process a host has to answer at once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable


class Slots:
    """So many slots for each host, shared by all invocations of the process."""

    def __init__(self, each: int, now: Callable[[], float] = time.monotonic) -> None:
        self._each = each
        self._now = now
        self._taken: Counter[str] = Counter()
        self._given_back = threading.Condition()

    def take(self, host: str, *, wait_seconds: float = 0) -> bool:
        """Take a slot; False if none is free within this time."""
        until = self._now() + wait_seconds
        with self._given_back:
            while self._taken[host] >= self._each:
                left = until - self._now()
                if left <= 0:
                    return False
                self._given_back.wait(left)
            self._taken[host] += 1
            return True

    def give_back(self, host: str) -> None:
        """Let another request have the slot."""
        with self._given_back:
            self._taken[host] -= 1
            if self._taken[host] == 0:
                del self._taken[host]
            self._given_back.notify_all()
