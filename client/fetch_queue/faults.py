"""What is wrong with an answer or a connection: as an error, and in words."""

from __future__ import annotations

import json
import ssl
from http import HTTPStatus
from urllib.parse import urlsplit

import requests
from requests import Response

from fetch_queue.errors import FieldProblem, ProblemError

NOT_NOW = (429, 503)  # with Retry-After
GATEWAY = (502, 504)
UNSURE = (*GATEWAY, 503)  # the request may have been carried out, or a part of it


class Lost(Exception):
    """The request was sent, or nearly; no complete answer came. It is not known whether it was served."""


def lost(url: str, error: Exception) -> Lost:
    """The error for a broken connection."""
    return Lost(f"{shown(url)} does not answer: {reason(error)}")


def again(problem: ProblemError) -> bool:
    """True if the answer may be another one later."""
    return problem.status in (*NOT_NOW, *GATEWAY) or problem.name == "in-progress"


def refusal(response: Response, *, repeated: bool) -> ProblemError:
    """The problem in an answer; without a name if it is not one of ours."""
    status = response.status_code
    try:
        document = json.loads(response.content)
        name = str(document["type"]).rpartition("/")[2]
        detail = str(document["detail"])
        errors = tuple(FieldProblem(str(one["pointer"]), str(one["detail"])) for one in document.get("errors", ()))
    except (ValueError, KeyError, TypeError, AttributeError):
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "not a usual status"
        detail = f"{shown(response.url)} answered {status} ({phrase}), but not like a Fetch Queue; is --url right?"
        return ProblemError(status, "", detail, repeated=repeated)
    return ProblemError(status, name, detail, errors, repeated=repeated)


def shown(url: str) -> str:
    """A URL without what should not be printed: a link's query lets anybody read."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def reason(error: BaseException) -> str:
    """What the innermost error says; requests and urllib3 wrap it several times."""
    deepest: BaseException = error
    for _ in range(10):
        given = getattr(deepest, "reason", None)
        inner = given if isinstance(given, BaseException) else deepest.__cause__ or deepest.__context__
        nested = next((part for part in deepest.args if isinstance(part, BaseException)), None)
        if (following := nested or inner) is None:
            break
        deepest = following
    if isinstance(deepest, ssl.SSLCertVerificationError):
        return f"its certificate was refused ({deepest.verify_message})"
    if isinstance(deepest, ssl.SSLError):
        return "it does not speak TLS; it may be at http://"
    if isinstance(deepest, TimeoutError) or isinstance(error, requests.Timeout):
        return "it took too long"
    if isinstance(deepest, OSError) and deepest.strerror:
        return deepest.strerror[:1].lower() + deepest.strerror[1:]
    return str(deepest).partition("\n")[0] or type(deepest).__name__
