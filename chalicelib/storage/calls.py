"""How calls to AWS are made: what the driver raises becomes `Unavailable`, what a call left undone is sent again
after a pause with jitter, and independent calls go out at the same time."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.jobs.errors import Unavailable

log = logging.getLogger("fetch_queue.storage")

T = TypeVar("T")
R = TypeVar("R")

REFUSED = "ConditionalCheckFailed"
AGAIN = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}

_ROUNDS = 8
_FIRST_PAUSE = 0.025  # seconds, doubling: 3 s in all at most


class Parallel(Protocol):
    """Applies a function to each of some values, at the same time where that is possible; results in order."""

    def __call__(self, function: Callable[[T], R], values: list[T], /) -> list[R]: ...


def serial(function: Callable[[T], R], values: list[T]) -> list[R]:
    """`Parallel` in one thread: one after the other."""
    return [function(value) for value in values]


@dataclass(frozen=True, slots=True)
class Patience:
    """How to wait before the same is sent again: what a batch call left over, what a conflict stopped."""

    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def rounds(self) -> Iterator[int]:
        """The numbers of the tries, with a pause before each but the first."""
        for number in range(_ROUNDS):
            if number:
                self.sleep(_FIRST_PAUSE * 2 ** (number - 1) * (0.5 + self.jitter() / 2))
            yield number


@contextmanager
def unavailable(operation: str) -> Iterator[None]:
    """Turn the driver's errors into `Unavailable`, and log which call it was."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        log.warning("an AWS call failed", extra={"operation": operation, "reason": str(error)})
        raise Unavailable(f"{operation} failed") from error


def reasons(error: ClientError) -> set[str]:
    """Why DynamoDB did not make a write, in a transaction or alone."""
    code = error.response.get("Error", {}).get("Code", "")
    if code == "TransactionCanceledException":
        cancelled: Any = error.response
        return {reason.get("Code", "") for reason in cancelled.get("CancellationReasons", [])}
    return {code.removesuffix("Exception")}
