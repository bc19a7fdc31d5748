"""`fetch-queue status`, `batch`, `result`, `delete`: answers for a person, for a script, and exit codes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.conftest import Ran
from tests.client.fake import Fault, Service

Command = Callable[..., Ran]
A, B = "https://example.com/a", "https://example.com/b"


@pytest.fixture
def batch_id(service: Service, command: Command) -> str:
    """Two jobs, of which the second fails."""
    service.failing.add(B)
    command("submit", A, B)
    return next(iter(service.batches.values())).id


def finish(service: Service) -> None:
    for batch in service.batches.values():
        batch.polls = service.polls_to_finish


def test_status_of_a_job(service: Service, command: Command, batch_id: str) -> None:
    """The exit code is 1 where it failed."""
    ran = command("status", f"{batch_id}-0")
    assert (ran.code, ran.out) == (
        0,
        f"{batch_id}-0  queued\n  url        {A}\n  submitted  2026-11-24T10:00:00.000Z\n",
    )
    finish(service)
    ran = command("status", f"{batch_id}-0")
    assert ran.code == 0
    assert ran.out.splitlines()[0] == f"{batch_id}-0  succeeded"
    assert ran.out.splitlines()[-1] == "  result     30 B, text/plain; charset=utf-8"
    ran = command("status", f"{batch_id}-1")
    assert ran.code == 1
    assert ran.out.splitlines()[-1] == "  error      http-status: the site answered 404 Not Found"


def test_what_a_refusing_site_says(service: Service, command: Command, batch_id: str) -> None:
    """A line for each of its own, marked as the site's, with nothing in it that a terminal would obey."""
    service.more["excerpt"] = "Sorry!\n\n\tunusual \x1b[31mtraffic\u202e\n  error      none\n"
    finish(service)
    ran = command("status", f"{batch_id}-1")
    assert ran.out.splitlines()[-5:] == [
        "  error      http-status: the site answered 404 Not Found",
        "  the site said",
        "  | Sorry!",
        "  |         unusual \\x1b[31mtraffic\\u202e",
        "  |   error      none",
    ]
    service.more["excerpt"] = None
    assert "the site said" not in command("status", f"{batch_id}-1").out


def test_status_of_a_batch(service: Service, command: Command, batch_id: str) -> None:
    """Counts; the exit code is 1 where a job failed."""
    service.polls_to_finish = 2
    assert command("status", batch_id) == Ran(0, f"{batch_id}  2 jobs: 2 queued\n", "")
    assert command("status", batch_id) == Ran(1, f"{batch_id}  2 jobs: 1 succeeded, 1 failed\n", "")


UNTIL = "2026-11-24T14:05:00.000Z"


def test_what_waits_for_its_host(service: Service, command: Command, batch_id: str) -> None:
    """For which one, and until when; of a batch, how many."""
    service.polls_to_finish = 1000
    service.waiting[B] = UNTIL
    waits = f"waits for example.com until {UNTIL}"
    assert command("status", f"{batch_id}-1").out.splitlines()[0] == f"{batch_id}-1  queued  ({waits})"
    assert command("status", f"{batch_id}-0").out.splitlines()[0] == f"{batch_id}-0  queued"
    assert command("status", batch_id).out == f"{batch_id}  2 jobs: 2 queued  (1 waits for its host)\n"
    assert command("batch", batch_id).out.splitlines()[1:] == [
        f"{batch_id}-0  queued              {A}",
        f"{batch_id}-1  queued              {B}  ({waits})",
    ]
    service.waiting[A] = UNTIL
    assert command("status", batch_id).out == f"{batch_id}  2 jobs: 2 queued  (2 wait for their host)\n"


def test_an_older_service_does_not_say_who_waits(service: Service, command: Command, batch_id: str) -> None:
    """Nothing is said of it."""
    service.polls_to_finish = 1000
    service.older = True
    assert command("status", batch_id).out == f"{batch_id}  2 jobs: 2 queued\n"
    assert command("status", f"{batch_id}-0").out.splitlines()[0] == f"{batch_id}-0  queued"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://example.com:8008/a:1/", "example.com:8008"),
        ("http://example.com:443/", "example.com:443"),
        ("https://EXAMPLE.com:443/", "example.com"),
        ("https://me:secret@example.com/", "example.com"),
        ("http://[::1]:8008/", "[::1]:8008"),
        ("http://[x", "http://[x"),
        ("http:\x1b[31m", "http:\\x1b[31m"),
    ],
)
def test_the_host_that_is_waited_for(service: Service, command: Command, url: str, host: str) -> None:
    """With its port, unless that is its scheme's own; nothing in it that a terminal would obey."""
    service.polls_to_finish = 1000
    service.waiting[url] = UNTIL
    command("submit", url)
    (batch,) = service.batches.values()
    assert command("status", f"{batch.id}-0").out.splitlines()[0].endswith(f"  (waits for {host} until {UNTIL})")
    assert command("status", batch.id).out == f"{batch.id}  1 job: 1 queued  (waits for {host} until {UNTIL})\n"


def test_batch(service: Service, command: Command, batch_id: str) -> None:
    """A line for each job."""
    finish(service)
    ran = command("batch", batch_id)
    assert ran.code == 1
    assert ran.out.splitlines() == [
        f"{batch_id}  2 jobs: 1 succeeded, 1 failed",
        f"{batch_id}-0  succeeded     30 B  {A}",
        f"{batch_id}-1  failed              {B}  (the site answered 404 Not Found)",
    ]


def test_a_long_batch(service: Service, command: Command) -> None:
    """All of it, by the hundred."""
    command("submit", *(f"https://example.com/{number}" for number in range(250)))
    batch_id = next(iter(service.batches.values())).id
    assert len(command("batch", batch_id).out.splitlines()) == 251
    assert len(json.loads(command("batch", batch_id, "--json").out)["jobs"]) == 250


def test_json(service: Service, command: Command, batch_id: str, tmp_path: Path) -> None:
    """One document, and nothing else."""
    finish(service)
    assert json.loads(command("status", batch_id, "--json").out)["counts"]["failed"] == 1
    assert json.loads(command("status", f"{batch_id}-0", "--json").out)["url"] == A
    assert json.loads(command("batch", batch_id, "--json").out)["jobs"][0]["result"]["link"].startswith("http")
    file = tmp_path / "a"
    assert json.loads(command("result", f"{batch_id}-0", "-o", str(file), "--json").out)["size"] == 30
    assert json.loads(command("delete", batch_id, "--json").out) == {"id": batch_id, "deleted": True}


@pytest.mark.parametrize("inline", [True, False])
def test_result(service: Service, command: Command, batch_id: str, tmp_path: Path, inline: bool) -> None:
    """The bytes alone on standard output, or in a file."""
    finish(service)
    service.inline = inline
    assert command("result", f"{batch_id}-0") == Ran(0, f"This is {A}\n", "")
    assert command("result", f"{batch_id}-0", "-o", "-").out == f"This is {A}\n"
    file = tmp_path / "file"
    ran = command("result", f"{batch_id}-0", "-o", str(file))
    assert ran == Ran(0, "", f"{file}: 30 B, text/plain; charset=utf-8\n")
    assert file.read_text() == f"This is {A}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_result_into_what_is_no_file(service: Service, command: Command, batch_id: str, tmp_path: Path) -> None:
    """A link is followed and stays; a pipe is written to and stays."""
    finish(service)
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(file)
    assert command("result", f"{batch_id}-0", "-o", str(link)).code == 0
    assert link.is_symlink()
    assert file.read_text() == f"This is {A}\n"
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    assert command("result", f"{batch_id}-0", "-o", str(circle)).code == 0
    assert circle.read_text() == f"This is {A}\n"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    ran = command("result", f"{batch_id}-0", "-o", str(pipe), "--json")
    assert (ran.code, json.loads(ran.out)["size"]) == (0, 30)
    assert os.read(reader, 1000).decode() == f"This is {A}\n"
    os.close(reader)
    assert pipe.is_fifo()


def test_result_of_a_batch(service: Service, command: Command, batch_id: str) -> None:
    """Of one job: that job's. Of several: which?"""
    ran = command("result", batch_id)
    assert (ran.code, ran.out) == (2, "")
    assert f"is a batch of 2 jobs; give the id of one, such as {batch_id}-0" in ran.err
    service.batches.clear()
    command("submit", A)
    finish(service)
    assert command("result", next(iter(service.batches.values())).id).out == f"This is {A}\n"


def test_no_result(service: Service, command: Command, batch_id: str, tmp_path: Path) -> None:
    """A failed job is exit code 1, one that is not finished is refused; no file is made."""
    file = tmp_path / "file"
    ran = command("result", f"{batch_id}-0", "-o", str(file))
    assert (ran.code, ran.err) == (3, "fetch-queue: The job is queued. Ask again in 1 s.\n")
    finish(service)
    ran = command("result", f"{batch_id}-1", "-o", str(file))
    assert (ran.code, ran.err) == (1, "fetch-queue: There is no result: the site answered 404 Not Found\n")
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_comes_damaged(service: Service, command: Command, batch_id: str, tmp_path: Path) -> None:
    """Nothing of it is printed, and a file that was there stays as it was."""
    finish(service)
    file = tmp_path / "file"
    file.write_text("as it was")
    for arguments in ([], ["-o", str(file)]):
        service.fail(f"GET /{batch_id}-0", *[Fault(200, body=b"something else")] * 3)
        ran = command("result", f"{batch_id}-0", *arguments)
        assert (ran.code, ran.out) == (4, "")
    assert file.read_text() == "as it was"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_delete(service: Service, command: Command, batch_id: str) -> None:
    """A job, then its batch, by their ids alone; gone is refused the second time."""
    assert command("delete", f"{batch_id}-0") == Ran(0, "", f"{batch_id}-0 is deleted for good.\n")
    assert service.deleted == {f"{batch_id}-0"}
    assert command("delete", batch_id).code == 0
    assert service.deleted == {f"{batch_id}-0", batch_id}
    ran = command("delete", batch_id)
    assert (ran.code, ran.err) == (3, "fetch-queue: No such job or batch.\n")
