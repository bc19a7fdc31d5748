"""Reading a result's bytes: by its link, or through the API if no link works; counted and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

import requests
from requests import Response

from fetch_queue.errors import CorruptResult, UnexpectedAnswer
from fetch_queue.faults import GATEWAY, NOT_NOW, Lost, again, lost
from fetch_queue.models import Result
from fetch_queue.transport import AS_IT_IS, Transport, joined

BLOCK = 64 * 1024
WHOLE_TRIES = 3  # of a result with wrong bytes
SERVER_ERROR = 500


class Sink(Protocol):
    """Where bytes go: a file, open for writing, that can be rewritten from its start."""

    def seek(self, offset: int, /) -> int:
        """Go back."""

    def truncate(self) -> Any:
        """Discard what follows."""

    def write(self, data: bytes, /) -> Any:
        """Take bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """What was written."""

    size: int
    sha256: str
    content_type: str


class Stale(Exception):
    """The link does not work, or not any more; the API gives another."""


class NotNow(Exception):
    """The answer is a refusal; later it may be another answer."""

    def __init__(self, why: str, retry_after: float | None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class Downloads:
    """Downloads by a transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def download(self, job_id: str, sink: Sink, known: Result | None) -> Downloaded:
        """Write a job's result to `sink`, from its start. Raises what `ask` does, and CorruptResult."""
        link = None if known is None else known.link
        sha256 = None if known is None else known.sha256
        patience = self._transport.patience()
        wrong = 0
        while True:
            sink.seek(0)
            sink.truncate()
            try:
                with self._source(job_id, link) as (response, etag):
                    sha256 = sha256 or etag
                    written = _copy(response, sink, None if known is None else known.size)
            except Stale:
                link = None
            except NotNow as error:
                patience.wait(str(error), error.retry_after)
            except Lost as error:
                patience.wait(f"{error}.")
            else:
                if _is_right(written, sha256, known):
                    return written
                wrong += 1
                if wrong == WHOLE_TRIES:
                    raise CorruptResult(
                        f"the bytes of {job_id} are not the ones that were fetched: "
                        f"{_bytes(written.size)} with SHA-256 {written.sha256[:12]}..., expected "
                        f"{_expected(known, sha256)}"
                    )
                link = None

    @contextmanager
    def _source(self, job_id: str, link: str | None) -> Iterator[tuple[Response, str | None]]:
        """The answer with the bytes, and their SHA-256 according to the API."""
        if link is not None:
            with self._transport.link(link) as response:
                _check_link(response, self._transport, is_fresh=False)
                yield response, None
            return
        url = self._transport.resolve(f"/jobs/{job_id}/result")
        with closing(self._transport.open("GET", url, headers=AS_IT_IS, stream=True)) as response:
            problem = self._transport.problem(response)
            if problem is not None:
                if again(problem):
                    raise NotNow(f"{self._transport.url}: {problem.detail}", self._transport.retry_after(response))
                raise problem
            etag = response.headers.get("ETag", "").removeprefix("W/").strip('"') or None
            if response.status_code != HTTPStatus.SEE_OTHER:
                yield response, etag
                return
            where = joined(url, response.headers.get("Location", ""))
        with self._transport.link(where) as response:
            _check_link(response, self._transport, is_fresh=True)
            yield response, etag


def _check_link(response: Response, transport: Transport, *, is_fresh: bool) -> None:
    """Raises for a link's answer without a result's bytes; its text is from the storage, and not for people."""
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    if not is_fresh and HTTPStatus.MULTIPLE_CHOICES <= status < SERVER_ERROR and status not in NOT_NOW:
        raise Stale
    if status in (*NOT_NOW, *GATEWAY, SERVER_ERROR, HTTPStatus.FORBIDDEN):
        raise NotNow(f"The results' storage answered {status}.", transport.retry_after(response))
    raise UnexpectedAnswer(f"the link to a result was answered with {status}")


def _copy(response: Response, sink: Sink, expected: int | None) -> Downloaded:
    size, digest = 0, hashlib.sha256()
    try:
        for block in response.iter_content(BLOCK):
            size += len(block)
            digest.update(block)
            sink.write(block)
            if expected is not None and size > expected:
                break
    except requests.RequestException as error:
        raise lost(response.url, error) from error
    return Downloaded(
        size=size, sha256=digest.hexdigest(), content_type=response.headers.get("Content-Type", "").strip()
    )


def _is_right(written: Downloaded, sha256: str | None, known: Result | None) -> bool:
    return written.sha256 == (sha256 or written.sha256) and (known is None or written.size == known.size)


def _expected(known: Result | None, sha256: str | None) -> str:
    size = "" if known is None else f"{_bytes(known.size)} with "
    return f"{size}SHA-256 {(sha256 or '')[:12]}..."


def _bytes(count: int) -> str:
    return f"{count} byte" if count == 1 else f"{count} bytes"
