"""Every way in which a fetch can fail: its error type, whether another attempt may help, and the sentence for whoever
submitted the URL. A sentence names no address and quotes nothing that a stranger's server sent.
"""

from __future__ import annotations

from http import HTTPStatus

from chalicelib.jobs.entities import ErrorType, FetchError
from chalicelib.jobs.errors import FetchQueueError
from chalicelib.runner.outcome import Failure

RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})

WORKER_LOST = FetchError(
    type=ErrorType.WORKER_LOST,
    detail="every attempt was cut short on our side before the site's answer was stored; submit the URL again",
)
NEVER_STARTED = FetchError(
    type=ErrorType.WORKER_LOST,
    detail="no attempt could be started because of an error on our side; submit the URL again",
)

# What a sentence calls the host that a request goes to.
SUBMITTED_HOST = "this host"
REDIRECT_HOST = "the host that a redirect led to"


class Stopped(FetchQueueError):
    """The fetch ends here, for a known reason. Not an OSError: urllib3 and requests let it pass unchanged."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error.detail)
        self.failure = failure


def _failure(error_type: ErrorType, detail: str, *, retryable: bool, overloaded: bool = False) -> Failure:
    return Failure(error=FetchError(type=error_type, detail=detail), retryable=retryable, overloaded=overloaded)


def out_of_time(seconds: float) -> Failure:
    """The whole fetch took too long."""
    detail = f"the site did not send its whole answer within the limit of {_seconds(seconds)}"
    return _failure(ErrorType.TIMEOUT, detail, retryable=True, overloaded=True)


def connecting_took_too_long(host: str, seconds: float) -> Failure:
    """No address of the host accepted the connection in time."""
    detail = f"{host} did not accept a connection within {_seconds(seconds)}"
    return _failure(ErrorType.TIMEOUT, detail, retryable=True, overloaded=True)


def no_such_host(host: str) -> Failure:
    """The DNS knows no address for the name."""
    return _failure(ErrorType.DNS, f"{host} does not exist: its name has no address", retryable=False)


def no_name_server(host: str) -> Failure:
    """The DNS did not answer, or could not for now."""
    return _failure(ErrorType.DNS, f"no name server answered for {host}", retryable=True)


def refused_connection(host: str) -> Failure:
    """Nobody listens there."""
    return _failure(ErrorType.CONNECTION, f"{host} refused the connection", retryable=True)


def unreachable(host: str) -> Failure:
    """None of the host's addresses can be reached."""
    return _failure(ErrorType.CONNECTION, f"{host} could not be reached", retryable=True)


def cut(*, answered: bool) -> Failure:
    """The connection ended before it should have."""
    before = "the answer was complete" if answered else "the site answered"
    return _failure(ErrorType.CONNECTION, f"the connection was cut before {before}", retryable=True)


def tls(host: str, problem: str) -> Failure:
    """There is no secure connection; `problem` ends the sentence."""
    return _failure(ErrorType.TLS, f"no secure connection to {host}: {problem}", retryable=False)


def blocked_address(host: str) -> Failure:
    """The address is not on the public Internet. Only the log says which one it was, not the submitter's answer."""
    detail = f"the address of {host} is not public, so it is not fetched"
    return _failure(ErrorType.BLOCKED, detail, retryable=False)


def blocked_url(detail: str) -> Failure:
    """The URL cannot be sent as it is."""
    return _failure(ErrorType.BLOCKED, detail, retryable=False)


def blocked_redirect() -> Failure:
    """A redirect led to a URL that would not have been accepted either."""
    detail = "a redirect led to a URL that may not be fetched: it is not a public http or https address"
    return _failure(ErrorType.BLOCKED, detail, retryable=False)


def too_large(limit: int) -> Failure:
    """The decoded body passed `limit` bytes, or said that it would."""
    detail = f"the answer was larger than the limit of {_size(limit)}"
    return _failure(ErrorType.TOO_LARGE, detail, retryable=False)


def too_many_redirects(limit: int) -> Failure:
    """A loop, or a long chain."""
    detail = f"the site redirected more than {_counted(limit, 'time')}"
    return _failure(ErrorType.TOO_MANY_REDIRECTS, detail, retryable=False)


def invalid_redirect() -> Failure:
    """There is no telling where a redirect leads."""
    return invalid_response("the site did not redirect to a single valid URL")


def invalid_response(detail: str) -> Failure:
    """What came is not an answer that can be kept."""
    return _failure(ErrorType.INVALID_RESPONSE, detail, retryable=False)


def http_status(status: int, retry_after: float | None, excerpt: str | None, *, asks_to_wait: bool = False) -> Failure:
    """The site answered, but not with a document. The phrase is the standard's; the site's words are its `excerpt`.

    `asks_to_wait` says that there was a Retry-After, whether it made sense or not.
    """
    phrase = next((f" {known.phrase}" for known in HTTPStatus if known == status), "")
    where_to = " without saying where to" if status in (301, 302, 303, 307, 308) else ""
    detail = f"the site answered {status}{phrase}{where_to}"
    retryable = status in RETRYABLE_STATUSES
    refused = status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.SERVICE_UNAVAILABLE and asks_to_wait)
    return Failure(
        error=FetchError(type=ErrorType.HTTP_STATUS, detail=detail, http_status=status, excerpt=excerpt),
        retryable=retryable,
        retry_after=retry_after if retryable else None,
        refused=refused,
        overloaded=status >= HTTPStatus.INTERNAL_SERVER_ERROR and not refused,
    )


def _size(count: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count % unit == 0:
            return f"{count // unit} {name}"
    return _counted(count, "byte")


def _seconds(seconds: float) -> str:
    return "1 second" if seconds == 1 else f"{seconds:g} seconds"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
