"""The sentences of failures."""

from __future__ import annotations

import pytest

from chalicelib.runner import failures
from chalicelib.runner.outcome import Failure


@pytest.mark.parametrize(
    ("failure", "end"),
    [
        (failures.out_of_time(1), "the limit of 1 second"),
        (failures.out_of_time(1.5), "the limit of 1.5 seconds"),
        (failures.connecting_took_too_long("this host", 1), "within 1 second"),
        (failures.connecting_took_too_long("this host", 5), "within 5 seconds"),
        (failures.too_many_redirects(1), "more than 1 time"),
        (failures.too_many_redirects(10), "more than 10 times"),
        (failures.too_large(1), "the limit of 1 byte"),
        (failures.too_large(1000), "the limit of 1000 bytes"),
    ],
)
def test_one_and_more(failure: Failure, end: str) -> None:
    """The noun after a number agrees with it."""
    assert failure.error.detail.endswith(end)
