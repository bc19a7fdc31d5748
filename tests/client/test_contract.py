"""The fake service says nothing that the real one does not: the same requests to both, and what they answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from tests.client.fake import Service
from tests.world import World, failure

URL = "https://a.example/"
BAD = "https://bad.example/"
URLS = {"urls": [URL, BAD, "ftp://x/"]}
KEY = {"Idempotency-Key": "k"}
AGAIN = {"Idempotency-Key": "again"}


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """As far as the client reads it."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    documents: tuple[Any, ...] = ()

    @staticmethod
    def of(status: int, headers: Mapping[str, Any], body: bytes) -> ApiAnswer:
        told = {name.lower(): str(value) for name, value in headers.items()}
        kind = told.get("content-type", "")
        lines = body.splitlines() if kind == "application/x-ndjson" else [body] if "json" in kind else []
        return ApiAnswer(status, told, tuple(json.loads(line) for line in lines))


Ask = Callable[..., ApiAnswer]


@pytest.fixture
def both(service: Service, w: World) -> list[Ask]:
    """The fake and the real one, in the state that the fake begins with."""
    service.polls_to_finish = 0
    service.failing.add(BAD)
    w.site.answers[BAD] = [failure(404)]

    def fake(method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> ApiAnswer:
        told = requests.request(
            method, service.url + path, json=body, headers=dict(headers or {}), allow_redirects=False, timeout=60
        )
        return ApiAnswer.of(told.status_code, told.headers, told.content)

    def real(method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> ApiAnswer:
        told = w.request(method, path, body, dict(headers or {}))
        w.run()  # the fake's fetches take no time
        return ApiAnswer.of(told.status_code, told.headers, told.body)

    return [fake, real]


def same_kind(fake: Any, real: Any, where: str) -> None:
    """Every member of the fake's answer is one of the real answer's, and is of its kind."""
    if isinstance(fake, dict):
        assert isinstance(real, dict), where
        assert set(fake) <= set(real), (where, set(fake) - set(real))
        for name, value in fake.items():
            same_kind(value, real[name], f"{where}.{name}")
    elif isinstance(fake, list):
        assert isinstance(real, list), where
        assert len(fake) == len(real), where
        for number, (one, other) in enumerate(zip(fake, real, strict=True)):
            same_kind(one, other, f"{where}[{number}]")
    else:
        assert type(fake) is type(real), (where, fake, real)


def test_the_main_job(both: list[Ask]) -> None:
    """Submit, ask, read, delete: statuses, the headers that the client reads, and every member of every document."""
    ids = [ask("POST", "/batches", URLS, KEY).documents[0]["id"] for ask in both]
    for ask, batch_id in zip(both, ids, strict=True):
        ask("POST", f"/batches/{batch_id}/retry?only=http-status", None, AGAIN)
    steps: list[tuple[str, str, Any, Mapping[str, str]]] = [
        ("POST", "/batches", URLS, KEY),
        ("POST", "/batches", {"urls": [URL]}, KEY),
        ("POST", "/batches", {"urls": ["ftp://x/"]}, {"Idempotency-Key": "other"}),
        ("GET", "/batches/{id}", None, {}),
        ("GET", "/batches/{id}/results", None, {}),
        ("GET", "/jobs/{id}-0", None, {}),
        ("GET", "/jobs/{id}-1", None, {}),
        ("GET", "/jobs/{id}-1/result", None, {}),
        ("POST", "/batches/{id}/retry?only=timeout", None, KEY),
        ("POST", "/batches/{id}/retry?only=http-status", None, AGAIN),
        ("GET", "/batches/{id}", None, {}),
        ("GET", "/batches", None, {}),
        ("GET", "/jobs", None, {}),
        ("GET", "/usage", None, {}),
        ("DELETE", "/jobs/{id}-0", None, {}),
        ("GET", "/jobs/{id}-0", None, {}),
        ("DELETE", "/jobs/{id}-0", None, {}),
        ("DELETE", "/batches/{id}", None, {}),
        ("GET", "/batches/{id}", None, {}),
    ]
    for method, path, body, headers in steps:
        step = f"{method} {path} {body}"
        fake, real = (
            ask(method, path.format(id=batch_id), body, headers) for ask, batch_id in zip(both, ids, strict=True)
        )
        assert fake.status == real.status, step
        assert fake.headers.get("content-type") == real.headers.get("content-type"), step
        assert ("link" in fake.headers, "retry-after" in fake.headers) == (
            "link" in real.headers,
            "retry-after" in real.headers,
        ), step
        same_kind(list(fake.documents), list(real.documents), step)
        if fake.status >= 400:
            assert fake.documents[0]["type"] == real.documents[0]["type"], step


def test_a_job_that_waits_for_its_host(service: Service, w: World, both: list[Ask]) -> None:
    """Until when, as a text, and how many of the batch do."""
    service.polls_to_finish = 1000
    service.waiting[URL] = "2026-11-24T14:05:00.000Z"
    w.site.answers[URL] = [failure(429, retryable=True, retry_after=60)]
    ids = [ask("POST", "/batches", {"urls": [URL]}, KEY).documents[0]["id"] for ask in both]
    for path in ("/batches/{id}", "/batches/{id}/results", "/jobs/{id}-0"):
        fake, real = (ask("GET", path.format(id=batch_id)) for ask, batch_id in zip(both, ids, strict=True))
        same_kind(list(fake.documents), list(real.documents), path)
        assert fake.documents[0].get("waiting_for_host") == real.documents[0].get("waiting_for_host")


def test_a_result_by_its_link(service: Service, w: World, both: list[Ask]) -> None:
    """Inline here, by a link there: the client takes both, and their tags are the bytes' digests."""
    fake, real = (ask("POST", "/batches", URLS, KEY).documents[0]["id"] for ask in both)
    for inline in (False, True):
        service.inline = inline
        told = both[0]("GET", f"/jobs/{fake}-0/result")
        assert told.status == (200 if inline else 303)
        assert set(told.headers) & {"etag", "location"} == ({"etag"} if inline else {"etag", "location"})
    told = both[1]("GET", f"/jobs/{real}-0/result")
    assert (told.status, told.headers["etag"].count('"')) == (200, 2)
