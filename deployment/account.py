"""The AWS account that is deployed to: its clients, and AWS's refusals in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore import exceptions as aws
from botocore.config import Config

from chalicelib.storage.calls import refuse_cut_answers
from deployment.errors import DeploymentError

_CREDENTIALS = "no AWS credentials were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_REGION = "no AWS region is set; for example: export AWS_DEFAULT_REGION=eu-central-1"


@dataclass(frozen=True, slots=True)
class Account:
    """Where to deploy, and the clients to do it with."""

    number: str
    region: str
    cloudformation: Any
    s3: Any


def connect() -> Account:
    """The account of the usual AWS credentials and region. Raises DeploymentError if one is missing."""
    with as_deployment_error("asking AWS who you are"):
        session = boto3.session.Session()
        region = session.region_name
        if not region:
            raise DeploymentError(_REGION)
        if session.get_credentials() is None:
            raise DeploymentError(_CREDENTIALS)
        number = _client(session, "sts").get_caller_identity()["Account"]
        return Account(
            number=number,
            region=region,
            cloudformation=_client(session, "cloudformation"),
            s3=_client(session, "s3"),
        )


def _client(session: Any, service: str) -> Any:
    config = Config(connect_timeout=5, retries={"mode": "standard", "total_max_attempts": 5})
    client = session.client(service, config=config)
    refuse_cut_answers(client)
    return client


@contextmanager
def as_deployment_error(doing: str) -> Iterator[None]:
    """Turn what the driver raises into a DeploymentError."""
    try:
        yield
    except (aws.NoCredentialsError, aws.PartialCredentialsError) as error:
        raise DeploymentError(_CREDENTIALS) from error
    except aws.NoRegionError as error:
        raise DeploymentError(_REGION) from error
    except aws.ClientError as error:
        answer = error.response.get("Error", {})
        text = " ".join(str(answer.get("Message", error)).split())
        raise DeploymentError(f"{doing} was refused: {answer.get('Code', 'unknown')}: {text}") from error
    except aws.BotoCoreError as error:
        raise DeploymentError(f"{doing} failed: {' '.join(str(error).split())}") from error
