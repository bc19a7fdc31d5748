"""Through every state that the page has, for what must hold in each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from playwright.sync_api import Route, expect

from tests.browser.visitor import Visitor


def walk(visitor: Visitor, fresh: Callable[[str], str]) -> Iterator[str]:
    """Yield the name of each state once it is there, on a service that is open."""
    page = visitor.page
    data, text, image, missing = fresh("/data.json"), fresh("/page/1"), fresh("/image.png"), fresh("/missing")
    markup, slow = fresh("/script.html"), fresh("/slow?seconds=3")
    expect(page.get_by_role("heading", name="No batch is open")).to_be_visible()
    yield "empty"
    visitor.button("Submit").click()
    expect(page.get_by_text("Give at least one URL.")).to_be_visible()
    yield "nothing to submit"
    visitor.submit(data, text, image, missing, markup, slow, data, "ftp://example.com/" + "long" * 30)
    expect(page.get_by_role("heading", name="1 URL was not accepted")).to_be_visible()
    expect(visitor.row(slow)).to_contain_text("running")
    visitor.open(slow)
    yield "watching"
    visitor.see_finished(7)
    visitor.opener(slow).click()
    yield "finished"
    expect(visitor.open(markup).get_by_role("region", name="Result as text")).to_be_visible()
    expect(visitor.open(image).get_by_role("img")).to_be_visible()
    panel = visitor.open(missing)
    expect(panel.get_by_role("button", name="Retry this job")).to_be_visible()
    yield "text, image and failure opened"
    visitor.opener(markup).click()
    visitor.opener(image).click()
    visitor.opener(missing).click()
    expect(visitor.open(text).get_by_role("region", name="Result as text")).to_be_visible()
    visitor.button("Delete job 1").click()
    expect(page.get_by_role("dialog", name="Delete job 1?")).to_be_visible()
    yield "asked whether to delete"
    visitor.button("Cancel").click()
    visitor.choice("Queued").click()
    expect(page.get_by_text("No job is queued.")).to_be_visible()
    yield "no rows"
    yield from _with_trouble(visitor)
    visitor.choice("All").click()
    visitor.button("Delete batch").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete batch").click()
    expect(page.get_by_text("The batch is deleted.")).to_be_visible()
    yield "deleted"


def _with_trouble(visitor: Visitor) -> Iterator[str]:
    def away(route: Route) -> None:
        route.fulfill(status=503, headers={"Retry-After": "50"}, body="{}")

    def closed(route: Route) -> None:
        route.fulfill(status=401, content_type="application/problem+json", body="{}")

    where = "**/batches/**"
    visitor.page.route(where, away)
    visitor.choice("Failed").click()
    expect(visitor.page.get_by_text("The service cannot do this now.")).to_be_visible()
    yield "the service is away"
    visitor.page.unroute(where)
    visitor.page.route(where, closed)
    visitor.button("Look again").click()
    expect(visitor.page.get_by_role("dialog", name="An access token is needed")).to_be_visible()
    yield "asked for a token"
    visitor.page.keyboard.press("Escape")
    expect(visitor.button("Give a token")).to_be_visible()
    yield "no token given"
    visitor.page.unroute(where)
    visitor.button("Give a token").click()
    expect(visitor.rows).to_have_count(1)


EXPECTS = ("status of 503", "status of 401")  # the faults of the network that the walk meets
