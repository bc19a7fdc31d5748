"""`python -m tests.browser.screenshots`: the README's pictures of the page, made on a stack that it starts and ends."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import expect, sync_playwright

from tests.browser.contents import Contents, Server, site
from tests.browser.visitor import PATIENCE_MS, NoBrowserError, Visitor, chromium
from tests.e2e.running import ROOT, SHORT, running

IMAGES = ROOT / "docs" / "images"
SCREEN = {"width": 1200, "height": 980}
SCHEMES: tuple[Any, ...] = ("light", "dark")

_SHELF = {
    "id": 4711,
    "name": "Shelf, oak",
    "price": {"amount": "149.00", "currency": "EUR"},
    "in_stock": True,
    "tags": ["shelf", "oak", "made to order"],
    "sizes": [{"width": 80, "height": 180, "depth": 28.5}, {"width": 120, "height": 180, "depth": 28.5}],
    "discontinued": None,
}
CONTENTS: Contents = {
    **{
        f"/items/{number}.json": ("application/json", json.dumps({**_SHELF, "id": number}).encode())
        for number in range(4711, 4721)
    },
    "/robots.txt": ("text/plain; charset=utf-8", b"User-agent: *\nAllow: /\n"),
    "/catalogue.html": (
        "text/html; charset=utf-8",
        b"<!doctype html>\n<title>Catalogue</title>\n" + b"<p>Oak.\n" * 700,
    ),
    "/prices.csv": ("text/csv; charset=utf-8", b"id,amount,currency\n" + b"4711,149.00,EUR\n" * 900),
}


def arrange(visitor: Visitor, shop: Server) -> None:
    """A day at the page: three batches, the last one finished, with failures, reuse and an opened result."""
    items = [shop.page(f"/items/{number}.json") for number in range(4711, 4721)]
    visitor.submit_and_wait(*items[3:5])
    visitor.submit_and_wait(shop.page("/robots.txt"), shop.page("/prices.csv"), shop.page("/closed.html"))
    pages = [shop.page(path) for path in ("/catalogue.html", "/items/0.json", "/prices.csv")]
    visitor.submit_and_wait(*pages, *items[:6], shop.page("/robots.txt"))
    tree = visitor.open(items[0]).get_by_role("region", name="Result as a tree")
    expect(tree.get_by_text('name: "Shelf, oak"')).to_be_visible()
    visitor.page.mouse.move(0, 0)
    visitor.page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")


def main() -> None:
    """Make both pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=PATIENCE_MS)
    try:
        with (
            tempfile.TemporaryDirectory() as directory,
            sync_playwright() as playwright,
            chromium(playwright) as browser,
            running(Path(directory), SHORT) as stack,
            site(CONTENTS) as shop,
        ):
            facts = stack.facts
            visitor = Visitor(
                browser, facts["api"], [facts["emulator"]], viewport=SCREEN, locale="en-GB", reduced_motion="reduce"
            )
            visitor.come()
            arrange(visitor, shop)
            for scheme in SCHEMES:
                visitor.page.emulate_media(color_scheme=scheme)
                path = IMAGES / f"page-{scheme}.png"
                visitor.page.screenshot(path=path)
                print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1024} KiB")
            visitor.leave()
    except NoBrowserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
