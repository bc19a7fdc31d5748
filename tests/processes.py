"""Programs that tests start: they hear Ctrl-C, and end with their test, whatever became of it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

END_SECONDS = 120  # a program that ends at all ends sooner, on any machine


@contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A program that runs, with its pipes.

    Where a shell starts the tests in the background, SIGINT is ignored, and each program inherits that. One that is
    handled here is at its default there.
    """
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, **options)
    finally:
        signal.signal(signal.SIGINT, ours)
    with process:  # closes its pipes and waits
        try:
            yield process
        finally:
            process.kill()
