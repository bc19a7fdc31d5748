"""HTTP: one request, tried again if that is safe and may help. The token goes to the service and nowhere else."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests import PreparedRequest, Response
from requests.exceptions import SSLError

from fetch_queue.errors import ProblemError, UnexpectedAnswer, Unreachable
from fetch_queue.faults import UNSURE, Lost, again, lost, reason, refusal, shown
from fetch_queue.patience import FIRST_CONTACT, GIVE_UP_AFTER, Notice, Patience, Timing, seconds

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0  # of silence; API Gateway answers within 29
REDIRECTS = (301, 302, 303, 307, 308)
MOST_REDIRECTS = 5  # of a link
AS_IT_IS = {"Accept-Encoding": "identity"}  # so that what is counted and hashed is what was fetched
DIRECT = {"http": "", "https": "", "all": ""}

Sessions = Callable[[], requests.Session]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswer:
    """A complete answer to a request that was not refused."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes
    retry_after: float | None  # seconds

    def json(self) -> Any:
        """The body's value. Raises UnexpectedAnswer."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise UnexpectedAnswer(f"{self.url} answered, but not like a Fetch Queue; is --url right?") from error


class Transport:
    """Sends requests to the service, and reads links. Each thread has connections of its own."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        give_up_after: float | None,
        timing: Timing,
        notice: Notice,
        sessions: Sessions,
    ) -> None:
        self.url = url
        self.timing = timing
        self._token = token
        self._give_up_after = give_up_after
        self._notice = notice
        self._sessions = sessions
        self._own = threading.local()
        self._answered = False

    def patience(self) -> Patience:
        """For the tries of one request."""
        return Patience(self.timing, self._limit, self._notice)

    def ask(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiAnswer:
        """Send a request, and repeat it if needed; a POST must carry its Idempotency-Key. `target` is a path or a link.

        Raises ProblemError, Unreachable, UnexpectedAnswer.
        """
        url = self.resolve(target)
        patience = self.patience()
        lost = False
        while True:
            try:
                response = self.open(method, url, body=body, headers=headers or {}, stream=False)
            except Lost as error:
                lost = True
                patience.wait(f"{error}.")
                continue
            problem = self.problem(response, repeated=lost)
            if problem is None:
                return ApiAnswer(
                    status=response.status_code,
                    url=url,
                    headers=response.headers,
                    body=response.content,
                    retry_after=self.retry_after(response),
                )
            if not again(problem):
                raise problem
            lost = lost or problem.status in UNSURE
            patience.wait(
                f"{self.url}: {problem.detail}" if problem.name else problem.detail, self.retry_after(response)
            )

    def resolve(self, target: str, seen_at: str | None = None) -> str:
        """The URL of a path of the service's, or of a link that was seen in an answer. Raises UnexpectedAnswer."""
        if seen_at is None and target.startswith("/"):
            return self.url + target
        url = joined(seen_at or self.url, target)
        if not self.is_ours(url):
            raise UnexpectedAnswer(f"{self.url} links to {url}, which is elsewhere; it was not followed")
        return url

    def is_ours(self, url: str) -> bool:
        """True for a URL of the service's own scheme, host and port: it alone may see the token."""
        return _origin(url) == _origin(self.url)

    def open(
        self, method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str], stream: bool
    ) -> Response:
        """One try of a request to the service, with the token. Raises Lost, Unreachable, UnexpectedAnswer."""
        if not self.is_ours(url):
            raise ValueError(f"the token does not go to {url}")
        response = self._send(method, url, self._authorize, body=body, headers=headers, stream=stream)
        self._answered = True
        return response

    @contextmanager
    def link(self, url: str) -> Iterator[Response]:
        """One try of a link that anybody may read, without the token, and of where it leads. Raises as `open` does."""
        url = joined(self.url, url)
        for _ in range(MOST_REDIRECTS):
            with closing(self._send("GET", url, _anonymous, headers=AS_IT_IS, stream=True)) as response:
                if response.status_code not in REDIRECTS or "Location" not in response.headers:
                    yield response
                    return
                # Not left to requests, which would look into .netrc on the way.
                url = joined(url, response.headers["Location"])
        raise UnexpectedAnswer(f"the link to a result redirects too often, at last to {shown(url)}")

    def problem(self, response: Response, *, repeated: bool = False) -> ProblemError | None:
        """The refusal in an answer; None if it is not a refusal. Raises Lost, and UnexpectedAnswer for a redirect."""
        status = response.status_code
        if status in REDIRECTS and not (status == HTTPStatus.SEE_OTHER and response.url.endswith("/result")):
            where = joined(response.url, response.headers.get("Location", ""))
            raise UnexpectedAnswer(f"{self.url} redirects to {where}; if that is right, use that address")
        try:
            return None if response.ok else refusal(response, repeated=repeated)
        except requests.RequestException as error:  # of a body that is read only now
            raise lost(response.url, error) from error

    def retry_after(self, response: Response) -> float | None:
        """An answer's Retry-After, in seconds."""
        return seconds(response.headers.get("Retry-After"), self.timing.today())

    def _limit(self) -> float:
        if self._give_up_after is not None:
            return self._give_up_after
        return GIVE_UP_AFTER if self._answered else FIRST_CONTACT

    def _authorize(self, request: PreparedRequest) -> PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _send(
        self,
        method: str,
        url: str,
        auth: Callable[[PreparedRequest], PreparedRequest],
        *,
        body: bytes | None = None,
        headers: Mapping[str, str],
        stream: bool,
    ) -> Response:
        try:
            return self._session().request(
                method,
                url,
                data=body,
                headers=dict(headers),
                # Always given, so that no .netrc decides who is asked as whom.
                auth=auth,
                allow_redirects=False,
                stream=stream,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                # No proxy is asked for this machine itself.
                proxies=DIRECT if is_loopback(url) else None,
            )
        except SSLError as error:
            raise Unreachable(f"{shown(url)} cannot be trusted: {reason(error)}.") from error
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise lost(url, error) from error
        except (requests.RequestException, ValueError) as error:
            raise UnexpectedAnswer(f"no request can be sent to {shown(url)}: {reason(error)}") from error

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = self._sessions()
        return session


def joined(base: str, target: str) -> str:
    """The URL that a link in an answer leads to. Raises UnexpectedAnswer for one that leads nowhere."""
    try:
        url = urljoin(base, target)
        parts = urlsplit(url)
        _ = parts.hostname, parts.port
    except ValueError as error:
        raise UnexpectedAnswer(f"{shown(base)} links to something that is not a URL") from error
    return url


def _anonymous(request: PreparedRequest) -> PreparedRequest:
    return request


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", parts.port or default


def is_loopback(url: str) -> bool:
    """True for a URL of this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
