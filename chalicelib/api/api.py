"""What the routes work with: the use cases, and what is needed for HTTP only."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.service.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The routes' dependencies. Safe to share between threads."""

    service: Service
    most_wait: int  # seconds that a request may wait for a job to finish
    local: bool  # stage dev: answers only this machine
    origins: frozenset[str]  # web origins whose pages may read the answers; "*" is any
