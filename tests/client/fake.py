"""A Fetch Queue in memory, on loopback, with faults on demand; and time that passes when somebody sleeps."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fetch_queue.patience import Timing

BEGAN = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
PAGE = 100
TOO_LARGE = 1024 * 1024


class Time:
    """Passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.timing = Timing(
            clock=lambda: self.now,
            sleep=self.sleep,
            random=lambda: 0.5,
            today=lambda: BEGAN + timedelta(seconds=self.now - 1000),
        )

    def sleep(self, seconds: float) -> None:
        """No time at all, but it has passed."""
        self.slept.append(seconds)
        self.now += seconds


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens instead of an answer, or to it."""

    status: int = 0  # 0: the request is served, but its answer never comes
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None  # None: a problem
    name: str = "unavailable"
    detail: str = "Something is away."
    effect: Callable[[], object] = lambda: None  # what the request did all the same


LOST = Fault()


@dataclass(frozen=True, slots=True)
class Seen:
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class StoredBatch:
    """A batch."""

    id: str
    urls: list[str]  # of its jobs
    body: bytes
    rejected: list[dict[str, Any]]
    polls: int = 0
    retry_of: str | None = None
    retried_by: str | None = None


class Service:
    """The service's state. What a test wants otherwise, it sets."""

    def __init__(self) -> None:
        self.token: str | None = None
        self.prefix = ""
        self.pages: dict[str, tuple[str, bytes]] = {}  # by URL; others are a line of text
        self.failing: set[str] = set()  # URLs
        self.deleted: set[str] = set()  # ids of jobs and batches
        self.polls_to_finish = 1
        self.more: dict[str, Any] = {}  # members of an error, which an older service has not
        self.waiting: dict[str, str] = {}  # URLs of jobs that wait for their host, and until when
        self.older = False  # it does not say who waits
        self.finished_first = 0  # jobs of a batch that are finished from the beginning
        self.renewals: set[str] = set()  # of the secret that signs events, by their keys
        self.inline = False  # results come from the API itself
        self.batches: dict[str, StoredBatch] = {}  # by key
        self.seen: list[Seen] = []
        self.seen_by_storage: list[Seen] = []
        self.downloads: Counter[str] = Counter()  # by job id
        self.damaged: set[str] = set()  # ids of jobs whose bytes come wrong, once
        self.release = threading.Event()  # what a storage that hangs waits for
        self.reached = threading.Event()  # set when somebody is kept waiting
        self.hanging = False  # the storage
        self.quotas: list[dict[str, Any]] = []
        self.alone: list[dict[str, Any]] = []  # jobs that were submitted alone
        self.expired: set[str] = set()  # ids of jobs whose links do not work, once
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        self.first_poll: int | None = None  # seconds, the Retry-After of a submission
        self.url = ""
        self.storage_url = ""

    def fail(self, request: str, *faults: Fault) -> None:
        """The next requests whose method and path begin like this meet these faults, one each."""
        self._faults += [(request, fault) for fault in faults]

    def fault(self, request: str) -> Fault | None:
        """The fault that a request meets."""
        with self._lock:
            for at, (begin, fault) in enumerate(self._faults):
                if request.startswith(begin):
                    del self._faults[at]
                    return fault
        return None

    def bytes_of(self, url: str) -> tuple[str, bytes]:
        """A page of the site that does not exist: its content type and its bytes."""
        return self.pages.get(url, ("text/plain; charset=utf-8", f"This is {url}\n".encode()))

    def asked(self, method: str, pattern: str) -> int:
        """How many requests of a kind there were."""
        return sum(one.method == method and re.search(pattern, one.path) is not None for one in self.seen)

    def submitted(self) -> list[str]:
        """The URLs of all jobs."""
        return [url for batch in self.batches.values() for url in batch.urls]

    # What the API does

    def submit(self, key: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
        """`POST /batches`: status, answer and headers."""
        with self._lock:
            batch = self.batches.get(key)
            if batch is not None and batch.body != body:
                return 422, problem(422, "idempotency-key-reused", "This key came with another body before."), {}
            if batch is None:
                urls = [one if isinstance(one, str) else one["url"] for one in json.loads(body)["urls"]]
                rejected = [
                    {"index": index, "url": url, "detail": "the scheme must be http or https"}
                    for index, url in enumerate(urls)
                    if not url.startswith("http")
                ]
                if len(rejected) == len(urls):
                    errors = [{"pointer": f"/urls/{one['index']}", "detail": one["detail"]} for one in rejected]
                    return 422, {**problem(422, "invalid-request", "None can be fetched."), "errors": errors}, {}
                batch_id = hashlib.sha256(key.encode()).hexdigest()[:32]
                valid = [url for url in urls if url.startswith("http")]
                batch = self.batches[key] = StoredBatch(batch_id, valid, body, rejected)
        jobs = [job for number in range(len(batch.urls)) if (job := self.job(batch, number, linked=False))]
        later = {} if self.first_poll is None else {"Retry-After": str(self.first_poll)}
        return 202, {"id": batch.id, "jobs": jobs, "rejected": batch.rejected, "total": len(jobs)}, later

    def retry(self, batch: StoredBatch, key: str, only: str | None) -> tuple[int, Any, dict[str, str]]:
        """`POST /batches/{id}/retry`: status, answer and headers. Everything here fails with one type."""
        urls = [url for url in batch.urls if url in self.failing and batch.polls >= self.polls_to_finish]
        if not urls or "http-status" not in (only or "http-status").split(","):
            return 409, problem(409, "nothing-failed", "No job of the batch has failed."), {}
        new_id = hashlib.sha256(f"{batch.id} {key}".encode()).hexdigest()[:32]
        new = self.batches.setdefault(key, StoredBatch(new_id, urls, b"", [], retry_of=batch.id))
        batch.retried_by = new.id
        jobs = [self.job(new, number, linked=False) for number in range(len(urls))]
        return 202, {"id": new.id, "jobs": jobs, "rejected": [], "total": len(jobs), "retry_of": batch.id}, {}

    def listed(self, cursor: int, limit: int) -> tuple[dict[str, Any], dict[str, str]]:
        """`GET /batches`: the answer and its headers."""
        batches = [one for one in reversed(self.batches.values()) if one.id not in self.deleted]
        more = f"{self.prefix}/batches?cursor={cursor + limit}" if len(batches) > cursor + limit else None
        shown = [
            {
                "id": batch.id,
                "submitted_at": "2026-11-24T10:00:00.000Z",
                "expires_at": "2026-12-01T10:00:00.000Z",
                "submitted": len(batch.urls),
                **links_of(batch),
            }
            for batch in batches[cursor : cursor + limit]
        ]
        return {"batches": shown, "next": more}, {"Link": f'<{more}>; rel="next"'} if more else {}

    def find(self, batch_id: str) -> StoredBatch | None:
        """A batch that is there."""
        found = next((batch for batch in self.batches.values() if batch.id == batch_id), None)
        return None if batch_id in self.deleted else found

    def job(self, batch: StoredBatch, number: int, *, linked: bool) -> dict[str, Any] | None:
        """A Job; None where it is gone."""
        job_id, url = f"{batch.id}-{number}", batch.urls[number]
        if job_id in self.deleted or batch.id in self.deleted:
            return None
        finished = batch.polls >= self.polls_to_finish or number < self.finished_first
        status = ("failed" if url in self.failing else "succeeded") if finished else "queued"
        content_type, data = self.bytes_of(url)
        result = {
            "content_type": content_type,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "final_url": url,
            **({"link": f"{self.storage_url}/{job_id}?signature=secret"} if linked else {}),
        }
        error = {"type": "http-status", "detail": "the site answered 404 Not Found", "http_status": 404, **self.more}
        waits = {} if self.older else {"next_attempt_at": None if finished else self.waiting.get(url)}
        return {
            "id": job_id,
            "batch_id": batch.id,
            "url": url,
            "status": status,
            "submitted_at": "2026-11-24T10:00:00.000Z",
            "finished_at": "2026-11-24T10:00:01.000Z" if finished else None,
            **waits,
            "attempts": int(finished),
            "reused": False if finished or url in self.waiting else None,
            "result": result if status == "succeeded" else None,
            "error": error if status == "failed" else None,
        }

    def batch(self, batch: StoredBatch) -> tuple[dict[str, Any], dict[str, str]]:
        """`GET /batches/{id}`: the answer and its headers."""
        batch.polls += 1
        jobs = [job for number in range(len(batch.urls)) if (job := self.job(batch, number, linked=False))]
        counts = dict.fromkeys(("queued", "running", "succeeded", "failed"), 0) | Counter(job["status"] for job in jobs)
        finished = not counts["queued"]
        document = {"id": batch.id, "total": len(jobs), "counts": counts, "finished": finished, "jobs": jobs[:PAGE]}
        document |= links_of(batch)
        if not self.older:
            document["waiting_for_host"] = sum(job["next_attempt_at"] is not None for job in jobs)
        return document, {} if finished else {"Retry-After": "2"}

    def results(self, batch: StoredBatch, cursor: int) -> tuple[bytes, dict[str, str]]:
        """`GET /batches/{id}/results`: the lines and the headers."""
        end = cursor + PAGE
        numbers = range(cursor, min(end, len(batch.urls)))
        jobs = [job for number in numbers if (job := self.job(batch, number, linked=True))]
        more = f'<{self.prefix}/batches/{batch.id}/results?cursor={end}>; rel="next"'
        return (
            "".join(json.dumps(job) + "\n" for job in jobs).encode(),
            {"Link": more} if end < len(batch.urls) else {},
        )


def links_of(batch: StoredBatch) -> dict[str, str]:
    """What a batch says of the one that it retries, and of the one that retries it."""
    both = {"retry_of": batch.retry_of, "retried_by": batch.retried_by}
    return {name: other for name, other in both.items() if other is not None}


def problem(status: int, name: str, detail: str) -> dict[str, Any]:
    """An error's body."""
    return {"type": f"https://fetch-queue.dev/problems/{name}", "title": name, "status": status, "detail": detail}


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    service: Service
    fault: Fault | None = None

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_DELETE = do_GET  # noqa: N815 - as http.server wants them

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._see(Seen(self.command, self.path, headers, body))
        self.fault = self.service.fault(f"{self.command} {self.path}")
        if self.fault is not None and self.fault.status:
            fault = self.fault
            fault.effect()
            if fault.body is None:
                self._answer(fault.status, problem(fault.status, fault.name, fault.detail), fault.headers)
            else:
                self._send(fault.status, fault.body, fault.headers)
            return
        self._serve_path(headers, body)

    def _see(self, seen: Seen) -> None:
        self.service.seen.append(seen)

    def _serve_path(self, headers: Mapping[str, str], body: bytes) -> None:
        service, target = self.service, urlsplit(self.path)
        if service.token is not None and headers.get("authorization") != f"Bearer {service.token}":
            self._answer(401, problem(401, "unauthorized", "Send an access token that is valid."))
            return
        if not target.path.startswith(service.prefix):
            self._answer(404, problem(404, "not-found", "Nothing is served there."))
            return
        steps = target.path.removeprefix(service.prefix).split("/")[1:]
        batch = service.find(steps[1].partition("-")[0]) if len(steps) > 1 else None
        match self.command, steps:
            case "POST", ["batches"]:
                self._answer(*service.submit(headers["idempotency-key"], body))
            case "POST", ["batches", _, "retry"] if batch is not None:
                only = parse_qs(target.query).get("only", [None])[0]
                self._answer(*service.retry(batch, headers["idempotency-key"], only))
            case "GET", ["batches"]:
                cursor = int(parse_qs(target.query).get("cursor", ["0"])[0])
                document, more = service.listed(cursor, PAGE)
                self._answer(200, document, more)
            case "GET", ["jobs"]:
                self._answer(200, {"jobs": service.alone, "next": None})
            case "GET", ["usage"]:
                self._answer(200, {"quotas": service.quotas})
            case "GET" | "POST", ["webhook-secret"]:
                if self.command == "POST":
                    service.renewals.add(headers["idempotency-key"])
                secret = base64.b64encode(f"secret number {len(service.renewals)}".encode()).decode()
                self._answer(200, {"secret": f"whsec_{secret}", "old_secret_until": None})
            case "GET", ["batches", _] if batch is not None and "-" not in steps[1]:
                document, more = service.batch(batch)
                self._answer(200, document, more)
            case "GET", ["batches", _, "results"] if batch is not None:
                cursor = int(parse_qs(target.query).get("cursor", ["0"])[0])
                lines, more = service.results(batch, cursor)
                self._send(200, lines, {**more, "Content-Type": "application/x-ndjson"})
            case _, ["jobs", job_id, *rest] if batch is not None and "-" in job_id:
                self._serve_job(batch, job_id, rest)
            case "DELETE", ["batches", batch_id] if batch is not None:
                service.deleted.add(batch_id)
                self._send(204, b"", {})
            case _:
                self._answer(404, problem(404, "not-found", "No such job or batch."))

    def _serve_job(self, batch: StoredBatch, job_id: str, rest: list[str]) -> None:
        service = self.service
        job = service.job(batch, int(job_id.partition("-")[2]), linked=False)
        if job is None:
            self._answer(404, problem(404, "not-found", "There is no such job."))
        elif self.command == "DELETE":
            service.deleted.add(job_id)
            self._send(204, b"", {})
        elif rest != ["result"]:
            self._answer(200, job)
        elif job["error"] is not None:
            self._answer(409, problem(409, "job-failed", "There is no result: the site answered 404 Not Found"))
        elif job["result"] is None:
            self._answer(409, problem(409, "job-not-finished", "The job is queued. Ask again in 1 s."))
        else:
            etag = {"ETag": f'"{job["result"]["sha256"]}"'}
            content_type, data = service.bytes_of(job["url"])
            if service.inline:
                self._send(200, data, {**etag, "Content-Type": content_type})
            else:
                self._send(303, b"", {**etag, "Location": f"{service.storage_url}/{job_id}?signature=fresh"})

    def _answer(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
        kind = "application/problem+json" if status >= 400 else "application/json"
        self._send(status, json.dumps(document).encode(), {"Content-Type": kind, **(headers or {})})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        if self.fault is not None and not self.fault.status:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204 and "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.close_connection = "Content-Length" in headers  # of a body that will be cut short
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Storage(_Handler):
    """S3, as far as a link shows it. It refuses who sends a token, as S3 does."""

    def _see(self, seen: Seen) -> None:
        self.service.seen_by_storage.append(seen)

    def _serve_path(self, headers: Mapping[str, str], body: bytes) -> None:
        service, target = self.service, urlsplit(self.path)
        job_id = target.path.removeprefix("/")
        batch = service.find(job_id.partition("-")[0])
        if batch is None or job_id in service.deleted:
            self._send(404, b"<Error>NoSuchKey</Error>", {})
            return
        if "authorization" in headers or (job_id in service.expired and target.query != "signature=fresh"):
            self._send(403, b"<Error>AccessDenied</Error>", {})
            return
        if service.hanging:
            service.reached.set()
            service.release.wait(600)  # longer than anybody waits for a program's end
        service.downloads[job_id] += 1
        content_type, data = service.bytes_of(batch.urls[int(job_id.partition("-")[2])])
        if job_id in service.damaged:
            service.damaged.discard(job_id)
            data = b"x" * len(data)
        self._send(200, data, {"Content-Type": content_type})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that was made to go away


@contextmanager
def serving() -> Iterator[Service]:
    """A service and its storage, each at a port of its own."""
    service = Service()
    servers = [
        _Server(("127.0.0.1", 0), type(kind.__name__, (kind,), {"service": service})) for kind in (_Handler, _Storage)
    ]
    service.url, service.storage_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    for server in servers:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield service
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
