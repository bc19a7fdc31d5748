"""What a site's robots.txt allows (RFC 9309), and what is kept of it. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from chalicelib.jobs import ids
from chalicelib.jobs.entities import FetchError
from chalicelib.jobs.pace import Wish

PRODUCT = "FetchQueue"  # what a robots.txt calls us; the User-Agent begins with it
MOST_BYTES = 500 * 1024  # of a robots.txt that are read (RFC 9309, 2.5)
DAY = 86_400_000  # ms for which a robots.txt stands (RFC 9309, 2.4)
FAILURE_STANDS = 3000  # ms; longer than others wait while one asks, so that they need not ask again
LONGEST_DELAY = DAY  # ms between two requests

_OURS, _OTHER = PRODUCT.lower(), "other"
# Whatever Protego takes for such a line, and more.
_AGENT = re.compile(r"\s*user[-\s]*agent(?:\s*:|\s)(.*)", re.IGNORECASE | re.DOTALL)
_TOKEN = re.compile(r"[a-z_-]+")


class Found(StrEnum):
    """What was found where a robots.txt may be."""

    NONE = "none"  # everything may be fetched
    TEXT = "text"
    FAILURE = "failure"  # nothing may be fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class RobotsFile:
    """What is known of one origin's robots.txt, for one tenant. Times are milliseconds since the epoch."""

    key: str  # tenant and origin
    asked_until: int  # a worker asks for it; another may once this is past
    valid_until: int  # what was found stands; 0: nothing was found yet
    found: Found | None = None
    fetched_at: int = 0
    text_key: str | None = None  # where in the bucket the text is
    delay: int = 0  # ms between two requests that it asks for
    error: FetchError | None = None  # why it could not be had
    retryable: bool = False


def keys_of(host_key: str) -> list[str]:
    """The keys of a host's robots.txt files: of http and of https."""
    tenant, _, host = host_key.partition("/")
    return [f"{tenant}/{scheme}://{host}" for scheme in ("http", "https")]


def text_key(key: str, asked_until: int) -> str:
    """Where in the bucket the text is put that is asked for until then: no two who ask have one place.

    Hashed: names of tenants and hosts stay in the table.
    """
    return f"robots/{ids.digest([key])[:32]}/{asked_until}"


def wish_of(files: list[RobotsFile]) -> Wish:
    """How slowly a host asks to be asked: by the longest delay of its origins, and from the last robots.txt on."""
    delay = max((file.delay for file in files), default=0)
    last = max((file.fetched_at for file in files), default=0)
    return Wish(delay, last + delay if delay else 0)


def whole_lines(text: bytes) -> bytes:
    """What was cut off somewhere, without its last line: half a path would be another rule."""
    return text[: max(text.rfind(b"\n"), text.rfind(b"\r")) + 1]


class Permissions:
    """The rules of a robots.txt for us."""

    def __init__(self, text: bytes) -> None:
        from protego import Protego  # only here: a start that reads no robots.txt need not wait for it

        self.size = len(text)
        decoded = text.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
        self._rules = Protego.parse("\n".join(map(_for_us, decoded.splitlines())))

    def allow(self, url: str) -> bool:
        """Whether a URL in normal form may be fetched."""
        return self._rules.can_fetch(url, _OURS)

    @property
    def delay(self) -> int:
        """How many milliseconds it wants between two requests; 0: it says nothing about it."""
        return math.ceil(min((self._rules.crawl_delay(_OURS) or 0) * 1000, LONGEST_DELAY))


def _for_us(line: str) -> str:
    """A line, with no other name than ours, `*`, and one that stands for all others.

    Protego also takes a beginning of our name for ours; RFC 9309, 2.2.1, does not. And it keeps each rule once for each
    name: the names and rules that 500 KiB hold would take the worker's memory.
    """
    found = _AGENT.match(line)
    name = "" if found is None else found[1].partition("#")[0].strip().lower()
    if not name:
        return line
    token = _TOKEN.match(name)
    if token is not None and token[0] == _OURS:
        return f"user-agent: {_OURS}"
    return "user-agent: *" if name.split()[0] == "*" else f"user-agent: {_OTHER}"
