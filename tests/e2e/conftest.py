"""Stacks that several tests share: each test uses URLs of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.running import SHORT, Running, running

_numbers = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the emulator."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.emulator)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack with a window of an hour and short leases."""
    with running(tmp_path_factory.mktemp("stack"), SHORT) as stack:
        yield stack


@pytest.fixture
def fresh() -> Callable[[str], str]:
    """Makes a path of the sample site that no other test uses."""

    def path(begin: str = "/page") -> str:
        mark = f"{next(_numbers)}-test"
        return f"{begin}&{mark}" if "?" in begin else f"{begin}/{mark}"

    return path
