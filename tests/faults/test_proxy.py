"""The proxy itself: what it says that happens to a call does."""

from __future__ import annotations

import functools
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.running import until
from tests.faults.proxy import Fault, Proxy

TARGET = "DynamoDB_20120810.PutItem"
BODY = b'{"Attributes": {}}'
NOT_CARRIED_OUT = {Fault.RESET, Fault.LOST, Fault.ERROR_500, Fault.ERROR_503, Fault.THROTTLE, Fault.CONFLICT}
WITHOUT_ANSWER = {Fault.RESET, Fault.LOST, Fault.LATE, Fault.ANSWER_LOST}


class Upstream(BaseHTTPRequestHandler):
    """Answers what any service might, and counts."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_POST(self) -> None:
        """One call."""
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def was_asked(times: int) -> bool:
    return Upstream.asked == times


@contextmanager
def upstream() -> Iterator[str]:
    """The address of one that runs."""
    Upstream.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(url: str) -> bytes | int | None:
    """The body of a 200, the status of what is none, and None where no whole answer came."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request("POST", "/", b"{}", {"X-Amz-Target": TARGET})
        answer = connection.getresponse()
        body = answer.read()
        return body if answer.status == 200 else answer.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def test_each_fault_is_what_it_says() -> None:
    """Carried out or not, answered or not, over forty calls that all fail; then none fails."""
    with upstream() as address, Proxy(address, seed=1) as proxy:
        proxy.rate = 1
        carried_out = 0
        for _ in range(40):
            before = proxy.faults.copy()
            answer = ask(proxy.url)
            (told,) = proxy.faults - before
            fault = Fault(told.removeprefix("dynamodb: "))
            carried_out += fault not in NOT_CARRIED_OUT
            until(functools.partial(was_asked, carried_out), what=told)
            if fault in WITHOUT_ANSWER or fault is Fault.ANSWER_CUT:
                assert answer is None, told
            elif fault is Fault.DELAY:
                assert answer == BODY
            else:
                assert answer == {Fault.ERROR_500: 500, Fault.ERROR_503: 503}.get(fault, 400), told
        assert {told.removeprefix("dynamodb: ") for told in proxy.faults} == set(Fault)
        proxy.rate = 0
        assert [ask(proxy.url) for _ in range(5)] == [BODY] * 5
