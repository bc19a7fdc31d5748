"""Where a redirect leads: its reference, resolved against the URL of the redirecting answer (RFC 3986, 5.2).

Not urllib's `urljoin`: it drops the empty segments of the base's path, and treats an empty query as no query.
"""

from __future__ import annotations

import re
from typing import Final, cast

from chalicelib.jobs.urls import without_dots

# RFC 3986, appendix B, except that a scheme must be spelled like one, as in browsers.
_PARTS: Final = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL
)
_PATH: Final = re.compile(r"[^?#]*")
_BEYOND_ASCII: Final = re.compile(r"(?:%[89A-Fa-f][0-9A-Fa-f])+")

_Parts = tuple[str | None, str | None, str, str | None, str | None]  # scheme, authority, path, query, fragment


def resolved(base: str, reference: str) -> str:
    """The URL that `reference` means in an answer of `base`, which is a normal form.

    Two things are as in browsers. Backslashes are slashes, except if the host part has one and an `@`: readers disagree
    about such a host, so it is left for the normal form to refuse. And a scheme without `//` is dropped if it is the
    base's (RFC 3986, 5.2.2, calls that not strict): `http:page` is `page`.
    """
    scheme, authority, path, query, fragment = _parts(_slashed(reference))
    base_scheme, base_authority, base_path, base_query, _ = _parts(base)
    if scheme is not None and authority is None and scheme.lower() == base_scheme:
        scheme = None
    if scheme is None:
        scheme = base_scheme
        if authority is None:
            authority = base_authority
            if path == "":
                path = base_path
                query = base_query if query is None else query
            elif not path.startswith("/"):
                path = f"{base_path.rpartition('/')[0]}/{path}"  # 5.2.3
    if path.startswith("/"):
        path = without_dots(path)
    return _composed(scheme, authority and _as_text(authority), path, query, fragment)


def _parts(text: str) -> _Parts:
    match = cast(re.Match[str], _PARTS.fullmatch(text))  # any text matches
    return match[1], match[2], match[3], match[4], match[5]


def _composed(scheme: str | None, authority: str | None, path: str, query: str | None, fragment: str | None) -> str:
    """RFC 3986, 5.3: empty is not the same as absent."""
    return "".join(
        [
            "" if scheme is None else f"{scheme}:",
            "" if authority is None else f"//{authority}",
            path,
            "" if query is None else f"?{query}",
            "" if fragment is None else f"#{fragment}",
        ]
    )


def _slashed(reference: str) -> str:
    _, authority, *_ = _parts(reference)
    if authority and "\\" in authority and "@" in authority:
        return reference
    return _PATH.sub(lambda path: path[0].replace("\\", "/"), reference, count=1)


def _as_text(authority: str) -> str:
    """A host given in escapes is decoded as UTF-8. One that is not UTF-8 keeps its escapes, and is refused."""
    try:
        return _BEYOND_ASCII.sub(lambda run: bytes.fromhex(run[0].replace("%", "")).decode(), authority)
    except UnicodeDecodeError:
        return authority
