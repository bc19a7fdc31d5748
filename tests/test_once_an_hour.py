"""The once-an-hour rule, as a user sees it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.world import HOUR, MINUTE, SECOND, World, failure

URL = "https://example.com/"


def submit_and_run(w: World, url: str = URL) -> bool:
    """Whether a job submitted now shares a fetch."""
    job_id = w.submit(url)["id"]
    w.run()
    reused: bool = w.job(job_id)["reused"]
    return reused


def test_within_the_hour_a_url_is_not_fetched_again(w: World) -> None:
    """A second submission is a job of its own that shares the first one's result."""
    first, second = w.submit(URL)["id"], w.submit(URL)["id"]
    w.run()
    a, b = w.job(first), w.job(second)
    assert (a["reused"], b["reused"]) == (False, True)
    assert a["result"]["sha256"] == b["result"]["sha256"]
    assert w.site.requests[URL] == 1


@pytest.mark.parametrize(("after", "reused"), [(0, True), (HOUR - 1, True), (HOUR, False), (2 * HOUR, False)])
def test_the_window_ends_an_hour_after_the_submission(w: World, after: int, reused: bool) -> None:
    """To the millisecond, from the submission of the job that fetched."""
    submit_and_run(w)
    w.pass_time(after)
    assert submit_and_run(w) is reused
    assert w.site.requests[URL] == (1 if reused else 2)


def test_a_reuse_does_not_extend_the_window(w: World) -> None:
    """Else a URL polled every 50 minutes would never be fetched again."""
    assert [submit_and_run(w)] == [False]
    w.pass_time(50 * MINUTE)
    assert submit_and_run(w) is True
    w.pass_time(50 * MINUTE)
    assert submit_and_run(w) is False


def test_a_delayed_fetch_does_not_move_the_window(w: World) -> None:
    """The window counts from the submission, however long the queue was."""
    w.submit(URL)
    w.pass_time(40 * MINUTE)
    w.run()
    w.pass_time(20 * MINUTE)
    assert submit_and_run(w) is False


def test_a_delayed_job_is_compared_by_its_own_submission(w: World) -> None:
    """Two jobs half an hour apart share a fetch even if both are worked on after the hour."""
    w.submit(URL)
    w.pass_time(30 * MINUTE)
    w.submit(URL)
    w.pass_time(35 * MINUTE)
    w.run()
    assert w.site.requests[URL] == 1


def test_the_later_one_may_be_worked_on_first(w: World) -> None:
    """The queue keeps no order; the earlier job joins the later one's fetch."""
    first = w.submit(URL)["id"]
    w.pass_time(10 * MINUTE)
    w.submit(URL)
    one, two = w.receive()
    w.deliver([two])
    w.deliver([one])
    assert w.job(first)["reused"] is True
    assert w.site.requests[URL] == 1


def test_a_failed_fetch_does_not_count(w: World) -> None:
    """What was submitted before it failed shares the failure; what comes after is fetched, and can be shared."""
    w.site.answers[URL] = [failure(404), b"found"]
    waiting = [w.submit(URL)["id"], w.submit(URL)["id"]]
    w.run()
    assert {w.job(job_id)["status"] for job_id in waiting} == {"failed"}
    assert w.site.requests[URL] == 1
    w.pass_time(1)
    assert submit_and_run(w) is False
    assert submit_and_run(w) is True
    assert w.site.requests[URL] == 2


def test_a_running_fetch_is_shared(w: World) -> None:
    """A job submitted while the URL is being fetched waits for that fetch."""
    later: list[str] = []

    def submit_another(url: str) -> None:
        w.site.during = None
        later.append(w.submit(URL)["id"])
        w.deliver(w.receive())
        assert w.job(later[0])["status"] == "running"

    w.submit(URL)
    w.site.during = submit_another
    w.run()
    assert (w.job(later[0])["status"], w.job(later[0])["reused"]) == ("succeeded", True)
    assert w.site.requests[URL] == 1


def test_jobs_that_share_show_their_fetchs_times(w: World) -> None:
    """A reused job's start, end and attempts are its fetch's."""
    first = w.submit(URL)["id"]
    w.run()
    w.pass_time(MINUTE)
    second = w.submit(URL)["id"]
    w.run()
    a, b = w.job(first), w.job(second)
    for name in ("started_at", "finished_at", "attempts", "result"):
        if name == "result":
            a, b = ({**job["result"], "href": None} for job in (a, b))
            assert a == b
        else:
            assert a[name] == b[name]


@pytest.mark.parametrize(
    "same",
    [
        "HTTPS://EXAMPLE.com",
        "https://example.com:443/",
        "https://example.com/#part",
        "https://example.com/?",
        "https://example.com/./a/..",
    ],
)
def test_the_same_request_is_the_same_url(w: World, same: str) -> None:
    """What differs only in spelling is one URL."""
    submit_and_run(w)
    assert submit_and_run(w, same) is True


@pytest.mark.parametrize(
    "other",
    [
        "http://example.com/",
        "https://www.example.com/",
        "https://example.com/?a",
        "https://example.com//",
        "https://example.com/A",
    ],
)
def test_another_request_is_another_url(w: World, other: str) -> None:
    """Nothing is dropped that a site may tell apart."""
    submit_and_run(w)
    assert submit_and_run(w, other) is False


def test_the_window_is_a_setting(w: World) -> None:
    """Two seconds, for instance."""
    w.settings = replace(w.settings, window_seconds=2)
    w.wire()
    submit_and_run(w)
    w.pass_time(2 * SECOND - 1)
    assert submit_and_run(w) is True
    w.pass_time(1)
    assert submit_and_run(w) is False
