"""Runs the emulator, by the Python of the emulator's own environment, and ends with the launcher.

Nothing of the project can be imported in that environment: what is said twice is said here.
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

_REFUSED = b"This emulator answers programs on this machine, and no web page.\n"
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9.-]+))(?::[0-9]{1,5})?")


def _end_with_launcher() -> None:
    # As local_stack.lifeline.
    while os.read(0, 1024):
        pass
    os._exit(0)


def guarded(app: Application) -> Application:
    """The ASGI application, for this machine's programs alone.

    The emulator heeds no signature, so a web page could make it do anything: through a form, through its CORS, which
    lets in everybody, or by DNS rebinding. A page may read what a presigned link leads to, and nothing else.
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
    headers = {name.lower(): value.decode("latin-1").lower() for name, value in scope["headers"]}
    if not _is_loopback(headers.get(b"host", "")):
        return False
    from_a_page = b"origin" in headers or headers.get(b"sec-fetch-site", "none") != "none"
    return not from_a_page or (scope["method"] in ("GET", "HEAD") and b"X-Amz-Signature=" in scope["query_string"])


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
