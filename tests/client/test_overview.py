"""What was submitted: lists, quotas, retries; by the client and on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from fetch_queue import FetchQueue, ProblemError

from tests.client.conftest import Ran
from tests.client.fake import LOST, PAGE, Service
from tests.world import World

Command = Callable[..., Ran]
A, B = "https://example.com/a", "https://example.com/b"


@pytest.fixture
def failed(service: Service, queue: FetchQueue) -> str:
    """A batch of two, of which the second has failed."""
    service.failing.add(B)
    batch_id = queue.submit([A, B]).id
    queue.wait(batch_id)
    return batch_id


def test_a_list_of_several_pages(service: Service, queue: FetchQueue) -> None:
    """Newest first, read as far as they are wanted."""
    ids = [queue.submit([A], key=str(number)).id for number in range(2 * PAGE + 1)]
    listed = queue.batches()
    assert next(listed).id == ids[-1]
    assert service.asked("GET", "/batches") == 1
    assert [one.id for one in listed] == ids[-2::-1]
    assert service.asked("GET", "/batches") == 3
    assert list(queue.jobs()) == []


def test_listing(service: Service, command: Command) -> None:
    """Twenty, unless more are asked for."""
    assert command("list").out == ""
    for number in range(21):
        command("submit", f"{A}{number}", B)
    ids = [batch.id for batch in reversed(service.batches.values())]
    ran = command("list")
    assert ran.code == 0
    assert ran.out.splitlines() == [f"{one}  2026-11-24T10:00:00.000Z  2 URLs" for one in ids[:20]]
    assert len(command("list", "--all").out.splitlines()) == 21
    lines = command("list", "--limit", "2", "--json").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ids[:2]
    assert command("list", "--jobs").out == ""
    assert command("list", "--limit", "0").code == 2


def test_listing_jobs_that_were_submitted_alone(w: World, command: Command, service: Service) -> None:
    """A line each, as of a batch's jobs."""
    w.submit(A)
    w.run()
    document = w.request("GET", "/jobs").json_body
    service.alone = document["jobs"]
    (line,) = command("list", "--jobs").out.splitlines()
    assert line.split() == [document["jobs"][0]["id"], "succeeded", "30", "B", A]


def test_usage(service: Service, queue: FetchQueue, command: Command) -> None:
    """Each quota on a line, or that there is none."""
    assert queue.usage() == []
    assert command("usage").out == "There is no limit.\n"
    service.quotas = [
        {"span": "day", "limit": 1000, "used": 1, "remaining": 999, "resets_at": "2026-11-25T00:00:00.000Z"}
    ]
    assert [(one.span, one.remaining) for one in queue.usage()] == [("day", 999)]
    ran = command("usage")
    assert (ran.code, ran.out) == (0, "999 of 1,000 URLs are left this day, until 2026-11-25T00:00:00.000Z\n")
    assert json.loads(command("usage", "--json").out) == {"quotas": service.quotas}


def test_a_retry(service: Service, queue: FetchQueue, failed: str) -> None:
    """A new batch; the two name each other. A lost answer makes no second one."""
    service.fail("POST", LOST)
    new = queue.retry(failed, ["http-status", "timeout"])
    assert [job.url for job in new.jobs] == [B]
    assert new.retry_of == failed
    assert (queue.batch(new.id).retry_of, queue.batch(failed).retried_by) == (failed, new.id)
    assert len(service.batches) == 2
    assert service.seen[-3].path.endswith("/retry?only=http-status,timeout")
    with pytest.raises(ProblemError) as refused:
        queue.retry(failed, ["dns"])
    assert refused.value.name == "nothing-failed"


def test_retrying(service: Service, command: Command, failed: str) -> None:
    """The new batch's id, and what it has; `status` names it."""
    ran = command("retry", failed)
    new = list(service.batches.values())[-1].id
    assert (ran.code, ran.out) == (0, f"{new}  1 URL accepted\n")
    assert command("status", failed).out.splitlines()[1] == f"  retried by {new}"
    assert command("status", new).out.splitlines()[1] == f"  retry of   {failed}"
    assert command("list").out.splitlines()[0].endswith(f"1 URL  (retry of {failed})")
    assert json.loads(command("retry", failed, "--json").out)["retry_of"] == failed


def test_retrying_what_has_not_failed(command: Command, failed: str) -> None:
    """It says so; a job cannot be retried."""
    ran = command("retry", failed, "--only", "dns", "--only", "timeout")
    assert (ran.code, ran.out) == (3, "")
    assert "No job of the batch has failed." in ran.err
    assert command("retry", f"{failed}-1").code == 2
