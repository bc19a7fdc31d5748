"""Runs the emulator, with the Python of the emulator's own environment, and ends with the launcher.

Nothing of the project can be imported in that environment, so some code is repeated here.
"""

import ipaddress
import os
import re
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_REFUSED = b"This emulator answers only programs on this machine that sign their requests, and no web page.\n"
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9.-]+))(?::[0-9]{1,5})?")
_HEALTH = b"/_ministack/health"  # what local_stack.emulator asks until it is there

# A presigned link as chalicelib.storage.bucket makes it, byte for byte: with the bucket in the path, or in the host.
_RESULT = re.compile(rb"(?:/[a-z0-9][a-z0-9.-]{2,62})?/results/[0-9a-f]{32}/[0-9]{1,9}")
_LINK = {
    # Without it a fetched page would run in this origin. The file's name is said twice, in ASCII and in UTF-8.
    b"response-content-disposition": re.compile(
        rb"attachment%3B%20filename%3D%22[A-Za-z0-9._-]{1,143}%22"
        rb"%3B%20filename%2A%3DUTF-8%27%27(?:[A-Za-z0-9._-]|%25[0-9A-F]{2}){1,143}"
    ),
    b"X-Amz-Algorithm": re.compile(rb"AWS4-HMAC-SHA256"),
    b"X-Amz-Credential": re.compile(rb"\w+%2F[0-9]{8}%2F[a-z0-9-]+%2Fs3%2Faws4_request"),
    b"X-Amz-Date": re.compile(rb"[0-9]{8}T[0-9]{6}Z"),
    b"X-Amz-Expires": re.compile(rb"[0-9]{1,6}"),
    b"X-Amz-SignedHeaders": re.compile(rb"host"),
    b"X-Amz-Signature": re.compile(rb"[0-9a-f]{64}"),
}


def _end_with_launcher() -> None:
    # As local_stack.lifeline.
    while os.read(0, 1024):
        pass
    os._exit(0)


def guarded(app: Application) -> Application:
    """The ASGI application, only for this machine's programs.

    The emulator hardly checks signatures, so a web page could make it do anything: through a form or an image, by its
    CORS, which allows every origin, or by DNS rebinding. But a page cannot send a signature in the header where
    programs send theirs: across origins a browser first asks for permission, and that is refused. A request without a
    signature there must be a presigned link to a result, which pages may follow too, or it is refused.
    """

    async def guard(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and _is_harmless(scope)):
            await app(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": _REFUSED})
        else:
            await send({"type": "websocket.close"})

    return guard


def _is_harmless(scope: Message) -> bool:
    headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    named = {name for name, _ in headers}
    hosts = [value for name, value in headers if name == b"host"]
    if not hosts or not all(_is_loopback(host.lower()) for host in hosts):
        return False
    if scope["method"] in ("GET", "HEAD") and _is_link(scope, named):
        return True
    if b"origin" in named or any(name.startswith(b"sec-fetch-") for name in named):
        return False
    if any(name == b"authorization" and value.startswith("AWS4-HMAC-SHA256 ") for name, value in headers):
        return True
    asked = (scope["method"], scope["raw_path"], scope["query_string"])
    return asked == ("GET", _HEALTH, b"")


def _is_link(scope: Message, headers: set[bytes]) -> bool:
    """True for a presigned link to a result, and nothing beside it that could make the emulator read another request.

    What is judged is the path as it was sent: one that is encoded otherwise than in links is none.
    """
    if any(name.startswith(b"x-amz-") for name in headers) or headers & {b"content-length", b"transfer-encoding"}:
        return False
    members = [tuple(member.split(b"=", 1)) for member in scope["query_string"].split(b"&")]
    given = dict(member for member in members if len(member) == 2)
    return (
        _RESULT.fullmatch(scope["raw_path"]) is not None
        and len(members) == len(given)
        and given.keys() == _LINK.keys()
        and all(_LINK[name].fullmatch(value) for name, value in given.items())
    )


def _is_loopback(host: str) -> bool:
    # As chalicelib.api.headers.
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match["v6"] or match["name"]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    from ministack import app as emulator

    if os.environ.get("GUARD") == "1":
        emulator.app = guarded(emulator.app)
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    sys.argv[1:] = []
    emulator.main()
