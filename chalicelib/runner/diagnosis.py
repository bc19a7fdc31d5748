"""Turns what requests, urllib3 and the standard library raise into one of our failures."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from http.client import HTTPException

from chalicelib.runner import failures
from chalicelib.runner.outcome import Failure
from chalicelib.runner.tls import TooMuchOverhead

# X509_V_ERR_* of OpenSSL, https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_CERTIFICATE_PROBLEMS = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is self-signed",
    19: "its certificate is from an authority that is not trusted",
    20: "its certificate is from an authority that is not trusted, or the site leaves out an intermediate certificate",
    62: "its certificate is for another name",
    64: "its certificate is for another name",
}


def diagnosed(error: BaseException, *, host: str, seconds: float, answered: bool) -> Failure:
    """What `error`, raised while a request was sent or its answer read, means to the person who submitted the URL.

    `host` is what sentences call the host, `seconds` the limit of the fetch, `answered` whether any of the answer came.
    """
    for cause in _causes(error):
        match cause:
            case TimeoutError():
                return failures.out_of_time(seconds)
            case ssl.SSLCertVerificationError():
                problem = _CERTIFICATE_PROBLEMS.get(cause.verify_code, "its certificate is not valid")
                return failures.tls(host, problem)
            case TooMuchOverhead():
                return failures.tls(host, "the site keeps sending TLS messages instead of data")
            case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
                return failures.cut(answered=answered)
            case ssl.SSLError() if answered:
                return failures.tls(host, "the site's TLS messages are malformed")
            case ssl.SSLError():
                return failures.tls(host, "the site does not speak TLS, or only versions that are not safe")
            case HTTPException() | ValueError():
                break
            case OSError():
                return failures.cut(answered=answered)
    return failures.invalid_response("the site's answer is malformed")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The innermost cause first: the outer layers only wrap it, as an argument or as what they were raised from."""
    chain: list[BaseException] = []
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        if current not in chain:
            chain.append(current)
            context = None if current.__suppress_context__ else current.__context__
            inner = [*current.args, getattr(current, "reason", None), current.__cause__, context]
            waiting += [each for each in inner if isinstance(each, BaseException)]
    yield from reversed(chain)
