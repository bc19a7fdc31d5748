"""A proxy on loopback between the service and the emulator that lets some calls fail, in each way that a network and
AWS know. Which call fails in which way follows from a seed and the call's number."""

from __future__ import annotations

import http.client
import json
import random
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from local_stack import sockets

LONGEST_DELAY_SECONDS = 0.5
LATEST_SECONDS = 3.0
_UPSTREAM_SECONDS = 60.0
_HOP = {"connection", "content-length", "expect", "keep-alive", "transfer-encoding"}  # of one connection, not of a call


class Fault(StrEnum):
    """What happens to a call."""

    RESET = "the connection is reset, and nothing is carried out"
    LOST = "the connection is closed, and nothing is carried out"
    ERROR_500 = "500, and nothing is carried out"
    ERROR_503 = "503, and nothing is carried out"
    THROTTLE = "a throttle, and nothing is carried out"
    CONFLICT = "a conflict with another write, and nothing is carried out"
    DELAY = "it is carried out later"
    LATE = "the connection is closed, and it is carried out after that"
    ANSWER_LOST = "it is carried out, and the connection closed without an answer"
    ANSWER_CUT = "it is carried out, and the connection closed in the middle of the answer"


@dataclass(frozen=True, slots=True)
class Call:
    """A call to AWS, as far as its request tells."""

    service: str
    operation: str
    body: bytes

    @classmethod
    def of(cls, method: str, target: str | None, body: bytes) -> Call:
        """The call of a request; `target` is its X-Amz-Target."""
        if target is None:
            return cls("s3", method, body)
        service, _, operation = target.partition(".")
        return cls("dynamodb" if service.startswith("DynamoDB") else "sqs", operation, body)

    @property
    def faults(self) -> list[Fault]:
        """What can happen to it: only a write to the table meets another."""
        writes = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"}
        return [fault for fault in Fault if fault is not Fault.CONFLICT or self.operation in writes]

    def refusal(self, fault: Fault) -> tuple[int, str, bytes]:
        """Status, content type and body of an error of its service."""
        if self.service == "s3":
            status, code = {Fault.ERROR_500: (500, "InternalError"), Fault.ERROR_503: (503, "ServiceUnavailable")}.get(
                fault, (503, "SlowDown")
            )
            return status, "application/xml", f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
        members: dict[str, Any] = {"message": "No."}
        match fault:
            case Fault.ERROR_500:
                status, code = 500, "InternalServerError" if self.service == "dynamodb" else "InternalError"
            case Fault.ERROR_503:
                status, code = 503, "ServiceUnavailable"
            case Fault.CONFLICT if self.operation == "TransactWriteItems":
                status, code = 400, "TransactionCanceledException"
                reasons = [{"Code": "None"} for _ in json.loads(self.body)["TransactItems"]]
                members["CancellationReasons"] = [{"Code": "TransactionConflict"}, *reasons[1:]]
            case Fault.CONFLICT:
                status, code = 400, "TransactionConflictException"
            case _:
                status, code = 400, "ThrottlingException" if self.service == "dynamodb" else "RequestThrottled"
        answer = json.dumps({"__type": f"com.amazonaws.{self.service}#{code}", **members}).encode()
        return status, "application/x-amz-json-1.0", answer


class Proxy:
    """Stands before `upstream`. As a context manager it serves from a thread."""

    def __init__(self, upstream: str, seed: int) -> None:
        self.rate = 0.0  # of all calls, from 0 to 1; may be changed at any time
        self.calls: Counter[str] = Counter()  # by service and operation
        self.faults: Counter[str] = Counter()  # by service and fault
        self.longest_leave = 0  # seconds for which a message was hidden by the service
        self.late: set[str] = set()  # what was stored after the connection was closed, by its path
        self.ended = threading.Event()
        self._seed = seed
        self._lock = threading.Lock()
        listener = sockets.listen(0, "PORT")
        self.url = sockets.url_of(listener)
        self._server = _Server(listener, self, upstream)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,))

    def fate(self, call: Call) -> tuple[Fault | None, float]:
        """What is to happen to the next call, and a number from 0 to 1 that says how much of it."""
        with self._lock:
            dice = random.Random(f"{self._seed} {self.calls.total()}")
            self.calls[f"{call.service} {call.operation}"] += 1
            fault = dice.choice(call.faults) if dice.random() < self.rate else None
            if fault is not None:
                self.faults[f"{call.service}: {fault}"] += 1
            if call.operation == "ChangeMessageVisibility":
                self.longest_leave = max(self.longest_leave, json.loads(call.body)["VisibilityTimeout"])
            return fault, dice.random()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, proxy: Proxy, upstream: str) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.proxy = proxy
        self.upstream = urlsplit(upstream).netloc

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who is reset, or goes away, is no event here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def handle_call(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        call = Call.of(self.command, self.headers.get("X-Amz-Target"), body)
        fault, much = self.server.proxy.fate(call)
        match fault:
            case None:
                self.wfile.write(b"".join(self._forward(body)))
            case Fault.DELAY:
                self.server.proxy.ended.wait(LONGEST_DELAY_SECONDS * much)
                self.wfile.write(b"".join(self._forward(body)))
            case Fault.RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
            case Fault.LOST:
                self.close_connection = True
            case Fault.LATE:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                self.server.proxy.ended.wait(LATEST_SECONDS * much)
                if self.command == "PUT":
                    self.server.proxy.late.add(self.path.partition("?")[0])
                self._forward(body)
            case Fault.ANSWER_LOST:
                self._forward(body)
                self.close_connection = True
            case Fault.ANSWER_CUT:
                head, rest = self._forward(body)
                self.wfile.write(head + rest[: int(len(rest) * much)] if rest else head[: int(len(head) * much)])
                self.close_connection = True
            case _:
                status, content_type, answer = call.refusal(fault)
                self.wfile.write(_head(status, "", [("Content-Type", content_type)], len(answer)) + answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_call  # noqa: N815 - http.server wants these names

    def _forward(self, body: bytes) -> tuple[bytes, bytes]:
        """Let the emulator carry it out; returns the head of its answer and the body."""
        connection = http.client.HTTPConnection(self.server.upstream, timeout=_UPSTREAM_SECONDS)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP:
                    connection.putheader(name, value)
            if body or self.command in ("POST", "PUT"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            came = answer.read()
        finally:
            connection.close()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
        length = None if answer.status == 204 or self.command == "HEAD" else len(came)
        return _head(answer.status, answer.reason, kept, length), came

    def log_message(self, *_: Any) -> None:
        """Nothing: what happened is counted."""


def _head(status: int, reason: str, headers: list[tuple[str, str]], length: int | None) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([f"HTTP/1.1 {status} {reason}", *lines, "", ""]).encode("latin-1")
