"""The tests' own guard."""

from __future__ import annotations

import socket

import pytest

from tests import conftest


def test_nothing_beyond_this_machine_is_reached() -> None:
    """The attempt is refused at once; that it was made is taken off here, for it would fail this test."""
    with socket.socket() as reaching, pytest.raises(ConnectionRefusedError, match="tests stay on this machine"):
        reaching.connect(("192.0.2.1", 80))
    assert conftest._reached.pop() == "192.0.2.1"
