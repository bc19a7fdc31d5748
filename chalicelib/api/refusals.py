"""What an error of a use case is over HTTP: the one place where its type becomes a problem, and a sentence."""

from __future__ import annotations

from chalicelib.api import problems
from chalicelib.api.headers import rate_limit
from chalicelib.api.problems import ProblemError
from chalicelib.api.types import ErrorView, FieldError
from chalicelib.jobs.errors import FetchQueueError
from chalicelib.jobs.urls import InvalidURL
from chalicelib.service import errors

POLL_SECONDS = 1


def problem_of(error: FetchQueueError) -> ProblemError:
    """The problem that tells of an error. Raises the error itself where it is none that a caller can mend."""
    match error:
        case ProblemError():
            return error
        case InvalidURL():
            return problems.at("/url", str(error))
        case errors.NotFound(what=what):
            detail = f"No such {what}: the id is wrong, or the {what} was deleted or has expired. Check the id."
            return ProblemError(problems.NOT_FOUND, detail)
        case errors.NotFinished(status=status):
            detail = f"The job is {status}. Ask again in {POLL_SECONDS} s."
            return ProblemError(problems.NOT_FINISHED, detail, headers={"Retry-After": str(POLL_SECONDS)})
        case errors.JobFailed(error=why):
            return ProblemError(problems.JOB_FAILED, f"There is no result: {why.detail}", error=ErrorView.of(why))
        case errors.NoValidURL(rejected=rejected):
            fields = [FieldError(pointer=f"/urls/{item.index}", detail=item.detail) for item in rejected]
            detail = f"None of the {len(rejected)} URLs can be fetched; nothing was stored. First: {rejected[0].detail}"
            return ProblemError(problems.INVALID, detail, errors=fields)
        case errors.KeyGone():
            detail = "What was submitted with this Idempotency-Key is gone, deleted or expired. Use a new key."
            return ProblemError(problems.DELETED, detail)
        case errors.KeyReused():
            detail = "This Idempotency-Key came with another body before. Use a new key for a new body."
            return ProblemError(problems.KEY_REUSED, detail)
        case errors.InProgress(seconds=seconds):
            detail = "The first request with this Idempotency-Key is still being stored."
            detail += f" Send the same again in {seconds} s."
            return ProblemError(problems.IN_PROGRESS, detail, headers={"Retry-After": str(seconds)})
        case errors.Unauthorized():
            detail = "Send an access token that is valid: Authorization: Bearer fq_..."
            detail += " Whoever runs this service gives them out."
            realm = {"WWW-Authenticate": 'Bearer realm="fetch-queue"'}
            return ProblemError(problems.UNAUTHORIZED, detail, headers=realm)
        case errors.QuotaExceeded():
            return _quota_exceeded(error)
    raise error


def _quota_exceeded(error: errors.QuotaExceeded) -> ProblemError:
    limit = error.quota.limits[error.span]
    if error.always:
        detail = f"{error.urls} URLs are more than the {limit} that you may submit in a {error.span}. Split them."
        return problems.at("/urls", detail)
    wait, left = error.span.seconds_left(error.quota.now), error.quota.remaining(error.span)
    return ProblemError(
        problems.QUOTA_EXCEEDED,
        f"You may submit {limit} URLs a {error.span} and {left} of them {'is' if left == 1 else 'are'} left; "
        f"this has {error.urls}. Send it again in {wait} s.",
        headers={"Retry-After": str(wait), **rate_limit(error.quota)},
    )
