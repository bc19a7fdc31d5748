"""The service behind a prefix, as a stage of API Gateway puts it: `/api/jobs` and the like, and nothing at `/`."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from chalicelib.api import page

_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        prefix = self.server.prefix
        if not self.path.startswith(f"{prefix}/"):
            self.server.strays.append(self.path)
            self._send(404, {"Content-Type": "text/plain"}, b"Nothing is served outside the stage.\n")
            return
        connection = http.client.HTTPConnection(self.server.api, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            connection.request(self.command, self.path.removeprefix(prefix), body or None, headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        about = {name: value for name, value in response.getheaders() if name.lower() not in _OF_THE_CONNECTION}
        if self.path == f"{prefix}/":
            made = page.page(prefix, self.server.results_origin)
            answer, about["Content-Security-Policy"] = made.text.encode(), made.policy
        else:
            for name in (b"jobs", b"batches"):  # the links in an answer carry the prefix
                answer = answer.replace(b'"/%s/' % name, b'"%s/%s/' % (prefix.encode(), name))
        self._send(response.status, about, answer)

    do_GET = do_POST = do_DELETE = _forward  # noqa: N815 - http.server wants methods named so

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """Passes on what comes under its prefix, and remembers what came beside it."""

    daemon_threads = True

    def __init__(self, api: str, prefix: str, results_origin: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.api = urlsplit(api).netloc
        self.prefix = prefix
        self.results_origin = results_origin
        self.strays: list[str] = []  # paths that were asked for outside the prefix

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_port}{self.prefix}/"


@contextmanager
def prefixed(api: str, prefix: str, results_origin: str) -> Iterator[Server]:
    """The API under a prefix, served from a thread."""
    with Server(api, prefix, results_origin) as server:
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
