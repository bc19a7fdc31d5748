"""The S3 bucket: results, written as they arrive, read whole, removed; `links` signs links to them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import ClientError

from chalicelib.jobs.errors import Unavailable
from chalicelib.storage.calls import Parallel, member, serial, unavailable

PART_BYTES = 8 * 1024 * 1024  # up to this size one PutObject, above it a multipart upload in parts of this size
DELETE_LIMIT = 1000  # keys in a DeleteObjects

log = logging.getLogger("fetch_queue.storage")


def result_key(fetch_id: str, attempt: int) -> str:
    """Where an attempt's result is stored: a worker that lost its lease never overwrites its successor's.

    It is hashed since a link shows the key, and a fetch's id is a job's id, perhaps another submitter's.
    """
    return f"results/{hashlib.sha256(fetch_id.encode()).hexdigest()[:32]}/{attempt}"


def result_keys(fetch_id: str, attempts: int) -> list[str]:
    """Where this many attempts of a fetch may have stored something: an attempt whose end was lost left its bytes."""
    return [result_key(fetch_id, attempt) for attempt in range(1, attempts + 1)]


class Bucket:
    """The results' bytes. Raises `Unavailable` if S3 does not answer."""

    def __init__(self, client: Any, name: str, *, parallel: Parallel = serial) -> None:
        self._client = client
        self._name = name
        self._parallel = parallel

    def create_result(self, key: str) -> Upload:
        """Begin a result; nothing can be read before the upload's `complete`."""
        return Upload(self._client, self._name, key)

    def read(self, key: str) -> bytes | None:
        """A small result, whole; None if there is no such object."""
        with unavailable("reading a result"):
            try:
                answer = self._client.get_object(Bucket=self._name, Key=key)
                member(answer, "ContentLength")  # the body checks itself against it
                body: bytes = answer["Body"].read()
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                    return None
                raise
        return body

    def delete(self, keys: Sequence[str]) -> None:
        """Remove results; it is not an error if one is not there."""
        self._parallel(
            self._delete_chunk, [list(keys[at : at + DELETE_LIMIT]) for at in range(0, len(keys), DELETE_LIMIT)]
        )

    def _delete_chunk(self, keys: list[str]) -> None:
        with unavailable("deleting results"):
            answer = self._client.delete_objects(Bucket=self._name, Delete={"Objects": [{"Key": key} for key in keys]})
        left = set(keys) - {deleted.get("Key") for deleted in answer.get("Deleted", [])}
        if left:
            raise Unavailable(f"results that could not be deleted: {len(left)}")


class Upload:
    """One result on its way into the bucket: a sink for its bytes, which holds one part in memory.

    A context manager: if it is left without `complete`, it withdraws what it sent.
    """

    def __init__(self, client: Any, bucket: str, key: str) -> None:
        self._client = client
        self._where = {"Bucket": bucket, "Key": key}
        self._content_type = "application/octet-stream"
        self._buffer = bytearray()
        self._upload_id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._done = False

    def begin(self, content_type: str) -> None:
        """Say what the bytes are, before the first of them."""
        self._content_type = content_type

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        rest = memoryview(data)
        while len(self._buffer) + len(rest) > PART_BYTES:
            room = PART_BYTES - len(self._buffer)
            self._buffer += rest[:room]
            rest = rest[room:]
            self._send_part()
        self._buffer += rest

    def complete(self) -> None:
        """Make the result readable."""
        if self._upload_id is None:
            with unavailable("storing a result"):
                self._client.put_object(**self._where, Body=self._take(), ContentType=self._content_type)
        else:
            self._send_part()
            with unavailable("completing a result"):
                completed = self._client.complete_multipart_upload(
                    **self._where, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}
                )
            member(completed, "ETag")  # S3 answers 200 before it begins
        self._done = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._upload_id is None or self._done:
            return
        try:
            with unavailable("aborting a result"):
                self._client.abort_multipart_upload(**self._where, UploadId=self._upload_id)
        except Unavailable:
            # The lifecycle rule removes the parts after a day; the attempt's own outcome matters more.
            log.warning("the parts of an unfinished result stay until they expire", extra={"key": self._where["Key"]})

    def _send_part(self) -> None:
        with unavailable("storing a part of a result"):
            if self._upload_id is None:
                created = self._client.create_multipart_upload(**self._where, ContentType=self._content_type)
                self._upload_id = member(created, "UploadId")
            number = len(self._parts) + 1
            part = self._client.upload_part(
                **self._where, UploadId=self._upload_id, PartNumber=number, Body=self._take()
            )
        self._parts.append({"PartNumber": number, "ETag": member(part, "ETag")})

    def _take(self) -> bytearray:
        # Handed over, not copied: ten uploads of a part each must fit into a small function's memory.
        taken, self._buffer = self._buffer, bytearray()
        return taken
