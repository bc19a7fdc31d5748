"""The composition root: what it hands to the stores and the fetcher."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from chalicelib.settings import Settings
from chalicelib.wiring import Threads, address_policy, user_agent


def test_threads_work_at_the_same_time_and_answer_in_order() -> None:
    """All of four meet at a barrier, which one after the other never would."""
    meeting = threading.Barrier(4, timeout=10)

    def meet(value: int) -> int:
        meeting.wait()
        return value * value

    assert Threads(4)(meet, [3, 1, 2, 0]) == [9, 1, 4, 0]


def test_after_a_failure_nothing_more_is_begun() -> None:
    """One thread: the second of a thousand fails, and no others are tried."""
    tried: list[int] = []

    def work(value: int) -> None:
        tried.append(value)
        if value == 1:
            raise ValueError("the second")

    with pytest.raises(ValueError, match="the second"):
        Threads(1)(work, list(range(1000)))
    assert tried == [0, 1]


def test_loopback_is_for_stage_dev_alone() -> None:
    """And there the emulator stays out of reach, as Lambda's runtime API does."""
    local = address_policy(replace(Settings(), aws_endpoint_url="http://127.0.0.1:4566"))
    assert (local.loopback_allowed, local.forbidden_ports) == (True, frozenset({4566, 9001}))
    deployed = address_policy(replace(Settings(), stage="prod"))
    assert (deployed.loopback_allowed, deployed.forbidden_ports) == (False, frozenset({9001}))


def test_sites_learn_who_asks() -> None:
    """The User-Agent names the service, and whom to write to where that is set."""
    assert user_agent(Settings()) == "FetchQueue/1.0"
    assert user_agent(replace(Settings(), contact_url="https://example.com/bot")).endswith("(+https://example.com/bot)")
