"""How the work on a message ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """The message needs nothing more."""


@dataclass(frozen=True, slots=True)
class Left:
    """The message comes back: at this time, or, if none is known, after a pause that grows with each delivery."""

    until: int | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """The message waits until this time as a copy of itself, which is sent before this one is acknowledged."""

    until: int


End = Done | Left | Later
