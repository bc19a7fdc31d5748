"""The web page: served as one file with its script and style in it, and the policy that lets only these run."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import re
from dataclasses import dataclass
from pathlib import Path

PREFIX = '<meta name="api-prefix" content="">'  # tells the page what precedes the API's paths
SCRIPT = "<script></script>"  # where the page has its script
MODULES = ("page_logic.js", "page.js")  # which become the script; each imports from those before it


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
    text = _file("page.html").replace(SCRIPT, SCRIPT.replace("><", f">\n{_script()}<"))
    return text, _hashes("script", text), _hashes("style", text)


def _script() -> str:
    """The modules as one script, in which all names are in scope: nothing is imported or exported any more."""
    modules = "\n".join(_file(name) for name in MODULES)
    return '"use strict";\n\n' + re.sub(r"^(export |import [^;]*;\n)", "", modules, flags=re.MULTILINE)


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hashes(element: str, text: str) -> str:
    contents = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
