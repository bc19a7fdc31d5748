"""The life of jobs on the real code, stage by stage: a site to fetch from, requests to the API's function, invocations
of the job runner."""

from __future__ import annotations

import functools
import itertools
import json
import multiprocessing
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import Any

import boto3
from botocore.config import Config
from chalice.app import Chalice
from chalice.local import LambdaEventConverter, RouteMatcher

from bench.peers.site import HOSTS
from bench.units import Tally, UnitCounter
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.submitted import NO_HEADERS, RequestHeaders
from chalicelib.runner.fetcher import Fetcher, FetchLimits
from chalicelib.runner.outcome import Failure, Fetched, Sink
from chalicelib.service.read import PAGE
from chalicelib.storage.clients import client_config
from chalicelib.wiring import API_THREADS, RUNNER_THREADS
from local_stack import emulator, sockets
from local_stack.environment import HOST, KEY, REGION
from tests.world import Site, World, world

ROOT = Path(__file__).parent.parent
PARAMETERS = ROOT / ".chalice" / "parameters-prod.json"
URL_LENGTH = 90  # characters, where nothing else is said
ASKS = 3  # statuses asked for in a row, of which one counts: their CPU differs
RESULT_BYTES = 10 * 1024


@functools.cache
def deployed(parameter: str) -> int:
    """A parameter of stage prod."""
    value: int = json.loads(PARAMETERS.read_text(encoding="utf-8"))[parameter]
    return value


# The site


class _Page(BaseHTTPRequestHandler):
    """Answers every GET with the same page."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    _BODY = (b"<p>What is for sale today, and what it costs.</p>\n" * RESULT_BYTES)[:RESULT_BYTES]

    def do_GET(self) -> None:
        """The page, with the headers that a result keeps."""
        self.send_response(200)
        for name, value in (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(RESULT_BYTES)),
            ("Content-Language", "en"),
            ("Cache-Control", "public, max-age=3600"),
            ("ETag", '"6a0f5c2e-2800"'),
            ("Last-Modified", "Mon, 23 Nov 2026 08:30:00 GMT"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self._BODY)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


def _serve(port: Connection) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whatever the benchmark that it is a copy of does with it
    server = ThreadingHTTPServer((HOST, 0), _Page)
    port.send(server.server_port)
    server.serve_forever()


@contextmanager
def site() -> Iterator[int]:
    """A site in a process of its own, and its port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


class _Internet(Site):
    """The world's site replaced by the real fetcher, for which every name is a site on loopback."""

    def __init__(self) -> None:
        super().__init__()
        self._fetcher = Fetcher(
            limits=FetchLimits(),
            policy=AddressPolicy(loopback_allowed=True),
            user_agent="FetchQueue/1.0 (+https://example.com/about)",
            getaddrinfo=lambda _name, port, *args, **kwargs: socket.getaddrinfo(HOST, port, *args, **kwargs),
        )

    def fetch(self, url: str, sink: Sink, request_headers: RequestHeaders = NO_HEADERS) -> Fetched | Failure:
        """One attempt at the URL."""
        return self._fetcher.fetch(url, sink, request_headers)


class Urls:
    """URLs that nobody has asked for yet, of many hosts by turns: those of an invocation have one each."""

    def __init__(self, port: int) -> None:
        self._numbers = itertools.count()
        self._port = port

    def take(self, count: int, length: int = URL_LENGTH) -> list[str]:
        """So many new ones, so long."""
        return [self._next(length) for _ in range(count)]

    def _next(self, length: int) -> str:
        number = next(self._numbers)
        start = f"http://www{number % HOSTS:02d}.example.com:{self._port}/products/catalogue/"
        return f"{start}{number:0{length - len(start) - 12}d}?view=detail"


def event_of(app: Chalice, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
    """What API Gateway invokes the API's function with, for a request."""
    sent = {"host": "127.0.0.1:8000", "content-type": "application/json", **headers}
    text: Any = "" if body is None else json.dumps(body)
    event: dict[str, Any] = LambdaEventConverter(RouteMatcher(list(app.routes))).create_lambda_event(
        method, path, sent, text
    )
    return event


# The life of jobs, stage by stage


class Stage(StrEnum):
    """What is done with jobs. The value is what a table says."""

    SUBMIT = "submit"
    EARLY = "status, nothing begun"
    RUN = "run"
    POLL = "status, finished"
    AGAIN = "status, finished, again"
    READ = "read the results"
    DELETE = "delete"


Life = dict[Stage, Tally]


def _one(life: Life, times: int) -> Life:
    """A life's share of so many that were counted together."""
    asked = {Stage.EARLY: ASKS, Stage.AGAIN: ASKS}
    return {stage: tally.over(times * asked.get(stage, 1)) for stage, tally in life.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lives:
    """What so many new URLs used, submitted as a batch or one alone, and the same ones submitted again."""

    count: int
    batch: bool
    new: Life
    reused: Life
    stored_bytes: Mapping[str, float]  # in the table, for a URL
    largest: Mapping[str, int]  # bytes of an item, by kind


@dataclass(frozen=True, slots=True)
class Bench:
    """A world, its meter, and URLs to ask it for."""

    world: World
    meter: UnitCounter
    urls: Urls

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        """One request to the API's function, as API Gateway invokes it; the answer as it goes back."""
        app = self.world.app
        answer: dict[str, Any] = app(event_of(app, method, path, body, **headers), None)
        if answer["statusCode"] >= 400:
            raise RuntimeError(f"{method} {path} was answered {answer['statusCode']}: {answer['body']}")
        return answer

    def request(self, tally: Tally, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        """The same, counted."""
        with self.meter.counting(tally, API_THREADS):
            answer = self.ask(method, path, body, **headers)
        tally.answer_bytes += len(answer["body"].encode())
        return answer

    def run(self, tally: Tally) -> None:
        """Invoke the job runner with what is on the queue, by ten, and acknowledge it as Lambda does."""
        records = self.world.receive()
        for at in range(0, len(records), deployed("BatchSize")):
            batch = records[at : at + deployed("BatchSize")]
            with self.meter.counting(tally, RUNNER_THREADS):
                left = self.world.runner.run_jobs(batch, lambda: 1000.0)
            if left:
                raise RuntimeError(f"{len(left)} of {len(batch)} messages were left")
            self.world.event_source.delete_message_batch(
                QueueUrl=self.world.names["QUEUE_URL"],
                Entries=[{"Id": str(n), "ReceiptHandle": one["receiptHandle"]} for n, one in enumerate(batch)],
            )
        self.world.messages.clear()

    def live(self, life: Life, urls: Sequence[str], *, batch: bool) -> str:
        """Submit, ask, run, ask, read, and count each; where the jobs are."""
        body = {"urls": urls} if batch else {"url": urls[0]}
        submitted = self.request(life[Stage.SUBMIT], "POST", "/batches" if batch else "/jobs", body)
        path: str = json.loads(submitted["body"])["links"]["self"]
        for _ in range(ASKS):
            self.request(life[Stage.EARLY], "GET", path)
        self.run(life[Stage.RUN])
        self.request(life[Stage.POLL], "GET", path)
        for _ in range(ASKS):
            self.request(life[Stage.AGAIN], "GET", path)
        for cursor in range(0, len(urls), PAGE):
            where = f"{path}/results?cursor={cursor}" if batch else f"{path}/result"
            self.request(life[Stage.READ], "GET", where)
        return path

    def told(self, count: int, seconds: int) -> Tally:
        """What the webhooks' function uses for a batch with a webhook that takes so long, until it is delivered."""
        tally, w = Tally(), self.world
        self.ask("POST", "/batches", {"urls": self.urls.take(count), "webhook": "https://told.example.com/"})
        records, began = w.receive(), w.now
        w.messages.clear()
        steps = range(0, len(records), deployed("BatchSize"))
        for done, at in enumerate(steps, start=1):
            batch = records[at : at + deployed("BatchSize")]
            w.runner.run_jobs(batch, lambda: 1000.0)
            w.event_source.delete_message_batch(
                QueueUrl=w.names["QUEUE_URL"],
                Entries=[{"Id": str(n), "ReceiptHandle": one["receiptHandle"]} for n, one in enumerate(batch)],
            )
            self._tell(tally, began + seconds * 1000 * done // len(steps))
        while not w.receiver.told:
            self._tell(tally, w.now + 1000)
        return tally

    def _tell(self, tally: Tally, until: int) -> None:
        """Let time go by, and the webhooks' function work on what is due."""
        w = self.world
        w.now = until
        for record in w.receive_webhooks():
            with self.meter.counting(tally, RUNNER_THREADS):
                if w.webhooks.run_jobs([record], lambda: 1000.0):
                    raise RuntimeError("a webhook's message was left")
            w._acknowledge([record])

    def lives(self, count: int, *, batch: bool = True, length: int = URL_LENGTH, times: int = 1) -> Lives:
        """The lives of new URLs, and of the same ones submitted again; both are deleted in the end."""
        new: Life = {stage: Tally() for stage in Stage}
        reused: Life = {stage: Tally() for stage in Stage}
        stored_new, stored_reused, largest = 0, 0, dict[str, int]()
        for _ in range(times):
            urls = self.urls.take(count, length)
            stored = self.meter.stored_bytes
            first = self.live(new, urls, batch=batch)
            stored_new = self.meter.stored_bytes - stored
            largest = {kind: self.meter.largest(kind) for kind in ("JOB", "FETCH", "URL")}
            second = self.live(reused, urls, batch=batch)
            stored_reused = self.meter.stored_bytes - stored - stored_new
            self.request(reused[Stage.DELETE], "DELETE", second)
            self.request(new[Stage.DELETE], "DELETE", first)
        return Lives(
            count=count,
            batch=batch,
            new=_one(new, times),
            reused=_one(reused, times),
            stored_bytes={"new": stored_new / count, "reused": stored_reused / count},
            largest=largest,
        )


def _as_deployed(client: Any) -> Any:
    """A client like this one of the tests', made as the service makes its own."""
    name = client.meta.service_model.service_name
    if name == "cloudformation":
        return client
    config = client_config(name)
    if client.meta.endpoint_url.startswith("https:"):  # moto, which takes no bytearray as it is
        config = config.merge(Config(request_checksum_calculation="when_supported"))
    return boto3.session.Session().client(
        name,
        region_name=REGION,
        endpoint_url=client.meta.endpoint_url,
        aws_access_key_id=KEY,
        aws_secret_access_key=KEY,
        config=config,
    )


@contextmanager
def opened(endpoint: str, urls: Urls, settings: Mapping[str, Any] = MappingProxyType({})) -> Iterator[Bench]:
    """A world on the emulator at `endpoint` that fetches over HTTP; without one, on moto, where nothing can."""
    with world(_as_deployed, endpoint=endpoint, **settings) as w:
        if endpoint:
            w.site = _Internet()
            w.wire()
        look = boto3.session.Session().client(
            "dynamodb",
            region_name=REGION,
            endpoint_url=endpoint or None,
            aws_access_key_id=KEY,
            aws_secret_access_key=KEY,
        )
        yield Bench(w, UnitCounter(w, look), urls)


@contextmanager
def emulated() -> Iterator[str]:
    """The embedded emulator, started and ended here; its endpoint."""
    port = sockets.free_port(0, "EMULATOR_PORT")
    python = emulator.install(lambda text: print(text, file=sys.stderr))
    with tempfile.TemporaryDirectory(prefix="fetch-queue-bench-") as directory:
        ministack = emulator.Emulator(python, port, Path(directory))
        try:
            ministack.start()
            yield ministack.url
        finally:
            ministack.end(1.0)
