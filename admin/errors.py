"""What ends a command of the operator's: a sentence for the person who typed it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.jobs.errors import Unavailable
from deployment.account import as_deployment_error
from deployment.errors import DeploymentError


class AdminError(Exception):
    """Something was typed wrong, is not there, or was refused; the text is one line and says what to do."""


@contextmanager
def as_admin_error(doing: str) -> Iterator[None]:
    """Turn what DynamoDB and its driver say no with into an AdminError."""
    try:
        with as_deployment_error(doing), _driver_error():
            yield
    except Unavailable as error:
        raise AdminError(f"{doing} failed: {error}; try again") from error
    except DeploymentError as error:
        raise AdminError(str(error)) from error


@contextmanager
def _driver_error() -> Iterator[None]:
    """The driver's error says more than the `Unavailable` that it became: AccessDenied, for one."""
    try:
        yield
    except Unavailable as error:
        if isinstance(error.__cause__, (ClientError, BotoCoreError)):
            raise error.__cause__ from None
        raise
