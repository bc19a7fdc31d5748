"""Metrics for CloudWatch in its embedded metric format: one log line per set of dimensions, and no request."""

from __future__ import annotations

import json
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from enum import StrEnum

NAMESPACE = "FetchQueue"
MAX_VALUES = 99  # of one metric in a line; at 100, the format's limit, the library would write by itself


class Metric(StrEnum):
    """What is counted."""

    SUBMITTED = "Submitted"  # jobs accepted
    REJECTED = "Rejected"  # URLs of a batch that did not become jobs
    FETCHED = "Fetched"  # fetches that succeeded
    REUSED = "Reused"  # jobs that joined an existing fetch
    RETRIED = "Retried"  # attempts that are followed by another
    PACED = "Paced"  # fetches that got a place in their host's line
    REFUSED = "Refused"  # requests that a host refused, and that are sent again when their turn is
    FAILED = "Failed"  # fetches that failed, by error_type
    DELIVERED = "Delivered"  # events that a webhook has taken
    UNDELIVERED = "Undelivered"  # events that no try brought to a webhook, or that it does not want
    BYTES = "Bytes"  # of a result
    FETCH_TIME = "FetchTime"  # milliseconds of an attempt, including the storing of its bytes
    QUEUE_AGE = "QueueAge"  # milliseconds from a job's submission to its first attempt


_UNITS = {Metric.BYTES: "Bytes", Metric.FETCH_TIME: "Milliseconds", Metric.QUEUE_AGE: "Milliseconds"}


class Metrics:
    """Collects what happens in an invocation, from any thread, until it is flushed."""

    def __init__(self, service: str, *, enabled: bool, write: Callable[[str], object] = sys.stdout.write) -> None:
        self._service = service
        self._enabled = enabled
        self._write = write
        self._lock = threading.Lock()
        self._values: dict[str, dict[Metric, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, metric: Metric, value: float = 1, *, error_type: str = "") -> None:
        """Add a value."""
        if self._enabled:
            with self._lock:
                self._values[error_type][metric].append(value)

    def flush(self) -> None:
        """Write what was collected."""
        with self._lock:
            collected = dict(self._values)
            self._values.clear()
        for error_type, metrics in collected.items():
            while metrics:
                part = {metric: values[:MAX_VALUES] for metric, values in metrics.items()}
                metrics = {metric: values[MAX_VALUES:] for metric, values in metrics.items() if values[MAX_VALUES:]}
                self._write(self._line(error_type, part) + "\n")

    def _line(self, error_type: str, metrics: dict[Metric, list[float]]) -> str:
        # Takes 30 ms to import; if nothing is counted, the first answer need not wait for it.
        from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

        provider = AmazonCloudWatchEMFProvider(
            namespace=NAMESPACE,
            service=self._service,
            metric_set={},
            dimension_set={},
            metadata_set={},
            default_dimensions={},
        )
        if error_type:
            provider.add_dimension("error_type", error_type)
        for metric, values in metrics.items():
            for value in values:
                provider.add_metric(metric.value, _UNITS.get(metric, "Count"), value)
        return json.dumps(provider.serialize_metric_set(), separators=(",", ":"))


OFF = Metrics("none", enabled=False)
