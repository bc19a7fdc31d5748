"""A tenant's own limits, set while the API counts."""

from __future__ import annotations

import pytest

from chalicelib.settings import Settings
from tests.admin.conftest import Admin
from tests.world import MINUTE, World

URL = "https://example.com/"


def submit(w: World, token: str, urls: int = 1) -> int:
    """Submit some URLs; the answer's status."""
    body = {"urls": [f"{URL}{n}" for n in range(urls)]}
    return w.request("POST", "/batches", body, {"Authorization": f"Bearer {token}"}).status_code


def table(out: str) -> dict[str, str]:
    """What is shown of each span."""
    return {line[:10].strip(): " ".join(line[10:].split()) for line in out.splitlines() if line.startswith("per ")}


def test_a_limit_takes_effect_within_a_minute(w: World, admin: Admin) -> None:
    """For that tenant; the others may submit as before."""
    token, other = admin.create("--tenant", "acme"), admin.create()
    assert submit(w, token, 3) == 202
    out = admin.says("quota", "set", "acme", "--per-minute", "2", "--per-day", "5")
    assert out.splitlines()[0] == "Tenant acme"
    assert out.endswith("This takes effect within 60 s.\n")
    w.pass_time(MINUTE)
    assert submit(w, token, 3) == 422
    assert submit(w, token, 2) == 202
    assert submit(w, token, 1) == 429
    assert table(admin.says("quota", "show", "acme")) == {
        "per minute": "2 URLs 2 in this minute",
        "per day": "5 URLs 2 in this day",
    }
    w.pass_time(MINUTE)
    assert table(admin.says("quota", "show", "acme")) == {
        "per minute": "2 URLs 0 in this minute",
        "per day": "5 URLs 2 in this day",
    }
    assert submit(w, other, 3) == 202


def test_none_removes_the_limit_and_default_restores_it(w: World, admin: Admin) -> None:
    """The tenant of those who need none is meant where none is named."""
    w.settings = Settings(require_tokens=1, quota_urls_per_minute=1)
    w.wire()
    token = admin.create()
    assert submit(w, token, 2) == 422
    out = admin.says("quota", "set", "--per-minute", "none")
    assert table(out)["per minute"] == "none 0 in this minute"
    assert "enant" not in out
    w.pass_time(MINUTE)
    assert submit(w, token, 2) == 202
    out = admin.says("quota", "set", "--per-minute", "default")
    assert table(out)["per minute"].startswith("default (the setting QUOTA_URLS_PER_MINUTE) ")
    w.pass_time(MINUTE)
    assert submit(w, token, 2) == 422


def test_a_change_touches_nothing_else(w: World, admin: Admin) -> None:
    """Neither what was counted nor a limit that was not named."""
    token = admin.create()
    admin.says("quota", "set", "--per-minute", "10", "--per-day", "100")
    assert submit(w, token, 2) == 202
    before = w.items()["QUOTA#local"]
    admin.says("quota", "set", "--per-minute", "20")
    assert w.items()["QUOTA#local"] == before | {"minute_limit": 20}
    admin.says("quota", "set", "--per-minute", "default", "--per-day", "30")
    assert w.items()["QUOTA#local"] == {name: value for name, value in before.items() if name != "minute_limit"} | {
        "day_limit": 30
    }


def test_a_tenant_without_tokens_is_pointed_out(admin: Admin) -> None:
    """It says so; the limit is set all the same, for the token may be made later."""
    hint = "Tenant acne has no token: check the name, or create one with --tenant acne.\n"
    admin.create("--tenant", "acme")
    assert hint in admin.says("quota", "set", "acne", "--per-day", "5")
    admin.create("--tenant", "acne")
    assert table(admin.says("quota", "show", "acne"))["per day"].startswith("5 URLs")
    assert hint not in admin.says("quota", "show", "acne")


@pytest.mark.parametrize("given", [(), ("acme",)])
def test_nothing_to_show(admin: Admin, given: tuple[str, ...]) -> None:
    """A tenant without limits of its own, of which nothing was counted."""
    out = admin.says("quota", "show", *given)
    assert ("enant" in out) == bool(given)
    assert table(out)["per day"] == "default (the setting QUOTA_URLS_PER_DAY) 0 in this day"
    assert out.endswith("Nothing was counted yet: URLs are counted only if there is a limit.\n")
