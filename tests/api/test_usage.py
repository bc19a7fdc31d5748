"""How much one may still submit, without submitting."""

from __future__ import annotations

from tests.world import MINUTE, SECOND, START, World, world

URL = "https://example.com/"


def test_without_a_quota(w: World) -> None:
    """There is none, and nothing is read for it."""
    w.submit(URL)
    with w.counted_calls() as calls:
        answer = w.request("GET", "/usage")
    assert (answer.status_code, answer.json_body) == (200, {"quotas": []})
    assert not [name for name in answer.headers if name.startswith("RateLimit")]
    assert calls == {}


def test_what_a_post_would_say() -> None:
    """The same as the headers of the last POST, now."""
    with world(quota_urls_per_minute=5, quota_urls_per_day=8) as w:
        assert [(quota["used"], quota["remaining"]) for quota in usage(w)] == [(0, 5), (0, 8)]
        w.now = START + 10 * SECOND
        posted = w.request("POST", "/batches", {"urls": [URL, f"{URL}2"]})
        answer = w.request("GET", "/usage")
        assert answer.json_body["quotas"] == [
            {"span": "minute", "limit": 5, "used": 2, "remaining": 3, "resets_at": "2026-01-01T00:01:00.000Z"},
            {"span": "day", "limit": 8, "used": 2, "remaining": 6, "resets_at": "2026-01-02T00:00:00.000Z"},
        ]
        for name in ("RateLimit", "RateLimit-Policy"):
            assert answer.headers[name] == posted.headers[name]
        w.now = START + MINUTE
        assert [(quota["used"], quota["remaining"]) for quota in usage(w)] == [(0, 5), (2, 6)]


def test_asking_does_not_count() -> None:
    with world(quota_urls_per_minute=1) as w:
        before = w.items()
        assert usage(w) == usage(w)
        assert w.items() == before


def test_each_tenant_sees_its_own() -> None:
    with world(quota_urls_per_minute=5, require_tokens=1) as w:
        alice, bob = ({"Authorization": f"Bearer {w.grant(name)}"} for name in ("alice", "bob"))
        w.request("POST", "/jobs", {"url": URL}, alice)
        seen = [w.request("GET", "/usage", headers=who).json_body["quotas"][0]["used"] for who in (alice, bob)]
        assert seen == [1, 0]


def usage(w: World) -> list[dict[str, int]]:
    quotas: list[dict[str, int]] = w.request("GET", "/usage").json_body["quotas"]
    return quotas
