"""The exit codes that scripts may rely on."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What a command ends with."""

    OK = 0
    FAILED = 1  # some URL failed or was rejected
    USAGE = 2
    REFUSED = 3  # by the service
    UNREACHABLE = 4  # or this machine cannot go on
    INTERRUPTED = 130
