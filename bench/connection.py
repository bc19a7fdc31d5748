"""A client's connection to a site of the benchmarks: requests without bodies, which may be pipelined."""

from __future__ import annotations

import asyncio
from abc import abstractmethod

_HEAD_END = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client. A site says what it answers."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a TCP server hands out
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole; bodies are not expected."""
        *heads, self._received = (self._received + data).split(_HEAD_END)
        for head in heads:
            self.asked(head.split(b" ", 2)[1].decode())

    @abstractmethod
    def asked(self, path: str) -> None:
        """Answer a request for a path, now or later."""

    def send(self, answer: str) -> None:
        """Send an answer, unless the client has gone."""
        if not self._transport.is_closing():
            self._transport.write(answer.encode())
