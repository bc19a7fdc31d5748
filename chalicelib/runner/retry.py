"""When a URL is tried again: a pure decision, and the policy that it follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib.jobs.pace import COOLING
from chalicelib.runner.outcome import Failure

_DAY = 86400  # seconds
_MAX_DOUBLINGS = 30  # any cap is reached by then, and a float would overflow eventually


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long a URL is tried, and when it is tried again, in seconds."""

    fetch_seconds: float
    margin_seconds: float  # for what follows a fetch
    backoff_seconds: float
    backoff_cap_seconds: float
    visibility_seconds: float  # after which a message comes back by itself


def cooling(refusal: Failure) -> int:
    """For how many milliseconds a host that refused asks not to be asked at all."""
    return COOLING if refusal.retry_after is None else int(min(refusal.retry_after, _DAY) * 1000)


def delay(
    failure: Failure,
    attempt: int,
    *,
    max_attempts: int,
    base_seconds: float,
    cap_seconds: float = 300,
    random: Callable[[], float],
) -> float | None:
    """Seconds to wait after attempt number `attempt` (from 1) ended in `failure`; None to give up.

    Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/): anything from 0 to
    `base_seconds` doubled with each attempt, at most `cap_seconds`, by `random` from 0 to 1. No sooner than the site's
    Retry-After asks, which is capped too.
    """
    if not failure.retryable or attempt >= max_attempts:
        return None
    backoff = min(cap_seconds, base_seconds * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))
    asked = min(cap_seconds, failure.retry_after or 0)
    return max(asked, backoff * random())
