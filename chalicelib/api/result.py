"""How a result is sent over HTTP: its entity tag, and which text may be sent inline."""

from __future__ import annotations

from chalicelib.jobs.entities import Result

# What a browser splits into several documents with headers of their own, to which ours do not apply (the composite
# types of RFC 2046, 5), and what it passes unchanged to a viewer of its own.
_COMPOSITE = ("multipart/", "message/")
_READ_OTHERWISE = ("application/pdf", "application/signed-exchange", "application/x-mimearchive")


def is_one_page(result: Result) -> bool:
    """False for a type of document to which the headers of our answer would not apply.

    Of several types separated by commas, as from a repeated header, browsers take the first or the last.
    """
    types = [each.partition(";")[0].strip().lower() for each in result.content_type.split(",")]
    return not any(each.startswith(_COMPOSITE) or each in _READ_OTHERWISE for each in types)


def etag_of(result: Result) -> str:
    """The result's entity tag."""
    return f'"{result.sha256}"'


def matches(if_none_match: str | None, result: Result) -> bool:
    """RFC 9110, 13.1.2: a list of tags, weakly compared, or an asterisk."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag_of(result) in tags
