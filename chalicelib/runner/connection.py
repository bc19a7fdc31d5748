"""Connections that only go to an address that was checked.

A name is looked up once for a connection, every address found is checked, and the socket connects to one of them, while
Host, SNI, certificate and pooling keep the name. So a name that changes its address after the check gains nothing. Only
public methods and attributes of requests, urllib3 and http.client are overridden and set.
"""

from __future__ import annotations

import errno
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError

from chalicelib.jobs.addresses import AddressPolicy, refused_port, verdict
from chalicelib.runner import failures
from chalicelib.runner.answer import Answer
from chalicelib.runner.deadline import Exchange, TimedSocket
from chalicelib.runner.failures import Stopped
from chalicelib.runner.lookup import Lookup, NoAnswer, UnknownName
from chalicelib.runner.outcome import Failure
from chalicelib.runner.tls import TLSSocket

_POOLS, _CONNECTIONS_PER_POOL = 64, 32  # hosts, and threads of a worker


class Guard:
    """What all connections of a fetcher share: the policy, the look-up, and the exchange of each thread."""

    def __init__(
        self, *, policy: AddressPolicy, lookup: Lookup, connect_seconds: float, now: Callable[[], float]
    ) -> None:
        self.connect_seconds = connect_seconds
        self.now = now
        self._policy = policy
        self._lookup = lookup
        self._of_thread = threading.local()

    @property
    def exchange(self) -> Exchange:
        """The exchange of the calling thread: the request that it sends, the answer that it reads."""
        exchange: Exchange = self._of_thread.exchange
        return exchange

    @exchange.setter
    def exchange(self, exchange: Exchange) -> None:
        self._of_thread.exchange = exchange

    def judged(self, name: str, port: int, seconds: float) -> list[str]:
        """The addresses of `name`, all of which may be connected to on `port`; raises Stopped otherwise.

        One refused address refuses the name: a site has no honest reason to mix public and private addresses.
        """
        exchange = self.exchange
        addresses = self._addresses(name, port, seconds)
        for address in addresses:
            exchange.address = str(address)
            exchange.reason = verdict(address, port, self._policy)
            if exchange.reason:
                if exchange.reason == refused_port(port):
                    raise Stopped(failures.blocked_url(f"{exchange.host} may not be fetched on this port"))
                raise Stopped(failures.blocked_address(exchange.host))
        return [str(address) for address in addresses]

    def _addresses(self, name: str, port: int, seconds: float) -> list[IPv4Address | IPv6Address]:
        try:
            return [ip_address(name)]
        except ValueError:
            pass  # a name, as usual
        try:
            return self._lookup.addresses(name, port, seconds)
        except UnknownName as error:
            raise Stopped(failures.no_such_host(self.exchange.host)) from error
        except NoAnswer as error:
            self.exchange.deadline.seconds_left()
            raise Stopped(failures.no_name_server(self.exchange.host)) from error


class GuardedHTTPConnection(HTTPConnection):
    """A connection to a checked address of its host."""

    response_class = Answer  # type: ignore[assignment]  # as far as it is used

    def __init__(self, *args: Any, guard: Guard, **options: Any) -> None:
        super().__init__(*args, **options)
        self._guard = guard
        self._address: str | None = None
        self._served = False  # the socket has carried a request before

    def connect(self) -> None:
        """Look up, check, and try the addresses in turn; raises Stopped, and what the TLS handshake raises."""
        guard, exchange = self._guard, self._guard.exchange
        seconds = min(guard.connect_seconds, exchange.deadline.seconds_left())
        until = guard.now() + seconds
        failure = failures.connecting_took_too_long(exchange.host, guard.connect_seconds)
        name, timeout = self.host, self.timeout
        waiting = guard.judged(name, self.port, seconds)
        self._served = False
        try:
            while waiting and (left := until - guard.now()) > 0:
                # A fair share of the time for each, but not less than the retransmission of a lost first packet takes.
                self.timeout = max(left / len(waiting), min(1.0, left))
                share_ends = guard.now() + self.timeout
                self.host = self._address = exchange.address = waiting.pop(0)
                try:
                    HTTPConnection.connect(self)  # only TCP, also for https
                    self.sock = cast(Any, TimedSocket(self._secured(name, share_ends), guard))
                except (Urllib3TimeoutError, TimeoutError) as error:  # NewConnectionError is a kind of the first
                    if self.sock:  # not self.close(): http.client would forget the request that it is connecting for
                        self.sock.close()
                        self.sock = None
                    failure = self._failure(error, exchange.host, guard.connect_seconds)
                else:
                    return
        finally:
            self.host, self.timeout = name, timeout
        exchange.deadline.seconds_left()
        raise Stopped(failure)

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request, noting whether the connection was kept alive from an earlier one."""
        exchange = self._guard.exchange
        if exchange.fresh and self._served:
            self.close()  # http.client connects again
        exchange.reused = self._served and self.sock is not None
        if exchange.reused:
            exchange.address = self._address
        try:
            super().request(*args, **options)
        finally:
            self._served = True

    @property
    def is_connected(self) -> bool:
        """Whether it may carry another request: the site has neither closed it nor sent more than was asked for.

        urllib3 asks the operating system, which does not see what was read along with the last answer.
        """
        return super().is_connected and cast(TimedSocket, self.sock).at_rest

    def _secured(self, name: str, until: float) -> socket.socket | TLSSocket:  # noqa: ARG002  # for https
        """The connected socket, with TLS if the scheme asks for it."""
        return self.sock

    @staticmethod
    def _failure(error: Exception, host: str, seconds: float) -> Failure:
        if not isinstance(error, NewConnectionError):
            return failures.connecting_took_too_long(host, seconds)
        if getattr(error.__cause__, "errno", None) == errno.ECONNREFUSED:
            return failures.refused_connection(host)
        return failures.unreachable(host)


class GuardedHTTPSConnection(GuardedHTTPConnection, HTTPSConnection):
    """The same with TLS."""

    _tls: TLSSocket | None = None

    @property
    def is_connected(self) -> bool:
        """The same, also considering what TLS has already taken."""
        return super().is_connected and not (self._tls and self._tls.unread)

    def _secured(self, name: str, until: float) -> socket.socket | TLSSocket:
        """Connected to the address, but the certificate that is requested and checked is the name's."""
        self._tls = TLSSocket(self.sock, cast(ssl.SSLContext, self.ssl_context), name, self._guard.now)
        self._tls.settimeout(until - self._guard.now())
        self._tls.handshake()
        self.is_verified = True  # otherwise urllib3 warns
        return self._tls


class GuardedHTTPConnectionPool(HTTPConnectionPool):
    """The kept-alive connections to one host."""

    ConnectionCls = GuardedHTTPConnection


class GuardedHTTPSConnectionPool(HTTPSConnectionPool):
    """The same with TLS."""

    ConnectionCls = GuardedHTTPSConnection


class GuardedAdapter(HTTPAdapter):
    """Makes requests send only over guarded connections; `tls` holds the trusted authorities."""

    def __init__(self, guard: Guard, tls: ssl.SSLContext) -> None:
        self._guard = guard
        self._tls = tls
        tls.check_hostname, tls.verify_mode = True, ssl.CERT_REQUIRED
        tls.set_alpn_protocols(["http/1.1"])
        super().__init__(pool_connections=_POOLS, pool_maxsize=_CONNECTIONS_PER_POOL, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """Called by requests to make the pools."""
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._tls, **options)
        self.poolmanager.pool_classes_by_scheme = {
            "http": cast(Any, partial(GuardedHTTPConnectionPool, guard=self._guard)),
            "https": cast(Any, partial(GuardedHTTPSConnectionPool, guard=self._guard)),
        }

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Do nothing: the context decides which certificates pass; requests would reload the authorities each time."""


class GuardedSession(requests.Session):
    """A session that uses nothing of this machine: no proxies, no .netrc, no cookies, no redirects of its own."""

    def __init__(self, adapter: GuardedAdapter) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.adapters.clear()
        self.mount("http://", adapter)
        self.mount("https://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002  # called by requests
        """None: otherwise requests reads the whole body of a redirect into memory, even if it follows none."""
        return None
