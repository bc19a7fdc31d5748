"""When to ask again, as seconds in a Retry-After."""

from __future__ import annotations

import math

JOB_POLL_SECONDS = 1
BATCH_POLL_SECONDS = (2, 10)  # least and most: grows with the batch's age, the first one with its size
QUIET_POLL_SECONDS = 60  # most, while all that is unfinished waits


def job_poll(now: int, quiet_until: int | None) -> int:
    """Seconds until it is worth asking how an unfinished job is; nothing changes before `quiet_until`."""
    return max(JOB_POLL_SECONDS, _quiet(now, quiet_until))


def first_batch_poll(unfinished: int) -> int:
    """The same of a batch that was just submitted, with so many unfinished jobs: each status reads every job."""
    return _within_bounds(unfinished / 200)


def batch_poll(now: int, submitted_at: int, quiet_until: int | None = None) -> int:
    """The same of a batch that was submitted then."""
    return max(_within_bounds((now - submitted_at) / 10_000), _quiet(now, quiet_until))


def _within_bounds(seconds: float) -> int:
    least, most = BATCH_POLL_SECONDS
    return max(least, min(most, math.ceil(seconds)))


def _quiet(now: int, until: int | None) -> int:
    return 0 if until is None else min(QUIET_POLL_SECONDS, math.ceil((until - now) / 1000))
