"""The errors with which a use case refuses. The tree of all errors is in `jobs.errors`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from chalicelib.jobs.access import Quota, Span
from chalicelib.jobs.entities import ErrorType, FetchError, Status
from chalicelib.jobs.errors import FetchQueueError


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedURL:
    """A URL of a batch that did not become a job, and why."""

    index: int  # in the list that was given
    url: str
    detail: str


class Refused(FetchQueueError):
    """The request is wrong, or has to wait."""


class NotFound(Refused):
    """Unknown, deleted, expired, or another tenant's: the answer never says which."""

    def __init__(self, what: str) -> None:
        super().__init__(f"no such {what}")
        self.what = what


class NotFinished(Refused):
    """The job has no result yet."""

    def __init__(self, status: Status) -> None:
        super().__init__(f"the job is {status}")
        self.status = status


class JobFailed(Refused):
    """The job has no result and will never have one."""

    def __init__(self, error: FetchError) -> None:
        super().__init__(error.detail)
        self.error = error


class NoValidURL(Refused):
    """None of a batch's URLs can be fetched; nothing was stored."""

    def __init__(self, rejected: Sequence[RejectedURL]) -> None:
        super().__init__("none of the URLs can be fetched")
        self.rejected = rejected


class NothingFailed(Refused):
    """There is no failed job to retry, or none that failed for one of these reasons."""

    def __init__(self, only: Collection[ErrorType], *, finished: bool) -> None:
        super().__init__("no job has failed")
        self.only = only
        self.finished = finished  # False: one may still fail


class KeyGone(Refused):
    """What was submitted with the idempotency key was deleted, or has expired."""


class KeyReused(Refused):
    """The idempotency key was used for something else."""


class InProgress(Refused):
    """The first request with this idempotency key is still being stored."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"to be sent again in {seconds} s")
        self.seconds = seconds


class NothingToSend(Refused):
    """Of this job or batch no webhook is told, or it is not finished yet."""

    def __init__(self, what: str, *, has_webhook: bool) -> None:
        super().__init__(f"nothing of the {what} can be sent")
        self.what = what
        self.has_webhook = has_webhook


class Unauthorized(Refused):
    """There is no token, or it is not valid; the answer never says which."""


class QuotaExceeded(Refused):
    """More URLs than the tenant may submit in a span; nothing was stored."""

    def __init__(self, urls: int, span: Span, quota: Quota) -> None:
        super().__init__(f"{urls} URLs in a {span}")
        self.urls = urls
        self.span = span
        self.quota = quota

    @property
    def always(self) -> bool:
        """True if waiting for the next span would not help: the request alone has too many URLs."""
        return self.urls > self.quota.limits[self.span]
