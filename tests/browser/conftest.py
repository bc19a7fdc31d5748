"""A browser and stacks that several tests share: each test uses URLs of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.visitor import PATIENCE_MS, NoBrowserError, Visitor, chromium
from tests.e2e.running import SHORT, Running, running
from tests.e2e.test_access import admin

_numbers = itertools.count()

Visit = Callable[..., Visitor]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the emulator, and a browser besides."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.emulator)
            item.add_marker(pytest.mark.browser)


# Of this package, not of the session: Playwright's event loop would be in the way of other tests' own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A Chromium for all; each visitor has a profile of their own in it."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        try:
            with chromium(playwright) as browser:
                yield browser
        except NoBrowserError as error:
            pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack that is open to everybody."""
    with running(tmp_path_factory.mktemp("open"), SHORT) as stack:
        yield stack


@pytest.fixture(scope="package")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack that asks for tokens and has a quota."""
    settings = {**SHORT, "REQUIRE_TOKENS": "1", "QUOTA_URLS_PER_DAY": "20"}
    with running(tmp_path_factory.mktemp("closed"), settings) as stack:
        yield stack


@pytest.fixture
def token(closed: Running) -> str:
    """A token of a tenant of its own, and so with a quota of its own."""
    return admin(closed, "token", "create", "--tenant", f"tenant-{next(_numbers)}").strip()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Sends visitors to a stack. Nothing may have gone wrong for any of them, seen or unseen."""
    visitors: list[Visitor] = []

    def come(stack: Running, *, home: str | None = None, expects: Sequence[str] = (), **options: Any) -> Visitor:
        facts = stack.facts
        visitor = Visitor(browser, home or facts["api"], [facts["emulator"]], expects, **options)
        visitors.append(visitor)
        visitor.come()
        return visitor

    yield come
    for visitor in visitors:
        visitor.leave()
    assert [fault for visitor in visitors for fault in visitor.faults] == []


@pytest.fixture
def fresh(stack: Running) -> Callable[[str], str]:
    """Makes a URL of the sample site that no other test uses."""

    def url(path: str) -> str:
        return stack.page(f"{path}{'&' if '?' in path else '?'}{next(_numbers)}")

    return url
