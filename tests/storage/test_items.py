"""Items and entities: what is written is read back, by this version and by one that is older."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.jobs.access import Token
from chalicelib.jobs.entities import Batch, Claim, ErrorType, Fetch, FetchError, Job, Mark, Result, Status
from chalicelib.storage import items

RESULT = Result(
    content_type="text/plain",
    size=1,
    sha256="s",
    http_status=200,
    final_url="u",
    headers={"ETag": "e"},
    fetched_at=1,
    key="k",
    text=True,
)
FETCH = Fetch(id="j", url="u", url_key="k", status=Status.RUNNING, jobs=1, attempt=1, lease_until=2, submitted_at=1)
DONE = Fetch(
    id="j",
    url="u",
    url_key="k",
    status=Status.SUCCEEDED,
    jobs=2,
    attempt=2,
    lease_until=2,
    submitted_at=1,
    started_at=2,
    finished_at=3,
    result=RESULT,
)
FAILED = Fetch(
    id="j",
    url="u",
    url_key="k",
    status=Status.FAILED,
    jobs=1,
    attempt=4,
    lease_until=2,
    submitted_at=1,
    failed_at=3,
    error=FetchError(type=ErrorType.HTTP_STATUS, detail="no", http_status=404, excerpt="No."),
)
Read = Callable[[items.Item], Any]
ENTITIES: list[tuple[Any, Read]] = [
    (Job(id="j", tenant="t", url="u", url_key="k", submitted_at=1), items.as_job),
    (Job(id="j", tenant="t", url="u", url_key="k", submitted_at=1, batch_id="b", fetch_id="f"), items.as_job),
    (Mark(id="j", tenant="t", sweep_at=9), items.as_job),
    (Mark(id="j", tenant="t", sweep_at=9, fetch_id="f", url_key="k", attempts=3), items.as_job),
    (FETCH, items.as_fetch),
    (DONE, items.as_fetch),
    (FAILED, items.as_fetch),
    (Claim(url_key="k", fetch_id="f", submitted_at=1), items.as_claim),
    (Batch(id="b", tenant="t", size=2, digest="d", submitted_at=1, lease_until=2, holder="h"), items.as_batch),
    (
        Batch(id="b", tenant="t", size=2, digest="d", submitted_at=1, lease_until=2, holder="h", accepted=True),
        items.as_batch,
    ),
    (Token(id="t", tenant="t", digest="d", name="", created_at=1, expires_at=2), items.as_token),
]


@pytest.mark.parametrize(("entity", "read"), ENTITIES)
def test_what_is_written_is_read_back(entity: Any, read: Read) -> None:
    assert read(items.item_of(entity, 9)) == entity


@pytest.mark.parametrize(("entity", "read"), ENTITIES)
def test_members_of_a_newer_version_are_ignored(entity: Any, read: Read) -> None:
    """Also within a result and an error: while a deployment goes on, both versions read what both write."""
    item = {**items.item_of(entity, 9), "later": {"S": "x"}, "v": {"N": "2"}}
    for part in ("result", "error"):
        if part in item:
            item[part] = {"M": {**item[part]["M"], "later": {"M": {}}}}
    assert read(item) == entity


def test_a_type_of_error_of_a_newer_version_can_be_read() -> None:
    """While both versions are deployed, a job that failed for a new reason is no fault of the older one."""
    item = items.item_of(FAILED, 9)
    item["error"]["M"]["type"] = {"S": "lunar"}
    read = items.as_fetch(item).error
    assert read is not None
    assert replace(read, type=ErrorType.HTTP_STATUS) == FAILED.error
    assert read.type is ErrorType.INVALID_RESPONSE


def test_defaults_are_not_stored() -> None:
    """Conditions ask whether a member is there."""
    batch = Batch(id="b", tenant="t", size=2, digest="d", submitted_at=1, lease_until=2, holder="h")
    assert "accepted" not in items.item_of(batch, 9)
    assert items.item_of(Mark(id="j", tenant="t", sweep_at=9)).keys() == {"pk", "tenant", "sweep_at", "v"}
