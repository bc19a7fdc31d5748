"""The API's HTTP server: Chalice's local one, corrected where it differs from API Gateway.

Everything that touches Chalice's insides is in this file; each override says what it is for (Chalice 1.34).
"""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, cast

from chalice import local
from chalice.app import Chalice
from chalice.config import Config

from chalicelib.api import headers as answers
from chalicelib.api import problems
from local_stack.progress import Busy, Watch
from local_stack.sockets import BACKLOG

MAX_BODY_BYTES = 10 * 1024 * 1024  # API Gateway's limit; the service's own, a smaller one, is the app's to enforce
IDLE_SECONDS = 75  # how long a connection may wait for its next request
RETRY_SECONDS = 5  # after a timeout, as a deployed stage's GatewayResponse says

_LAST_WORD_SECONDS = 1  # to send the answer to what took too long: what it still does must end soon

_NO_BODY = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")


class BadRequest(Exception):
    """The request cannot be read; it is unknown where its body ends, so the connection ends too."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Gateway(local.LocalGateway):
    """Hands requests to the app."""

    def _has_user_defined_options_method(self, lambda_event: dict[str, Any]) -> bool:  # noqa: ARG002
        # Chalice answers OPTIONS itself, and 200, where a path has no such route; as any other method it is 404 then.
        return True


class Handler(local.ChaliceRequestHandler):
    """One connection."""

    disable_nagle_algorithm = True  # else an answer's second packet waits for the client's delayed ACK, 44 ms
    wbufsize = -1  # buffered: head and body leave in one packet
    timeout = IDLE_SECONDS
    server: Server

    def __init__(self, *arguments: Any, app_object: Chalice, config: Config) -> None:
        self.local_gateway = Gateway(app_object, config)
        self._answered_without = threading.Event()  # the time was up
        BaseHTTPRequestHandler.__init__(self, *arguments)

    def __getattr__(self, name: str) -> Any:
        # A method that http.server does not know must reach the app, which answers 405, and not be a 501 in HTML.
        if name.startswith("do_"):
            return self._generic_handle
        raise AttributeError(name)

    def _generic_handle(self) -> None:
        with self.server.busy:
            try:
                body = self._read_body()
            except BadRequest as error:
                self._refuse(error.status, str(error))
                return
            if not answers.is_loopback(self.headers.get("Host")):
                self._problem(problems.MISDIRECTED, answers.NOT_THIS_MACHINE)
                return
            try:
                answer = self._invoke(body)
            except (local.ForbiddenError, UnicodeEncodeError):
                # No route; a deployed stage answers the same, by a GatewayResponse. Chalice first looks for a token of
                # its own, which it takes for ASCII.
                self._problem(problems.NOT_FOUND, f"Nothing is served at {self.path.partition('?')[0]}.")
                return
            if answer is not None:
                answer = self._handle_binary(answer)
                headers = {**answer["headers"], **answer["multiValueHeaders"]}
                self._send_http_response(answer["statusCode"], headers, answer["body"])

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _generic_handle

    def _invoke(self, body: bytes | None) -> Any:
        """The app's answer; None if its time was up, and the request has been answered without it."""
        self.server.watch.begin(self._time_out)
        try:
            answer = self.local_gateway.handle_request(
                method=self.command, path=self.path, headers=dict(self.headers), body=body
            )
        finally:
            in_time = self.server.watch.end(self._time_out)
        if in_time:
            return answer
        self._answered_without.wait(_LAST_WORD_SECONDS)
        self.close_connection = True
        return None

    def _time_out(self) -> None:
        """Answer instead of the app, and have it ended: on Lambda it would do nothing more."""
        detail = f"There was no answer in time. Send the same request again in {RETRY_SECONDS} s; "
        detail += "with an Idempotency-Key nothing is done twice."
        self.connection.settimeout(_LAST_WORD_SECONDS)
        try:
            self._problem(problems.UNAVAILABLE, detail, {"Retry-After": str(RETRY_SECONDS), "Connection": "close"})
            self.wfile.flush()
        except (OSError, ValueError):
            pass  # the client has gone, or waited no longer
        finally:
            self._answered_without.set()
            path = ascii(self.path.partition("?")[0])[1:-1]
            self.server.time_out(f"{self.command} {path} timed out after {self.server.watch.seconds:g} s")

    def _read_body(self) -> bytes | None:
        """The request's body. Chalice's own handler raises on a bad Content-Length and ignores a chunked body."""
        lengths = set(self.headers.get_all("Content-Length", []))
        if coding := self.headers.get("Transfer-Encoding"):
            if lengths or coding.strip().lower() != "chunked":
                raise BadRequest(HTTPStatus.BAD_REQUEST, "Send either Content-Length or Transfer-Encoding: chunked.")
            return self._read_chunks()
        if not lengths:
            return None
        text = lengths.pop()
        if lengths or not (text.isascii() and text.isdigit()):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "Content-Length must be one whole number.")
        if len(text) > len(str(MAX_BODY_BYTES)) or int(text) > MAX_BODY_BYTES:
            raise _too_large()
        return self._read_exactly(int(text)) or None

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while size := self._chunk_size():
            if len(body) + size > MAX_BODY_BYTES:
                raise _too_large()
            body += self._read_exactly(size)
            if self._read_line() != b"":
                raise BadRequest(HTTPStatus.BAD_REQUEST, "A chunk does not end where its size says.")
        while self._read_line() != b"":  # trailers
            pass
        return bytes(body)

    def _chunk_size(self) -> int:
        size = self._read_line().partition(b";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(size):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "A chunk's size is not a hexadecimal number.")
        return int(size, 16)

    def _read_line(self) -> bytes:
        line = self.rfile.readline(1024)
        if not line.endswith(b"\n"):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "The body ends too soon.")
        return bytes(line.rstrip(b"\r\n"))

    def _read_exactly(self, size: int) -> bytes:
        data: bytes = self.rfile.read(size)
        if len(data) < size:
            raise BadRequest(HTTPStatus.BAD_REQUEST, "The body ends too soon.")
        return data

    def handle_expect_100(self) -> bool:
        # What goes out is buffered (see wbufsize): without a flush, curl would wait a second for its "100 Continue".
        proceed: bool = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        # http.server's own refusals: a bad request line, too many headers. They would be HTML.
        self._refuse(
            HTTPStatus(code), explain or message or HTTPStatus(code).description or "This is not an HTTP request."
        )

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        self.close_connection = True
        self.request_version = self.protocol_version  # http.server sends no headers while it takes a request for 0.9
        kind = next((kind for kind in problems.KINDS if kind.status == status), problems.MALFORMED)
        self._problem(kind, detail, {"Connection": "close"})
        self.wfile.flush()
        # Unread bytes at close would reset the connection before the client has read the answer.
        self.connection.settimeout(1)
        try:
            self.connection.shutdown(socket.SHUT_WR)
            for _ in range(MAX_BODY_BYTES // 65536):
                if not self.connection.recv(65536):
                    break
        except OSError:
            pass  # the client has gone, or sends on: then a reset is what is left

    def _problem(self, kind: problems.Kind, detail: str, headers: dict[str, str] | None = None) -> None:
        body = problems.render(problems.problem(kind, detail))
        own = {"Content-Type": problems.CONTENT_TYPE, "Cache-Control": "no-store", **(headers or {})}
        self._send_http_response(kind.status, {**answers.SECURITY, **own}, body)

    def _send_http_response(self, code: int, headers: dict[str, Any], body: str | bytes | None) -> None:
        """Send an answer. Chalice's own gives HEAD a body, and 204 and 304 a Content-Length."""
        self.send_response(code)
        content = body.encode() if isinstance(body, str) else body or b""
        for name, value in headers.items():
            if name.lower() == "content-length":
                continue
            for each in value if isinstance(value, list) else [value]:
                self.send_header(_one_line(name), _one_line(str(each)))
        if code not in _NO_BODY:
            self.send_header("Content-Length", str(len(content)))
            if not any(name.lower() == "content-type" for name in headers):
                self.send_header("Content-Type", "application/json")
        self.end_headers()
        if code not in _NO_BODY and self.command != "HEAD":
            self.wfile.write(content)

    def version_string(self) -> str:
        return "fetch-queue"

    def log_request(self, code: int | str = "-", _size: int | str = "-") -> None:
        if self.server.log_requests:
            print(f"api: {self.command} {ascii(self.path)[1:-1]} {int(code)}", file=sys.stderr, flush=True)

    def log_error(self, *_: Any) -> None:
        pass  # what http.server could not read is answered; a connection that idles out is no event


def _too_large() -> BadRequest:
    detail = f"The body is over {MAX_BODY_BYTES} bytes. Send fewer URLs at a time."
    return BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


def _one_line(text: str) -> str:
    # A line break would begin another header (Chalice refuses \n alone); what Latin-1 cannot say ends the connection.
    return re.sub(r"[\r\n\0]+", " ", text).encode("latin-1", "replace").decode("latin-1")


class Server(local.ThreadedHTTPServer):
    """Accepts on a socket that is listening already; a thread for each connection."""

    request_queue_size = BACKLOG
    daemon_threads = True

    def __init__(
        self,
        listener: socket.socket,
        handler: Any,
        *,
        function_seconds: float,
        time_out: Callable[[str], object],
        log_requests: bool,
    ) -> None:
        super().__init__(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()  # the one that it made itself
        self.socket: socket.socket = listener
        self.busy = Busy()
        self.watch = Watch(function_seconds)
        self.watch.start()
        self.time_out = time_out
        self.log_requests = log_requests

    def server_close(self) -> None:
        self.watch.close()
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):  # a client that goes away is no event
            super().handle_error(request, client_address)


def make(
    app: Chalice,
    listener: socket.socket,
    *,
    function_seconds: float,
    time_out: Callable[[str], object],
    log_requests: bool,
) -> Server:
    """A server of `app`. What config.json lists for stage dev is not read: the environment is already right.

    `time_out` is called with a sentence when a request outlives `function_seconds`, once it has been answered.
    """
    # As chalice.local.create_local_server does: `current_request` becomes one for each thread.
    local.CustomLocalChalice.__bases__ = (local.LocalChalice, app.__class__)
    app.__class__ = local.CustomLocalChalice
    config = Config.create(lambda_timeout=function_seconds)

    def server(_address: tuple[str, int], handler: Any) -> Server:
        return Server(
            listener, handler, function_seconds=function_seconds, time_out=time_out, log_requests=log_requests
        )

    host, port = listener.getsockname()
    dev_server = local.LocalDevServer(app, config, host, port, handler_cls=Handler, server_cls=server)
    return cast("Server", dev_server.server)
