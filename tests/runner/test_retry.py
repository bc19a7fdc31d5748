"""When a failed fetch is tried again."""

from __future__ import annotations

from math import inf

import pytest

from chalicelib.jobs.entities import ErrorType, FetchError
from chalicelib.runner.outcome import Failure
from chalicelib.runner.retry import delay


def _failure(*, retryable: bool = True, retry_after: float | None = None) -> Failure:
    error = FetchError(type=ErrorType.TIMEOUT, detail="the site was slow")
    return Failure(error=error, retryable=retryable, retry_after=retry_after)


AGAIN, NEVER = _failure(), _failure(retryable=False)


@pytest.mark.parametrize(
    ("failure", "attempt", "random", "expected"),
    [
        # what cannot get better, and what was tried often enough
        (NEVER, 1, 0.5, None),
        (_failure(retryable=False, retry_after=1), 1, 0.5, None),
        (AGAIN, 4, 0.5, None),
        (AGAIN, 5, 0.5, None),
        # full jitter over 2, 4, 8 seconds
        (AGAIN, 1, 0.0, 0),
        (AGAIN, 1, 0.5, 1),
        (AGAIN, 1, 1.0, 2),
        (AGAIN, 2, 1.0, 4),
        (AGAIN, 3, 1.0, 8),
        (AGAIN, 3, 0.25, 2),
        # the site knows better, up to the cap
        (_failure(retry_after=0), 1, 0.5, 1),
        (_failure(retry_after=1), 1, 0.0, 1),
        (_failure(retry_after=7), 1, 1.0, 7),
        (_failure(retry_after=7), 3, 1.0, 8),
        (_failure(retry_after=300), 1, 0.0, 300),
        (_failure(retry_after=86400), 1, 0.0, 300),
        (_failure(retry_after=1_795_000_000_000), 1, 0.0, 300),
        (_failure(retry_after=inf), 1, 1.0, 300),
        (_failure(retry_after=7), 4, 0.0, None),
    ],
)
def test_delay(failure: Failure, attempt: int, random: float, expected: float | None) -> None:
    """Seconds until the next attempt, or None."""
    assert delay(failure, attempt, max_attempts=4, base_seconds=2, random=lambda: random) == expected


@pytest.mark.parametrize(("attempt", "longest"), [(1, 2), (8, 256), (9, 300), (5000, 300)])
def test_the_backoff_is_capped(attempt: int, longest: float) -> None:
    """Doubling ends at the cap, and does not overflow."""
    assert delay(AGAIN, attempt, max_attempts=9999, base_seconds=2, random=lambda: 1.0) == longest


def test_a_cap_of_its_own() -> None:
    """The cap is for the backoff and for what the site asks."""
    asked = _failure(retry_after=100)
    assert delay(asked, 1, max_attempts=4, base_seconds=2, cap_seconds=10, random=lambda: 1.0) == 10
    assert delay(AGAIN, 3, max_attempts=4, base_seconds=20, cap_seconds=10, random=lambda: 1.0) == 10
