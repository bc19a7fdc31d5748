"""The safe fetch: one URL of a site that may be hostile, within limits of time, memory and reach.

Knows nothing about jobs, tables or queues: a URL and a sink go in, what was fetched or a failure comes out.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.client import HTTPException
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.references import resolved
from chalicelib.jobs.submitted import NO_HEADERS, RequestHeaders
from chalicelib.jobs.target import Target
from chalicelib.jobs.urls import InvalidURL
from chalicelib.runner import body, excerpt, failures, headers
from chalicelib.runner.deadline import Deadline, Exchange
from chalicelib.runner.failures import Stopped
from chalicelib.runner.outcome import Failure, Fetched, Sink
from chalicelib.runner.sending import Sender

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SMALL_PIECE = (
    512  # bytes of an excerpt at a time: what came of one is lost where it is cut, or the site keeps silent within it
)
LONGEST_HOP = 16384  # characters of a redirect's target; twice what may be submitted

_LOG = logging.getLogger("fetch_queue.fetch")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """How much of our resources a site may use."""

    connect_seconds: float = 5  # for looking up a name and connecting
    total_seconds: float = 30  # the whole fetch, redirects included
    max_bytes: int = 100 * 2**20  # of the body, decoded
    max_redirects: int = 10


class Fetcher:
    """Fetches URLs; safe to be called from many threads, which share its kept-alive connections.

    `policy` says which addresses may be connected to; `getaddrinfo`, the clocks `now` (monotonic) and `wall` (seconds
    since the epoch) and `tls` (whom to trust; by default certifi's authorities) can be replaced.
    """

    def __init__(
        self,
        *,
        limits: FetchLimits,
        policy: AddressPolicy,
        user_agent: str,
        getaddrinfo: Callable[..., Any] = socket.getaddrinfo,
        log: logging.Logger = _LOG,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._policy = policy
        self._now = now
        self._wall = wall
        self._sender = Sender(
            policy=policy,
            connect_seconds=limits.connect_seconds,
            total_seconds=limits.total_seconds,
            getaddrinfo=getaddrinfo,
            log=log,
            now=now,
            tls=tls,
        )
        self._headers = {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}

    def fetch(self, url: str, sink: Sink, request_headers: RequestHeaders = NO_HEADERS) -> Fetched | Failure:
        """GET `url`, follow its redirects, and put the body of a 2xx answer into `sink`.

        `request_headers` are sent, over our own, until a redirect leads to another scheme, host or port. From there on
        they are not, even if the way leads back: another site would choose what is asked for in the client's name.

        Ends within the limits whatever the site does. Every failure is returned as a Failure; the sink may then have
        received part of the body. What the sink raises is raised here, with the connection closed.
        """
        seconds = self._limits.total_seconds
        deadline = Deadline(seconds, self._now() + seconds, self._now)
        with ExitStack() as answers:
            try:
                answer, final_url = self._follow(url, request_headers, deadline, answers)
                return self._take(answer, final_url, sink)
            except Stopped as stopped:
                return stopped.failure

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._sender.close()

    def _follow(
        self, url: str, request_headers: RequestHeaders, deadline: Deadline, answers: ExitStack
    ) -> tuple[requests.Response, str]:
        """The first answer that is not a redirect, with its body unread, and its URL."""
        origin = ""
        for redirects in range(self._limits.max_redirects + 1):
            hop = self._admitted(url, redirected=redirects > 0)
            origin = origin or hop.origin
            if hop.origin != origin:
                request_headers = NO_HEADERS
            answer = self._exchange(replace(hop, headers=request_headers), deadline, redirected=redirects > 0)
            answers.callback(answer.close)
            reference = self._reference(answer)
            if reference is None:
                return answer, hop.url
            answer.close()  # with its connection: the body may be huge and is not needed
            url = resolved(hop.url, reference)
        raise Stopped(failures.too_many_redirects(self._limits.max_redirects))

    def _admitted(self, url: str, *, redirected: bool) -> Target:
        """The request of a hop."""
        try:
            return Target.of(url, self._policy, longest=LONGEST_HOP)
        except InvalidURL as error:
            self._sender.log_hop(url, None, "refused", "invalid URL")
            failure = failures.blocked_redirect() if redirected else failures.blocked_url(str(error))
            raise Stopped(failure) from error

    def _exchange(self, target: Target, deadline: Deadline, *, redirected: bool) -> requests.Response:
        """Send one request and read the head of its answer."""
        host = failures.REDIRECT_HOST if redirected else failures.SUBMITTED_HOST
        request = self._request(target)
        exchange = Exchange(deadline, host)
        try:
            return self._sender.send(request, exchange)
        except Stopped as stopped:
            if not exchange.reused or exchange.received or stopped.failure != failures.cut(answered=False):
                raise
        # The site closed a kept-alive connection while we sent. A GET may then be repeated (RFC 9110, 9.2.2), once.
        return self._sender.send(request, Exchange(deadline, host, fresh=True))

    def _request(self, target: Target) -> requests.PreparedRequest:
        request = requests.PreparedRequest()
        request.method, request.url = target.method, target.url  # set as it is: what is compared is what is sent
        request.prepare_headers(self._headers)
        request.headers.update(target.headers)
        return request

    def _take(self, answer: requests.Response, final_url: str, sink: Sink) -> Fetched:
        """Put the body into the sink."""
        status, limit = answer.status_code, self._limits.max_bytes
        if not 200 <= status <= 299:
            words = self._excerpt(answer) if status >= HTTPStatus.BAD_REQUEST else None
            retry_after = headers.retry_after_of(answer.headers, self._wall())
            asks_to_wait = "Retry-After" in answer.headers
            raise Stopped(failures.http_status(status, retry_after, words, asks_to_wait=asks_to_wait))
        length = answer.raw.length_remaining
        if status == HTTPStatus.PARTIAL_CONTENT and not headers.is_whole(
            answer.headers.get("Content-Range", ""), length
        ):
            raise Stopped(failures.invalid_response("the site sent only a part of its answer, which was not asked for"))
        content_type = headers.content_type_of(answer.raw.headers.getlist("Content-Type"))
        try:
            codings = body.codings_of(answer.headers.get("Content-Encoding"), content_type)
        except body.Undecodable as error:
            raise Stopped(
                failures.invalid_response("the site compressed its answer in a way that was not asked for")
            ) from error
        if not codings and (length or 0) > limit:
            raise Stopped(failures.too_large(limit))
        sink.begin(content_type)
        tally = body.Tally()
        for piece in self._pieces(answer, codings):
            tally.add(piece)
            if tally.size > limit:
                raise Stopped(failures.too_large(limit))
            sink.write(piece)
        return Fetched(
            content_type=content_type,
            size=tally.size,
            sha256=tally.sha256,
            http_status=status,
            final_url=final_url,
            headers=headers.kept_headers(answer.headers),
            text=tally.is_text(),
        )

    def _excerpt(self, answer: requests.Response) -> str | None:
        """The beginning of a refusal's text, as far as it came in time."""
        exchange = self._sender.exchange
        exchange.deadline = replace(exchange.deadline, at=min(exchange.deadline.at, self._now() + excerpt.SECONDS))
        content_type = headers.content_type_of(answer.raw.headers.getlist("Content-Type"))
        data, whole = bytearray(), False
        try:
            codings = body.codings_of(answer.headers.get("Content-Encoding"), content_type)
            for piece in self._pieces(answer, codings, _SMALL_PIECE):
                data += piece
                if len(data) > excerpt.MOST_BYTES:
                    break
            else:
                whole = True
        except (Stopped, body.Undecodable):
            pass  # it is a refusal anyway
        return excerpt.excerpt(bytes(data[: excerpt.MOST_BYTES]), content_type, whole=whole)

    def _pieces(self, answer: requests.Response, codings: list[str], piece: int = body.PIECE) -> Iterator[bytes]:
        """The decoded body. A generator, so that what the sink raises never passes through here."""
        exchange = self._sender.exchange
        try:
            sent = answer.raw.stream(piece, decode_content=False)
            yield from body.decoded(sent, codings, exchange.deadline.seconds_left)
        except body.Undecodable as error:
            raise Stopped(
                failures.invalid_response("the site's answer is not compressed in the way it says")
            ) from error
        except body.CutShort as error:
            raise Stopped(failures.cut(answered=True)) from error
        except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            raise Stopped(self._sender.diagnosed(error, exchange)) from error

    @staticmethod
    def _reference(answer: requests.Response) -> str | None:
        if answer.status_code not in REDIRECTS:
            return None
        try:
            return headers.location_of(answer.raw.headers.getlist("Location"))
        except ValueError as error:
            raise Stopped(failures.invalid_redirect()) from error
