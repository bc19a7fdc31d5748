"""The sample site: what it serves, and that it counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from local_stack.demo import HttpAnswer, ask
from local_stack.site import Site


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


def get(site: Site, path: str) -> HttpAnswer:
    return ask("GET", site.url + path)


@pytest.mark.parametrize(
    ("path", "status", "content_type", "words"),
    [
        ("/", 200, "text/html; charset=utf-8", b"Sample site"),
        ("/hello.txt", 200, "text/plain; charset=utf-8", b"Hello from the sample site.\n"),
        ("/data.json", 200, "application/json", b'"answer": 42'),
        ("/image.png", 200, "image/png", b"\x89PNG\r\n"),
        ("/page/7", 200, "text/plain; charset=utf-8", b"This is page 7.\n"),
        ("/missing", 404, "text/plain; charset=utf-8", b"There is no such page.\n"),
        ("/hello.txt/more", 404, "text/plain; charset=utf-8", b"There is no such page.\n"),
        ("/redirect", 200, "text/plain; charset=utf-8", b"Hello from the sample site.\n"),
        ("/script.html", 200, "text/html; charset=utf-8", b"<script"),
        ("/script.svg", 200, "image/svg+xml", b"<script"),
        ("/slow?seconds=0.01", 200, "text/plain; charset=utf-8", b"That took a while.\n"),
    ],
)
def test_pages(site: Site, path: str, status: int, content_type: str, words: bytes) -> None:
    """Each page has its status, its type and its words."""
    answer = get(site, path)
    assert (answer.status, answer.headers["Content-Type"]) == (status, content_type)
    assert words in answer.body


@pytest.mark.parametrize("size", [0, 1, 65536, 200_001])
def test_a_big_one(site: Site, size: int) -> None:
    """As many bytes as asked for, always the same ones."""
    body = get(site, f"/big?bytes={size}").body
    assert len(body) == size
    assert body == bytes(position % 256 for position in range(size))


def test_a_flaky_one(site: Site) -> None:
    """503 the first time, then 200, for each id."""
    assert [get(site, "/flaky/1").status for _ in range(3)] == [503, 200, 200]
    assert get(site, "/flaky/2").status == 503


def test_a_late_one(site: Site) -> None:
    """404 the first time, then 200, for each id."""
    assert [get(site, "/late/1").status for _ in range(2)] == [404, 200]


def test_it_counts_each_url() -> None:
    """With the query as part of it; counting itself does not count."""
    with Site() as site:
        get(site, "/page/1")
        get(site, "/page/1")
        get(site, "/page/1?a=b")
        assert get(site, "/count?path=/page/1").json == {"path": "/page/1", "requests": 2}
        assert get(site, "/count?path=/page/2").json == {"path": "/page/2", "requests": 0}
        assert get(site, "/count").json == {"/page/1": 2, "/page/1?a=b": 1}
        assert site.counts() == {"/page/1": 2, "/page/1?a=b": 1}
        assert (site.requests("/page/1"), site.requests("/never")) == (2, 0)


def test_closing_does_not_wait_for_slow_answers() -> None:
    """They end at once."""
    answers = []
    with Site() as site:
        slow = threading.Thread(target=lambda: answers.append(get(site, "/slow?seconds=60")))
        slow.start()
        while not site.requests("/slow?seconds=60"):
            pass
    slow.join(10)
    assert not slow.is_alive()
    assert answers[0].status == 200
