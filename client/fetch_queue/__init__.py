"""A client of Fetch Queue: submit URLs, wait for them, read the results. `FetchQueue` is for programs; the command line
`fetch-queue` is built on it."""

from fetch_queue.client import DEFAULT_URL, FetchQueue
from fetch_queue.errors import CorruptResult, FetchQueueError, ProblemError, UnexpectedAnswer, Unreachable
from fetch_queue.models import Accepted, Batch, Failure, Job, Quota, Rejected, Result, Summary
from fetch_queue.request import Request
from fetch_queue.webhooks import InvalidEvent, verify

__all__ = [
    "DEFAULT_URL",
    "Accepted",
    "Batch",
    "CorruptResult",
    "Failure",
    "FetchQueue",
    "FetchQueueError",
    "InvalidEvent",
    "Job",
    "ProblemError",
    "Quota",
    "Rejected",
    "Request",
    "Result",
    "Summary",
    "UnexpectedAnswer",
    "Unreachable",
    "verify",
]

__version__ = "1.0.0"
