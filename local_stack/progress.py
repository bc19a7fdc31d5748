"""Requests in progress: how many there are, and which of them take too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Busy:
    """Counts the requests in progress, so that the server can finish them before it ends."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until none is in progress, but no longer than `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._count == 0, seconds)


class Watch:
    """Calls back for late requests. One thread for all: a timer for each would double the cost of a short one."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._late_at: dict[Callable[[], object], float] = {}  # all have the same time: who began first is late first
        self._closed = threading.Event()

    def begin(self, late: Callable[[], object]) -> None:
        """Call `late` unless it ends in time."""
        with self._lock:
            self._late_at[late] = self._clock() + self.seconds

    def end(self, late: Callable[[], object]) -> bool:
        """Do not call it any more; False if it has been called, or is just being called."""
        with self._lock:
            return self._late_at.pop(late, None) is not None

    def look(self) -> float:
        """Call back for late requests. Returns in how many seconds another may be late, whatever begins until then."""
        with self._lock:
            now = self._clock()
            late = [each for each, at in self._late_at.items() if at <= now]
            for each in late:
                del self._late_at[each]
            pause = next(iter(self._late_at.values()), now + self.seconds) - now
        for each in late:
            each()
        return pause

    def start(self) -> None:
        """Look for as long as it takes, in a thread."""
        threading.Thread(target=self._run, name="watch", daemon=True).start()

    def close(self) -> None:
        """Stop calling."""
        self._closed.set()

    def _run(self) -> None:
        pause = self.seconds
        while not self._closed.wait(pause):
            pause = self.look()
