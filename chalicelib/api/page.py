"""The web page: one file with its script and style in it, and the policy that lets only these run."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import re
from dataclasses import dataclass
from pathlib import Path

PREFIX = '<meta name="api-prefix" content="">'  # tells the page what precedes the API's paths


@dataclass(frozen=True, slots=True)
class Page:
    """The page's text, and its Content-Security-Policy."""

    text: str
    policy: str


def page(prefix: str, results_origin: str) -> Page:
    """The page for a stage's prefix; it may ask the API, and the bucket at `results_origin` for results."""
    text, scripts, styles = _read()
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {scripts}",
            f"style-src {styles}",
            f"connect-src 'self' {results_origin}",
            "img-src blob: data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            # The browser itself makes sure that text from outside is never parsed as markup.
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )
    return Page(text.replace(PREFIX, PREFIX.replace('""', f'"{html.escape(prefix)}"')), policy)


@functools.cache
def _read() -> tuple[str, str, str]:
    text = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return text, _hashes("script", text), _hashes("style", text)


def _hashes(element: str, text: str) -> str:
    contents = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
