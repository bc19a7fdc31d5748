"""The clients of AWS, made once per process, and how they are set."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.credentials import ReadOnlyCredentials


@functools.cache
def _session() -> Any:
    import botocore.session  # makes boto3's clients without the time that importing boto3 takes

    return botocore.session.get_session()  # one for all: each session loads botocore's data again


@functools.cache
def client(name: str) -> Any:
    """A client of an AWS service, one for all of this process."""
    from chalicelib.storage.calls import refuse_cut_answers

    made = _session().create_client(name, config=client_config(name))
    refuse_cut_answers(made)
    return made


def credentials() -> ReadOnlyCredentials:
    """Those of this process, as they are now: a function's are renewed while it runs. Raises botocore's errors."""
    from botocore.exceptions import NoCredentialsError

    current = _session().get_credentials()
    if current is None:
        raise NoCredentialsError
    frozen: ReadOnlyCredentials = current.get_frozen_credentials()
    return frozen


def client_config(name: str) -> Config:
    """The configuration of an AWS service's client."""
    from botocore.config import Config

    of_s3: dict[str, Any] = {
        "signature_version": "s3v4",
        # Links name the bucket's region. Without this they use the global name, which does not know a new bucket for
        # hours, and no bucket in regions opened since 2019.
        "s3": {"addressing_style": "virtual"},
        # The signature covers each body. A checksum of a part would also have to be declared with its upload.
        "request_checksum_calculation": "when_required",
    }
    return Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 3},
        max_pool_connections=64,
        # It costs CPU at each call. The tests' clients validate, and make the same calls.
        parameter_validation=False,
        user_agent="FetchQueue/1.0",  # a given one is not built again for each call
        **(of_s3 if name == "s3" else {}),
    )
