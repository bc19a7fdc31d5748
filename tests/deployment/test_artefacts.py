"""The packages' bucket, on an account in process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError
from moto import mock_aws

from deployment import artefacts
from deployment.account import Account
from deployment.errors import DeploymentError
from deployment.package import Package

REGION = "eu-central-1"


@pytest.fixture
def account() -> Iterator[Account]:
    """An account without anything."""
    with mock_aws():
        session = boto3.session.Session("test", "test", region_name=REGION)
        yield Account("123456789012", REGION, session.client("cloudformation"), session.client("s3"))


@pytest.fixture
def made(tmp_path: Path) -> Package:
    """A package."""
    (tmp_path / "zip").write_bytes(b"the package")
    return Package(template=tmp_path / "none", archive=tmp_path / "zip", sbom=tmp_path / "none", digest="0123")


@pytest.mark.parametrize("interrupted", [False, True])
def test_the_bucket_is_protected(account: Account, made: Package, interrupted: bool) -> None:
    """Private and over TLS only, even where an earlier deployment got no further than to make it; nothing expires."""
    bucket = artefacts.bucket_of(account)
    if interrupted:
        account.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    stored: list[str] = []

    def take(params: dict[str, Any], **_: object) -> tuple[AWSResponse, dict[str, Any]]:
        stored.append(params["url_path"])  # moto would refuse it, for it reads no condition of the policy
        return AWSResponse("", 200, HTTPHeaders(), None), {}

    account.s3.meta.events.register("before-call.s3.PutObject", take)
    assert artefacts.upload(account, made) == (f"s3://{bucket}/0123.zip", True)
    assert stored == ["/0123.zip"]
    (statement,) = json.loads(account.s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    blocked = account.s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(blocked.values()) == {True}
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        account.s3.get_bucket_lifecycle_configuration(Bucket=bucket)


def test_an_upload_that_is_refused(account: Account, made: Package) -> None:
    """It is said in a line, as every refusal is."""
    with pytest.raises(
        DeploymentError, match=r"^uploading the package to bucket fetch-queue-artefacts-.* was refused: "
    ):
        artefacts.upload(account, made)


def test_a_template(account: Account) -> None:
    """It is where CloudFormation reads it, under what is in it."""
    bucket = artefacts.bucket_of(account)
    account.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    url = artefacts.upload_template(account, '{"Parameters": {}}')
    assert url == artefacts.upload_template(account, '{"Parameters": {}}')
    assert url != artefacts.upload_template(account, '{"Parameters": {"A": {}}}')
    begin = f"https://s3.{REGION}.amazonaws.com/{bucket}/"
    assert url.startswith(begin)
    assert account.s3.get_object(Bucket=bucket, Key=url.removeprefix(begin))["Body"].read() == b'{"Parameters": {}}'
