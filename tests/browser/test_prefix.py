"""Behind a stage's prefix, as on API Gateway, the page asks for nothing outside it."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.prefixed import prefixed
from tests.e2e.running import Running


def test_under_a_prefix(stack: Running, visit: Visit, fresh: Callable[[str], str]) -> None:
    """Submit, page through, read, reload, delete; every path begins with it, and links do not carry it twice."""
    data = fresh("/data.json")
    urls = [data, *(fresh(f"/page/{n}") for n in range(100))]
    with prefixed(stack.facts["api"], "/api", stack.facts["emulator"]) as stage:
        visitor = visit(stack, home=stage.url)
        visitor.submit_and_wait(*urls)
        panel = visitor.open(data)
        expect(panel.get_by_role("region", name="Result as a tree")).to_contain_text("answer: 42")
        visitor.button("Next").click()
        expect(visitor.opener(urls[100])).to_be_visible()
        visitor.page.reload()
        visitor.see_finished(101)
        expect(visitor.page.get_by_role("link", name="API description")).to_have_attribute("href", "/api/openapi.json")
        visitor.button("Delete job 1").click()
        visitor.button("Delete job").click()
        visitor.see_finished(100)
        visitor.button("Delete batch").click()
        visitor.page.get_by_role("dialog").get_by_role("button", name="Delete batch").click()
        expect(visitor.page.get_by_text("The batch is deleted.")).to_be_visible()
        assert visitor.page.url == stage.url
        assert stage.strays == []
