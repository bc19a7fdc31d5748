"""The package, made once for all tests here, and the service deployed from it to an emulator of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from deployment.package import Package, package
from local_stack import environment
from local_stack.emulator import Emulator
from local_stack.site import Site
from tests.deployment.deployed import Deployed, deployed, emulated


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """What goes to the cloud."""
    return package("prod", tmp_path_factory.mktemp("package") / "out")


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An emulator in which each function may do what its policy allows, and nothing else."""
    with emulated(tmp_path_factory.mktemp("emulator"), enforce=True) as started:
        yield started


@pytest.fixture(scope="session")
def service(emulator: Emulator, made: Package) -> Iterator[Deployed]:
    """The service, deployed by the code that deploys it for real, with a site to fetch from."""
    with ExitStack() as stack:
        stack.enter_context(environment.applied(environment.scrubbed(os.environ, emulator.url)))
        site = stack.enter_context(Site())
        yield deployed(emulator, made, site)
