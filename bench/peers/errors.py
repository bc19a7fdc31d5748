"""What a benchmark raises, and how a person learns of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class BenchError(Exception):
    """The measurement cannot be made or does not count; the message is for a person."""


@contextmanager
def told() -> Iterator[None]:
    """Around a command: what stops it is told in a line, and is its exit."""
    try:
        yield
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: ended before it was done; nothing that it started is left")
