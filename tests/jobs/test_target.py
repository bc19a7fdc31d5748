"""What a site is asked, as a value."""

from __future__ import annotations

from chalicelib.jobs.addresses import PUBLIC_ONLY
from chalicelib.jobs.submitted import RequestHeaders
from chalicelib.jobs.target import Target

SECRET = b"known to the service alone"


def test_the_key_of_a_url_stays_what_it_is() -> None:
    """Another would fetch every URL anew that was submitted before an update."""
    target = Target.of("HTTP://Example.com:80/a/../b?q#f", PUBLIC_ONLY)
    assert target == Target("http://example.com/b?q", "GET")
    assert target.key("local", SECRET) == "1570e0c5e4089b957f9d48a937c139e87c6e0c1d194b7ea68a0b5cf716713dd4"
    assert target.host == "example.com"


def test_what_tells_targets_apart() -> None:
    """Tenant, method, URL and headers."""
    url = "http://example.com/"
    with_header = [Target(url, headers=RequestHeaders({"X": value})) for value in ("1", "2")]
    targets = [Target(url), Target(url, "HEAD"), Target("http://b/"), *with_header]
    assert len({target.key(tenant, SECRET) for target in targets for tenant in ("a", "b")}) == 10


def test_headers_that_make_the_same_request_have_one_key() -> None:
    """The case of their names and their order say nothing."""
    one, other = RequestHeaders({"X-A": "1", "B": "2"}), RequestHeaders({"b": "2", "x-a": "1"})
    assert Target("http://b/", headers=one).key("a", SECRET) == Target("http://b/", headers=other).key("a", SECRET)


def test_who_does_not_know_the_secret_cannot_check_a_guess() -> None:
    """Without it the same headers give another key."""
    target = Target("http://b/", headers=RequestHeaders({"Authorization": "1234"}))
    assert target.key("a", SECRET) != target.key("a", b"a guess")
