"""The API's server on a real socket: what Chalice's own would answer late, wrongly or not at all."""

from __future__ import annotations

import http.client
import json
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from chalice.app import Chalice, Response

from local_stack import chalice_server, sockets


def answer(body: str, status: int = 200, headers: dict[str, str | list[str]] | None = None) -> Response:
    return Response(body, status_code=status, headers={"Content-Type": "text/plain", **(headers or {})})


def example() -> Chalice:
    """An app with every sort of answer."""
    app = Chalice(app_name="example")
    app.api.binary_types = []

    @app.route("/thing")
    def thing() -> Response:
        request = app.current_request
        assert request is not None
        query: Any = request.query_params or {}
        return answer("x" * int(query.get("size", 4)))

    @app.route("/echo", methods=["POST"], content_types=["*/*"])
    def echo() -> Response:
        request = app.current_request
        assert request is not None
        body = request.raw_body
        assert isinstance(body, bytes)
        return answer(json.dumps({"size": len(body), "begins": body[:20].decode()}))

    @app.route("/deleted", methods=["DELETE"])
    def deleted() -> Response:
        return answer("", 204)

    @app.route("/unchanged")
    def unchanged() -> Response:
        return answer("", 304, {"ETag": '"1"'})

    @app.route("/injected")
    def injected() -> Response:
        return answer("", 200, {"X-Given": "a\rX-Evil: b", "X-Far": "日本"})

    @app.route("/who/{name}")
    def who(name: str) -> Response:
        time.sleep(0.01)  # long enough for another thread's request to come between
        request = app.current_request
        assert request is not None
        assert request.uri_params is not None
        return answer(f"{name} {request.uri_params['name']}")

    return app


@contextmanager
def serve(
    app: Chalice,
    *,
    function_seconds: float = 29,
    time_out: Callable[[str], object] = pytest.fail,
    log_requests: bool = False,
) -> Iterator[int]:
    """Serve an app on a free port."""
    listener = sockets.listen(0, "PORT")
    server = chalice_server.make(
        app, listener, function_seconds=function_seconds, time_out=time_out, log_requests=log_requests
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield sockets.port_of(listener)
    finally:
        server.shutdown()
        thread.join()
        server.busy.wait(10)
        server.server_close()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve(example()) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    yield connection
    connection.close()


def ask(
    client: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    client.request(method, path, body, headers)
    response = client.getresponse()
    return response, response.read()


def raw(port: int, sent: bytes) -> bytes:
    """Send bytes as they are; what comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent)
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


def problem(answer: bytes) -> tuple[int, str]:
    """Status and name of the problem in a raw answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    told = json.loads(body)
    assert head.startswith(f"HTTP/1.1 {told['status']} ".encode())
    return told["status"], told["type"].rpartition("/")[2]


@pytest.mark.parametrize("size", [4, 20_000])  # in one packet with the head, and in a second one
def test_a_kept_connection_is_not_kept_waiting(client: http.client.HTTPConnection, size: int) -> None:
    """On one connection: with Nagle's algorithm at work each request but the first would take 40 ms.

    Half of them do not, however much the machine has to do beside.
    """
    took = []
    for _ in range(20):
        began = time.perf_counter()
        response, body = ask(client, "GET", f"/thing?size={size}")
        took.append(time.perf_counter() - began)
        assert (response.status, body) == (200, b"x" * size)
    assert statistics.median(took) < 0.035


def test_head_has_no_body(port: int) -> None:
    """Else the next answer on the connection would begin with it."""
    for path, status in (("/thing", b"405"), ("/nowhere", b"404")):
        head = b"HEAD " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
        answers = raw(port, head + b"GET /thing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        first, second, body = answers.split(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 " + status)
        assert b"Content-Length: " in first
        assert second.startswith(b"HTTP/1.1 200 ")
        assert body == b"xxxx"


@pytest.mark.parametrize(("method", "path", "status"), [("DELETE", "/deleted", 204), ("GET", "/unchanged", 304)])
def test_answers_that_have_no_body(client: http.client.HTTPConnection, method: str, path: str, status: int) -> None:
    """204 and 304 carry no Content-Length, and the connection goes on."""
    response, body = ask(client, method, path)
    assert (response.status, body) == (status, b"")
    assert response.headers["Content-Length"] is None
    assert ask(client, "GET", "/thing")[1] == b"xxxx"


def test_an_unknown_route(client: http.client.HTTPConnection) -> None:
    """A problem, as a deployed stage's GatewayResponse answers; the query is not repeated."""
    response, body = ask(client, "GET", "/nowhere?secret=1", Authorization="Bearer x")
    assert response.status == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    told = json.loads(body)
    assert told["type"].endswith("/not-found")
    assert told["detail"] == "Nothing is served at /nowhere."


@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "TRACE", "BREW"])
def test_a_method_that_nobody_serves(client: http.client.HTTPConnection, method: str) -> None:
    """The app decides, whatever the method is called."""
    response, _ = ask(client, method, "/thing")
    assert response.status == 405
    assert response.headers["Allow"] == "GET"


def test_chunked_bodies(client: http.client.HTTPConnection) -> None:
    """Chalice's own handler would take such a body for none, and the chunks for the next request."""
    client.request("POST", "/echo", iter([b"one ", b"two"]), encode_chunked=True)
    assert json.loads(client.getresponse().read()) == {"size": 7, "begins": "one two"}
    assert ask(client, "GET", "/thing")[1] == b"xxxx"


def test_trailers_and_chunk_extensions(port: int) -> None:
    """Both are allowed, and mean nothing here."""
    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert raw(port, head + b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n").endswith(b'{"size": 3, "begins": "abc"}')


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: -5\r\n\r\n",
        b"Content-Length: five\r\n\r\n",
        b"Content-Length: +3\r\n\r\nabc",
        b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    ],
)
def test_a_body_whose_end_is_unknown(port: int, rest: bytes) -> None:
    """400, and the connection ends: what follows cannot be told from the body."""
    assert problem(raw(port, b"POST /echo HTTP/1.1\r\nHost: localhost\r\n" + rest)) == (400, "malformed-request")


def test_no_http_at_all(port: int) -> None:
    """Even this is a problem, and no page of HTML."""
    assert problem(raw(port, b"GARBAGE AND MORE OF IT\r\n\r\n")) == (400, "malformed-request")


@pytest.mark.parametrize(
    "head", [b"Content-Length: 10485761\r\n\r\n", b"Content-Length: 99999999999999999999\r\n\r\n"], ids=["just", "far"]
)
def test_a_body_over_the_gateways_limit(port: int, head: bytes) -> None:
    """413 without reading it, as API Gateway would."""
    answer = raw(port, b"POST /echo HTTP/1.1\r\nHost: localhost\r\n" + head)
    assert problem(answer) == (413, "body-too-large")


def test_chunks_over_the_gateways_limit(port: int) -> None:
    """Chunks are counted."""
    chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    sent = b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + 11 * chunk + b"0\r\n\r\n"
    assert problem(raw(port, sent)) == (413, "body-too-large")


def test_a_client_that_waits_for_a_go_ahead(port: int) -> None:
    """curl asks before it sends a large body, and waits a second for `100 Continue`."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"abc")
        assert b'{"size": 3' in connection.recv(1000)


def test_another_host_is_refused(port: int) -> None:
    """Before anything is looked up: what is served here is for this machine."""
    for path in (b"/thing", b"/nowhere"):
        answer = raw(port, b"GET " + path + b" HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert problem(answer) == (421, "misdirected-request")


def test_an_unknown_path_with_a_strange_token(port: int) -> None:
    """Is an unknown path."""
    head = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xe9\r\nConnection: close\r\n\r\n"
    assert problem(raw(port, head)) == (404, "not-found")


def test_headers_cannot_be_injected(client: http.client.HTTPConnection) -> None:
    """A carriage return, which Chalice lets through and some clients take for a line's end, begins no header."""
    response, _ = ask(client, "GET", "/injected")
    assert response.headers["X-Evil"] is None
    assert response.headers["X-Given"] == "a X-Evil: b"
    assert response.headers["X-Far"] == "??"


def test_requests_at_the_same_time_are_apart(port: int) -> None:
    """Each thread has a `current_request` of its own."""
    answers: dict[str, bytes] = {}

    def one(name: str) -> None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        answers[name] = ask(client, "GET", f"/who/{name}")[1]
        client.close()

    threads = [threading.Thread(target=one, args=(f"n{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {f"n{number}": f"n{number} n{number}".encode() for number in range(20)}


@pytest.mark.parametrize("log_requests", [True, False])
def test_a_line_per_request(capsys: pytest.CaptureFixture[str], log_requests: bool) -> None:
    """Where it is asked for, and only there."""
    with serve(example(), log_requests=log_requests) as port:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        ask(client, "GET", "/thing")
        client.close()
    assert capsys.readouterr().err == ("api: GET /thing 200\n" if log_requests else "")


class Slow:
    """An app with a request that takes until it is let go, and who is told that it took too long."""

    def __init__(self) -> None:
        self.began, self.go_on, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.said: list[str] = []
        self.app = example()

        @self.app.route("/slow", methods=["POST"])
        def slow() -> Response:
            self.began.set()
            self.go_on.wait()
            return answer("done after all")

    def time_out(self, sentence: str) -> None:
        self.said.append(sentence)
        self.ended.set()

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """A client that has asked; its request goes on to the end of the block."""
        with serve(self.app, function_seconds=0.05, time_out=self.time_out) as port:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                    connection.sendall(b"POST /slow?secret=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
                    yield connection
            finally:
                self.go_on.set()


def test_a_request_that_takes_too_long() -> None:
    """Is answered as a deployed stage answers it, by API Gateway; then whoever ends the process is told."""
    slow = Slow()
    with slow.connected() as connection:
        received = b""
        while not received.endswith(b"}\n"):
            received += connection.recv(65536)
        assert problem(received) == (503, "unavailable")
        assert b"\r\nRetry-After: 5\r\n" in received
        assert b"There was no answer in time. Send the same request again in 5 s" in received
        assert slow.ended.wait(30)
        assert slow.said == ["POST /slow timed out after 0.05 s"]
        slow.go_on.set()
        assert connection.recv(65536) == b""  # it is answered once


def test_a_request_that_takes_too_long_for_nobody() -> None:
    """The client's going away ends no request."""
    slow = Slow()
    with slow.connected() as connection:
        assert slow.began.wait(30)
        connection.close()
        assert slow.ended.wait(30)
