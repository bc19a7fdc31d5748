"""Trying again: when, and for how long."""

from __future__ import annotations

import pytest
from fetch_queue import Unreachable
from fetch_queue.patience import Patience, pause, seconds

from tests.client.fake import BEGAN, Time


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("5", 5.0),
        (" 0 ", 0.0),
        ("Tue, 24 Nov 2026 10:00:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("²", None),
        ("9" * 5000, 999999999.0),
    ],
)
def test_retry_after(header: str | None, expected: float | None) -> None:
    """Seconds, or a date; what cannot be read says nothing."""
    assert seconds(header, BEGAN) == expected


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_never_before_the_time_that_was_named(chance: float) -> None:
    """And not much after it."""
    for told in (0.0, 1.0, 30.0, 3600.0):
        assert max(told, 0.5) <= pause(0, told, chance) <= told + 2.0


def test_pauses_grow_to_a_limit() -> None:
    """Where no time was named."""
    pauses = [pause(tries, None, 1.0) for tries in range(40)]
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(pauses) == pauses[-1] == 30.0
    assert pause(0, None, 0.0) == 0.25


def test_giving_up(time: Time) -> None:
    """Before the limit has passed, for a pause that would end after it is no use."""
    notices: list[str] = []
    patience = Patience(time.timing, lambda: 60.0, notices.append)

    def wait_for_ever() -> None:
        while True:
            patience.wait("It is away.")

    with pytest.raises(Unreachable, match=r"^It is away\. Gave up after \d+ s\.$"):
        wait_for_ever()
    assert 30 < sum(time.slept) <= 60
    assert notices == ["It is away. Trying again in 0 s, for 60 s at most."]


def test_what_is_too_far_off_is_not_waited_for(time: Time) -> None:
    """A quota that begins again tomorrow is no reason to sit there for five minutes."""
    with pytest.raises(Unreachable, match=r"that is in 7200 s, and the longest wait is 300 s"):
        Patience(time.timing, lambda: 300.0, lambda _: None).wait("The quota is used up.", 7200.0)
    assert time.slept == []
