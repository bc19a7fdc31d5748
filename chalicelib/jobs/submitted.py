"""What a client submits: a URL, the headers that its site is sent with it, and the client's own name for it. Pure.

Headers may contain passwords and tokens. `RequestHeaders` shows nobody its values but who asks for them by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chalicelib.jobs.errors import FetchQueueError

MOST_HEADERS: Final = 32
MOST_BYTES: Final = 4096  # of all names and values
LONGEST_VALUE: Final = 1024
LONGEST_REFERENCE: Final = 256

NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # a token: RFC 9110, 5.6.2
VALUE: Final = r"[!-~]([ -~]*[!-~])?"  # visible ASCII, with blanks inside
REFERENCE: Final = r"[^\x00-\x1f\x7f-\x9f]+"

# The connection's own, those that change what is asked for, and those that would pretend to be a proxy's.
_OURS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"}
    | {"accept-encoding", "range", "forwarded", "via"}
)
_OURS_BY_PREFIX: Final = ("if-", "proxy-", "x-forwarded-")


class InvalidMember(FetchQueueError):
    """A header cannot be sent, or a reference not be kept; the text says why, without a header's value.

    `path` is the member's, such as ("headers", "Host").
    """

    def __init__(self, path: Sequence[str], text: str) -> None:
        super().__init__(text)
        self.path = path


class RequestHeaders(Mapping[str, str]):
    """Headers of a request, by their names as given. Two are equal when they make the same request.

    The case of names and their order make no difference (RFC 9110, 5.1 and 5.3).
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str] | None = None) -> None:
        self._fields = dict(sorted((fields or {}).items(), key=lambda field: field[0].lower()))

    def __getitem__(self, name: str) -> str:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"RequestHeaders({', '.join(self._fields)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RequestHeaders) and self.parts() == other.parts()

    def __hash__(self) -> int:
        return hash(tuple(self.parts()))

    def parts(self) -> list[str]:
        """Names in lower case, each followed by its value: the same list for what makes the same request."""
        return [part for name, value in self._fields.items() for part in (name.lower(), value)]

    def over(self, defaults: RequestHeaders) -> RequestHeaders:
        """These, and those of the defaults that have other names. Raises InvalidMember if they are too many."""
        own = {name.lower() for name in self}
        kept = {name: value for name, value in defaults.items() if name.lower() not in own}
        if not kept:
            return self
        merged = RequestHeaders({**kept, **self})
        _check_sum(merged)
        return merged


NO_HEADERS: Final = RequestHeaders()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedURL:
    """One URL of a request."""

    url: str  # as given
    headers: RequestHeaders = NO_HEADERS
    reference: str | None = None  # what the client calls it

    def over(self, defaults: SubmittedURL) -> SubmittedURL:
        """This, with the defaults for what it does not say. Raises InvalidMember if it has too many headers then."""
        return SubmittedURL(
            url=self.url,
            headers=self.headers.over(defaults.headers) if defaults.headers else self.headers,
            reference=defaults.reference if self.reference is None else self.reference,
        )


def checked_reference(given: str | None) -> str | None:
    """The reference, if it can be kept as it is. Raises InvalidMember."""
    if given is not None and not (len(given) <= LONGEST_REFERENCE and re.fullmatch(REFERENCE, given)):
        raise InvalidMember(
            ("reference",), f"a reference has 1 to {LONGEST_REFERENCE} characters, and no control characters"
        )
    return given


def checked_headers(given: Mapping[str, str]) -> RequestHeaders:
    """The headers, if they can be sent as they are. Raises InvalidMember; nothing is mended."""
    seen: set[str] = set()
    for name, value in given.items():
        if name.lower() in seen:
            raise InvalidMember(("headers", name), "the case of a header's name makes no difference: give it once")
        seen.add(name.lower())
        if why := _refusal(name, value):
            raise InvalidMember(("headers", name), why)
    headers = RequestHeaders(given)
    _check_sum(headers)
    return headers


def _refusal(name: str, value: str) -> str | None:
    if not re.fullmatch(NAME, name):
        return "a header's name is letters, digits and hyphens"
    if name.lower() in _OURS or name.lower().startswith(_OURS_BY_PREFIX):
        return f"{name} is the service's own to send or to leave out"
    if len(value) > LONGEST_VALUE:
        return f"a header's value has at most {LONGEST_VALUE} characters, not {len(value)}"
    if not re.fullmatch(VALUE, value):
        return "a header's value is visible ASCII characters, with blanks between them: no line breaks, no tabs"
    return None


def _check_sum(headers: RequestHeaders) -> None:
    if len(headers) > MOST_HEADERS:
        raise InvalidMember(("headers",), f"at most {MOST_HEADERS} headers are sent with a URL, not {len(headers)}")
    size = sum(map(len, headers.parts()))
    if size > MOST_BYTES:
        raise InvalidMember(("headers",), f"a URL's headers have at most {MOST_BYTES} characters in all, not {size}")
