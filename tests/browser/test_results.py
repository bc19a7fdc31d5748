"""What a result looks like once it is opened, by its content type, and how it is copied and saved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.browser.conftest import Visit
from tests.browser.contents import REFUSED, Server, site
from tests.browser.visitor import Visitor
from tests.e2e.running import Running

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>window.scriptRan = true</script></svg>'
DEEP = b"[" * 30_000 + b"]" * 30_000
LONG = "".join(f"line {number}\n" for number in range(40_000)).encode()
SORRY = "<script>window.scriptRan = true</script><img src=x onerror=window.scriptRan=true><b>Sorry.</b>"
MANY = list(range(1000))
CONTENTS = {
    "/exact.json": ("application/json", b'{"id": 12345678901234567890, "share": 1.10, "empty": [], "none": null}'),
    "/markup.json": ("application/vnd.api+json", b'{"<b>key</b>": "<img src=x onerror=alert(1)>", "__proto__": 1}'),
    "/many.json": ("application/json", json.dumps(MANY).encode()),
    "/deep.json": ("application/json", DEEP),
    "/broken.json": ("application/json", b'{"half": '),
    "/old.txt": ("text/plain; charset=iso-8859-1", "Käse, 3 €".encode("cp1252")),
    "/long.txt": ("text/plain", LONG),
    "/feed.xml": ("application/rss+xml", b"<rss><title>News</title></rss>"),
    "/fake.png": ("image/png", SVG),
    "/report.pdf": ("application/pdf", b"%PDF-1.7 no page"),
    "/page": ("text/html; charset=utf-8", b"<script>window.scriptRan = true</script>"),
    REFUSED: ("text/html", SORRY.encode()),
    "/empty": ("text/plain", b""),
    "/huge.txt": ("text/plain", b"x" * (5 * 1024 * 1024 + 1)),
}


@pytest.fixture(scope="module")
def contents() -> Iterator[Server]:
    """A site with contents that are not easy to show."""
    with site(CONTENTS) as made:
        yield made


def opened(visitor: Visitor, url: str) -> Locator:
    """What a job's row opens, the job being submitted and finished first."""
    visitor.submit_and_wait(url)
    return visitor.open(url)


def tree(panel: Locator) -> Locator:
    """The JSON in it."""
    return panel.get_by_role("region", name="Result as a tree")


def text(panel: Locator) -> Locator:
    """The text in it."""
    return panel.get_by_role("region", name="Result as text")


def test_numbers_are_shown_as_they_were_sent(stack: Running, visit: Visit, contents: Server) -> None:
    """JavaScript would round the one and shorten the other."""
    shown = tree(opened(visit(stack), contents.page("/exact.json")))
    for line in ("id: 12345678901234567890", "share: 1.10", "empty: [ ]", "none: null"):
        expect(shown.get_by_text(line, exact=True)).to_be_visible()


def test_markup_in_a_refusal_is_text(stack: Running, visit: Visit, contents: Server) -> None:
    """What the site says of it is shown as it came, and does not run."""
    visitor = visit(stack)
    said = opened(visitor, contents.page(REFUSED)).get_by_role("region", name="What the site says")
    expect(said).to_have_text(SORRY)
    expect(said.locator("img, b, script")).to_have_count(0)
    assert visitor.page.evaluate("() => typeof window.scriptRan") == "undefined"


def test_markup_in_json_is_text(stack: Running, visit: Visit, contents: Server) -> None:
    """In keys and in values."""
    shown = tree(opened(visit(stack), contents.page("/markup.json")))
    expect(shown).to_contain_text('<b>key</b>: "<img src=x onerror=alert(1)>"')
    expect(shown).to_contain_text("__proto__: 1")
    expect(shown.locator("img, b")).to_have_count(0)


def test_a_long_list_comes_in_parts(stack: Running, visit: Visit, contents: Server) -> None:
    """More of it on demand."""
    shown = tree(opened(visit(stack), contents.page("/many.json")))
    expect(shown.get_by_text("199: 199", exact=True)).to_be_attached()
    expect(shown.get_by_text("200: 200", exact=True)).to_have_count(0)
    shown.get_by_role("button", name="Show more: 200 of 1,000 are here").click()
    expect(shown.get_by_text("200: 200", exact=True)).to_be_attached()


def test_what_is_no_json(stack: Running, visit: Visit, contents: Server) -> None:
    """It says that it is: then it is shown as text."""
    panel = opened(visit(stack), contents.page("/broken.json"))
    expect(panel).to_contain_text("It says that it is JSON, and cannot be read as such: shown as text.")
    expect(text(panel)).to_have_text('{"half": ')


def test_json_that_is_deep(stack: Running, visit: Visit, contents: Server) -> None:
    """However deep, it is shown somehow, and the page goes on."""
    panel = opened(visit(stack), contents.page("/deep.json"))
    expect(text(panel).or_(tree(panel))).to_be_visible()


def test_another_charset(stack: Running, visit: Visit, contents: Server) -> None:
    """The one that the content type names."""
    expect(text(opened(visit(stack), contents.page("/old.txt")))).to_have_text("Käse, 3 €")


def test_a_long_text_comes_in_two(stack: Running, visit: Visit, contents: Server) -> None:
    """The rest on demand."""
    panel = opened(visit(stack), contents.page("/long.txt"))
    expect(text(panel)).to_contain_text("line 1000\n")
    expect(text(panel)).not_to_contain_text("line 39999")
    panel.get_by_role("button", name=f"Show the other {len(LONG) - 200_000:,} characters").click()
    expect(text(panel)).to_contain_text("line 39999")


def test_xml_is_text(stack: Running, visit: Visit, contents: Server) -> None:
    """Of whatever application."""
    expect(text(opened(visit(stack), contents.page("/feed.xml")))).to_have_text("<rss><title>News</title></rss>")


def test_nothing_at_all(stack: Running, visit: Visit, contents: Server) -> None:
    """An empty result is a result."""
    panel = opened(visit(stack), contents.page("/empty"))
    expect(panel.get_by_role("heading")).to_have_text("Result, 0 B")


def test_what_is_no_image(stack: Running, visit: Visit, contents: Server) -> None:
    """A script that says that it is an image: it is said that it cannot be shown, and nothing runs."""
    visitor = visit(stack)
    panel = opened(visitor, contents.page("/fake.png"))
    expect(panel).to_contain_text("cannot be shown as one")
    assert visitor.page.evaluate("() => typeof window.scriptRan") == "undefined"


@pytest.mark.parametrize(("path", "why"), [("/report.pdf", "It is application/pdf"), ("/huge.txt", "It is too large")])
def test_the_rest_is_saved(stack: Running, visit: Visit, contents: Server, path: str, why: str, tmp_path: Path) -> None:
    """What is not shown is not loaded either, until somebody saves it: byte for byte, under its name."""
    visitor = visit(stack)
    panel = opened(visitor, contents.page(path))
    expect(panel).to_contain_text(why)
    assert not [request for request in visitor.asked if request.url.startswith(stack.facts["emulator"])]
    with visitor.page.expect_download() as downloads:
        panel.get_by_role("button", name="Save").click()
    downloads.value.save_as(tmp_path / "saved")
    assert downloads.value.suggested_filename == path[1:]
    assert (tmp_path / "saved").read_bytes() == CONTENTS[path][1]


def test_a_saved_page_is_no_page_of_ours(stack: Running, visit: Visit, contents: Server) -> None:
    """The blob that is saved has no type that a browser would open; the name gets the ending that it lacks."""
    visitor = visit(stack)
    visitor.page.evaluate(
        """() => {
          window.types = [];
          const create = URL.createObjectURL;
          URL.createObjectURL = (blob) => (window.types.push(blob.type), create(blob));
        }"""
    )
    panel = opened(visitor, contents.page("/page"))
    with visitor.page.expect_download() as downloads:
        panel.get_by_role("button", name="Save").click()
    assert downloads.value.suggested_filename == "page.html"
    assert visitor.page.evaluate("() => window.types") == ["application/octet-stream"]
    expect(panel).to_contain_text("Saved as page.html.")


def test_copy(stack: Running, visit: Visit, contents: Server) -> None:
    """The text as it came, and not the tree."""
    visitor = visit(stack)
    panel = opened(visitor, contents.page("/exact.json"))
    panel.get_by_role("button", name="Copy").click()
    expect(panel).to_contain_text("Copied.")
    assert visitor.page.evaluate("() => navigator.clipboard.readText()") == CONTENTS["/exact.json"][1].decode()


def test_bytes_are_asked_for_without_the_token(closed: Running, visit: Visit, contents: Server, token: str) -> None:
    """They are elsewhere, behind a link that says enough; and the link is a new one each time."""
    visitor = visit(closed, expects=["status of 401"])
    url = contents.page("/empty?token")
    visitor.paste([url])
    visitor.button("Submit").click()
    visitor.page.get_by_role("textbox", name="Access token").fill(token)
    visitor.button("Use it").click()
    visitor.see_finished(1)
    for times in (1, 2):
        panel = visitor.open(url)
        expect(text(panel)).to_be_attached()
        visitor.opener(url).click()
        links = [request for request in visitor.asked if request.url.startswith(closed.facts["emulator"])]
        assert len(links) == times
        assert "authorization" not in links[-1].all_headers()


def test_a_job_that_is_gone(stack: Running, visit: Visit, contents: Server) -> None:
    """Somebody else deleted it: the next job's result is not taken for its own."""
    visitor = visit(stack)
    gone, stays = contents.page("/empty?gone"), contents.page("/feed.xml?stays")
    visitor.submit_and_wait(gone, stays)
    assert stack.ask("DELETE", f"/jobs/{visitor.batch_id}-0").status == 204
    panel = visitor.open(gone)
    expect(panel).to_contain_text("This job is gone: it was deleted, or it has expired.")
    expect(text(panel)).to_have_count(0)
    expect(text(visitor.open(stays))).to_have_text("<rss><title>News</title></rss>")


def test_a_store_that_does_not_answer(stack: Running, visit: Visit, contents: Server) -> None:
    """It is said, and can be tried again."""
    visitor = visit(stack, expects=["net::ERR_FAILED", "status of 403"])
    url = contents.page("/feed.xml?store")
    visitor.submit_and_wait(url)
    answers = ["lost", "refused"]

    def store(route: Route) -> None:
        match answers.pop(0) if answers else "":
            case "lost":
                route.abort("failed")
            case "refused":
                route.fulfill(status=403, body="<Error/>", headers={"Access-Control-Allow-Origin": "*"})
            case _:
                route.continue_()

    visitor.page.route(f"{stack.facts['emulator']}/**", store)
    panel = visitor.open(url)
    expect(panel).to_contain_text("The store of results does not answer.")
    panel.get_by_role("button", name="Try again").click()
    expect(panel).to_contain_text("The stored result cannot be read: the store answered 403.")
    panel.get_by_role("button", name="Try again").click()
    expect(text(panel)).to_have_text("<rss><title>News</title></rss>")
