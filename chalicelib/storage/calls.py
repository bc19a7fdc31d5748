"""How calls to AWS are made: errors of the driver and incomplete answers become `Unavailable`, what a call left undone
is sent again after a pause with jitter, and independent calls are made at the same time."""

from __future__ import annotations

import logging
import random
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

from chalicelib.jobs.errors import Unavailable

log = logging.getLogger("fetch_queue.storage")

T = TypeVar("T")
R = TypeVar("R")

_REFUSED = "ConditionalCheckFailed"
_CANCELLED = "TransactionCanceledException"
_UNDER_WAY = "TransactionInProgress"
# Error codes, and reasons for cancelling a transaction: nothing was written, or the same is being written.
_RETRYABLE = {
    "TransactionConflict",
    _UNDER_WAY,
    "Throttling",
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
}

_ROUNDS = 8
_FIRST_PAUSE = 0.025  # seconds, doubling: 3 s in all at most

_CUT = "IncompleteAnswer"  # an error code of our own


class Parallel(Protocol):
    """Applies a function to each value, at the same time if possible; the results are in order."""

    def __call__(self, function: Callable[[T], R], values: list[T], /) -> list[R]: ...


def serial(function: Callable[[T], R], values: list[T]) -> list[R]:
    """`Parallel` in one thread: one after the other."""
    return [function(value) for value in values]


@dataclass(frozen=True, slots=True)
class Patience:
    """How to wait before something is sent again: what a batch call left over, or a conflict stopped."""

    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def rounds(self) -> Iterator[int]:
        """The numbers of the tries, with a pause before each except the first."""
        for number in range(_ROUNDS):
            if number:
                self.sleep(_FIRST_PAUSE * 2 ** (number - 1) * (0.5 + self.jitter() / 2))
            yield number


@dataclass(frozen=True, slots=True)
class Refusal:
    """A condition did not hold; contains the answer that says so."""

    answer: Any


@contextmanager
def unavailable(operation: str, *, late: bool = False) -> Iterator[None]:
    """Turn the driver's errors into `Unavailable`, and log which call it was.

    `late` is for a write: unless AWS refused it or was not reached, it may still be carried out later.
    """
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        log.warning("an AWS call failed", extra={"operation": operation, "reason": str(error)})
        raise Unavailable(f"{operation} failed", late=late and not _cannot_happen_later(error)) from error


def carry_out(patience: Patience, operation: str, write: Callable[[str], R]) -> R | Refusal:
    """Make a write to the table and return its answer, or the refusal if a condition refused it.

    A conflict with another write of the same items is not a refusal, nor is a throttle: the same is sent again. `write`
    gets the token for a transaction. Raises `Unavailable`.
    """
    token, sent, under_way = str(uuid.uuid4()), 0, False
    for _ in patience.rounds():
        with unavailable(operation, late=True):
            try:
                return write(token)
            except ClientError as error:
                why = _reasons(error)
                if _REFUSED in why:
                    return Refusal(error.response)
                if not why & _RETRYABLE:
                    raise
                under_way = _UNDER_WAY in why
                if _code(error) == _CANCELLED:
                    token = str(uuid.uuid4())  # only here is it known that nothing was written with the old one
                # The driver repeats a throttled call itself, after pauses of a second: here those count too.
                sent += 1 + error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
        if sent >= _ROUNDS:
            break
    raise Unavailable(f"{operation} met conflicts and throttles only", late=under_way)


def _cannot_happen_later(error: Exception) -> bool:
    if isinstance(
        error, ClientError
    ):  # after a server error DynamoDB may still have made the write, or may make it later
        return error.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    return isinstance(error, (ConnectTimeoutError, EndpointConnectionError))


def _reasons(error: ClientError) -> set[str]:
    """Why DynamoDB did not make a write, in a transaction or by itself."""
    if _code(error) == _CANCELLED:
        cancelled: Any = error.response
        return {reason.get("Code", "") for reason in cancelled.get("CancellationReasons", [])}
    return {_code(error).removesuffix("Exception")}


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def member(answer: Mapping[str, Any], name: str) -> Any:
    """A member that every answer of a call has, by its documentation. Raises `Unavailable` if it is missing."""
    if name not in answer:
        log.warning("an AWS answer is incomplete", extra={"reason": f"it has no {name}"})
        raise Unavailable(f"an answer has no {name}")
    return answer[name]


def refuse_cut_answers(client: Any) -> None:
    """Make this client treat an incomplete answer as a server error, so that the driver repeats the call.

    botocore switches off urllib3's check of lengths, and parses an answer that is cut before its first byte as one
    without members: as an item that is not there. Nor does its standard mode check the checksum that DynamoDB sends.
    """
    # An exception at before-parse would reach the caller without a repeat. So this does what botocore does for an error
    # that S3 sends with a 200: a 500 for the parser, and then for the retries.
    client.meta.events.register("before-parse.*.*", _refuse_if_cut)
    client.meta.events.register_first("needs-retry.*.*", _repeat_if_cut)


def send_once(client: Any, operation: str) -> None:
    """Keep the driver from repeating an operation of this client, unless AWS says that it did not carry it out.

    For a write without a condition: a first request carried out after its repeat would undo what was done in between.
    """
    # The closest thing to attempts per operation: this handler runs first, and its False overrules the driver.
    name = f"needs-retry.{client.meta.service_model.service_name}.{operation}"
    client.meta.events.register_first(name, _if_refused, unique_id="send-once")


def _if_refused(response: tuple[Any, dict[str, Any]] | None, **_: object) -> bool | None:
    return None if response is not None and response[1]["ResponseMetadata"]["HTTPStatusCode"] < 500 else False


def _refuse_if_cut(
    operation_model: Any, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    fault = _fault(operation_model, response_dict["status_code"], response_dict["headers"], response_dict["body"])
    if fault:
        response_dict.update(status_code=500, body=b"")
        customized_response_dict["Error"] = {"Code": _CUT, "Message": fault}


def _repeat_if_cut(response: tuple[Any, dict[str, Any]] | None, **_: object) -> None:
    if response is not None and response[1].get("Error", {}).get("Code") == _CUT:
        response[0].status_code = 500


def _fault(operation: Any, status: int, headers: Mapping[str, str], body: object) -> str:
    """What shows that an answer is incomplete; empty if it is complete, or a stream that is yet to be read."""
    if not isinstance(body, bytes) or status in (204, 304) or operation.http.get("method") == "HEAD":
        return ""
    if "Transfer-Encoding" not in headers:  # urllib3 checks chunks itself
        length = headers.get("Content-Length")
        if length is None and not body and (status >= 300 or _answers_in_body(operation)):
            return "there is no body, and no length that says there is none"  # nothing else shows that a head was cut
        if length is not None and length != str(len(body)):
            return f"{len(body)} of {length} bytes came"
    checksum = headers.get("x-amz-crc32")
    if checksum is not None and "Content-Encoding" not in headers and checksum != str(zlib.crc32(body)):
        return "the checksum differs"
    return ""


def _answers_in_body(operation: Any) -> bool:
    shape = operation.output_shape
    return shape is not None and any("location" not in part.serialization for part in shape.members.values())
