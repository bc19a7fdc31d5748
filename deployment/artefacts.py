"""The bucket that packages and templates are uploaded to, from which CloudFormation takes them: one for each account
and region."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from botocore.exceptions import ClientError

from deployment.account import Account, as_deployment_error
from deployment.package import Package

_ABSENT = ("404", "NoSuchBucket", "NotFound", "NoSuchKey")


def bucket_of(account: Account) -> str:
    """The name, fixed by account and region, so that every deployment finds it."""
    return f"fetch-queue-artefacts-{account.number}-{account.region}"


def upload(account: Account, package: Package) -> tuple[str, bool]:
    """Upload the package under its digest, unless it is there.

    Returns its `s3://` URL, and whether it was uploaded now.
    """
    bucket, key = bucket_of(account), f"{package.digest}.zip"
    with as_deployment_error(f"uploading the package to bucket {bucket}"):
        if not _there(lambda: account.s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account.number)):
            _create(account, bucket)
        new = not _there(lambda: account.s3.head_object(Bucket=bucket, Key=key))
        if new:
            _protect(account, bucket)
            with package.archive.open("rb") as archive:
                account.s3.put_object(Bucket=bucket, Key=key, Body=archive, ExpectedBucketOwner=account.number)
    return f"s3://{bucket}/{key}", new


def upload_template(account: Account, text: str) -> str:
    """Upload a template beside the packages; returns the URL by which CloudFormation reads it.

    In a request it may have 51,200 bytes, in a bucket 1,000,000.
    """
    bucket, key = bucket_of(account), f"{hashlib.sha256(text.encode()).hexdigest()}.json"
    with as_deployment_error(f"uploading the template to bucket {bucket}"):
        account.s3.put_object(Bucket=bucket, Key=key, Body=text.encode(), ExpectedBucketOwner=account.number)
    return f"{account.s3.meta.endpoint_url}/{bucket}/{key}"


def _there(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _ABSENT:
            return False
        raise
    return True


def _create(account: Account, bucket: str) -> None:
    """Encrypted, as every new bucket is. Nothing in it expires: a rollback needs the previous package."""
    # us-east-1 is the only region that must not be named.
    where = {} if account.region == "us-east-1" else {"LocationConstraint": account.region}
    account.s3.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": where} if where else {}))


def _protect(account: Account, bucket: str) -> None:
    """Private, and only over TLS. Done before each upload, since an earlier one may have stopped half way."""
    account.s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        },
    )
    arn = f"arn:{account.s3.meta.partition}:s3:::{bucket}"
    only_over_tls = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [arn, f"{arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ],
    }
    account.s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(only_over_tls))
