"""What every test stands on: no credentials, no profile, no endpoint of the person who runs it."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.world import World, world


@pytest.fixture(scope="session", autouse=True)
def _no_cloud() -> Iterator[None]:
    """A person's own AWS configuration never leaks in, nor any proxy."""
    kept = dict(os.environ)
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    yield
    os.environ.clear()
    os.environ.update(kept)


_reached: list[str] = []  # addresses beyond this machine that somebody tried to connect to


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        return
    if isinstance(arguments[1], tuple) and not _is_loopback(arguments[1][0]):
        _reached.append(str(arguments[1][0]))
        raise ConnectionRefusedError(f"tests stay on this machine, and this is not on it: {arguments[1]}")


def _is_loopback(host: object) -> bool:
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:  # a name
        return host == "localhost"


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def _loopback_only() -> Iterator[None]:
    """A test that tries to reach another machine fails, whatever it makes of the refusal. Processes that it starts are
    not watched: they have settings that name this machine only."""
    _reached.clear()
    yield
    assert not _reached


@pytest.fixture
def w() -> Iterator[World]:
    """A world with the default settings."""
    with world() as made:
        yield made
