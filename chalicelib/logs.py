"""Logs as JSON, one line per event, with the ids that an event is about as separate members."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_ids: ContextVar[Mapping[str, object]] = ContextVar("ids", default={})  # noqa: B039 - never changed, only replaced


@contextmanager
def log_context(**ids: object) -> Iterator[None]:
    """Put these ids on every line that this thread logs inside the block."""
    before = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(before)


class JsonFormatter(logging.Formatter):
    """One JSON object per record, with the members of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname,
            "message": record.getMessage(),
        }
        line |= _ids.get()
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, separators=(",", ":"))  # logs are paid for by the byte


def configure(level: int = logging.INFO) -> None:
    """Send the service's log to standard output. Called once, by the entry point."""
    log = logging.getLogger("fetch_queue")
    if log.handlers:
        return
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    log.addHandler(handler)
    log.setLevel(level)
    log.propagate = False
