"""The web page as it is served: its policy, its prefix, and that it is one file."""

from __future__ import annotations

import base64
import hashlib
import re

from chalicelib.api import page
from tests.world import World, world


def test_only_its_own_script_and_style_run(w: World) -> None:
    """By their hashes; it asks the API and the bucket, and nobody else."""
    answer = w.request("GET", "/")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    text = answer.body.decode()
    for element in ("script", "style"):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy[f"{element}-src"] == f"'sha256-{digest}'"
    assert (policy["default-src"], policy["frame-ancestors"]) == ("'none'", "'none'")
    assert re.fullmatch(r"'self' https://[a-z0-9.-]+\.amazonaws\.com", policy["connect-src"])


def test_it_is_one_file(w: World) -> None:
    """Nothing in it is loaded from anywhere, and nothing is inline that the policy would stop."""
    text = w.request("GET", "/").body.decode()
    assert not re.search(r"<(link|iframe|img|script)\b[^>]*\b(src|href)=[\"']?(https?:)?//", text)
    assert not re.search(r"<[a-z][^>]*\s(style|on[a-z]+)=", text)
    assert len(text) < 100_000


def test_it_is_told_its_prefix() -> None:
    """What stands before the API's paths on API Gateway; a hostile one stays text."""
    assert '<meta name="api-prefix" content="/api">' in page.page("/api", "https://x").text
    assert '<meta name="api-prefix" content="&quot;&gt;&lt;script&gt;">' in page.page('"><script>', "https://x").text


def test_it_is_public() -> None:
    """It asks for a token itself."""
    with world(require_tokens=1) as closed:
        assert closed.request("GET", "/").status_code == 200
