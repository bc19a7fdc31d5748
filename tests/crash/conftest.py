"""A world whose AWS calls are stepped."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.crash.scenarios import PRIVATE, Stage, stage
from tests.crash.stepping import Conductor
from tests.world import World, world


@pytest.fixture(scope="module")
def crash_world() -> Iterator[tuple[World, Conductor]]:
    """One world for all cases of a module, emptied for each."""
    conductor = Conductor()
    # `make prove` runs the same on another emulator.
    with world(conductor.client, endpoint=os.environ.get("PROVE_ENDPOINT", "")) as w:
        w.private |= PRIVATE
        yield w, conductor


@pytest.fixture
def s(crash_world: tuple[World, Conductor]) -> Iterator[Stage]:
    """An empty stage."""
    with stage(*crash_world) as ready:
        yield ready
