"""Lists of what was submitted, newest first."""

from __future__ import annotations

from typing import Any

import pytest
from chalice.test import HTTPResponse

from chalicelib.service.lists import ROUNDS
from tests.test_faults import answered, error
from tests.world import DAY, HOUR, SECOND, START, World, world

URL = "https://example.com/"


def pages(w: World, path: str, meanwhile: Any = None) -> list[list[dict[str, Any]]]:
    """The pages of a list, by following `next`."""
    found = []
    following: str | None = path
    while following is not None:
        answer = w.request("GET", following)
        assert answer.status_code == 200, answer.body
        body = answer.json_body
        found.append(body["jobs"] if "jobs" in body else body["batches"])
        following = body["next"]
        assert answer.headers.get("Link") == (None if following is None else f'<{following}>; rel="next"')
        if meanwhile is not None:
            meanwhile()
    return found


def ids(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["id"] for entry in entries]


def submit_at(w: World, now: int, path: str = "/jobs") -> str:
    w.now = now
    body = {"url": f"{URL}{w.new_id()}"} if path == "/jobs" else {"urls": [f"{URL}{w.new_id()}"]}
    job_id: str = w.request("POST", path, body).json_body["id"]
    return job_id


@pytest.mark.parametrize("path", ["/jobs", "/batches"])
def test_each_once_newest_first(w: World, path: str) -> None:
    """Over the whole retention, while others are submitted and deleted."""
    first = START + HOUR
    made = [submit_at(w, first + number * 30 * 60 * SECOND, path) for number in range(250)]
    more = iter(range(1, 100))

    def meanwhile() -> None:
        submit_at(w, w.now + SECOND, path)
        gone = made.pop(len(made) // 2 - next(more))  # somewhere in the middle
        assert w.request("DELETE", f"{path}/{gone}").status_code == 204
        deleted.append(gone)

    deleted: list[str] = []
    found = pages(w, path, meanwhile)
    assert [len(page) for page in found] == [100, 100, 49]  # one was deleted before its page
    listed = [one for page in found for one in ids(page)]
    assert [one for one in listed if one not in deleted] == made[::-1]
    assert len(set(listed)) == len(listed)


def test_what_a_list_shows(w: World) -> None:
    """Of a job all, of a batch what is known without its jobs; a batch's jobs are not among the jobs."""
    alone = w.submit(URL)
    batch = w.submit_batch([URL, f"{URL}2"])
    w.run()
    assert w.request("GET", "/jobs").json_body == {"jobs": [w.job(alone["id"])], "next": None}
    page = w.request("GET", batch["links"]["self"]).json_body
    kept = {name: page[name] for name in ("id", "submitted_at", "expires_at", "links")}
    assert w.request("GET", "/batches").json_body == {"batches": [{**kept, "submitted": 2}], "next": None}


def test_nothing_was_submitted(w: World) -> None:
    assert w.request("GET", "/jobs").json_body == {"jobs": [], "next": None}
    assert w.request("GET", "/batches").json_body == {"batches": [], "next": None}


def test_what_is_not_listed(w: World) -> None:
    """Deleted, expired, or not wholly accepted; and never another tenant's."""
    submit_at(w, START, "/batches")
    submit_at(w, START)
    w.pass_time(7 * DAY)
    w.run()
    for path in ("/jobs", "/batches"):
        gone = submit_at(w, w.now, path)
        assert w.request("DELETE", f"{path}/{gone}").status_code == 204
    with answered(w, "sqs", "SendMessageBatch", lambda *_: error(500, "InternalError")):
        assert w.request("POST", "/batches", {"urls": [URL]}, {"Idempotency-Key": "k"}).status_code == 503
        assert w.request("POST", "/jobs", {"url": URL}).status_code == 503
    kept = [submit_at(w, w.now, path) for path in ("/jobs", "/batches")]
    assert [ids(page) for path in ("/jobs", "/batches") for page in pages(w, path)] == [[kept[0]], [kept[1]]]


def test_a_repeat_is_listed(w: World) -> None:
    """Also one that was linked to its fetch when it was submitted."""
    w.submit(URL)
    w.run()
    repeat = w.submit(URL)
    assert repeat["status"] == "succeeded"
    assert ids(w.request("GET", "/jobs").json_body["jobs"])[0] == repeat["id"]


def test_each_tenant_has_its_own() -> None:
    with world(require_tokens=1) as w:
        alice, bob = ({"Authorization": f"Bearer {w.grant(name)}"} for name in ("alice", "alice-2"))
        job = w.request("POST", "/jobs", {"url": URL}, alice).json_body
        w.request("POST", "/batches", {"urls": [URL]}, alice)
        cursor = f"{w.now + 1:015d}-{job['id']}"
        for path in ("/jobs", "/batches"):
            assert len(next(iter(w.request("GET", path, headers=alice).json_body.values()))) == 1
            for query in ("", f"?cursor={cursor}"):
                assert next(iter(w.request("GET", path + query, headers=bob).json_body.values())) == []


def test_many_at_the_same_time(w: World) -> None:
    """Those of one millisecond are in one order, and none is left out where a page ends between them."""
    made = {submit_at(w, START) for _ in range(7)}
    found = pages(w, "/jobs?limit=2")
    assert [len(page) for page in found] == [2, 2, 2, 1]
    assert {one for page in found for one in ids(page)} == made


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=-1", "limit=", "cursor=1", "cursor=", "status=failed", "x=1"]
)
def test_a_wrong_query(w: World, query: str) -> None:
    for path in ("/jobs", "/batches"):
        assert w.request("GET", f"{path}?{query}").status_code == 422


def test_a_cursor_that_no_page_gave(w: World) -> None:
    """Far ahead it is the beginning, far back the end; neither takes longer."""
    job = w.submit(URL)
    with w.counted_calls() as calls:
        listed = w.request("GET", f"/jobs?cursor={'9' * 15}-{'f' * 32}").json_body["jobs"]
    assert ids(listed) == [job["id"]]
    assert calls["Query"] == 4 * 8  # the days of the retention, in four shares each
    assert w.request("GET", f"/jobs?cursor={'0' * 15}-{'f' * 32}").json_body == {"jobs": [], "next": None}


def test_an_index_that_is_behind(w: World) -> None:
    """It names what is gone: a page reads on, but not for ever, and the next one goes on from there."""
    made = [submit_at(w, START + number) for number in range(ROUNDS * 2 + 3)]
    index = [w.request("GET", "/jobs").json_body["jobs"]]
    assert len(index[0]) == len(made)

    def stale(answer: HTTPResponse) -> list[str]:
        return ids(answer.json_body["jobs"])

    table = w.names["TABLE_NAME"]
    rows = {key for key in w.items() if key.startswith("JOB#")}
    gone = rows - {f"JOB#{made[0]}"}
    for key in gone:  # the row is another tenant's: as good as gone, and the index still has it
        w.clients["dynamodb"].update_item(
            TableName=table,
            Key={"pk": {"S": key}},
            UpdateExpression="SET tenant = :other",
            ExpressionAttributeValues={":other": {"S": "other"}},
        )
    first = w.request("GET", "/jobs?limit=1")
    assert stale(first) == []
    assert [one for page in pages(w, first.json_body["next"]) for one in ids(page)] == [made[0]]


def test_jobs_in_batches_cost_a_list_nothing(w: World) -> None:
    """However many there are."""

    def cost() -> dict[str, int]:
        with w.counted_calls() as calls:
            w.request("GET", "/jobs")
            w.request("GET", "/batches")
        return dict(calls)

    w.submit_batch([URL])
    before = cost()
    w.request("DELETE", next(iter(pages(w, "/batches")))[0]["links"]["self"])
    w.submit_batch([f"{URL}{number}" for number in range(1000)])
    assert cost() == before
    assert not [item for key, item in w.items().items() if "-" in key and "listed" in item]


def test_what_has_expired_is_not_read(w: World) -> None:
    """However much of it the index still has."""
    for number in range(60):
        submit_at(w, START + number)
    kept = [submit_at(w, START + HOUR + number) for number in range(3)]
    w.now = START + 7 * DAY + HOUR
    with w.counted_calls() as calls:
        found = pages(w, "/jobs?limit=1")
    assert [one for page in found for one in ids(page)] == kept[:0:-1]  # the first of them has expired just now
    assert calls["BatchGetItem"] <= 4
