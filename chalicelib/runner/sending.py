"""How a request is sent to a stranger's server: over connections that only go to checked addresses, with every error of
the layers below as one of our failures, and a line in the log for each address.

What is asked, and what is made of the answer, is up to who sends: the fetcher, and the poster of webhooks.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

import certifi
import requests
from urllib3.exceptions import HTTPError

from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.runner.connection import Guard, GuardedAdapter, GuardedSession
from chalicelib.runner.deadline import Exchange
from chalicelib.runner.diagnosis import diagnosed
from chalicelib.runner.failures import Stopped
from chalicelib.runner.lookup import Lookup
from chalicelib.runner.outcome import Failure


class Sender:
    """Sends requests; safe to be used from many threads, which share its kept-alive connections."""

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        connect_seconds: float,
        total_seconds: float,  # of an exchange, for the sentence that says so
        log: logging.Logger,
        now: Callable[[], float],
        getaddrinfo: Callable[..., Any] = socket.getaddrinfo,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._log = log
        self._timeout = (connect_seconds, total_seconds)  # the exchange's own limits are shorter
        self._guard = Guard(policy=policy, lookup=Lookup(getaddrinfo), connect_seconds=connect_seconds, now=now)
        trusted = tls or ssl.create_default_context(cafile=certifi.where())
        self._session = GuardedSession(GuardedAdapter(self._guard, trusted))

    @property
    def exchange(self) -> Exchange:
        """The exchange of the calling thread."""
        return self._guard.exchange

    def send(self, request: requests.PreparedRequest, exchange: Exchange) -> requests.Response:
        """Send one request and read the head of its answer; redirects are answers. Raises Stopped."""
        self._guard.exchange = exchange
        try:
            return self._session.send(request, stream=True, allow_redirects=False, timeout=self._timeout)
        except (requests.RequestException, HTTPError, HTTPException, OSError) as error:
            raise Stopped(self.diagnosed(error, exchange)) from error
        finally:
            verdict = "refused" if exchange.reason else "allowed" if exchange.address else "unresolved"
            self.log_hop(request.url or "", exchange.address, verdict, exchange.reason)

    def diagnosed(self, error: BaseException, exchange: Exchange) -> Failure:
        """What an error of the layers below means."""
        return diagnosed(error, host=exchange.host, seconds=self._timeout[1], answered=exchange.received > 0)

    def log_hop(self, url: str, address: str | None, verdict: str, reason: str | None) -> None:
        """Note where a request went, or why it did not."""
        hop = {"url": _without_credentials(url), "address": address, "verdict": verdict, "reason": reason}
        self._log.log(logging.DEBUG if verdict == "allowed" else logging.INFO, "hop", extra=hop)

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._session.close()


def _without_credentials(url: str) -> str:
    """What may be logged: no user name, no password, and no query, which may contain a signature or a token."""
    return re.sub(r"(?<=//)[^/]*@|[?#].*", "", url, flags=re.DOTALL)
