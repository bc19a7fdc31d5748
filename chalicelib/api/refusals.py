"""How an error of a use case is shown over HTTP: the one place where its type becomes a problem and a sentence."""

from __future__ import annotations

from chalicelib.api import parameters, problems
from chalicelib.api.headers import rate_limit
from chalicelib.api.polls import JOB_POLL_SECONDS
from chalicelib.api.problems import ProblemError
from chalicelib.api.types import ErrorView, FieldError
from chalicelib.jobs.errors import FetchQueueError, Unavailable
from chalicelib.jobs.urls import InvalidURL
from chalicelib.service import errors

UNAVAILABLE_SECONDS = 5


def problem_of(error: FetchQueueError) -> ProblemError:
    """The problem that describes an error. Raises the error itself if the caller cannot do anything about it."""
    match error:
        case ProblemError():
            return error
        case Unavailable():
            detail = "Something that the service needs is not available."
            detail += f" Send the same request again in {UNAVAILABLE_SECONDS} s."
            return ProblemError(problems.UNAVAILABLE, detail, headers=parameters.RETRY_AFTER.of(UNAVAILABLE_SECONDS))
        case InvalidURL():
            return problems.at("/url", str(error))
        case errors.NotFound(what=what):
            detail = f"No such {what}: the id is wrong, or the {what} was deleted or has expired. Check the id."
            return ProblemError(problems.NOT_FOUND, detail)
        case errors.NotFinished(status=status):
            detail = f"The job is {status}. Ask again in {JOB_POLL_SECONDS} s."
            return ProblemError(problems.NOT_FINISHED, detail, headers=parameters.RETRY_AFTER.of(JOB_POLL_SECONDS))
        case errors.JobFailed(error=why):
            return ProblemError(problems.JOB_FAILED, f"There is no result: {why.detail}", error=ErrorView.of(why))
        case errors.NoValidURL():
            return _no_valid_url(error)
        case errors.NothingFailed():
            return _nothing_failed(error)
        case errors.KeyGone():
            detail = (
                "What was submitted with this Idempotency-Key is gone: it was deleted or has expired. Use a new key."
            )
            return ProblemError(problems.DELETED, detail)
        case errors.KeyReused():
            detail = "This Idempotency-Key was already used for another request. Use a new key for a new one."
            return ProblemError(problems.KEY_REUSED, detail)
        case errors.InProgress(seconds=seconds):
            detail = "The first request with this Idempotency-Key is still being stored."
            detail += f" Send the same request again in {seconds} s."
            return ProblemError(problems.IN_PROGRESS, detail, headers=parameters.RETRY_AFTER.of(seconds))
        case errors.NothingToSend():
            return _nothing_to_send(error)
        case errors.Unauthorized():
            return _unauthorized()
        case errors.QuotaExceeded():
            return _quota_exceeded(error)
    raise error


def _no_valid_url(error: errors.NoValidURL) -> ProblemError:
    rejected = error.rejected
    fields = [FieldError(pointer=f"/urls/{item.index}", detail=item.detail) for item in rejected]
    if len(rejected) == 1:
        detail = f"The URL cannot be fetched, so nothing was stored: {rejected[0].detail}"
    else:
        detail = f"None of the {len(rejected)} URLs can be fetched, so nothing was stored."
        detail += f" The first one: {rejected[0].detail}"
    return ProblemError(problems.INVALID, detail, errors=fields)


def _nothing_failed(error: errors.NothingFailed) -> ProblemError:
    how = f" with {' or '.join(sorted(error.only))}" if error.only else ""
    so_far = "" if error.finished else " so far"
    return ProblemError(
        problems.NOTHING_FAILED, f"No job of the batch has failed{how}{so_far}, so there is nothing to submit again."
    )


def _nothing_to_send(error: errors.NothingToSend) -> ProblemError:
    detail = f"The {error.what} was submitted without a webhook. Read how it stands instead."
    if error.has_webhook:
        detail = f"The {error.what} is not finished, or that was not noticed yet: then its event is sent by itself."
    return ProblemError(problems.NOTHING_TO_SEND, detail)


def _unauthorized() -> ProblemError:
    detail = "Send a valid access token: Authorization: Bearer fq_..."
    detail += " Whoever runs this service can give you one."
    realm = parameters.WWW_AUTHENTICATE.of('Bearer realm="fetch-queue"')
    return ProblemError(problems.UNAUTHORIZED, detail, headers=realm)


def _quota_exceeded(error: errors.QuotaExceeded) -> ProblemError:
    limit = error.quota.limits[error.span]
    if error.always:
        detail = f"You may submit at most {_urls(limit)} a {error.span}; this request has {error.urls}. Split it."
        return problems.at("/urls", detail)
    wait, left = error.span.seconds_left(error.quota.now), error.quota.remaining(error.span)
    return ProblemError(
        problems.QUOTA_EXCEEDED,
        f"You may submit {_urls(limit)} a {error.span}, of which {left} {'is' if left == 1 else 'are'} left; "
        f"this request has {error.urls}. Send it again in {wait} s.",
        headers=parameters.RETRY_AFTER.of(wait) | rate_limit(error.quota),
    )


def _urls(count: int) -> str:
    return f"{count} URL" if count == 1 else f"{count} URLs"
