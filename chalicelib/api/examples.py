"""Examples for the OpenAPI document, built from the types themselves, so that they look like real answers."""

from __future__ import annotations

from typing import Any

import msgspec

from chalicelib.api.bodies import BatchRequest, BatchURL, JobRequest, WebhookRequest
from chalicelib.api.types import (
    BatchAccepted,
    BatchLinks,
    BatchList,
    BatchSummary,
    BatchView,
    Counts,
    ErrorView,
    Health,
    JobLinks,
    JobList,
    JobView,
    LinkedJobView,
    LinkedResultView,
    QuotaView,
    Rejected,
    ResultView,
    SecretView,
    UsageView,
    WebhookStatus,
    WebhookView,
)
from chalicelib.jobs.access import Span
from chalicelib.jobs.entities import ErrorType, Status

_BATCH = "423dad4e84c146830615e07874201b1d"
_JOB = "6f1ed002ab5595859014ebf0951522d9"
_SUBMITTED = "2026-11-24T10:09:02.316Z"
_FINISHED = "2026-11-24T10:09:02.514Z"
_SIGNS = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
_EXPIRES = "2026-12-01T10:09:02.316Z"

_RESULT = ResultView(
    content_type="text/plain; charset=utf-8",
    size=28,
    sha256="6db49a59911cf4f8a205c0bb68a343a6f3f39c81467d6eb69a7256e127fb783f",
    http_status=200,
    final_url="https://example.com/hello.txt",
    fetched_at=_FINISHED,
    headers={"Date": "Tue, 24 Nov 2026 10:09:02 GMT"},
    href=f"/jobs/{_BATCH}-0/result",
)
_QUEUED = JobView(
    id=f"{_BATCH}-0",
    batch_id=_BATCH,
    url="https://example.com/hello.txt",
    status=Status.QUEUED,
    submitted_at=_SUBMITTED,
    started_at=None,
    finished_at=None,
    expires_at=_EXPIRES,
    next_attempt_at=None,
    attempts=0,
    reused=None,
    result=None,
    error=None,
    links=JobLinks(self=f"/jobs/{_BATCH}-0", result=f"/jobs/{_BATCH}-0/result", batch=f"/batches/{_BATCH}"),
)
_DONE = msgspec.structs.replace(
    _QUEUED,
    status=Status.SUCCEEDED,
    started_at=_SUBMITTED,
    finished_at=_FINISHED,
    attempts=1,
    reused=False,
    result=_RESULT,
)
_WITH_REFERENCE = msgspec.structs.replace(
    _QUEUED,
    id=f"{_BATCH}-1",
    url="https://example.com/shoes",
    links=JobLinks(self=f"/jobs/{_BATCH}-1", result=f"/jobs/{_BATCH}-1/result", batch=f"/batches/{_BATCH}"),
    reference="shoes, German",
)
_FAILED = msgspec.structs.replace(
    _DONE,
    id=f"{_BATCH}-1",
    url="https://example.com/search?q=hello",
    status=Status.FAILED,
    attempts=4,
    result=None,
    error=ErrorView(
        type=ErrorType.HTTP_STATUS,
        detail="the site answered 429 Too Many Requests",
        http_status=429,
        excerpt="Our systems have detected unusual traffic from your network.",
    ),
    links=JobLinks(self=f"/jobs/{_BATCH}-1", result=f"/jobs/{_BATCH}-1/result", batch=f"/batches/{_BATCH}"),
)
_LINKED = LinkedResultView(
    **msgspec.structs.asdict(_RESULT),
    link="https://bucket.s3.eu-central-1.amazonaws.com/results/8f0c.../1?X-Amz-Expires=60&X-Amz-Signature=...",
    link_expires_at="2026-11-24T10:10:02.514Z",
)
_WAITING = WebhookView(
    url="https://example.org/told", status=WebhookStatus.WAITING, tries=0, last_status=None, next_try_at=None
)
_DELIVERED = msgspec.structs.replace(_WAITING, status=WebhookStatus.DELIVERED, tries=1, last_status=200)
_LINKS = BatchLinks(self=f"/batches/{_BATCH}")

_ALL: list[msgspec.Struct] = [
    JobRequest(url="https://example.com/hello.txt", webhook="https://example.org/told"),
    BatchRequest(
        urls=[
            "https://example.com/hello.txt",
            "ftp://example.com/file",
            BatchURL(url="https://example.com/shoes", headers={"Accept-Language": "de"}, reference="shoes, German"),
        ],
        webhook=WebhookRequest(url="https://example.org/told", each=True),
    ),
    msgspec.structs.replace(_DONE, webhook=_DELIVERED),
    _DELIVERED,
    SecretView(secret=_SIGNS, old_secret_until=_EXPIRES),
    LinkedJobView(**{**msgspec.structs.asdict(_DONE), "result": _LINKED}),
    BatchAccepted(
        id=_BATCH,
        submitted_at=_SUBMITTED,
        expires_at=_EXPIRES,
        total=2,
        jobs=[_QUEUED, _WITH_REFERENCE],
        rejected=[
            Rejected(index=1, url="ftp://example.com/file", detail="the scheme must be http or https, not ftp"),
        ],
        links=_LINKS,
        webhook=_WAITING,
    ),
    BatchView(
        id=_BATCH,
        submitted_at=_SUBMITTED,
        expires_at=_EXPIRES,
        total=2,
        counts=Counts(queued=0, running=0, succeeded=1, failed=1),
        waiting_for_host=0,
        finished=True,
        jobs=[_DONE, _FAILED],
        next=None,
        links=_LINKS,
        webhook=_DELIVERED,
    ),
    BatchList(
        batches=[BatchSummary(id=_BATCH, submitted_at=_SUBMITTED, expires_at=_EXPIRES, submitted=2, links=_LINKS)],
        next=f"/batches?cursor=001795774142316-{_BATCH}",
    ),
    JobList(
        jobs=[
            msgspec.structs.replace(
                _DONE,
                id=_JOB,
                batch_id=None,
                result=msgspec.structs.replace(_RESULT, href=f"/jobs/{_JOB}/result"),
                links=JobLinks(self=f"/jobs/{_JOB}", result=f"/jobs/{_JOB}/result", batch=None),
            )
        ],
        next=None,
    ),
    UsageView(
        quotas=[QuotaView(span=Span.DAY, limit=100_000, used=2, remaining=99_998, resets_at="2026-11-25T00:00:00.000Z")]
    ),
    Health(status="ok"),
]

EXAMPLES: dict[type[msgspec.Struct], Any] = {type(example): msgspec.to_builtins(example) for example in _ALL}
