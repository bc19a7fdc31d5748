"""The emulator beside the stack heeds no signature: it answers this machine's programs, and no web page."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from local_stack.emulate import guarded

HERE = ("host", "127.0.0.1:4566")
SIGNED = b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00"


def answered(scope: MutableMapping[str, Any]) -> list[Any]:
    """What is sent for a request; the emulator itself would send "in"."""
    sent: list[Any] = []

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send("in")

    async def receive() -> MutableMapping[str, Any]:
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> None:
        await guarded(application)(scope, receive, send)

    asyncio.run(ask())
    return sent


def request(method: str, *headers: tuple[str, str], query: bytes = b"") -> list[Any]:
    """A request with these headers."""
    encoded = [(name.encode(), value.encode()) for name, value in headers]
    return answered({"type": "http", "method": method, "headers": encoded, "query_string": query})


@pytest.mark.parametrize("host", ["127.0.0.1:4566", "localhost", "[::1]:4566", "bucket.s3.localhost:4566"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_programs_get_in(method: str, host: str) -> None:
    """As boto3 and the sample commands ask."""
    assert request(method, ("host", host)) == ["in"]


@pytest.mark.parametrize(
    "headers",
    [
        [("host", "evil.example:4566")],  # DNS rebinding
        [("host", "127.0.0.1.evil.example")],
        [],
        [HERE, ("origin", "https://evil.example")],
        [HERE, ("origin", "null")],
        [HERE, ("Origin", "http://127.0.0.1:8000")],
        [HERE, ("sec-fetch-site", "cross-site")],
        [HERE, ("sec-fetch-site", "same-site")],
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_pages_do_not(method: str, headers: list[tuple[str, str]]) -> None:
    """Neither by rebinding, nor across origins, nor by a form, nor with a preflight."""
    started, ended = request(method, *headers)
    assert (started["status"], b"no web page" in ended["body"]) == (403, True)


def test_a_page_reads_what_a_link_leads_to() -> None:
    """The service's own page does, with a link that it was given."""
    assert request("GET", HERE, ("origin", "http://127.0.0.1:8000"), query=SIGNED) == ["in"]
    assert request("PUT", HERE, ("origin", "http://127.0.0.1:8000"), query=SIGNED)[0]["status"] == 403
    assert request("GET", ("host", "evil.example"), query=SIGNED)[0]["status"] == 403


def test_nothing_but_http() -> None:
    """It starts and ends, and takes no web socket."""
    assert answered({"type": "lifespan"}) == ["in"]
    assert answered({"type": "websocket", "headers": []}) == [{"type": "websocket.close"}]
