"""The emulator beside the stack heeds hardly any signature: it answers this machine's programs, and no web page."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

import botocore.session
import pytest
from botocore.credentials import ReadOnlyCredentials

from chalicelib.jobs.filenames import file_name
from chalicelib.storage.bucket import result_key
from chalicelib.storage.clients import client_config
from chalicelib.storage.links import Links
from local_stack.emulate import guarded

HERE = ("host", "127.0.0.1:4566")
SIGNED = ("authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, Signature=00")
PATH = "/fetch-queue-results/results/0123456789abcdef0123456789abcdef/1"
NAMED = "attachment%3B%20filename%3D%22caf_.txt%22%3B%20filename%2A%3DUTF-8%27%27caf%25C3%25A9.txt"
DISPOSITION = f"response-content-disposition={NAMED}"
SIGNATURE = "X-Amz-Signature=" + 64 * "0"
QUERY = (
    f"{DISPOSITION}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=test%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"
    f"&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&{SIGNATURE}"
)


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


def gets_in(method: str, target: str, *headers: tuple[str, str]) -> bool:
    """True where the emulator would get such a request; else it is refused in words."""
    path, _, query = target.partition("?")
    sent = answered(
        {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers],
        }
    )
    if sent == ["in"]:
        return True
    started, ended = sent
    assert (started["status"], b"no web page" in ended["body"]) == (403, True)
    return False


FROM_PAGES = [
    [("origin", "https://evil.example")],
    [("origin", "null")],
    [("Origin", "http://127.0.0.1:8000")],
    [("sec-fetch-site", "cross-site")],
    [("sec-fetch-site", "same-site")],
    [("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")],  # an address that somebody was told to type
    [("referer", "https://evil.example/")],  # an image, in a browser that says no more
    [],
]


@pytest.mark.parametrize("host", ["127.0.0.1:4566", "localhost", "[::1]:4566", "bucket.s3.localhost:4566"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_programs_get_in(method: str, host: str) -> None:
    """As boto3 and the AWS command line ask: with a signature in a header, where no page can put one."""
    assert gets_in(method, "/", ("host", host), SIGNED)


def test_the_launcher_asks_whether_it_is_up() -> None:
    """Unsigned, by a path that tells nothing else."""
    assert gets_in("GET", "/_ministack/health", HERE)
    for target in ("/_ministack/health?Action=ListQueues", "/_ministack/reset", "/_ministack/health/"):
        assert not gets_in("GET", target, HERE)
    for method in ("POST", "OPTIONS"):
        assert not gets_in(method, "/_ministack/health", HERE)
    assert not gets_in("GET", "/_ministack/health", HERE, ("origin", "https://evil.example"))


@pytest.mark.parametrize(
    "headers",
    [
        [("host", "evil.example:4566")],  # DNS rebinding
        [("host", "127.0.0.1.evil.example")],
        [HERE, ("host", "evil.example")],
        [],
    ],
)
@pytest.mark.parametrize("target", ["/", f"{PATH}?{QUERY}"])
def test_this_machine_goes_by_its_own_names(target: str, headers: list[tuple[str, str]]) -> None:
    """Whatever is asked for."""
    assert not gets_in("GET", target, *headers, SIGNED)


@pytest.mark.parametrize("headers", FROM_PAGES)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/?Action=ListQueues&Version=2012-11-05",
        "/?Action=ListQueues&X-Amz-Signature=x",
        f"/?Action=DeleteStack&StackName=fetch-queue&{QUERY}",
        f"/000000000000/fetch-queue-jobs?Action=SendMessage&MessageBody=x&{SIGNATURE}",
        f"/fetch-queue-results?list-type=2&{QUERY}",
        f"/fetch-queue-results?{QUERY}",
        f"/?{QUERY}",
        PATH,
    ],
)
def test_pages_do_not(target: str, method: str, headers: list[tuple[str, str]]) -> None:
    """Neither across origins, nor by a form or an image, nor with a preflight, whatever a query says of signatures."""
    assert not gets_in(method, target, HERE, *headers)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_name_and_a_password_are_no_signature(method: str) -> None:
    """A browser sends those that stand in an address, or that somebody has typed."""
    assert not gets_in(method, "/?Action=ListQueues", HERE, ("authorization", "Basic dGVzdDp0ZXN0"))


@pytest.mark.parametrize("header", [("origin", "http://127.0.0.1:4566"), ("sec-fetch-site", "same-origin")])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_a_browser_signs_stays_outside(method: str, header: tuple[str, str]) -> None:
    """As a document of the emulator's own origin could."""
    assert not gets_in(method, "/?Action=ListQueues", HERE, SIGNED, header)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4566", "http://localhost:4566"])
@pytest.mark.parametrize("headers", FROM_PAGES)
def test_a_link_that_was_given_out_is_followed(endpoint: str, headers: list[tuple[str, str]]) -> None:
    """By a page, by curl, and by who types it: with the bucket in the path, or before the host's name."""
    client = botocore.session.get_session().create_client(
        "s3",
        config=client_config("s3"),
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    credentials = ReadOnlyCredentials("test", "test", None)
    links = Links(client, "fetch-queue-results", credentials=lambda: credentials, clock=lambda: 0)
    for url in (
        "https://example.com/a?b=c",
        "https://ja.wikipedia.org/wiki/東京",
        f"https://x/{'é' * 200}",
        "https://con",
    ):
        name = file_name(url, "application/vnd.ms-powerpoint")
        link = urlsplit(links.link(result_key("any", 12), name))
        for method in ("GET", "HEAD"):
            assert gets_in(method, f"{link.path}?{link.query}", ("host", link.netloc), *headers)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert not gets_in(method, f"{link.path}?{link.query}", ("host", link.netloc), *headers)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/fetch-queue-results",
        "/fetch-queue-results/",
        "/fetch-queue-results/results/",
        "/results/0123456789abcdef0123456789abcdef/",
        "/results/0123456789abcdef0123456789abcdef",
        "/results/0123456789ABCDEF0123456789ABCDEF/1",
        "/results/0123456789abcdef0123456789abcdef0/1",
        "/fetch-queue-results/other/0123456789abcdef0123456789abcdef/1",
        "/000000000000/fetch-queue-jobs",
        "/_ministack/config",
        f"/{PATH}",
        f"/a{PATH}",
        f"{PATH}/",
        f"{PATH}/../../..",
        f"{PATH}%2f..",
        f"{PATH}%0a",
        PATH.replace("/results", "//results"),
        PATH.replace("/results", "/%2e%2e/results"),
        PATH.replace("/results/", "%2Fresults/"),
        PATH.replace("/1", "/%31"),
        PATH.replace("/1", "/1;versionId=1"),
        PATH.replace("/fetch-queue-results", "/_ministack"),
        PATH.replace("/fetch-queue-results", "/.."),
    ],
)
def test_a_links_query_on_another_path(path: str) -> None:
    """The path is that of one result as links spell it, and no way around it in other letters."""
    assert not gets_in("GET", f"{path}?{QUERY}", HERE)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "X-Amz-Signature=",
        SIGNATURE,
        *(QUERY.replace(member, "").replace("&&", "&").strip("&") for member in QUERY.split("&")),
        *(f"{QUERY}&{member}" for member in QUERY.split("&")),
        *(f"{QUERY}&{more}" for more in ("Action=ListQueues", "acl", "acl=", "uploads", "versionId=1", "tagging", "")),
        *(f"{more}&{QUERY}" for more in ("Action=ListQueues", "acl", "x-amz-acl=public-read", "%61cl")),
        f"{QUERY};acl",
        QUERY.replace("X-Amz-Signature", "x-amz-signature"),
        QUERY.replace("X-Amz-Signature", "X-Amz-Signatur%65"),
        f"{QUERY}&x-amz-signature=00",
        QUERY.replace("=attachment", "=inline"),
        QUERY.replace("=attachment", "=inline%3B%20attachment"),
        QUERY.replace("=attachment", "=attachment%0d%0aSet-Cookie:x"),
        QUERY.replace(NAMED, "attachment"),
        QUERY.replace(NAMED, NAMED.partition("%3B%20filename%2A")[0]),
        QUERY.replace("caf_", "caf%0d%0aSet-Cookie:x"),
        QUERY.replace("caf_", "caf%22%3B%20inline%3B%20%22"),
        QUERY.replace("caf_", "caf%2F"),
        QUERY.replace("caf_.txt", ""),
        QUERY.replace("caf_", "c" * 200),
        QUERY.replace("%25C3%25A9", "%C3%A9"),
        QUERY.replace("%25C3%25A9", "%0d%0aSet-Cookie:x"),
        QUERY.replace("%25C3%25A9", "%3B%20inline"),
        QUERY.replace("%2Fs3%2F", "%2Fsqs%2F"),
        QUERY.replace("SignedHeaders=host", "SignedHeaders=host%3Bx-amz-target"),
    ],
)
def test_a_links_path_with_another_query(query: str) -> None:
    """Each member of a link, once, as it is; no subresource, no action, no other answer's header."""
    assert not gets_in("GET", f"{PATH}?{query}", HERE)


@pytest.mark.parametrize(
    "header",
    [
        ("x-amz-target", "DynamoDB_20120810.ListTables"),
        ("X-Amz-Copy-Source", "/a/b"),
        ("content-length", "9"),
        ("transfer-encoding", "chunked"),
    ],
)
def test_a_link_that_something_else_would_overrule(header: tuple[str, str]) -> None:
    """Nothing beside the link says what to do: no header, no body."""
    assert gets_in("GET", f"{PATH}?{QUERY}", HERE)
    assert not gets_in("GET", f"{PATH}?{QUERY}", HERE, header)


def test_nothing_but_http() -> None:
    """It starts and ends, and takes no web socket."""
    assert answered({"type": "lifespan"}) == ["in"]
    assert answered({"type": "websocket", "headers": []}) == [{"type": "websocket.close"}]
