"""A small sample site on loopback, to fetch from without the Internet; it counts the requests for each of its URLs."""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import signal
import socket
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from local_stack import environment, lifeline, sockets

DEFAULT_PORT = 8008

_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_INDEX = """<!doctype html>
<title>Sample site</title>
<h1>Sample site</h1>
<ul>
<li><a href="/hello.txt">/hello.txt</a>, <a href="/data.json">/data.json</a>, <a href="/image.png">/image.png</a>
<li><a href="/page/1">/page/&lt;n&gt;</a>: as many pages as you like
<li><a href="/big?bytes=5000000">/big?bytes=N</a>: a large one
<li><a href="/slow?seconds=2">/slow?seconds=N</a>: a slow one
<li><a href="/flaky/1">/flaky/&lt;id&gt;</a>: 503 the first time, then 200
<li><a href="/missing">/missing</a>: 404
<li><a href="/late/1">/late/&lt;id&gt;</a>: 404 the first time, then 200
<li><a href="/script.html">/script.html</a>, <a href="/script.svg">/script.svg</a>: they say what they do where they run
<li><a href="/redirect">/redirect</a>: to /hello.txt
<li><a href="/headers">/headers</a>: the headers of the request
<li><a href="/count">/count?path=/hello.txt</a>: how often a URL was requested
</ul>
"""
# To be shown without running them: what they set and say would reveal that they ran.
_SCRIPT = "window.scriptRan = true; document.title = 'A script ran'; alert('A script ran');"
_SCRIPT_HTML = f"""<!doctype html>
<title>A page with a script</title>
<h1>A page with a script</h1>
<script>{_SCRIPT}</script>
<img src="/none.png" alt="" onerror="{_SCRIPT}">
"""
_SCRIPT_SVG = f"""<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" onload="{_SCRIPT}">
<script>{_SCRIPT}</script>
<circle cx="32" cy="32" r="30"/>
</svg>
"""
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_LARGEST = 1024**3
_SLOWEST_SECONDS = 3600.0
_BLOCK = bytes(range(256)) * 256


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one packet
    server: Server

    def do_GET(self) -> None:
        """Count the request and answer it."""
        target = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(target.query).items()}
        if target.path == "/count":
            self._count(query.get("path"))
            return
        first = self.server.site.seen(self.path) == 1
        match target.path.split("/")[1:]:
            case [""]:
                self._send("text/html; charset=utf-8", _INDEX.encode())
            case ["hello.txt"]:
                self._send("text/plain; charset=utf-8", b"Hello from the sample site.\n")
            case ["data.json"]:
                self._send("application/json", b'{"answer": 42, "unit": "none"}\n')
            case ["image.png"]:
                self._send("image/png", _PIXEL)
            case ["page", number]:
                self._send("text/plain; charset=utf-8", f"This is page {number}.\n".encode())
            case ["big"]:
                self._big(int(min(_number(query.get("bytes"), 5_000_000), _LARGEST)))
            case ["slow"]:
                self.server.site.closed.wait(min(_number(query.get("seconds"), 2), _SLOWEST_SECONDS))
                self._send("text/plain; charset=utf-8", b"That took a while.\n")
            case ["flaky", _] if first:
                self._send("text/plain; charset=utf-8", b"Not now.\n", 503)
            case ["flaky", _]:
                self._send("text/plain; charset=utf-8", b"It works the second time.\n")
            case ["late", _] if not first:
                self._send("text/plain; charset=utf-8", b"It is here now.\n")
            case ["script.html"]:
                self._send("text/html; charset=utf-8", _SCRIPT_HTML.encode())
            case ["script.svg"]:
                self._send("image/svg+xml", _SCRIPT_SVG.encode())
            case ["headers"]:
                self._send("application/json", json.dumps(dict(self.headers), indent=2).encode() + b"\n")
            case ["redirect"]:
                self._send("text/plain; charset=utf-8", b"See /hello.txt\n", 302, {"Location": "/hello.txt"})
            case _:
                self._send("text/plain; charset=utf-8", b"There is no such page.\n", 404)

    def _send(self, content_type: str, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._head(content_type, len(body), status, headers or {})
        self.wfile.write(body)

    def _head(self, content_type: str, size: int, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(size), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def _big(self, size: int) -> None:
        self._head("application/octet-stream", size)
        for start in range(0, size, len(_BLOCK)):
            self.wfile.write(_BLOCK[: size - start])

    def _count(self, path: str | None) -> None:
        counts = self.server.site.counts()
        answer = {"path": path, "requests": counts.get(path, 0)} if path is not None else counts
        self._send("application/json", json.dumps(answer).encode() + b"\n")

    def log_message(self, *_: Any) -> None:
        """Log nothing: the site is not what is being watched."""


class Server(ThreadingHTTPServer):
    """Accepts on a socket that is listening already."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, site: Site) -> None:
        super().__init__(listener.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.site = site

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is not an event."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Site:
    """The sample site. As a context manager it serves from a thread."""

    def __init__(self, listener: socket.socket | None = None) -> None:
        self._listener = listener or sockets.listen(0, "SITE_PORT")
        self.url = sockets.url_of(self._listener)
        self.closed = threading.Event()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._server = Server(self._listener, self)

    def seen(self, path: str) -> int:
        """Count a request for `path`, its query included; returns how many there were."""
        with self._lock:
            self._counts[path] += 1
            return self._counts[path]

    def requests(self, path: str) -> int:
        """How often `path` was requested."""
        with self._lock:
            return self._counts[path]

    def counts(self) -> dict[str, int]:
        """How often each path was requested."""
        with self._lock:
            return dict(self._counts)

    def serve(self) -> None:
        """Serve until closed."""
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop serving; slow answers end at once. Must not be called from the thread that serves."""
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Site:
        threading.Thread(target=self.serve, name="site", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _number(text: str | None, default: float) -> float:
    return float(text) if text is not None and _NUMBER.fullmatch(text) else default


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m local_stack.site", description=__doc__)
    parser.add_argument("--lifeline", action="store_true", help="end when standard input does")
    parser.add_argument("--descriptor", type=int, help="accept on this listening socket; else on port SITE_PORT")
    arguments = parser.parse_args()
    if arguments.descriptor is None:
        port = environment.number(os.environ, "SITE_PORT", DEFAULT_PORT, sockets.HIGHEST_PORT)
        site = Site(sockets.listen(port, "SITE_PORT"))
        print(f"The sample site is at {site.url}", flush=True)
    else:
        site = Site(socket.socket(fileno=arguments.descriptor))

    def end(*_: object) -> None:
        threading.Thread(target=site.close, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    if arguments.lifeline:
        lifeline.watch(end)
    site.serve()


if __name__ == "__main__":
    main()
