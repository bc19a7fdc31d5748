"""`FetchQueue`: each request, what is tried again, and where the token goes."""

from __future__ import annotations

import functools
import io
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from fetch_queue import Batch, CorruptResult, FetchQueue, Job, ProblemError, UnexpectedAnswer, Unreachable

from tests.client.fake import LOST, Fault, Service, Time

URLS = [f"https://example.com/{number}" for number in range(250)]
AWAY = Fault(503, {"Retry-After": "5"})


def test_the_main_job(service: Service, queue: FetchQueue, time: Time) -> None:
    """Submit, wait, read everything, delete."""
    service.polls_to_finish = 3
    accepted = queue.submit([*URLS, "ftp://example.com/"])
    assert [job.url for job in accepted.jobs] == URLS
    assert [(one.index, one.url) for one in accepted.rejected] == [(250, "ftp://example.com/")]
    seen: list[Batch] = []
    batch = queue.wait(accepted.id, seen.append)
    assert (batch.finished, batch.total, batch.done, len(seen)) == (True, 250, 250, 3)
    assert time.slept == [2.0, 2.0]
    jobs = list(queue.results(accepted.id))
    assert [job.url for job in jobs] == URLS
    assert service.asked("GET", "/results") == 3
    assert queue.result(jobs[7].id) == b"This is https://example.com/7\n"
    assert queue.job(jobs[7].id, wait=20).status == "succeeded"
    assert service.seen[-1].path.endswith("?wait=20")
    queue.delete(jobs[7].id)
    with pytest.raises(ProblemError) as refused:
        queue.job(jobs[7].id)
    assert (refused.value.status, refused.value.name) == (404, "not-found")
    queue.delete(accepted.id)
    assert accepted.id in service.deleted


def test_find(queue: FetchQueue) -> None:
    """A job's id in a batch shows what it is; the others are tried."""
    batch_id = queue.submit(URLS[:1]).id
    assert isinstance(queue.find(f"{batch_id}-0"), Job)
    assert isinstance(queue.find(batch_id), Batch)
    with pytest.raises(ProblemError, match="No such job or batch"):
        queue.find("0" * 32)


@pytest.mark.parametrize("bad", ["", "../health", "x" * 32, "0" * 31, f"{'0' * 32}-01", f"{'0' * 32}-1/result"])
def test_what_is_no_id_is_not_asked_for(service: Service, queue: FetchQueue, bad: str) -> None:
    """It could be the path of something else."""
    for ask in (queue.job, queue.batch, queue.result, queue.find):
        with pytest.raises(ValueError, match="is not an id"):
            ask(bad)
    assert service.seen == []


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_prefix(service: Service, time: Time, prefix: str, slash: str) -> None:
    """A stage's prefix is kept, with or without a slash at its end, in links too."""
    service.prefix = prefix
    queue = FetchQueue(service.url + prefix + slash, timing=time.timing)
    batch_id = queue.submit(URLS).id
    assert len(list(queue.results(batch_id))) == 250
    assert {seen.path.partition("/batches")[0] for seen in service.seen} == {prefix}


# Trying again


@pytest.mark.parametrize("fault", [AWAY, Fault(429, {"Retry-After": "5"}, name="quota-exceeded")])
def test_temporary_refusals_are_retried(service: Service, queue: FetchQueue, time: Time, fault: Fault) -> None:
    """After the time that the answer names, with the same key."""
    service.fail("POST /batches", fault, fault)
    queue.submit(URLS[:3])
    assert [round(slept) for slept in time.slept] == [5, 5]
    assert len({seen.headers["idempotency-key"] for seen in service.seen}) == 1
    assert len(service.seen) == 3


@pytest.mark.parametrize("fault", [LOST, Fault(502, body=b"<html>"), Fault(504, body=b"<html>")])
def test_a_lost_answer_is_no_second_batch(service: Service, queue: FetchQueue, fault: Fault) -> None:
    """The same key and body again."""
    service.fail("POST /batches", fault, fault)
    queue.submit(URLS[:3])
    assert len(service.seen) == 3
    assert len({(seen.headers["idempotency-key"], seen.body) for seen in service.seen}) == 1
    assert service.submitted() == URLS[:3]


def test_a_key_that_is_in_progress_is_waited_for(service: Service, queue: FetchQueue, time: Time) -> None:
    """The first request may still be stored."""
    service.fail("POST /batches", Fault(409, {"Retry-After": "30"}, name="in-progress"))
    queue.submit(URLS[:3])
    assert [round(slept) for slept in time.slept] == [31]


@pytest.mark.parametrize(
    ("status", "name"), [(401, "unauthorized"), (409, "deleted"), (413, "body-too-large"), (500, "internal-error")]
)
def test_a_refusal_is_not_tried_again(service: Service, queue: FetchQueue, status: int, name: str) -> None:
    """It would be the same answer."""
    service.fail("POST /batches", Fault(status, name=name, detail="No."))
    with pytest.raises(ProblemError) as refused:
        queue.submit(URLS[:3])
    assert (refused.value.status, refused.value.name, str(refused.value)) == (status, name, "No.")
    assert len(service.seen) == 1


def test_a_deletion_whose_answer_was_lost(service: Service, queue: FetchQueue) -> None:
    """404 the second time says that the first one did it."""
    job_id = queue.submit(URLS[:1]).jobs[0].id
    service.fail(f"DELETE /jobs/{job_id}", LOST)
    queue.delete(job_id)
    assert job_id in service.deleted
    with pytest.raises(ProblemError):
        queue.delete(job_id)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_deletion_whose_answer_says_nothing(service: Service, queue: FetchQueue, status: int) -> None:
    """It may have been carried out, whatever it was that failed after it."""
    job_id = queue.submit(URLS[:1]).jobs[0].id
    deleting = functools.partial(service.deleted.add, job_id)
    service.fail(f"DELETE /jobs/{job_id}", Fault(status, {"Retry-After": "1"}, effect=deleting))
    queue.delete(job_id)
    assert job_id in service.deleted


def test_nobody_there(time: Time) -> None:
    """A service that never answered is given up after 15 s; one that was asked to be waited for, then."""
    for limit, least in ((None, 5), (100.0, 60)):
        time.slept.clear()
        with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 does not answer: connection refused\. Gave up"):
            FetchQueue("http://127.0.0.1:1", timing=time.timing, give_up_after=limit).batch("0" * 32)
        assert least < sum(time.slept) <= (limit or 15)


def test_a_service_that_goes_away(service: Service, queue: FetchQueue, time: Time) -> None:
    """It is tried for five minutes."""
    batch_id = queue.submit(URLS[:1]).id
    service.fail("GET /batches", *[LOST] * 100)
    with pytest.raises(Unreachable):
        queue.batch(batch_id)
    assert 200 < sum(time.slept) <= 300


# What answers is something else


@pytest.mark.parametrize(
    "fault",
    [
        Fault(200, body=b"<html>Welcome to the hotel</html>"),
        Fault(200, body=b"[]"),
        Fault(200, body=b'{"id": "x"}'),
        Fault(302, {"Location": "https://login.example.com/"}, b""),
        Fault(302, {"Location": "http://[nowhere"}, b""),
        Fault(200, body=b"[" * 100_000),
        Fault(308, {"Location": "https://example.com/api/"}, b""),
    ],
)
def test_something_else_answers(service: Service, queue: FetchQueue, fault: Fault) -> None:
    """It is not taken for an answer, and nothing is followed."""
    service.fail("GET /batches", fault)
    with pytest.raises(UnexpectedAnswer):
        queue.batch("0" * 32)


def test_an_error_that_is_no_problem(service: Service, queue: FetchQueue) -> None:
    """It is said with its status."""
    service.fail("GET /batches", Fault(403, body=b'{"message": "Forbidden"}'))
    with pytest.raises(ProblemError, match=r"answered 403 \(Forbidden\), but not like"):
        queue.batch("0" * 32)


@contextmanager
def over_tls() -> Iterator[str]:
    """The URL of a server whose certificate nobody here trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), context.wrap_socket(self.request, server_side=True):
                pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_certificate_that_is_not_trusted(time: Time) -> None:
    """Trying again would not make it better, and the token does not go there."""
    with (
        over_tls() as url,
        pytest.raises(Unreachable, match=r"cannot be trusted: its certificate was refused \(.*\)\."),
    ):
        FetchQueue(url, "fq_secret", timing=time.timing).batch("0" * 32)
    assert time.slept == []


def test_tls_where_there_is_none(service: Service, time: Time) -> None:
    """Said in words."""
    with pytest.raises(Unreachable, match=r"it does not speak TLS; it may be at http://\.$"):
        FetchQueue(service.url.replace("http:", "https:"), timing=time.timing).batch("0" * 32)


# The token


def test_the_token_goes_to_the_service_alone(service: Service, time: Time, tmp_path: Path) -> None:
    """Neither the link of a page nor the one behind a 303 sees it."""
    service.token = "fq_secret"
    queue = FetchQueue(service.url, "fq_secret", timing=time.timing)
    batch_id = queue.submit(URLS[:2]).id
    queue.wait(batch_id)
    jobs = list(queue.results(batch_id))
    queue.download(jobs[0].id, io.BytesIO(), jobs[0].result)
    queue.result(jobs[1].id)
    assert {seen.headers.get("authorization") for seen in service.seen} == {"Bearer fq_secret"}
    assert len(service.seen_by_storage) == 2
    assert not any("authorization" in seen.headers for seen in service.seen_by_storage)


def test_no_netrc(service: Service, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom a .netrc would ask as, is asked as nobody, at the service and behind links."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    queue = FetchQueue(service.url, timing=time.timing)
    accepted = queue.submit(URLS[:1])
    queue.wait(accepted.id)
    queue.result(accepted.jobs[0].id)
    assert not any("authorization" in seen.headers for seen in [*service.seen, *service.seen_by_storage])


def test_no_proxy_for_this_machine(service: Service, time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is somewhere else, where 127.0.0.1 is another machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    FetchQueue(service.url, timing=time.timing).submit(URLS[:1])
    assert len(service.seen) == 1


@pytest.mark.parametrize("elsewhere", ["{storage}", "http://127.0.0.1:99999", "http://[nowhere", "//example.com"])
def test_a_page_that_is_elsewhere_is_not_read(service: Service, time: Time, elsewhere: str) -> None:
    """The token would go there."""
    queue = FetchQueue(service.url, "fq_secret", timing=time.timing)
    batch_id = queue.submit(URLS[:1]).id
    target = f"{elsewhere.format(storage=service.storage_url)}/batches/{batch_id}/results?cursor=100"
    service.fail("GET /batches", Fault(200, {"Link": f'<{target}>; rel="next"'}, b""))
    with pytest.raises(UnexpectedAnswer, match=r"is elsewhere|is not a URL"):
        list(queue.results(batch_id))
    assert service.seen_by_storage == []


# Results


@pytest.mark.parametrize("inline", [True, False])
def test_a_result_inline_or_by_a_link(service: Service, queue: FetchQueue, inline: bool) -> None:
    """The same bytes."""
    service.inline = inline
    accepted = queue.submit(URLS[:1])
    queue.wait(accepted.id)
    assert queue.result(accepted.jobs[0].id) == b"This is https://example.com/0\n"
    assert service.downloads.total() == (not inline)


def finished(service: Service, queue: FetchQueue) -> Job:
    """A finished job with a link."""
    batch_id = queue.submit(URLS[:1]).id
    queue.wait(batch_id)
    return next(queue.results(batch_id))


def expired(service: Service, job: Job) -> None:
    service.expired.add(job.id)


def damaged(service: Service, job: Job) -> None:
    service.damaged.add(job.id)


def lost(service: Service, job: Job) -> None:
    service.fail(f"GET /{job.id}", LOST)


def slow_down(service: Service, job: Job) -> None:
    service.fail(f"GET /{job.id}", Fault(503, body=b"<Error>SlowDown</Error>"))


def elsewhere(service: Service, job: Job) -> None:
    service.fail(f"GET /{job.id}", Fault(307, {"Location": f"/{job.id}?signature=there"}, b""))


def cut_short(service: Service, job: Job) -> None:
    service.fail(f"GET /{job.id}", Fault(200, {"Content-Length": "30"}, b"This"))


@pytest.mark.parametrize("fault", [expired, damaged, lost, slow_down, cut_short, elsewhere])
def test_a_fault_on_the_way(service: Service, queue: FetchQueue, fault: Callable[[Service, Job], None]) -> None:
    """The bytes are read again, from their start, and are the right ones."""
    job = finished(service, queue)
    fault(service, job)
    sink = io.BytesIO(b"left over from something longer than the result is")
    queue.download(job.id, sink, job.result)
    assert sink.getvalue() == b"This is https://example.com/0\n"


def test_bytes_that_are_always_others(service: Service, queue: FetchQueue) -> None:
    """They are not handed on."""
    job = finished(service, queue)
    service.fail(f"GET /{job.id}", *[Fault(200, body=b"This is https://example.org/0\n")] * 3)
    with pytest.raises(CorruptResult, match="30 bytes with SHA-256"):
        queue.download(job.id, io.BytesIO(), job.result)
    service.fail(f"GET /{job.id}", *[Fault(200, body=b"another")] * 3)
    with pytest.raises(CorruptResult):
        queue.result(job.id)


def test_a_link_that_leads_on_and_on(service: Service, queue: FetchQueue) -> None:
    """It is not followed for ever."""
    job = finished(service, queue)
    service.fail(f"GET /{job.id}", *[Fault(307, {"Location": f"/{job.id}"}, b"")] * 100)
    with pytest.raises(UnexpectedAnswer, match="redirects too often"):
        queue.download(job.id, io.BytesIO(), job.result)


@pytest.mark.parametrize("link", ["http://[nowhere", "ftp://127.0.0.1/", "file:///etc/passwd", "http://x:99999/"])
def test_a_link_that_leads_nowhere(service: Service, queue: FetchQueue, link: str) -> None:
    """Only http and https are followed; no file of this machine is read."""
    job = finished(service, queue)
    assert job.result is not None
    with pytest.raises(UnexpectedAnswer):
        queue.download(job.id, io.BytesIO(), replace(job.result, link=link))
    service.fail(f"GET /jobs/{job.id}/result", Fault(303, {"Location": link}, b""))
    with pytest.raises(UnexpectedAnswer):
        queue.result(job.id)


def test_a_refusal_that_is_cut_short(service: Service, queue: FetchQueue) -> None:
    """It is asked for again."""
    job = finished(service, queue)
    service.fail(f"GET /jobs/{job.id}/result", Fault(409, {"Content-Length": "1000"}, b"{"))
    assert queue.result(job.id) == b"This is https://example.com/0\n"


def test_a_job_without_a_result(service: Service, queue: FetchQueue) -> None:
    """Refused, by name."""
    service.failing.add(URLS[0])
    service.polls_to_finish = 2
    accepted = queue.submit(URLS[:1])
    for name in ("job-not-finished", "job-failed"):
        with pytest.raises(ProblemError) as refused:
            queue.result(accepted.jobs[0].id)
        assert refused.value.name == name
        queue.wait(accepted.id)
