"""Links to results, held against those that botocore signs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import botocore.session
import pytest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import NoCredentialsError

from chalicelib.jobs.errors import Unavailable
from chalicelib.jobs.filenames import file_name
from chalicelib.storage.bucket import result_key
from chalicelib.storage.clients import client_config
from chalicelib.storage.links import LINK_SECONDS, Links

EMULATOR = "http://127.0.0.1:4566"


def s3_client(region: str, endpoint: str | None = None, token: str | None = None) -> Any:
    """The service's client of S3, with credentials of nobody."""
    return botocore.session.Session().create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        aws_session_token=token,
        config=client_config("s3"),
    )


def links(client: Any, token: str | None = None, at: int = 0) -> Links:
    """Of a bucket, signed at a time."""
    credentials = ReadOnlyCredentials("AKIDEXAMPLE", "secret", token)
    return Links(client, "results-of-mine", credentials=lambda: credentials, clock=lambda: at)


@pytest.mark.parametrize("token", [None, "a/token+with=all//that==", "t" * 1200])
@pytest.mark.parametrize(("region", "endpoint"), [("us-east-1", None), ("eu-south-1", None), ("us-east-1", EMULATOR)])
def test_a_link_is_the_one_that_botocore_signs(region: str, endpoint: str | None, token: str | None) -> None:
    """To the last character, at the same second: for keys and names of all kinds."""
    client = s3_client(region, endpoint, token)
    for key, url, content_type in (
        (result_key("any", 12), "https://example.com/a?b=c", "text/html"),
        ("results/a b+c/~1.-_", "https://ja.wikipedia.org/wiki/東京", "application/pdf"),
        ("any", f"https://x/{'é' * 200}", "application/vnd.ms-powerpoint"),
        ("results/1", "https://x/%25%20'()*!.txt", "text/plain"),
    ):
        name = file_name(url, content_type)
        (disposition,) = parse_qs(urlsplit(links(client, token).link(key, name)).query)["response-content-disposition"]
        theirs = client.generate_presigned_url(
            "get_object",
            Params={"Bucket": "results-of-mine", "Key": key, "ResponseContentDisposition": disposition},
            ExpiresIn=LINK_SECONDS,
        )
        (signed_at,) = parse_qs(urlsplit(theirs).query)["X-Amz-Date"]
        at = int(datetime.strptime(signed_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() * 1000)
        assert links(client, token, at + 999).link(key, name) == theirs


def test_links_lead_to_the_buckets_own_region() -> None:
    """The global name, which is us-east-1's, would redirect, which a signature does not survive, or refuse."""
    for region, named in (("us-east-1", ""), ("eu-central-1", ".eu-central-1"), ("eu-south-1", ".eu-south-1")):
        mine = links(s3_client(region))
        assert mine.origin == f"https://results-of-mine.s3{named}.amazonaws.com"
        assert mine.link("results/1", "a.txt").startswith(f"{mine.origin}/results/1?")
    assert links(s3_client("eu-south-1", EMULATOR)).origin == EMULATOR


def test_credentials_that_have_changed_are_used() -> None:
    """A function's are renewed while it runs; so is the key for the day."""
    current = [ReadOnlyCredentials("one", "secret", "t1"), ReadOnlyCredentials("two", "other", "t2")]
    at = [0]
    mine = Links(s3_client("us-east-1"), "mine", credentials=lambda: current[0], clock=lambda: at[0])
    first = mine.link("k", "n")
    del current[0]
    second = mine.link("k", "n")
    at[0] = 24 * 60 * 60 * 1000
    third = mine.link("k", "n")
    signatures = {link.partition("X-Amz-Signature=")[2] for link in (first, second, third)}
    assert "Credential=one%2F19700101" in first
    assert "Credential=two%2F19700101" in second
    assert "Credential=two%2F19700102" in third
    assert len(signatures) == 3


def test_without_credentials_there_is_no_link() -> None:
    """That is an outage."""

    def none() -> Any:
        raise NoCredentialsError

    with pytest.raises(Unavailable):
        Links(s3_client("us-east-1"), "mine", credentials=none, clock=lambda: 0).link("k", "n")
