"""What a body of POST /jobs or POST /batches submits: its URLs, each with its headers and its reference."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chalicelib.api import problems
from chalicelib.api.requests import pointer
from chalicelib.api.types import BatchRequest, JobRequest
from chalicelib.jobs.submitted import NO_HEADERS, InvalidMember, SubmittedURL, checked_headers, checked_reference


def one(body: JobRequest) -> SubmittedURL:
    """The URL of a body. Raises ProblemError for a header or a reference that is not valid."""
    with _at():
        return _submitted(body)


def several(body: BatchRequest) -> list[SubmittedURL]:
    """The URLs of a body. Raises ProblemError for a header or a reference that is not valid."""
    with _at():
        defaults = _submitted(JobRequest(url="", headers=body.headers, reference=body.reference))
    urls = []
    for index, each in enumerate(body.urls):
        own = JobRequest(url=each) if isinstance(each, str) else each
        with _at("urls", str(index)):
            urls.append(_submitted(own, defaults))
    return urls


def _submitted(given: JobRequest, defaults: SubmittedURL | None = None) -> SubmittedURL:
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
