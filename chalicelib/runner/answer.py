"""One answer, used by http.client and urllib3 like their own, but with head and body read by our rules.

They see neither chunks nor other framing of a body: only its bytes, and the headers about it.
"""

from __future__ import annotations

from http.client import HTTPMessage
from typing import Any

from chalicelib.runner.deadline import TimedSocket
from chalicelib.runner.framing import Body, framing_of
from chalicelib.runner.head import read_head


class Answer:
    """What http.client's connection creates from a socket when an answer is due (its `response_class`)."""

    status: int
    version: int  # 10 or 11
    reason = ""  # the site's own words, which are not needed
    will_close: bool  # the connection carries no other answer
    headers: HTTPMessage

    def __init__(self, sock: TimedSocket, **_: Any) -> None:
        self._sock = sock
        self._incoming = sock.incoming()
        self._body: Body
        self._closed = False

    def begin(self) -> None:
        """Read the head; raises Stopped."""
        head = read_head(self._incoming)
        framing = framing_of(head)
        self.status, self.version, self.will_close = head.status, 11 if head.minor else 10, framing.closes
        self.headers = HTTPMessage()
        for name, value in head.others:
            self.headers[name] = value
        if framing.length is not None:
            self.headers["content-length"] = str(framing.length)
        self._body = framing.body(self._incoming)

    @property
    def msg(self) -> HTTPMessage:
        """The headers, under their old name."""
        return self.headers

    def read(self, amt: int) -> bytes:
        """The next bytes of the body, fewer than `amt` only at its end; raises Stopped."""
        if self._closed:
            return b""
        data = self._body.read(amt)
        if self._body.over:
            self._sock.at_rest = not self._incoming.unread
            self.close()
        return data

    def close(self) -> None:
        """Discard what is left."""
        self._incoming.close()
        self._closed = True

    def isclosed(self) -> bool:
        """Whether nothing is left."""
        return self._closed

    @property
    def closed(self) -> bool:
        """The same, as streams call it."""
        return self._closed
