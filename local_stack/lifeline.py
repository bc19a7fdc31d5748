"""How a child process learns that it must end: its standard input is a pipe from the launcher, which ends when the
launcher closes it, and also when the launcher dies of anything, `kill -9` included."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

_STANDARD_INPUT = 0


def watch(end: Callable[[], object]) -> None:
    """Call `end` in a thread of its own, once, when the launcher lets go."""

    def wait() -> None:
        while os.read(_STANDARD_INPUT, 1024):
            pass
        end()

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
