"""The client of every system: the same few requests, each on a connection of its own."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from bench.peers.errors import BenchError

_REQUEST_SECONDS = 60.0
_PHASE_SECONDS = 180.0  # for a batch; the slowest takes a quarter of it
_JOB_SECONDS = 30.0

# Asking for a batch's progress takes time of the API that is measured. So it is asked again after this part of the
# time that the rest will take, as far as can be told, and not before this part of the time that has passed.
_OF_WHAT_REMAINS = 0.6
_OF_WHAT_PASSED = 0.03
_SHORTEST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 0.25  # a longer one would hide what is done in it
_JOB_PAUSE_SECONDS = 0.004


def ask(method: str, url: str, body: object = None) -> tuple[int, bytes]:
    """One request: the answer's status and body. Raises OSError and HTTPException."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_REQUEST_SECONDS)
    try:
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, parts.path, data, {} if data is None else {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def checked(answer: tuple[int, bytes], status: int) -> bytes:
    """The body of an answer that has this status. Raises BenchError for another."""
    if answer[0] != status:
        raise BenchError(f"an answer has status {answer[0]}, not {status}: {answer[1][:200]!r}")
    return answer[1]


def await_api(url: str, still_runs: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until an HTTP server answers at `url`; `still_runs` raises when that is not to be hoped for."""
    deadline = time.monotonic() + seconds
    while True:
        still_runs()
        try:
            ask("GET", url)
        except (OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise BenchError(f"nothing answers at {url} after {seconds:g} s") from None
            time.sleep(0.05)
        else:
            return


class Client:
    """Talks to one API. `still_runs` raises when what is behind it does not run any more."""

    def __init__(self, api: str, still_runs: Callable[[], object]) -> None:
        self._api = api
        self._still_runs = still_runs

    def submit_batch(self, urls: Sequence[str]) -> tuple[str, list[str], bool]:
        """Submit URLs; returns the ids of the batch and of its jobs, in order, and whether all have succeeded by then,
        as far as the answer says."""
        batch = self._json("POST", "/batches", 202, {"urls": list(urls)})
        all_done = all(job.get("status") == "succeeded" for job in batch["jobs"])
        return batch["id"], [job["id"] for job in batch["jobs"]], all_done

    def await_batch(self, batch_id: str, began: float) -> int:
        """Wait until every job of the batch has succeeded; returns how often that was asked.

        `began` is when it was submitted, by `time.perf_counter`.
        """
        asked = 0
        while True:
            self._still_runs()
            batch = self._json("GET", f"/batches/{batch_id}", 200)
            asked += 1
            total, done = batch["total"], batch["counts"]["succeeded"]
            if batch["counts"]["failed"]:
                raise BenchError(f"{batch['counts']['failed']} of {total} jobs failed")
            if done == total:
                return asked
            passed = time.perf_counter() - began
            if passed > _PHASE_SECONDS:
                raise BenchError(f"{total - done} of {total} jobs are not finished after {passed:.0f} s")
            time.sleep(_pause(passed, done, total))

    def one_job(self, url: str) -> float:
        """Submit a URL by itself; returns the seconds until it was seen to have succeeded."""
        began = time.perf_counter()
        job = self._json("POST", "/jobs", 202, {"url": url})
        while job["status"] != "succeeded":
            if job["status"] == "failed" or time.perf_counter() - began > _JOB_SECONDS:
                raise BenchError(f"a job is {job['status']} after {time.perf_counter() - began:.1f} s")
            time.sleep(_JOB_PAUSE_SECONDS)
            job = self._json("GET", f"/jobs/{job['id']}", 200)
        return time.perf_counter() - began

    def result(self, job_id: str) -> bytes:
        """The bytes that a job fetched."""
        return checked(ask("GET", f"{self._api}/jobs/{job_id}/result"), 200)

    def _json(self, method: str, path: str, status: int, body: object = None) -> Any:
        return json.loads(checked(ask(method, self._api + path, body), status))


def _pause(passed: float, done: int, total: int) -> float:
    """How long not to ask, when `done` of `total` jobs took the time that has passed."""
    remains = passed * (total - done) / done if done else 0.0
    pause = max(_OF_WHAT_REMAINS * remains, _OF_WHAT_PASSED * passed, _SHORTEST_PAUSE_SECONDS)
    return min(pause, _LONGEST_PAUSE_SECONDS)
