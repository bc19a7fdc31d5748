"""What a body of POST /jobs or POST /batches submits: its URLs, each with its headers and its reference, and who is
told of their end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chalicelib.api import problems
from chalicelib.api.bodies import BatchRequest, BatchURL, JobRequest
from chalicelib.api.requests import pointer
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.submitted import NO_HEADERS, InvalidMember, SubmittedURL, checked_headers, checked_reference
from chalicelib.jobs.urls import InvalidURL
from chalicelib.jobs.webhooks import Webhook, receiver_of


def one(body: JobRequest) -> SubmittedURL:
    """The URL of a body. Raises ProblemError for a header or a reference that is not valid."""
    with _at():
        return _submitted(body)


def several(body: BatchRequest) -> list[SubmittedURL]:
    """The URLs of a body. Raises ProblemError for a header or a reference that is not valid."""
    with _at():
        defaults = _submitted(BatchURL(url="", headers=body.headers, reference=body.reference))
    urls = []
    for index, each in enumerate(body.urls):
        own = BatchURL(url=each) if isinstance(each, str) else each
        with _at("urls", str(index)):
            urls.append(_submitted(own, defaults))
    return urls


def webhook(body: JobRequest | BatchRequest, policy: AddressPolicy) -> Webhook | None:
    """Who is to be told. Raises ProblemError for a URL that may not be told anything."""
    match body.webhook:
        case None:
            return None
        case str(url):
            given, path = Webhook(url=url), "/webhook"
        case wanted if wanted.each and isinstance(body, JobRequest):
            raise problems.at("/webhook/each", "A single job has one event; `each` is for the jobs of a batch.")
        case wanted:
            given, path = Webhook(url=wanted.url, each=wanted.each), "/webhook/url"
    try:
        receiver_of(given.url, policy)
    except InvalidURL as error:
        detail = str(error)
        raise problems.at(path, f"{detail[:1].upper()}{detail[1:]}.") from None
    return given


def _submitted(given: JobRequest | BatchURL, defaults: SubmittedURL | None = None) -> SubmittedURL:
    own = SubmittedURL(
        url=given.url,
        headers=checked_headers(given.headers) if given.headers else NO_HEADERS,
        reference=checked_reference(given.reference),
    )
    return own if defaults is None else own.over(defaults)


@contextmanager
def _at(*path: str) -> Iterator[None]:
    try:
        yield
    except InvalidMember as error:
        detail = str(error)
        raise problems.at(pointer([*path, *error.path]), f"{detail[:1].upper()}{detail[1:]}.") from None
