"""Symbolic links in the directories that are written to: who put them there does not choose what is written over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fetch_queue import FetchQueue
from fetch_queue.folder import Folder
from fetch_queue.journal import Journal

from tests.client.conftest import Ran
from tests.client.fake import Service

Command = Callable[..., Ran]
URL = "https://example.com/page"
BYTES = b"This is https://example.com/page\n"
PRECIOUS = b"precious\n"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that nothing may be written to."""
    path = tmp_path / "outside"
    path.write_bytes(PRECIOUS)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


def test_a_manifests_draft(service: Service, command: Command, out: Path, outside: Path) -> None:
    """The link goes, and what it led to stays."""
    (out / ".manifest.jsonl.new").symlink_to(outside)
    ran = command("submit", URL, "-o", str(out))
    assert (ran.code, outside.read_bytes()) == (0, PRECIOUS)
    assert (out / "example.com_page.txt").read_bytes() == BYTES
    assert sorted(path.name for path in out.iterdir() if path.name[0] != ".") == [
        "example.com_page.txt",
        "manifest.jsonl",
    ]


@pytest.mark.parametrize("content", [PRECIOUS, b"", None])
def test_a_manifest(service: Service, command: Command, out: Path, outside: Path, content: bytes | None) -> None:
    """Nothing is submitted, and what it led to, or would have led to, is as it was."""
    if content is None:
        outside.unlink()
    else:
        outside.write_bytes(content)
    (out / "manifest.jsonl").symlink_to(outside)
    ran = command("submit", URL, "-o", str(out))
    assert ran.code == 2
    assert ran.err.startswith(f"fetch-queue: {out / 'manifest.jsonl'} is a symbolic link, and its target is not")
    assert service.submitted() == []
    assert (outside.read_bytes() if outside.exists() else None) == content


def test_another_runs_manifest(service: Service, command: Command, out: Path, tmp_path: Path) -> None:
    """It is as good as this one's own would be; still nothing is written through a link."""
    other = tmp_path / "other"
    assert command("submit", URL, "--manifest", str(other)).code == 0
    before = other.read_bytes()
    (out / "manifest.jsonl").symlink_to(other)
    assert command("submit", URL, "-o", str(out)).code == 2
    assert other.read_bytes() == before


def test_a_manifest_that_becomes_a_link(out: Path, outside: Path) -> None:
    """After it was read."""
    journal = Journal(out / "m")
    journal.begin([{"a": 1}])
    (out / "m").unlink()
    (out / "m").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic link"):
        journal.append([{"b": 2}])
    journal.close()
    assert outside.read_bytes() == PRECIOUS


@pytest.mark.parametrize("name", [".fetch-queue.lock", ".manifest.jsonl.lock"])
def test_a_lock(service: Service, command: Command, out: Path, outside: Path, name: str) -> None:
    """Nor is it made where the link leads."""
    (out / name).symlink_to(outside)
    ran = command("submit", URL, "-o", str(out))
    assert ran.code == 2
    assert ran.err.startswith(f"fetch-queue: {out / name} is a symbolic link, and its target is not")
    assert service.submitted() == []
    assert outside.read_bytes() == PRECIOUS


def test_a_result_on_its_way(service: Service, queue: FetchQueue, out: Path, outside: Path) -> None:
    """Its draft's name can be told beforehand, from the job's id."""
    batch_id = queue.submit([URL]).id
    queue.wait(batch_id)
    job = next(queue.results(batch_id))
    assert job.result is not None
    folder = Folder(out)
    place = folder.place(URL, job.result)
    (out / f".fetch-queue-{job.id}.partial").symlink_to(outside)
    folder.save(queue, job, place)
    folder.close()
    assert ((out / place.name).read_bytes(), outside.read_bytes()) == (BYTES, PRECIOUS)


def test_a_single_result_on_its_way(
    service: Service, queue: FetchQueue, command: Command, out: Path, outside: Path
) -> None:
    """As `result -o` writes it."""
    batch_id = queue.submit([URL]).id
    queue.wait(batch_id)
    (out / ".page.partial").symlink_to(outside)
    assert command("result", f"{batch_id}-0", "-o", str(out / "page")).code == 0
    assert ((out / "page").read_bytes(), outside.read_bytes()) == (BYTES, PRECIOUS)
