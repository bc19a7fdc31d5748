"""What every test stands on: no credentials, no profile, no endpoint of the person who runs it."""

from __future__ import annotations

import os
from collections.abc import Iterator

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


@pytest.fixture
def w() -> Iterator[World]:
    """A world with the default settings."""
    with world() as made:
        yield made
