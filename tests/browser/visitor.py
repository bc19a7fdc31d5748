"""Somebody at the page: what they do, what they see, and whatever went wrong unseen meanwhile."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Dialog, Locator, Page, Playwright, Request, expect

# Debian's browser as root, without a display, asking nobody for anything.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CLIPBOARD = ["clipboard-read", "clipboard-write"]
PATIENCE_MS = 60_000  # for a machine that is busy with other tests

# Said on the console, where it counts as a fault.
_TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation",
  (event) => console.error(`policy violated: ${event.violatedDirective} by ${event.blockedURI}`));
"""


class NoBrowserError(Exception):
    """There is no Chromium on this machine."""


def executable(playwright: Playwright) -> str:
    """Chromium: this machine's own, or the one that Playwright installed. Raises NoBrowserError."""
    own = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if own is None and Path(playwright.chromium.executable_path).exists():
        own = playwright.chromium.executable_path
    if own is None:
        raise NoBrowserError("These tests drive Chromium, and there is none here: apt-get install chromium")
    return own


@contextmanager
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """A browser. Raises NoBrowserError."""
    browser = playwright.chromium.launch(executable_path=executable(playwright), args=ARGUMENTS)
    try:
        yield browser
    finally:
        browser.close()


class Visitor:
    """A person with a browser of their own. `faults` are what no visit may have: errors on the console, violations of
    the policy, dialogs that a script opened, requests to a stranger."""

    def __init__(
        self, browser: Browser, home: str, may_ask: Sequence[str], expects: Sequence[str] = (), **options: Any
    ) -> None:
        self.context = browser.new_context(
            base_url=home, permissions=CLIPBOARD, **{"viewport": {"width": 1200, "height": 800}, **options}
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.add_init_script(_TELL_VIOLATIONS)
        self.home = home
        self.faults: list[str] = []
        self.asked: list[Request] = []
        self._may_ask = {_origin(url) for url in (home, *may_ask)}
        self._expects = expects  # parts of messages that the test means to bring about
        self.page = self.new_tab()

    def new_tab(self) -> Page:
        """Another tab of the same browser."""
        page = self.context.new_page()
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        return page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(part in message.text for part in self._expects):
            self.faults.append(f"console: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        self.asked.append(request)
        if not request.url.startswith(("blob:", "data:")) and _origin(request.url) not in self._may_ask:
            self.faults.append(f"asked a stranger: {request.url}")

    # What they do

    def come(self) -> None:
        """Open the page."""
        self.page.goto(self.home)

    def paste(self, urls: Sequence[str]) -> None:
        """Paste URLs over what is in the field. (Playwright's `fill` takes half a minute for a thousand lines.)"""
        self.page.evaluate("(text) => navigator.clipboard.writeText(text)", "\n".join(urls))
        self.urls.press("Control+A")
        self.urls.press("Control+V")

    def submit(self, *urls: str) -> None:
        """Submit URLs and wait until their batch is shown."""
        before = self.page.url
        self.paste(urls)
        self.button("Submit").click()
        expect(self.page).not_to_have_url(before)
        expect(self.progress).to_be_visible()

    def submit_and_wait(self, *urls: str) -> None:
        """Submit URLs and wait until their batch is finished."""
        self.submit(*urls)
        self.see_finished(len(urls))

    def open(self, url: str) -> Locator:
        """Open a job's row; returns what it opens."""
        opener = self.opener(url)
        opener.click()
        expect(opener).to_have_attribute("aria-expanded", "true")
        panel = self.page.locator(f'[id="{opener.get_attribute("aria-controls")}"]')
        expect(panel).to_be_visible()
        return panel

    # What they see

    @property
    def urls(self) -> Locator:
        """The field for URLs."""
        return self.page.get_by_label("One URL a line")

    @property
    def progress(self) -> Locator:
        """The progress bar."""
        return self.page.get_by_role("progressbar", name="Finished jobs")

    @property
    def rows(self) -> Locator:
        """The jobs' rows."""
        return self.page.get_by_role("row").filter(has=self.page.locator(".pill"))

    @property
    def batches(self) -> Locator:
        """The links to batches, newest first."""
        return self.page.get_by_role("region", name="Batches", exact=True).get_by_role("link")

    def listed(self, batch_id: str) -> Locator:
        """The link to a batch."""
        return self.batches.and_(self.page.locator(f'a[href="#{batch_id}"]'))

    @property
    def batch_id(self) -> str:
        """The open batch, as the address has it."""
        return urlsplit(self.page.url).fragment

    def button(self, name: str) -> Locator:
        """A button by its whole name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def choice(self, status: str) -> Locator:
        """The filter's button for a status, with its count in its name."""
        filters = self.page.get_by_role("group", name="Show jobs by status")
        return filters.get_by_role("button", name=re.compile(rf"^{status} \d"))

    def opener(self, url: str) -> Locator:
        """The button that opens a job's row."""
        return self.page.get_by_role("rowheader").get_by_role("button", name=url, exact=True)

    def row(self, url: str) -> Locator:
        """A job's row."""
        return self.rows.filter(has=self.opener(url))

    def see_finished(self, total: int) -> None:
        """Wait until the bar is full."""
        expect(self.progress).to_have_attribute("aria-valuemax", str(total))
        expect(self.progress).to_have_attribute("aria-valuenow", str(total))
        expect(self.choice("All")).to_have_text(f"All {total}")

    def is_too_wide(self) -> bool:
        """True where the page scrolls sideways."""
        wide: bool = self.page.evaluate("() => document.documentElement.scrollWidth > window.innerWidth")
        return wide

    def leave(self) -> None:
        """Close the browser's windows."""
        self.context.close()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
