"""The composition root: what it hands to the stores and the fetcher."""

from __future__ import annotations

import hashlib
import io
import threading
from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from chalicelib.settings import Settings
from chalicelib.storage.bucket import PART_BYTES, Bucket
from chalicelib.storage.clients import client_config
from chalicelib.storage.threads import Threads
from chalicelib.wiring import address_policy, user_agent


def test_threads_work_at_the_same_time_and_answer_in_order() -> None:
    """All of four meet at a barrier, which one after the other never would."""
    meeting = threading.Barrier(4, timeout=10)

    def meet(value: int) -> int:
        meeting.wait()
        return value * value

    assert Threads(4)(meet, [3, 1, 2, 0]) == [9, 1, 4, 0]


def test_after_a_failure_nothing_more_is_begun() -> None:
    """One thread: the second of a thousand fails, and no others are tried."""
    tried: list[int] = []

    def work(value: int) -> None:
        tried.append(value)
        if value == 1:
            raise ValueError("the second")

    with pytest.raises(ValueError, match="the second"):
        Threads(1)(work, list(range(1000)))
    assert tried == [0, 1]


def test_loopback_is_for_stage_dev_alone() -> None:
    """And there the emulator stays out of reach, as Lambda's runtime API does."""
    local = address_policy(replace(Settings(), aws_endpoint_url="http://127.0.0.1:4566"))
    assert (local.loopback_allowed, local.forbidden_ports) == (True, frozenset({4566, 9001}))
    deployed = address_policy(replace(Settings(), stage="prod"))
    assert (deployed.loopback_allowed, deployed.forbidden_ports) == (False, frozenset({9001}))


def test_sites_learn_who_asks() -> None:
    """The User-Agent names the service, and whom to write to; a deployed stage at least a page that explains it."""
    assert user_agent(Settings()) == "FetchQueue/1.0"
    deployed = user_agent(replace(Settings(), stage="prod"))
    assert deployed == "FetchQueue/1.0 (+https://fetch-queue.dev/how-sites-are-asked)"
    assert user_agent(replace(Settings(), contact_url="https://example.com/bot")).endswith("(+https://example.com/bot)")


def s3_client(region: str, endpoint: str | None = None) -> Any:
    """The service's client of S3, with credentials of nobody."""
    return botocore.session.Session().create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=client_config("s3"),
    )


def test_what_is_stored_is_covered_by_its_signature() -> None:
    """In one request or in parts. A checksum of a part that its upload did not declare is none that S3 must take."""
    sent: list[AWSPreparedRequest] = []

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        sent.append(request)
        body = b"<R><UploadId>1</UploadId><ETag>1</ETag></R>"
        return AWSResponse(request.url, 200, HTTPHeaders.from_dict({"ETag": "1"}), Raw(body))

    client = s3_client("eu-central-1")
    client.meta.events.register("before-send.s3", answer)
    bodies = [b"small", b"a" * PART_BYTES, b"b"]
    with Bucket(client, "results").create_result("small") as upload:
        upload.write(bodies[0])
        upload.complete()
    with Bucket(client, "results").create_result("large") as upload:
        upload.write(bodies[1] + bodies[2])
        upload.complete()
    stored = [request for request in sent if request.method == "PUT"]
    signed = [request.headers["X-Amz-Content-SHA256"] for request in stored]
    assert signed == [hashlib.sha256(body).hexdigest().encode() for body in bodies]
    assert not [name for request in sent for name in request.headers if "checksum" in name.lower() or "trailer" in name]


class Raw(io.BytesIO):
    """A body as botocore reads one."""

    def stream(self) -> list[bytes]:
        """All of it."""
        return [self.read()]
