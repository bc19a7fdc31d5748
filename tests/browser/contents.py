"""A site whose contents a test gives: what was stored is shown as its content type says, and some of it is hostile."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

REFUSED = "/refused"  # answered 404 with whatever stands for it
BUSY = "/busy"  # answered 429, and not to be asked again for an hour
Contents = Mapping[str, tuple[str, bytes]]  # by path, without the query: content type and body


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server

    def do_GET(self) -> None:
        """Send what the path stands for."""
        path = urlsplit(self.path).path
        found = self.server.contents.get(path)
        content_type, body = found or ("text/plain", b"There is no such page.\n")
        if path == BUSY:
            self.send_response(429)
            self.send_header("Retry-After", "3600")
        else:
            self.send_response(200 if found and path != REFUSED else 404)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server(ThreadingHTTPServer):
    """Serves the contents on loopback."""

    daemon_threads = True

    def __init__(self, contents: Contents) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents = contents

    def page(self, path: str) -> str:
        """The URL of a path."""
        return f"http://127.0.0.1:{self.server_port}{path}"


@contextmanager
def site(contents: Contents) -> Iterator[Server]:
    """A site, served from a thread."""
    with Server(contents) as server:
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
