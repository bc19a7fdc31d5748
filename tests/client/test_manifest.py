"""The manifest: what is in it before anything is sent, and which one is gone on with."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from fetch_queue.errors import ManifestError
from fetch_queue.lists import cut
from fetch_queue.manifest import FAILED, REJECTED, Entry, Manifest

SERVICE = "http://127.0.0.1:8000"
URLS = [f"https://example.com/{number}" for number in range(5)]


def manifest(path: Path | None, urls: list[str] = URLS, service: str = SERVICE) -> Manifest:
    numbers = itertools.count()
    return Manifest.open(path, service, urls, lambda all_: cut(all_, 2), lambda: f"key-{next(numbers)}")


def entry(index: int, status: str = FAILED) -> Entry:
    return Entry(index=index, url=URLS[index], batch_id="b", job_id=f"b-{index}", status=status, error="why")


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_plan_is_there_before_anything_is_sent(tmp_path: Path) -> None:
    """Every batch with its key."""
    path = tmp_path / "m"
    manifest(path).close()
    head, *batches = lines(path)
    assert (head["urls"], head["service"]) == (5, SERVICE)
    assert [(batch["first"], batch["size"], batch["key"]) for batch in batches] == [
        (0, 2, "key-0"),
        (2, 2, "key-1"),
        (4, 1, "key-2"),
    ]


def test_going_on(tmp_path: Path) -> None:
    """Keys, answers and what became of URLs are as they were; a plan is not made again."""
    path = tmp_path / "m"
    first = manifest(path)
    first.answer(first.batches[1], "batch", [entry(2, REJECTED)])
    first.record([entry(3)])
    first.record([entry(3, "succeeded")])
    first.close()
    second = Manifest.open(path, SERVICE, URLS, lambda _: pytest.fail("cut again"), lambda: pytest.fail("a new key"))
    assert [batch.key for batch in second.batches] == ["key-0", "key-1", "key-2"]
    assert [(batch.answered, batch.id) for batch in second.batches] == [(False, None), (True, "batch"), (False, None)]
    assert second.entries == {2: entry(2, REJECTED), 3: entry(3, "succeeded")}
    assert second.accepted(second.batches[1]) == [3]
    second.close()


def test_every_place_where_a_kill_may_cut_it(tmp_path: Path) -> None:
    """Half a line at the end is no line, and what follows begins on a line of its own."""
    path = tmp_path / "m"
    first = manifest(path)
    begun = path.read_bytes()
    first.answer(first.batches[0], "batch", [entry(0, REJECTED)])
    first.close()
    whole = path.read_bytes()
    for length in range(len(begun), len(whole) + 1):
        path.write_bytes(whole[:length])
        cut_off = manifest(path)
        assert cut_off.batches[0].answered is (length == len(whole))
        cut_off.record([entry(4)])
        cut_off.close()
        again = manifest(path)
        assert again.entries[4] == entry(4)
        again.close()


@pytest.mark.parametrize(
    ("urls", "says"),
    [
        (URLS[:4], "is for another number of URLs: 5, not 4"),
        ([*URLS, "https://new/"], "is for another number of URLs: 5, not 6"),
        ([*URLS[:3], "https://new/", URLS[4]], "numbers 3 to 4 are not the same"),
        ([URLS[1], URLS[0], *URLS[2:]], "numbers 1 to 2 are not the same"),
    ],
)
def test_another_list_is_refused(tmp_path: Path, urls: list[str], says: str) -> None:
    """Whether it is shorter, longer, changed or in another order; and nothing is written."""
    path = tmp_path / "m"
    manifest(path).close()
    before = path.read_bytes()
    with pytest.raises(ManifestError, match=says):
        manifest(path, urls)
    assert path.read_bytes() == before


def test_a_damaged_head_is_refused(tmp_path: Path) -> None:
    """As another list is."""
    path = tmp_path / "m"
    manifest(path).close()
    path.write_text(path.read_text().replace('"urls": 5', '"uuu": 5'))
    with pytest.raises(ManifestError, match="is for another number of URLs: None"):
        manifest(path)


def test_another_service_is_refused(tmp_path: Path) -> None:
    """It knows none of the batches."""
    manifest(tmp_path / "m").close()
    with pytest.raises(ManifestError, match=r"is for the service at http://127\.0\.0\.1:8000, not for https://x/api"):
        manifest(tmp_path / "m", service="https://x/api")


@pytest.mark.parametrize(
    "content", ["urls\n", "https://example.com/", "[]\n", "{}\n", '{"manifest": "fetch-queue", "version": 2}\n', "\0"]
)
def test_another_file_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    """Whoever names the list of URLs as the manifest keeps the list."""
    path = tmp_path / "m"
    path.write_text(content)
    with pytest.raises(ManifestError):
        manifest(path)
    assert path.read_text() == content


@pytest.mark.parametrize("line", ["{", '{"batch": 7, "id": "x"}', '{"index": 1}', '{"index": 1, "what": 2}', "null"])
def test_a_damaged_one_is_refused(tmp_path: Path, line: str) -> None:
    """Going on with a part of it could submit something twice."""
    path = tmp_path / "m"
    manifest(path).close()
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ManifestError, match="damaged"):
        manifest(path)


def test_an_empty_file_is_none(tmp_path: Path) -> None:
    """As mktemp makes it."""
    (tmp_path / "m").touch()
    manifest(tmp_path / "m").close()
    assert len(lines(tmp_path / "m")) == 4


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """Two at once would each plan, and submit everything twice."""
    first = manifest(tmp_path / "m")
    with pytest.raises(ManifestError, match="another fetch-queue is using"):
        manifest(tmp_path / "m")
    first.close()
    manifest(tmp_path / "m").close()


def test_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written."""
    monkeypatch.chdir(tmp_path)
    kept = manifest(None)
    kept.answer(kept.batches[0], "batch", [])
    kept.record([entry(0)])
    kept.close()
    assert list(tmp_path.iterdir()) == []


def test_characters_that_are_none(tmp_path: Path) -> None:
    """A site's text may hold half a surrogate pair; the file is UTF-8 all the same."""
    kept = manifest(tmp_path / "m")
    odd = Entry(index=0, url="https://東/", batch_id="b", job_id="b-0", status=FAILED, error="\ud83d\u2028\n")
    kept.record([odd])
    kept.close()
    assert "https://東/" in (tmp_path / "m").read_text()
    again = manifest(tmp_path / "m")
    assert again.entries[0] == odd
    again.close()
