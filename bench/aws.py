"""A stub of AWS for the job runner: a process of its own that answers each call after so many milliseconds, so that
nothing but the runner is measured. It keeps nothing: every job is new, every write is made.

The URL of a job is in its id, `<set>.<milliseconds>.<bytes>.<number>`, as `bench.peers.site` has it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bench.peers.processes import started
from bench.peers.site import url_of
from chalicelib.jobs.target import host_of
from chalicelib.storage.queue import FetchMessage
from local_stack import lifeline, sockets

TENANT = "local"

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TARGET = re.compile(rb"\r\nx-amz-target: *[^.\r\n]*\.(\w+)", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)


def job_id(url: str) -> str:
    """The id of the job that has this URL of the site."""
    return url.split("/", 3)[3].replace("/", ".")


def url_key(url: str) -> str:
    """The key of a URL; any that is its own will do."""
    return hashlib.sha256(url.encode()).hexdigest()


def records(urls: Sequence[str]) -> list[dict[str, Any]]:
    """An SQS event's records that ask for these URLs."""
    return [
        {
            "messageId": str(number),
            "receiptHandle": str(number),
            "body": FetchMessage(job_id(url), url_key(url), f"{TENANT}/{host_of(url)}").body(),
        }
        for number, url in enumerate(urls)
    ]


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, hosts: Sequence[str], milliseconds: int) -> None:
        self._hosts = hosts
        self._seconds = milliseconds / 1000
        self._received = b""
        self._continued = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a TCP server hands out
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole."""
        self._received += data
        while _HEAD_END in self._received:
            head, _, rest = self._received.partition(_HEAD_END)
            if _EXPECTS.search(head) and not self._continued:
                self._continued = True
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = _LENGTH.search(head)
            size = int(length[1]) if length else 0
            if len(rest) < size:
                return
            self._received, self._continued = rest[size:], False
            answer = self._answer(head, rest[:size])
            if self._seconds:
                asyncio.get_running_loop().call_later(self._seconds, self._send, answer)
            else:
                self._send(answer)

    def _answer(self, head: bytes, body: bytes) -> bytes:
        target = _TARGET.search(head)
        if target is None:  # S3
            return b""
        answers = {b"BatchGetItem": self._read, b"BatchWriteItem": _written, b"SendMessageBatch": _sent}
        return json.dumps(answers[target[1]](body) if target[1] in answers else {}).encode()

    def _read(self, body: bytes) -> dict[str, Any]:
        """Every job that is asked for, not begun yet; no claim and no fetch."""
        ((table, request),) = json.loads(body)["RequestItems"].items()
        keys = [key["pk"]["S"] for key in request["Keys"]]
        return {"Responses": {table: [self._job(key) for key in keys if key.startswith("JOB#")]}, "UnprocessedKeys": {}}

    def _job(self, key: str) -> dict[str, Any]:
        url = url_of(self._hosts, f"/{key.removeprefix('JOB#').replace('.', '/')}")
        now = int(time.time() * 1000)
        return {
            "pk": {"S": key},
            "tenant": {"S": TENANT},
            "url": {"S": url},
            "url_key": {"S": url_key(url)},
            "submitted_at": {"N": str(now)},
            "sweep_at": {"N": str(now // 1000 + 8 * 24 * 60 * 60)},
        }

    def _send(self, body: bytes) -> None:
        if not self._transport.is_closing():
            head = (
                b'HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nETag: "0"\r\nx-amzn-RequestId: 0\r\n'
            )
            self._transport.write(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))


def _written(_: bytes) -> dict[str, Any]:
    return {"UnprocessedItems": {}}


def _sent(body: bytes) -> dict[str, Any]:
    """Every message is durable."""
    entries = json.loads(body)["Entries"]
    return {"Successful": [{"Id": entry["Id"], "MessageId": entry["Id"], "MD5OfMessageBody": ""} for entry in entries]}


@contextmanager
def answering(hosts: Sequence[str], milliseconds: int) -> Iterator[str]:
    """The stub, in a process that ends with the block; its endpoint. `hosts` are the site's."""
    with sockets.listen(0, "EMULATOR_PORT") as listener:
        command = [sys.executable, "-m", "bench.aws", "--descriptor", str(listener.fileno())]
        command += ["--hosts", *hosts, "--milliseconds", str(milliseconds)]
        with started("the stub of AWS", command, descriptors=[listener.fileno()], stdin=subprocess.PIPE):
            yield sockets.url_of(listener)


async def _serve(listener: socket.socket, hosts: Sequence[str], milliseconds: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    lifeline.watch(lambda: loop.call_soon_threadsafe(ended.set))
    server = await loop.create_server(lambda: Connection(hosts, milliseconds), sock=listener, backlog=1024)
    await ended.wait()
    server.close()


def main() -> None:
    """Answer until told to end, or until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.aws", description=__doc__)
    parser.add_argument("--descriptor", type=int, required=True, help="accept on this listening socket")
    parser.add_argument("--hosts", nargs="+", required=True, help="where the URLs of the jobs lead")
    parser.add_argument("--milliseconds", type=int, required=True, help="how long each call takes")
    given = parser.parse_args()
    asyncio.run(_serve(socket.socket(fileno=given.descriptor), given.hosts, given.milliseconds))


if __name__ == "__main__":
    main()
