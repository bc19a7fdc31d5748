"""Reading jobs, batches and results."""

from __future__ import annotations

import hashlib
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest
from chalice.test import HTTPResponse

from chalicelib.api.render import Renderer
from chalicelib.jobs.entities import Status
from chalicelib.jobs.submitted import NO_HEADERS, RequestHeaders
from chalicelib.runner.outcome import Fetched, Sink
from chalicelib.service import read
from chalicelib.service.read import read_job
from tests.depth import FULL
from tests.world import DAY, HOUR, SECOND, Site, World, failure

URL = "https://example.com/"
UNKNOWN = "f" * 32


def test_a_jobs_life(w: World) -> None:
    """Queued, running while it is fetched, succeeded with what came."""
    job_id = w.submit(URL)["id"]
    path = f"/jobs/{job_id}"
    queued = w.request("GET", path)
    assert (queued.json_body["status"], queued.headers["Retry-After"]) == ("queued", "1")
    assert queued.headers["Cache-Control"] == "no-store"
    w.pass_time(3 * SECOND)
    seen: list[HTTPResponse] = []
    w.site.during = lambda url: seen.append(w.request("GET", path))
    w.run()
    assert (seen[0].json_body["status"], seen[0].json_body["started_at"]) == ("running", "2026-01-01T00:00:03.000Z")
    done = w.request("GET", path)
    assert "Retry-After" not in done.headers
    job = done.json_body
    assert (job["status"], job["attempts"], job["reused"], job["error"]) == ("succeeded", 1, False, None)
    body = b"bytes of " + URL.encode()
    assert job["result"] == {
        "content_type": "text/plain",
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "http_status": 200,
        "final_url": URL,
        "fetched_at": "2026-01-01T00:00:03.000Z",
        "headers": {"ETag": '"1"'},
        "href": f"{path}/result",
    }


def test_a_failed_job_says_why(w: World) -> None:
    """The error has a type, a sentence, the site's status, and what the site says in its own words."""
    said = "Our systems have detected \N{EURO SIGN} <b>unusual</b> traffic.\n"
    w.site.answers[URL] = [failure(404, excerpt=said)]
    job_id = w.submit(URL)["id"]
    w.run()
    job = w.job(job_id)
    assert (job["status"], job["result"], job["attempts"]) == ("failed", None, 1)
    assert job["error"] == {
        "type": "http-status",
        "detail": "The site answered 404.",
        "http_status": 404,
        "excerpt": said,
    }
    answer = w.request("GET", f"/jobs/{job_id}/result")
    assert answer.status_code == 409
    assert answer.json_body["type"].endswith("/job-failed")
    assert answer.json_body["error"] == job["error"]
    assert said not in answer.json_body["detail"]


def test_the_last_attempts_words_are_kept(w: World) -> None:
    """Of attempts that another follows nothing is; and a site without words has none."""
    later = [failure(503, retryable=True, excerpt=f"attempt {n}") for n in range(4)]
    w.site.answers = {URL: list(later), f"{URL}mute": [failure()]}
    jobs = [w.submit(url)["id"] for url in (URL, f"{URL}mute")]
    w.run_until_done()
    assert [w.job(job_id)["error"]["excerpt"] for job_id in jobs] == ["attempt 3", None]


@pytest.mark.parametrize(
    "job_id", [UNKNOWN, "1", "x" * 32, f"{UNKNOWN}-0", f"{UNKNOWN}-01", f"{UNKNOWN}-1000", "%2e%2e"]
)
def test_unknown_ids(w: World, job_id: str) -> None:
    """404 for what no job has, whatever it looks like."""
    for method, path in (("GET", ""), ("GET", "/result"), ("DELETE", "")):
        response = w.request(method, f"/jobs/{job_id}{path}")
        assert response.status_code == 404
        assert response.json_body["type"].endswith("/not-found")
    for method in ("GET", "DELETE"):
        assert w.request(method, f"/batches/{job_id}").status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/jobs", {"GET", "POST"}),
        ("GET", f"/batches/{UNKNOWN}/retry", {"POST"}),
        ("DELETE", "/batches", {"GET", "POST"}),
        ("POST", f"/jobs/{UNKNOWN}", {"GET", "DELETE"}),
        ("PATCH", f"/batches/{UNKNOWN}", {"GET", "DELETE"}),
        ("DELETE", f"/jobs/{UNKNOWN}/result", {"GET"}),
        ("POST", "/health", {"GET"}),
    ],
)
def test_other_methods(w: World, method: str, path: str, allowed: set[str]) -> None:
    """405 with what is allowed."""
    response = w.request(method, path)
    assert response.status_code == 405
    assert response.json_body["type"].endswith("/method-not-allowed")
    assert set(response.headers["Allow"].split(", ")) == allowed


def test_health(w: World) -> None:
    """The API answers."""
    response = w.request("GET", "/health")
    assert (response.status_code, response.json_body) == (200, {"status": "ok"})


def test_a_job_expires(w: World) -> None:
    """It is gone to the millisecond, whether or not it was swept, and so is its batch."""
    job_id = w.submit(URL)["id"]
    batch_id = w.submit_batch([URL])["id"]
    w.run()
    w.pass_time(7 * DAY - 1)
    assert w.job(job_id)["status"] == "succeeded"
    assert w.request("GET", f"/batches/{batch_id}").status_code == 200
    w.pass_time(1)
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/result", f"/batches/{batch_id}"):
        assert w.request("GET", path).status_code == 404
    assert w.request("DELETE", f"/jobs/{job_id}").status_code == 404


def test_a_sharer_keeps_its_result_to_its_own_end(w: World) -> None:
    """The fetch outlives the job that started it, as long as a younger job may share it."""
    w.submit(URL)
    w.run()
    w.pass_time(HOUR - 1)
    sharer = w.submit(URL)["id"]
    w.run()
    w.pass_time(7 * DAY - 1)
    assert w.request("GET", f"/jobs/{sharer}/result").body == b"bytes of " + URL.encode()


class TestResult:
    """What `/result` answers."""

    @pytest.fixture
    def job_id(self, w: World) -> str:
        """A job that succeeded."""
        job_id: str = w.submit(URL)["id"]
        w.run()
        return job_id

    def test_inline(self, w: World, job_id: str) -> None:
        """A small text comes as it is, and cannot run as a page of ours."""
        response = w.request("GET", f"/jobs/{job_id}/result")
        assert (response.status_code, response.body) == (200, b"bytes of " + URL.encode())
        assert response.headers["Content-Type"] == "text/plain"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Security-Policy"] == "sandbox"
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert response.headers["ETag"] == f'"{hashlib.sha256(response.body).hexdigest()}"'

    def test_not_modified(self, w: World, job_id: str) -> None:
        """Who has it is not sent it again."""
        path = f"/jobs/{job_id}/result"
        etag = w.request("GET", path).headers["ETag"]
        for sent in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            response = w.request("GET", path, headers={"If-None-Match": sent})
            assert (response.status_code, response.body, response.headers["ETag"]) == (304, b"", etag)
        assert w.request("GET", path, headers={"If-None-Match": '"x"'}).status_code == 200

    def test_unfinished(self, w: World) -> None:
        """409 with when to ask again."""
        response = w.request("GET", f"/jobs/{w.submit(URL + 'later')['id']}/result")
        assert response.status_code == 409
        assert response.json_body["type"].endswith("/job-not-finished")
        assert response.headers["Retry-After"] == "1"

    def test_an_object_that_is_gone(self, w: World, job_id: str) -> None:
        """404, not an error of ours."""
        w.service.bucket.delete(sorted(w.objects()))
        assert w.request("GET", f"/jobs/{job_id}/result").status_code == 404


class BinarySite(Site):
    """Answers bytes that are no text."""

    def fetch(self, url: str, sink: Sink, request_headers: RequestHeaders = NO_HEADERS) -> Fetched:
        data = bytes(range(256))
        sink.begin("image/png")
        sink.write(data)
        return Fetched(
            content_type="image/png",
            size=256,
            sha256=hashlib.sha256(data).hexdigest(),
            http_status=200,
            final_url=url,
            text=False,
        )


def test_what_is_no_text_is_elsewhere(w: World) -> None:
    """303 to a link that is good for a minute and asks to be saved, under a name of its own, not shown."""
    w.site = BinarySite()
    w.wire()
    job_id = w.submit("https://bücher.example/a/東.d?e=1")["id"]
    w.run()
    response = w.request("GET", f"/jobs/{job_id}/result")
    assert (response.status_code, response.body) == (303, b"")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "sandbox"
    assert job_id not in response.headers["Location"]  # a sharer must not learn who fetched first
    query = parse_qs(urlsplit(response.headers["Location"]).query)
    assert query["X-Amz-Expires"] == ["60"]
    assert query["response-content-disposition"] == [
        "attachment; filename=\"b_cher.example_a___e_1.d\"; filename*=UTF-8''b%C3%BCcher.example_a_%E6%9D%B1_e_1.d"
    ]


def test_pages(w: World) -> None:
    """A batch is paged by a hundred, counted as a whole, and may be limited to a status."""
    urls = [f"{URL}{n}" for n in range(230)]
    batch_id = w.submit_batch(urls)["id"]
    w.site.answers[urls[4]] = [failure(404)]
    w.deliver(w.receive()[:5])

    def pages(query: str) -> list[list[str]]:
        path: str | None = f"/batches/{batch_id}{query}"
        shown = []
        while path:
            page = w.request("GET", path).json_body
            assert page["counts"] == {"queued": 225, "running": 0, "succeeded": 4, "failed": 1}
            assert (page["total"], page["finished"]) == (230, False)
            shown.append([job["url"] for job in page["jobs"]])
            path = page["next"]
        return shown

    assert pages("") == [urls[:100], urls[100:200], urls[200:]]
    assert pages("?status=queued") == [urls[5:105], urls[105:205], urls[205:]]
    assert pages("?status=failed") == [[urls[4]]]
    assert pages("?status=running") == [[]]


@pytest.mark.parametrize(
    "query", ["status=done", "cursor=x", "cursor=-1", "cursor=1&cursor=2", "page=2", "cursor=99999"]
)
def test_queries_that_are_refused(w: World, query: str) -> None:
    """422 for a query that no link of ours has."""
    batch_id = w.submit_batch([URL])["id"]
    assert w.request("GET", f"/batches/{batch_id}?{query}").status_code == 422


LARGEST = [(1000, "5")] if FULL else []  # takes moto a while


@pytest.mark.parametrize(("size", "seconds"), [(1, "2"), (400, "2"), (401, "3"), *LARGEST])
def test_a_submission_says_when_to_ask_first(w: World, size: int, seconds: str) -> None:
    """A status of many jobs costs as many reads, and many take a while."""
    answer = w.request("POST", "/batches", {"urls": [f"{URL}{n}" for n in range(size)]})
    assert answer.headers["Retry-After"] == seconds


def test_what_is_finished_need_not_be_asked_for(w: World) -> None:
    """A replay that finds the end says so."""
    key = {"Idempotency-Key": "k"}
    for path, body in (("/jobs", {"url": URL}), ("/batches", {"urls": [f"{URL}other"]})):
        assert "Retry-After" in w.request("POST", path, body, key).headers
        w.run()
        assert "Retry-After" not in w.request("POST", path, body, key).headers


@pytest.mark.parametrize(("age", "seconds"), [(0, "2"), (20, "2"), (35, "4"), (1000, "10")])
def test_a_batch_is_polled_less_as_it_ages(w: World, age: int, seconds: str) -> None:
    """Retry-After grows from 2 to 10 seconds while the batch is unfinished."""
    batch_id = w.submit_batch([URL])["id"]
    w.pass_time(age * SECOND)
    assert w.request("GET", f"/batches/{batch_id}").headers["Retry-After"] == seconds
    w.run()
    assert "Retry-After" not in w.request("GET", f"/batches/{batch_id}").headers


def test_counts_by_status(w: World) -> None:
    """Every job is counted once, under the status of its fetch; deleted ones are not."""
    w.site.answers[URL + "1"] = [failure(404)]
    batch = w.submit_batch([f"{URL}{n}" for n in range(4)])
    w.deliver(w.receive()[:2])
    w.request("DELETE", f"/jobs/{batch['id']}-3")
    page = w.request("GET", f"/batches/{batch['id']}").json_body
    assert Counter(page["counts"]) == Counter(queued=1, succeeded=1, failed=1, running=0)
    assert (page["total"], page["finished"]) == (3, False)
    assert {job["status"] for job in page["jobs"]} == {Status.QUEUED, Status.SUCCEEDED, Status.FAILED}


def test_a_page_is_full_though_jobs_of_it_were_deleted(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next ones move up, and the next page begins behind them."""
    monkeypatch.setattr(read, "PAGE", 2)
    batch = w.submit_batch([f"{URL}{n}" for n in range(6)])
    for number in (0, 2):
        w.request("DELETE", f"/jobs/{batch['id']}-{number}")
    page = w.request("GET", f"/batches/{batch['id']}").json_body
    assert [job["id"] for job in page["jobs"]] == [f"{batch['id']}-{number}" for number in (1, 3)]
    assert page["total"] == 4
    following = w.request("GET", page["next"]).json_body
    assert [job["id"] for job in following["jobs"]] == [f"{batch['id']}-{number}" for number in (4, 5)]
    assert (following["total"], following["next"]) == (4, None)


def test_a_stage_prefix_is_in_every_link(w: World) -> None:
    """Behind API Gateway a link leads where the client came from."""
    job = w.submit(URL)
    shown = Renderer(prefix="/api", retention=1).job(read_job(w.service, "local", job["id"]))
    assert shown.links.self == f"/api/jobs/{job['id']}"
    assert shown.links.result == f"/api/jobs/{job['id']}/result"
