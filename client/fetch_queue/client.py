"""`FetchQueue`: the API, a method for each request."""

from __future__ import annotations

import io
import json
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import requests

from fetch_queue import models
from fetch_queue.download import Downloaded, Downloads, Sink
from fetch_queue.errors import ProblemError, UnexpectedAnswer
from fetch_queue.models import Accepted, Batch, Job, Quota, Result, Summary, parse
from fetch_queue.patience import LEAST_PAUSE, Notice, Timing
from fetch_queue.request import Submitted, document_of
from fetch_queue.transport import ApiAnswer, Sessions, Transport

DEFAULT_URL: Final = "http://127.0.0.1:8000"
USER_AGENT: Final = "fetch-queue/1.0 (command line)"
NOT_FOUND: Final = "not-found"
POLL_SECONDS = 2.0  # unless a Retry-After says otherwise
SLOWEST_POLL = 60.0
LONGEST_PAGE = 100  # of a list

_BATCH = re.compile(r"[0-9a-f]{32}")
_JOB_OF_BATCH = re.compile(r"[0-9a-f]{32}-(0|[1-9][0-9]*)")
_NEXT = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?')


def is_id(text: str) -> bool:
    """True for what has the form of a job's or a batch's id."""
    return bool(_BATCH.fullmatch(text) or _JOB_OF_BATCH.fullmatch(text))


def is_of_batch(text: str) -> bool:
    """True for the id of a job in a batch."""
    return bool(_JOB_OF_BATCH.fullmatch(text))


def body(
    urls: Sequence[Submitted],
    headers: Mapping[str, str] | None = None,
    webhook: str | Mapping[str, object] | None = None,
) -> bytes:
    """The body that submits URLs, with headers for all of them, and a webhook. The same URLs give the same bytes."""
    document: dict[str, object] = {"urls": [document_of(one) for one in urls]}
    if headers:
        document["headers"] = dict(headers)
    if webhook:
        document["webhook"] = webhook
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


class FetchQueue:
    """A Fetch Queue at `url` (including a stage's prefix), used with `token` if it needs one.

    Every method raises ProblemError if the service refuses, Unreachable if it does not answer, and
    UnexpectedAnswer if something else answers. "Not now" (429, 503) and lost connections are tried again for
    `give_up_after` seconds: 300, or 15 if it has never answered. May be used by several threads.

    >>> queue = FetchQueue("https://x.execute-api.eu-central-1.amazonaws.com/api", token="fq_...")
    >>> batch = queue.submit(["https://example.com/"])
    >>> queue.wait(batch.id)
    >>> for job in queue.results(batch.id):
    ...     print(job.url, job.status, queue.result(job.id) if job.result else job.error)
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        *,
        give_up_after: float | None = None,
        timing: Timing | None = None,
        notice: Notice = lambda _: None,
        sessions: Sessions | None = None,
    ) -> None:
        self.timing = timing or Timing()
        self.url = url.rstrip("/")
        self._transport = Transport(
            self.url,
            token,
            give_up_after=give_up_after,
            timing=self.timing,
            notice=notice,
            sessions=_named(sessions or requests.Session),
        )
        self._downloads = Downloads(self._transport)

    def submit(
        self,
        urls: Sequence[Submitted],
        key: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        webhook: str | Mapping[str, object] | None = None,
    ) -> Accepted:
        """Submit 1 to 1,000 URLs, or Requests, as a batch. `headers` are sent with all of them; a Request's own win.

        `webhook` is a URL that is sent an event when all is finished, or `{"url": ..., "each": True}` for one of each
        job too.

        The same key and URLs again give the same batch; without a key, a random one makes it safe to send the request
        again when its answer is lost.
        """
        ours = {"Idempotency-Key": key or str(uuid.uuid4()), "Content-Type": "application/json"}
        return _accepted(self._transport.ask("POST", "/batches", body=body(urls, headers, webhook), headers=ours))

    def retry(self, batch_id: str, only: Collection[str] | None = None, key: str | None = None) -> Accepted:
        """Submit the failed jobs of a batch again, or `only` those with these error types, as a new batch.

        Each has its headers and its reference. Raises ProblemError named `nothing-failed` if there is none.
        """
        if isinstance(only, str):
            only = [only]
        query = "" if only is None else f"?{urlencode({'only': ','.join(only)}, safe=',')}"
        ours = {"Idempotency-Key": key or str(uuid.uuid4())}
        return _accepted(self._transport.ask("POST", f"/batches/{_checked(batch_id)}/retry{query}", headers=ours))

    def job(self, job_id: str, wait: float = 0) -> Job:
        """A job; with `wait`, as soon as it is finished, or as it is after so many seconds (20 at most)."""
        query = f"?wait={wait:.0f}" if wait else ""
        return parse(models.job, self._transport.ask("GET", f"/jobs/{_checked(job_id)}{query}").json())

    def batch(self, batch_id: str) -> Batch:
        """How a batch is doing."""
        answer = self._transport.ask("GET", f"/batches/{_checked(batch_id)}")
        pause = POLL_SECONDS if answer.retry_after is None else min(max(answer.retry_after, LEAST_PAUSE), SLOWEST_POLL)
        return parse(lambda document: models.batch(document, pause), answer.json())

    def results(self, batch_id: str) -> Iterator[Job]:
        """A batch's jobs in order, finished or not. A result's `link` is valid for a minute after it arrives."""
        for page in self.pages(batch_id):
            yield from page

    def pages(self, batch_id: str) -> Iterator[list[Job]]:
        """The same in pages of up to a hundred, as they arrive."""
        following: str | None = f"/batches/{_checked(batch_id)}/results"
        while following is not None:
            answer = self._transport.ask("GET", following)
            yield [parse(models.job, document) for document in _lines(answer)]
            following = self._following(answer)

    def webhook_secret(self, *, renew: bool = False) -> str:
        """The secret that signs your events, for `verify`; a new one if it is renewed: the old one signs a day more.

        A key makes it safe to send a renewal again when its answer is lost.
        """
        if not renew:
            answer = self._transport.ask("GET", "/webhook-secret")
        else:
            answer = self._transport.ask("POST", "/webhook-secret", headers={"Idempotency-Key": str(uuid.uuid4())})
        return parse(lambda document: str(document["secret"]), answer.json())

    def result(self, job_id: str) -> bytes:
        """The bytes that a job fetched, complete and checked. For large ones use `download`."""
        sink = io.BytesIO()
        self.download(job_id, sink)
        return sink.getvalue()

    def download(self, job_id: str, sink: Sink, known: Result | None = None) -> Downloaded:
        """Write the bytes that a job fetched to `sink`, which is rewritten from its start if necessary.

        `known`, from `results`, saves the request for a link. Raises CorruptResult if the bytes are wrong.
        """
        return self._downloads.download(_checked(job_id), sink, known)

    def batches(self, page: int = LONGEST_PAGE) -> Iterator[Summary]:
        """All batches that were submitted and are kept, newest first, read as they are wanted, so many at a time."""
        for document in self._listed("batches", page):
            yield parse(models.summary, document)

    def jobs(self, page: int = LONGEST_PAGE) -> Iterator[Job]:
        """All jobs that were submitted alone and are kept, likewise. Those of a batch are in `results`."""
        for document in self._listed("jobs", page):
            yield parse(models.job, document)

    def usage(self) -> list[Quota]:
        """How many URLs may still be submitted; empty if there is no limit."""
        answer = self._transport.ask("GET", "/usage").json()
        return parse(lambda document: [models.quota(one) for one in document["quotas"]], answer)

    def _listed(self, kind: str, page: int) -> Iterator[Any]:
        following: str | None = f"/{kind}?limit={min(page, LONGEST_PAGE)}"
        while following is not None:
            answer = self._transport.ask("GET", following)
            yield from parse(lambda document: list(document[kind]), answer.json())
            following = self._following(answer)

    def _following(self, answer: ApiAnswer) -> str | None:
        match = _NEXT.search(answer.headers.get("Link", ""))
        return None if match is None else self._transport.resolve(match[1], answer.url)

    def find(self, any_id: str) -> Job | Batch:
        """The job or the batch with an id."""
        if is_of_batch(any_id):
            return self.job(any_id)
        try:
            return self.job(any_id)
        except ProblemError as error:
            if error.name != NOT_FOUND:
                raise
        return self.batch(any_id)

    def delete(self, any_id: str) -> None:
        """Delete a job, or a batch with every job of it, for good."""
        kind = "jobs" if isinstance(self.find(any_id), Job) else "batches"
        try:
            self._transport.ask("DELETE", f"/{kind}/{any_id}")
        except ProblemError as error:
            if not (error.repeated and error.name == NOT_FOUND):  # else an earlier try deleted it
                raise

    def wait(self, batch_id: str, progress: Callable[[Batch], None] = lambda _: None) -> Batch:
        """Wait for the end of a batch, asking as often as the service says; `progress` sees each answer."""
        while True:
            batch = self.batch(batch_id)
            progress(batch)
            if batch.finished:
                return batch
            self.timing.sleep(batch.retry_after)


def _named(sessions: Sessions) -> Sessions:
    def session() -> requests.Session:
        new = sessions()
        new.headers["User-Agent"] = USER_AGENT
        return new

    return session


def _accepted(answer: ApiAnswer) -> Accepted:
    pause = min(answer.retry_after or 0.0, SLOWEST_POLL)
    return parse(lambda document: models.accepted(document, pause), answer.json())


def _checked(any_id: str) -> str:
    if not is_id(any_id):
        raise ValueError(f"{any_id!r} is not an id: 32 hexadecimal digits, in a batch followed by the job's number")
    return any_id


def _lines(answer: ApiAnswer) -> Iterator[object]:
    for line in answer.body.splitlines():
        try:
            yield json.loads(line)
        except ValueError as error:
            raise UnexpectedAnswer(f"{answer.url} answered, but not with lines of JSON") from error
