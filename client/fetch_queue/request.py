"""What is submitted: a URL, or one with headers and a reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """A URL, with headers that are sent to its site, and to no other, and with what you call it.

    The values of headers may be secrets: they are not part of its `repr`, and the service shows them nobody.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    reference: str | None = None


Submitted = str | Request


def url_of(one: Submitted) -> str:
    """Its URL."""
    return one if isinstance(one, str) else one.url


def reference_of(one: Submitted) -> str | None:
    """Its reference."""
    return None if isinstance(one, str) else one.reference


def document_of(one: Submitted) -> str | dict[str, object]:
    """How it is sent: the URL itself where there is nothing else."""
    if isinstance(one, str):
        return one
    more = {"headers": dict(one.headers) or None, "reference": one.reference}
    given = {name: value for name, value in more.items() if value is not None}
    return {"url": one.url, **given} if given else one.url


def without_values(one: Submitted) -> Submitted:
    """The same, with the names of its headers only."""
    return one if isinstance(one, str) else Request(one.url, dict.fromkeys(one.headers, ""), one.reference)
