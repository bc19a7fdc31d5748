"""The main job, with everything real but AWS: submit, fetch once, read, delete."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from local_stack.demo import ask
from tests.e2e.running import SHORT, Running, running, until

Fresh = Callable[[str], str]
WINDOW_SECONDS = 10  # half of it is enough to submit a URL, on any machine


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/hello.txt?e2e", "text/plain; charset=utf-8"),
        ("/data.json?e2e", "application/json"),
        ("/image.png?e2e", "image/png"),
        ("/big?bytes=20000000&e2e", "application/octet-stream"),
    ],
)
def test_the_bytes_are_read_back_as_they_came(stack: Running, path: str, content_type: str) -> None:
    """Text inline, anything else by a link, and size and hash are those of the bytes."""
    job = stack.finished(stack.submit(stack.page(path))["id"])
    assert (job["status"], job["attempts"], job["reused"]) == ("succeeded", 1, False)
    read = stack.ask("GET", job["links"]["result"])
    assert (read.status, read.headers["Content-Type"]) == (200, content_type)
    original = ask("GET", stack.page(path)).body
    assert read.body == original
    assert (job["result"]["size"], job["result"]["sha256"]) == (len(original), hashlib.sha256(original).hexdigest())


def test_a_batch_of_a_thousand(stack: Running, fresh: Fresh) -> None:
    """100 repeats and 3 invalid URLs: 897 requests, 997 jobs that succeed, 3 rejected by index; deleted whole."""
    base = fresh("/page")
    urls = [stack.page(f"{base}?{number}") for number in range(897)]
    urls += urls[:100]
    for index, invalid in ((0, "ftp://example.com/"), (500, "nonsense"), (999, "http://10.0.0.1/")):
        urls.insert(index, invalid)
    assert len(urls) == 1000
    before = ask("GET", stack.page("/count")).json
    batch = stack.submit_batch(urls)
    assert [rejected["index"] for rejected in batch["rejected"]] == [0, 500, 999]
    assert [job["url"] for job in batch["jobs"]] == urls[1:500] + urls[501:999]
    page = stack.finished_batch(batch["id"], 120)
    assert page["counts"] == {"queued": 0, "running": 0, "succeeded": 997, "failed": 0}
    after = ask("GET", stack.page("/count")).json
    seen = {path: count for path, count in after.items() if path not in before}
    assert len(seen) == sum(seen.values()) == 897

    jobs = page["jobs"]
    while page["next"]:
        page = stack.ask("GET", page["next"]).json
        jobs += page["jobs"]
    assert [job["id"] for job in jobs] == [job["id"] for job in batch["jobs"]]
    assert sum(job["reused"] for job in jobs) == 100

    # In API_FUNCTION_SECONDS, that is: else it would be a 503.
    assert stack.ask("DELETE", f"/batches/{batch['id']}").status == 204
    assert stack.ask("GET", f"/batches/{batch['id']}").status == 404
    for job in (jobs[0], jobs[500], jobs[-1]):
        assert stack.ask("GET", f"/jobs/{job['id']}").status == 404
    assert stack.submit(urls[1])["status"] == "queued"
    until(lambda: stack.requests(f"{base}?0") == 2)


def test_fifty_clients_at_the_same_moment(stack: Running, fresh: Fresh) -> None:
    """50 jobs, one request at the site, 49 reused."""
    path = fresh("/page")
    with ThreadPoolExecutor(50) as clients:
        jobs = list(clients.map(lambda _: stack.submit(stack.page(path)), range(50)))
    assert len({job["id"] for job in jobs}) == 50
    done = [stack.finished(job["id"]) for job in jobs]
    assert {job["status"] for job in done} == {"succeeded"}
    assert sum(job["reused"] for job in done) == 49
    assert stack.requests(path) == 1


def test_the_window(tmp_path: Path) -> None:
    """Inside it a URL is not fetched again, after it it is, and a reuse in between does not extend it."""
    with running(tmp_path, {**SHORT, "WINDOW_SECONDS": str(WINDOW_SECONDS)}) as stack:
        url = stack.page("/page/window")
        first = stack.finished(stack.submit(url)["id"])
        ends = datetime.fromisoformat(first["submitted_at"]).timestamp() + WINDOW_SECONDS
        until(lambda: time.time() > ends - WINDOW_SECONDS / 2)
        inside = stack.finished(stack.submit(url)["id"])
        assert (inside["reused"], stack.requests("/page/window")) == (True, 1)
        until(lambda: time.time() > ends)
        after = stack.finished(stack.submit(url)["id"])
        assert (after["reused"], stack.requests("/page/window")) == (False, 2)


def test_deleting_a_finished_job(stack: Running, fresh: Fresh) -> None:
    """Job, result and claim are gone: the next submission fetches."""
    path = fresh("/page")
    job = stack.finished(stack.submit(stack.page(path))["id"])
    assert stack.ask("DELETE", f"/jobs/{job['id']}").status == 204
    for gone in (f"/jobs/{job['id']}", f"/jobs/{job['id']}/result"):
        assert stack.ask("GET", gone).status == 404
    assert stack.ask("DELETE", f"/jobs/{job['id']}").status == 404
    again = stack.finished(stack.submit(stack.page(path))["id"])
    assert (again["reused"], stack.requests(path)) == (False, 2)


def test_deleting_a_queued_job(stack: Running, fresh: Fresh) -> None:
    """It is never fetched, though its message is still on the queue."""
    path, other = fresh("/page"), fresh("/page")
    with stack.stopped(*stack.workers):
        job = stack.submit(stack.page(path))
        assert stack.job(job["id"])["status"] == "queued"
        assert stack.ask("DELETE", f"/jobs/{job['id']}").status == 204
        later = stack.submit(stack.page(other))
    assert stack.finished(later["id"])["status"] == "succeeded"
    assert stack.requests(path) == 0
    assert stack.ask("GET", f"/jobs/{job['id']}").status == 404


def test_deleting_a_running_job(stack: Running, fresh: Fresh) -> None:
    """It is gone at once; a submission that comes while its fetch still runs gets a result of its own."""
    path = fresh("/slow?seconds=2")
    job = stack.submit(stack.page(path))
    until(lambda: stack.requests(path) == 1)
    assert stack.job(job["id"])["status"] == "running"
    assert stack.ask("DELETE", f"/jobs/{job['id']}").status == 204
    assert stack.ask("GET", f"/jobs/{job['id']}").status == 404
    again = stack.finished(stack.submit(stack.page(path))["id"])
    assert (again["status"], again["reused"], stack.requests(path)) == ("succeeded", False, 2)
    assert stack.ask("GET", f"/jobs/{job['id']}").status == 404


def test_a_shared_fetch_outlives_all_but_its_last_job(stack: Running, fresh: Fresh) -> None:
    """Whichever goes first; then the URL is fetched anew."""
    path = fresh("/page")
    ids = [stack.submit(stack.page(path))["id"] for _ in range(3)]
    for job_id in ids:
        stack.finished(job_id)
    for number, job_id in enumerate(ids):
        for other in ids[number:]:
            assert stack.ask("GET", f"/jobs/{other}/result").status == 200
        assert stack.ask("DELETE", f"/jobs/{job_id}").status == 204
    assert stack.requests(path) == 1
    stack.finished(stack.submit(stack.page(path))["id"])
    assert stack.requests(path) == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "problem"),
    [
        ("POST", "/jobs", {"url": 5}, 422, "invalid-request"),
        ("POST", "/jobs", {}, 422, "invalid-request"),
        ("POST", "/jobs", {"url": "http://a/", "windw": 1}, 422, "invalid-request"),
        ("POST", "/jobs", {"url": "http://a/" + "a" * 8192}, 422, "invalid-request"),
        ("POST", "/batches", {"urls": ["http://a/"] * 1001}, 422, "invalid-request"),
        ("POST", "/batches", {"urls": ["ftp://a/"]}, 422, "invalid-request"),
        ("POST", "/batches", {"urls": ["http://a/" + "a" * 2000] * 600}, 413, "body-too-large"),
        ("GET", "/jobs/unknown", None, 404, "not-found"),
        ("GET", "/unknown", None, 404, "not-found"),
        ("GET", "/jobs/unknown?colour=red", None, 422, "invalid-request"),
        ("PUT", "/jobs", None, 405, "method-not-allowed"),
    ],
)
def test_refusals(stack: Running, method: str, path: str, body: object, status: int, problem: str) -> None:
    """Each is a problem with its name, through the real server."""
    answer = stack.ask(method, path, body)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.json["type"].endswith(f"/{problem}")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's peak memory is read from Linux's /proc")
def test_a_workers_memory(tmp_path: Path) -> None:
    """Ten large bodies at once stream through to the bucket in under 200 MiB, whatever their size."""
    with running(tmp_path, {"WORKERS": "1"}) as stack:
        batch = stack.submit_batch([stack.page(f"/big?bytes=30000000&memory={number}") for number in range(10)])
        assert stack.finished_batch(batch["id"])["counts"]["succeeded"] == 10
        status = Path(f"/proc/{stack.workers[0]}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        print(f"\na worker's peak memory: {peak // 1024} MiB")
        assert peak < 200 * 1024
