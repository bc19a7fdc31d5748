"""Tells a webhook: one POST to a server that may be hostile, by the safe fetch's connections, without redirects."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from typing import Any, Protocol

import requests
from urllib3.exceptions import HTTPError

from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.urls import InvalidURL
from chalicelib.jobs.webhooks import receiver_of
from chalicelib.runner.deadline import Deadline, Exchange
from chalicelib.runner.failures import Stopped
from chalicelib.runner.headers import retry_after_of
from chalicelib.runner.sending import Sender

MOST_BYTES = 4096  # of an answer's body, which says nothing to us: a receiver that is still sending is not cut off
BODY_SECONDS = 1.0  # for those

_LOG = logging.getLogger("fetch_queue.webhooks")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What became of a try."""

    status: int | None  # of the answer; None where there was none
    retry_after: float | None = None  # seconds, from its Retry-After
    detail: str = ""  # why there was no answer


class Posts(Protocol):
    """Tells webhooks."""

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """One try. The URL is judged as when it was submitted."""


class Poster:
    """Sends events; safe to be called from many threads. What can be replaced is as in `fetcher.Fetcher`."""

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        user_agent: str,
        connect_seconds: float,
        total_seconds: float,
        getaddrinfo: Callable[..., Any] = socket.getaddrinfo,
        log: logging.Logger = _LOG,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._seconds = total_seconds
        self._now = now
        self._wall = wall
        self._headers = {"User-Agent": user_agent, "Content-Type": "application/json", "Connection": "close"}
        self._sender = Sender(
            policy=policy,
            connect_seconds=connect_seconds,
            total_seconds=total_seconds,
            getaddrinfo=getaddrinfo,
            log=log,
            now=now,
            tls=tls,
        )

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """One try: ends within the limit whatever the receiver does, and raises nothing of what it does."""
        deadline = Deadline(self._seconds, self._now() + self._seconds, self._now)
        request = requests.PreparedRequest()
        try:
            request.method, request.url = "POST", receiver_of(url, self._policy)
            request.prepare_headers({**self._headers, **headers})
            request.prepare_body(body, None)
            # On a connection of its own: one that was kept alive may be dead, and a POST is not repeated at once.
            answer = self._sender.send(request, Exchange(deadline, fresh=True))
        except (InvalidURL, Stopped) as error:
            return Reply(status=None, detail=str(error))
        self._discard(answer)
        return Reply(status=answer.status_code, retry_after=retry_after_of(answer.headers, self._wall()))

    def _discard(self, answer: requests.Response) -> None:
        exchange = self._sender.exchange
        exchange.deadline = replace(exchange.deadline, at=min(exchange.deadline.at, self._now() + BODY_SECONDS))
        with suppress(Stopped, requests.RequestException, HTTPError, HTTPException, OSError, ValueError):
            answer.raw.read(MOST_BYTES, decode_content=False)
        answer.close()
