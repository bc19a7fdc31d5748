"""What the routes work with: the use cases, and what concerns HTTP alone."""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.service.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The routes' dependencies. Safe to share between threads."""

    service: Service
    most_wait: int  # seconds that a reading may wait for a job's end
    local: bool  # stage dev: answers this machine only
    origins: frozenset[str]  # web origins whose pages may read the answers; "*" is any
