"""The output directory: nothing outside it, nothing written over, nothing by halves."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from fetch_queue import FetchQueue, ProblemError, Result
from fetch_queue.errors import ManifestError
from fetch_queue.folder import Folder

from tests.client.fake import Fault, Service

URL = "https://example.com/page"


def result(data: bytes = b"data", content_type: str = "text/plain") -> Result:
    sha256 = hashlib.sha256(data).hexdigest()
    return Result(content_type=content_type, size=len(data), sha256=sha256, final_url=URL, link=None)


def test_names_are_unique_where_case_makes_no_difference(tmp_path: Path) -> None:
    """And where Unicode's forms make none."""
    folder = Folder(tmp_path)
    urls = [URL, URL, "https://example.com/PAGE", "https://EXAMPLE.com/Page", "https://example.com/page-2"]
    placed = [folder.place(url, result()).name for url in urls]
    assert placed == [
        "example.com_page.txt",
        "example.com_page-2.txt",
        "example.com_PAGE-3.txt",
        "EXAMPLE.com_Page-4.txt",
        "example.com_page-2-2.txt",
    ]


def test_many_of_a_name_are_placed_quickly(tmp_path: Path) -> None:
    """Each number is tried once, not all of them for each file."""
    folder = Folder(tmp_path)
    names = {folder.place(URL, result()).name for _ in range(5000)}
    assert len(names) == 5000
    assert "example.com_page-5000.txt" in names


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("/nowhere")])
def test_what_is_there_stays(tmp_path: Path, make: object) -> None:
    """A file, a directory or a link that somebody put there is not written over."""
    assert callable(make)
    make(tmp_path / "example.com_page.txt")
    placed = Folder(tmp_path).place(URL, result())
    assert (placed.name, placed.there) == ("example.com_page-2.txt", False)


def test_what_a_killed_run_had_saved_is_taken(tmp_path: Path) -> None:
    """The same bytes under the very name: it was ended before it could write that down."""
    (tmp_path / "example.com_page.txt").write_bytes(b"data")
    folder = Folder(tmp_path)
    placed = folder.place(URL, result())
    assert (placed.name, placed.there) == ("example.com_page.txt", True)
    assert folder.place(URL, result()).name == "example.com_page-2.txt"


@pytest.mark.parametrize("data", [b"atad", b"more data"])
def test_other_bytes_are_another_file(tmp_path: Path, data: bytes) -> None:
    """Of the same size or another."""
    (tmp_path / "example.com_page.txt").write_bytes(data)
    assert Folder(tmp_path).place(URL, result()).there is False


def test_names_that_are_kept_are_not_given_away(tmp_path: Path) -> None:
    """Earlier results', and the manifest's."""
    folder = Folder(tmp_path)
    folder.keep(["Example.com_PAGE.txt", None])
    assert folder.place(URL, result()).name == "example.com_page-2.txt"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/file", "..", "", None])
def test_a_manifest_cannot_point_elsewhere(tmp_path: Path, name: str | None) -> None:
    """What it says is saved outside the directory is not."""
    (tmp_path / "out" / "sub").mkdir(parents=True)
    for path in (tmp_path / "secret", tmp_path / "out" / "sub" / "file"):
        path.write_bytes(b"data")
    assert not Folder(tmp_path / "out").holds(name, 4)


def test_holding(tmp_path: Path) -> None:
    """A file that was removed or changed is not held."""
    folder = Folder(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"data")
    assert folder.holds("a.txt", 4)
    assert not folder.holds("a.txt", 5)
    assert not folder.holds("b.txt", 4)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """The second is told so; what the first leaves behind locks nobody out."""
    first = Folder(tmp_path)
    with pytest.raises(ManifestError, match="another fetch-queue is using"):
        Folder(tmp_path)
    first.close()
    Folder(tmp_path).close()


def test_a_result_is_there_whole_or_not_at_all(service: Service, queue: FetchQueue, tmp_path: Path) -> None:
    """What was begun has a name that no result has, and is tidied away by the next run."""
    batch_id = queue.submit([URL]).id
    queue.wait(batch_id)
    job = next(queue.results(batch_id))
    folder = Folder(tmp_path)
    assert job.result is not None
    place = folder.place(URL, job.result)
    for request in (f"GET /{job.id}", f"GET /jobs/{job.id}/result"):
        service.fail(request, Fault(404, name="not-found", detail="There is no such job."))
    with pytest.raises(ProblemError):
        folder.save(queue, job, place)
    assert not (tmp_path / place.name).exists()
    folder.tidy()
    assert [path.name for path in tmp_path.iterdir()] == [".fetch-queue.lock"]
    folder.save(queue, job, place)
    assert (tmp_path / place.name).read_bytes() == b"This is https://example.com/page\n"
