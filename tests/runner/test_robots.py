"""robots.txt is obeyed with ROBOTS=1: asked for once a day, host and tenant, and before anything else (RFC 9309)."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib import wiring
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.entities import ErrorType, FetchError
from chalicelib.jobs.robots import MOST_BYTES
from chalicelib.runner import failures
from chalicelib.runner.fetcher import Fetcher, FetchLimits
from chalicelib.runner.outcome import Failure
from tests.runner.sites import Answer, Kept, always, chunked, paths, response, site
from tests.world import DAY, HOUR, MINUTE, SECOND, World, failure, world

HOST = "https://example.com"
PAGE = f"{HOST}/page"
ROBOTS = f"{HOST}/robots.txt"
FORBID = b"User-agent: *\nDisallow: /\n"


class Killed(BaseException):
    """A worker dies."""


@pytest.fixture
def w() -> Iterator[World]:
    """A world that obeys robots.txt."""
    with world(robots=1) as made:
        yield made


def run_for(w: World, ms: int, *, step: int = 200) -> None:
    """Deliver what comes, for a while."""
    end = w.now + ms
    while w.now < end and (w.run() or w.more_will_come):
        w.pass_time(step)


def fetched(w: World, url: str = PAGE, ms: int = MINUTE) -> dict[str, Any]:
    """What becomes of a URL."""
    job_id = w.submit(url)["id"]
    run_for(w, ms)
    return w.job(job_id)


def test_what_is_forbidden_is_not_requested(w: World) -> None:
    """The job fails and says why; what is allowed is fetched, and the file was asked for once."""
    w.site.answers[ROBOTS] = [b"User-agent: FetchQueue\nDisallow: /private\n"]
    job = fetched(w, f"{HOST}/public/../private/a")
    assert (job["status"], job["error"]["type"]) == ("failed", "robots")
    assert job["error"]["detail"] == (
        "the site's robots.txt does not allow this URL to be fetched by FetchQueue; "
        "its rules are at https://example.com/robots.txt"
    )
    assert fetched(w)["status"] == "succeeded"
    assert w.site.requests == {ROBOTS: 1, PAGE: 1}


def test_a_batch_of_one_host(w: World) -> None:
    """One of several asks, the others wait; each URL has its own end."""
    w.site.answers[ROBOTS] = [b"User-agent: *\nDisallow: /1\n"]
    batch = w.submit_batch([f"{HOST}/{n}" for n in range(20)])
    run_for(w, MINUTE)
    counts = w.request("GET", batch["links"]["self"]).json_body["counts"]
    assert (counts["succeeded"], counts["failed"]) == (9, 11)
    assert w.site.requests[ROBOTS] == 1
    assert w.site.requests.total() == 10


@pytest.mark.parametrize("status", [301, 304, 400, 401, 403, 404, 410, 451])
def test_where_there_is_none_everything_is_allowed(w: World, status: int) -> None:
    """And nobody asks again for a day."""
    w.site.answers[ROBOTS] = [failure(status)]
    assert fetched(w)["status"] == "succeeded"
    assert fetched(w, f"{HOST}/other")["status"] == "succeeded"
    assert w.site.requests[ROBOTS] == 1


@pytest.mark.parametrize(
    "refusal",
    [
        failures.too_many_redirects(10),
        failures.invalid_redirect(),
        failures.blocked_redirect(),
        failures.blocked_address(failures.REDIRECT_HOST),
    ],
    ids=lambda refusal: refusal.error.detail[:30],
)
def test_a_redirect_that_cannot_be_followed_is_none_too(w: World, refusal: Failure) -> None:
    w.site.answers[ROBOTS] = [refusal]
    assert fetched(w)["status"] == "succeeded"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 599])
def test_a_host_that_refuses_it_is_waited_for(w: World, status: int) -> None:
    """No page is requested and no attempt spent, until it answers."""
    w.site.answers[ROBOTS] = [*[failure(status, retryable=True, retry_after=30)] * 6, b""]
    job_id = w.submit(PAGE)["id"]
    w.run()
    job = w.job(job_id)
    assert (job["status"], job["attempts"], job["next_attempt_at"]) == ("queued", 0, "2026-01-01T00:00:30.000Z")
    run_for(w, 29 * SECOND)
    assert w.site.requests[ROBOTS] == 1
    run_for(w, HOUR)
    job = w.job(job_id)
    assert (job["status"], job["attempts"]) == ("succeeded", 1)
    assert w.site.requests == {ROBOTS: 7, PAGE: 1}


def test_a_host_that_refuses_it_for_hours() -> None:
    """The job ends, and says what was missing."""
    with world(robots=1, host_wait_hours=1) as w:
        w.site.answers[ROBOTS] = [failure(503, retryable=True)]
        job = fetched(w, ms=3 * HOUR)
        assert (job["status"], job["error"]["type"]) == ("failed", "host-busy")
        assert "before its robots.txt is read" in job["error"]["detail"]
        assert w.site.requests[PAGE] == 0
        assert w.site.requests[ROBOTS] < 120


def unreachable(error_type: ErrorType, *, retryable: bool) -> Failure:
    return Failure(error=FetchError(type=error_type, detail="no"), retryable=retryable)


@pytest.mark.parametrize("error_type", [ErrorType.TIMEOUT, ErrorType.CONNECTION, ErrorType.DNS])
def test_a_site_that_cannot_be_reached_fails_as_its_page_would(w: World, error_type: ErrorType) -> None:
    """With each attempt one request for robots.txt, and none for the page."""
    w.site.answers[ROBOTS] = [unreachable(error_type, retryable=True)]
    job = fetched(w, ms=10 * MINUTE)
    assert (job["status"], job["attempts"], job["error"]["type"]) == ("failed", 4, error_type)
    assert job["error"]["detail"].endswith("and that failed: no")
    assert w.site.requests == {ROBOTS: 4}


def test_a_site_that_is_back_at_the_next_attempt(w: World) -> None:
    w.site.answers[ROBOTS] = [unreachable(ErrorType.CONNECTION, retryable=True), b""]
    job = fetched(w)
    assert (job["status"], job["attempts"]) == ("succeeded", 2)


@pytest.mark.parametrize(
    "final", [failures.no_such_host(failures.SUBMITTED_HOST), failures.blocked_address(failures.SUBMITTED_HOST)]
)
def test_what_is_final_is_final_at_once(w: World, final: Failure) -> None:
    """A name without an address, and an address that may not be fetched."""
    w.site.answers[ROBOTS] = [final]
    job = fetched(w)
    assert (job["status"], job["attempts"], job["error"]["type"]) == ("failed", 1, final.error.type)
    assert w.site.requests[PAGE] == 0


def test_others_share_a_failure_while_they_wait(w: World) -> None:
    """A list of a dead host needs no request for each URL."""
    w.site.answers[ROBOTS] = [failures.no_such_host(failures.SUBMITTED_HOST)]
    batch = w.submit_batch([f"{HOST}/{n}" for n in range(10)])
    run_for(w, MINUTE)
    assert w.request("GET", batch["links"]["self"]).json_body["counts"]["failed"] == 10
    assert w.site.requests == {ROBOTS: 1}


def test_it_is_asked_for_once_a_day(w: World) -> None:
    """Twenty-four hours, from when it came."""
    fetched(w)
    w.pass_time(DAY - MINUTE - SECOND)
    fetched(w, f"{HOST}/2")
    assert w.site.requests[ROBOTS] == 1
    w.pass_time(2 * MINUTE)
    w.site.answers[ROBOTS] = [FORBID]
    assert fetched(w, f"{HOST}/3")["error"]["type"] == "robots"
    assert w.site.requests[ROBOTS] == 2


def test_a_retry_is_held_against_it_too(w: World) -> None:
    """The rules of the next day, say."""
    w.site.answers[PAGE] = [failure(503, retryable=True), b"never"]
    job_id = w.submit(PAGE)["id"]
    w.run()
    w.pass_time(DAY + SECOND)
    w.site.answers[ROBOTS] = [FORBID]
    run_for(w, MINUTE)
    assert (w.job(job_id)["error"]["type"], w.site.requests[PAGE]) == ("robots", 1)


def test_each_tenant_asks_for_itself() -> None:
    """Tenants share nothing."""
    with world(robots=1, require_tokens=1) as w:
        for tenant in ("mine", "yours"):
            headers = {"Authorization": f"Bearer {w.grant(tenant)}"}
            w.request("POST", "/jobs", {"url": PAGE}, headers)
        run_for(w, MINUTE)
        assert w.site.requests == {ROBOTS: 2, PAGE: 2}


def test_http_and_https_are_two_sites(w: World) -> None:
    """And so is another port."""
    w.site.answers[ROBOTS] = [FORBID]
    assert fetched(w)["status"] == "failed"
    assert fetched(w, "http://example.com/page")["status"] == "succeeded"
    assert fetched(w, f"{HOST}:8443/page")["status"] == "succeeded"
    assert w.site.requests["http://example.com/robots.txt"] == w.site.requests[f"{HOST}:8443/robots.txt"] == 1


def noting(w: World) -> list[tuple[str, int]]:
    """When the site is asked for what."""
    seen: list[tuple[str, int]] = []
    w.site.note = lambda url: seen.append((url, w.now))
    return seen


@pytest.mark.parametrize("least", [0, 500, 20_000], ids=lambda least: f"HOST_INTERVAL_MS={least}")
def test_a_crawl_delay_is_kept(least: int) -> None:
    """Between any two requests, that for robots.txt too; the jobs say when they are due."""
    with world(robots=1, host_interval_ms=least) as w:
        w.site.answers[ROBOTS] = [b"User-agent: *\nCrawl-delay: 10\n"]
        seen = noting(w)
        batch = w.submit_batch([f"{HOST}/{n}" for n in range(12)])
        run_for(w, 25 * SECOND)
        jobs = w.request("GET", batch["links"]["self"]).json_body["jobs"]
        due = sorted(job["next_attempt_at"] for job in jobs if job["next_attempt_at"])
        run_for(w, HOUR)
        assert len(seen) == 13
        pauses = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(seen)]
        assert min(pauses) >= max(10_000, least)
        assert max(pauses) <= max(10_000, least) + 3 * SECOND
        assert len(set(due)) == len(due) > 0


def test_a_long_crawl_delay_is_kept_too() -> None:
    """Whose turn does not come in time fails at once."""
    with world(robots=1, host_wait_hours=2) as w:
        w.site.answers[ROBOTS] = [b"User-agent: *\nCrawl-delay: 3600\n"]
        batch = w.submit_batch([f"{HOST}/{n}" for n in range(5)])
        run_for(w, 3 * HOUR, step=SECOND)
        counts = w.request("GET", batch["links"]["self"]).json_body["counts"]
        assert (counts["succeeded"], counts["failed"]) == (2, 3)
        assert w.site.requests.total() == 3


def test_a_crawl_delay_that_is_taken_back(w: World) -> None:
    """A day later the host is asked as any other, once the old delay after the request for its robots.txt is over."""
    w.site.answers[ROBOTS] = [b"User-agent: *\nCrawl-delay: 10\n", b""]
    fetched(w)
    w.pass_time(DAY)
    batch = w.submit_batch([f"{HOST}/{n}" for n in range(10)])
    run_for(w, 15 * SECOND)
    assert w.request("GET", batch["links"]["self"]).json_body["counts"]["succeeded"] == 10


def test_two_workers_at_once(w: World) -> None:
    """The second finds that another asks, and comes back."""
    jobs = [w.submit(f"{HOST}/{n}")["id"] for n in range(2)]
    first, second = w.receive()

    def meanwhile(_: str) -> None:
        w.site.during = None
        w.deliver([second])
        assert w.site.requests == {ROBOTS: 1}

    w.site.during = meanwhile
    w.deliver([first])
    assert w.site.requests == {ROBOTS: 1, f"{HOST}/0": 1}
    run_for(w, 5 * SECOND)
    assert [w.job(job)["status"] for job in jobs] == ["succeeded"] * 2
    assert w.site.requests[ROBOTS] == 1


def test_a_worker_that_dies_while_it_asks(w: World) -> None:
    """Others wait until its lease is over, and one of them asks; the page is requested once."""

    def die(_: str) -> None:
        raise Killed

    w.site.during = die
    job_id = w.submit(PAGE)["id"]
    with pytest.raises(Killed):
        w.run()
    w.site.during = None
    messages = list(w.messages)
    other = w.submit(f"{HOST}/other")["id"]
    run_for(w, w.settings.lease_ms - 10 * SECOND)
    assert w.site.requests == {ROBOTS: 1}
    w.pass_time(20 * SECOND)
    run_for(w, MINUTE)
    w.deliver(messages)
    assert (w.job(job_id)["status"], w.job(other)["status"]) == ("succeeded", "succeeded")
    assert w.site.requests == {ROBOTS: 2, PAGE: 1, f"{HOST}/other": 1}


def test_a_worker_that_is_late_changes_nothing(w: World) -> None:
    """Its lease was over, and another asked since."""
    w.submit(PAGE)
    w.submit(f"{HOST}/other")
    first, second = w.receive()

    def meanwhile(_: str) -> None:
        w.site.during = None
        w.site.answers[ROBOTS] = [FORBID]
        w.pass_time(w.settings.lease_ms + SECOND)
        w.deliver([second])
        w.site.answers[ROBOTS] = [b""]

    w.site.during = meanwhile
    w.deliver([first])
    run_for(w, MINUTE)
    assert w.site.requests == {ROBOTS: 2}


def test_no_time_is_left_after_it(w: World) -> None:
    """The page is fetched by the next invocation, at once."""
    left = [1000.0]
    w.site.during = lambda _: left.__setitem__(0, 10.0)
    job_id = w.submit(PAGE)["id"]
    w.deliver(w.receive(), seconds_left=lambda: left[0])
    assert w.site.requests == {ROBOTS: 1}
    w.run()
    assert w.job(job_id)["status"] == "succeeded"


def test_dead_letters_ask_for_nothing(w: World) -> None:
    """They only bring jobs to an end; what is known of a robots.txt they may not even read."""
    read: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        read.append(str(params))

    job_id = w.submit(PAGE)["id"]
    (message,) = w.receive()
    w.clients["sqs"].send_message(QueueUrl=w.names["DEAD_LETTER_QUEUE_URL"], MessageBody=message["body"])
    events = w.clients["dynamodb"].meta.events
    events.register("before-parameter-build.dynamodb.BatchGetItem", note, unique_id="note")
    w.deliver(w.receive_dead_letters(), dead_letters=True)
    events.unregister("before-parameter-build.dynamodb.BatchGetItem", unique_id="note")
    assert "JOB#" in read[0]
    assert not any("ROBOTS#" in keys for keys in read)
    assert (w.job(job_id)["error"]["type"], w.site.requests.total()) == ("worker-lost", 0)


def test_what_it_costs(w: World) -> None:
    """For the first URL: a lease, a text, and another look; then nothing, until another process reads the text."""
    w.submit(PAGE)
    messages = w.receive()
    with w.counted_calls() as calls:
        w.deliver(messages)
    assert calls == {"BatchGetItem": 2, "UpdateItem": 2, "PutObject": 2, "PutItem": 1, "TransactWriteItems": 1}
    w.submit_batch([f"{HOST}/{n}" for n in range(10)])
    messages = w.receive()
    with w.counted_calls() as calls:
        w.deliver(messages)
    assert calls == {"BatchGetItem": 1, "TransactWriteItems": 1, "PutObject": 10, "UpdateItem": 10}
    w.wire()
    w.submit_batch([f"{HOST}/again/{n}" for n in range(10)])
    messages = w.receive()
    with w.counted_calls() as calls:
        w.deliver(messages)
    assert calls == {"BatchGetItem": 1, "GetObject": 1, "TransactWriteItems": 1, "PutObject": 10, "UpdateItem": 10}


def test_without_the_setting_nothing_is_asked() -> None:
    with world() as w:
        w.site.answers[ROBOTS] = [FORBID]
        assert fetched(w)["status"] == "succeeded"
        assert w.site.requests == {PAGE: 1}
        assert not any(key.startswith("ROBOTS#") for key in w.items())


# From a real site


def allowed_by(answer: Answer | bytes, *pages: str, **limits: int) -> list[bool]:
    """Which pages of a real site may be fetched, whose robots.txt is answered so."""
    with (
        site(paths({"/robots.txt": answer} | dict.fromkeys(pages, response(b"page")))) as running,
        world(robots=1) as w,
    ):
        wanted = FetchLimits(**{"connect_seconds": 60, "total_seconds": 120, **limits})
        loopback = AddressPolicy(loopback_allowed=True)
        fetchers = [
            Fetcher(limits=each, policy=loopback, user_agent="FetchQueue/1.0 (+https://example.com/)")
            for each in (wanted, wiring.limits_of_robots(wanted))
        ]
        w.service = wiring.make_service(w.wired, w.outside, loopback)
        w.runner = wiring.make_runner(w.wired, w.outside, *fetchers)
        jobs = [w.submit(running.url + page)["id"] for page in pages]
        run_for(w, MINUTE)
        assert running.targets.count("/robots.txt") == 1
        assert b"User-Agent: FetchQueue/1.0" in running.heads[0]
        for fetcher in fetchers:
            fetcher.close()
        return [w.job(job)["status"] == "succeeded" for job in jobs]


def filled(size: int, last: bytes) -> bytes:
    """A text of this size that begins with a rule and ends with another."""
    head = b"User-agent: *\nDisallow: /first\n"
    lines = b"# nothing\n" * ((size - len(head) - len(last)) // 10)
    return head + lines + b"#" * (size - len(head) - len(lines) - len(last) - 1) + b"\n" + last


PAGES = ("/first", "/last", "/other")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (filled(MOST_BYTES, b"Disallow: /last\n"), [False, False, True]),
        (filled(MOST_BYTES + 1, b"Disallow: /last\n"), [False, True, True]),
        (filled(MOST_BYTES + 4, b"Disallow: /last"), [False, True, True]),
        (filled(3 * MOST_BYTES, b"Disallow: /\n"), [False, True, True]),
        (b"\xef\xbb\xbf" + filled(1000, b"Disallow: /last\n"), [False, False, True]),
    ],
    ids=["500 KiB", "a byte more", "a rule that is cut", "much more", "with a mark"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["as it is", "gzip"])
def test_five_hundred_kib(text: bytes, expected: list[bool], packed: bool) -> None:
    """So much is read, also where a page may not be so large; a longer file is no error."""
    answer = response(gzip.compress(text), headers={"Content-Encoding": "gzip"}) if packed else response(text)
    assert allowed_by(answer, *PAGES, max_bytes=1000) == expected


def test_a_text_without_end() -> None:
    """Its first part is enough, and the connection is closed."""

    def answer(visit: Any) -> None:
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + filled(MOST_BYTES, b"Disallow: /last\n"))
        visit.send(b"# more\n" * 10_000)
        visit.hang()

    assert allowed_by(answer, *PAGES, total_seconds=5) == [False, False, True]


def test_redirects_are_followed() -> None:
    """Five at least, whatever the setting for pages; chunks are no matter."""
    hops = {f"/{n}": response(b"", 301, {"Location": f"/{n + 1}"}) for n in range(1, 5)}
    hops |= {"/robots.txt": response(b"", 302, {"Location": "/1"}), "/5": chunked(FORBID)}
    fetcher = Fetcher(
        limits=wiring.limits_of_robots(FetchLimits(max_redirects=0)),
        policy=AddressPolicy(loopback_allowed=True),
        user_agent="FetchQueue/1.0",
    )
    with site(paths(hops)) as running:
        sink = Kept()
        fetcher.fetch(f"{running.url}/robots.txt", sink)
        fetcher.close()
    assert sink.body == FORBID


def test_a_real_site_without_one() -> None:
    """404."""
    assert allowed_by(response(b"no", 404), *PAGES) == [True, True, True]


def test_a_page_that_is_always_the_same() -> None:
    """A web page in place of a robots.txt forbids nothing."""
    assert allowed_by(always(response(b"<!DOCTYPE html><title>User-agent</title>")), *PAGES) == [True, True, True]
