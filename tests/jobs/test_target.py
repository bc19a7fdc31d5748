"""What a site is asked, as a value."""

from __future__ import annotations

from chalicelib.jobs.addresses import PUBLIC_ONLY
from chalicelib.jobs.target import Target


def test_the_key_of_a_url_stays_what_it_is() -> None:
    """Another would fetch every URL anew that was submitted before an update."""
    target = Target.of("HTTP://Example.com:80/a/../b?q#f", PUBLIC_ONLY)
    assert target == Target("http://example.com/b?q", "GET")
    assert target.key("local") == "1570e0c5e4089b957f9d48a937c139e87c6e0c1d194b7ea68a0b5cf716713dd4"
    assert target.host == "example.com"


def test_what_tells_targets_apart() -> None:
    """Tenant, method and URL."""
    target = Target("http://example.com/")
    assert (
        len({target.key("a"), target.key("b"), Target(target.url, "HEAD").key("a"), Target("http://b/").key("a")}) == 4
    )
