"""For everybody: what axe finds, with the keyboard alone, in the dark, on a phone, without motion."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.walk import EXPECTS, walk
from tests.e2e.running import Running

Fresh = Callable[[str], str]

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
PHONE = {"width": 360, "height": 740}
SCREENS = [
    pytest.param({"color_scheme": "light"}, id="light"),
    pytest.param({"color_scheme": "dark"}, id="dark"),
    pytest.param({"color_scheme": "light", "viewport": PHONE}, id="phone"),
    pytest.param({"color_scheme": "dark", "viewport": PHONE}, id="dark phone"),
]


@pytest.mark.parametrize("options", SCREENS)
def test_axe(stack: Running, visit: Visit, fresh: Fresh, options: dict[str, Any]) -> None:
    """It finds nothing, in any state. The policy is set aside, for axe comes as a script."""
    visitor = visit(stack, expects=EXPECTS, bypass_csp=True, reduced_motion="reduce", **options)
    visitor.page.evaluate(AXE)
    found: dict[str, list[str]] = {}
    for state in walk(visitor, fresh):
        violations = visitor.page.evaluate("async () => (await axe.run()).violations")
        found[state] = [
            f"{violation['impact']}: {violation['help']}: {node['html']} {node['failureSummary']}"
            for violation in violations
            for node in violation["nodes"]
        ]
    assert {state: violations for state, violations in found.items() if violations} == {}


@pytest.mark.parametrize("width", [360, 640, 928, 1200])
def test_no_width_scrolls_sideways(stack: Running, visit: Visit, fresh: Fresh, width: int) -> None:
    """In any state; a phone's, and around those at which the layout changes."""
    visitor = visit(stack, expects=EXPECTS, viewport={"width": width, "height": 740})
    assert [state for state in walk(visitor, fresh) if visitor.is_too_wide()] == []


def test_by_keyboard(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """Submit, open, filter, delete: each step leaves the focus where the next one begins."""
    first, second, missing = fresh("/data.json"), fresh("/page/1"), fresh("/missing")
    visitor = visit(stack)
    press = visitor.page.keyboard.press

    def tab_to(name: str, most: int = 40) -> None:
        for _ in range(most):
            press("Tab")
            if (
                visitor.page.evaluate("() => document.activeElement.accessibleName ?? document.activeElement.innerText")
                == name
            ):
                return
        pytest.fail(f"Tab does not come to {name!r}")

    press("Tab")
    expect(visitor.page.get_by_role("link", name="API description")).to_be_focused()
    press("Tab")
    expect(visitor.urls).to_be_focused()
    visitor.page.keyboard.insert_text("\n".join([first, second, missing]))
    press("Control+Enter")
    expect(visitor.page.get_by_role("heading", name="Batch of")).to_be_focused()
    visitor.see_finished(3)

    tab_to(first)
    expect(visitor.opener(first)).to_be_focused()
    press("Enter")
    tree = visitor.page.get_by_role("region", name="Result as a tree")
    expect(tree).to_be_visible()
    tab_to("{ 2 members }")
    press("Space")
    expect(tree.get_by_text("answer: 42")).to_be_hidden()
    press("Shift+Tab")
    expect(tree).to_be_focused()

    tab_to(second)
    press("Tab")
    expect(visitor.button("Delete job 2")).to_be_focused()
    press("Enter")
    expect(visitor.button("Cancel")).to_be_focused()
    press("Enter")
    expect(visitor.button("Delete job 2")).to_be_focused()
    press("Space")
    press("Shift+Tab")
    expect(visitor.button("Delete job")).to_be_focused()
    press("Enter")
    expect(visitor.row(second)).to_have_count(0)
    expect(visitor.opener(missing)).to_be_focused()


def test_the_focus_is_seen(stack: Running, visit: Visit) -> None:
    """Each thing that the Tab key comes to has an outline."""
    visitor = visit(stack)
    outlines = []
    for _ in range(4):
        visitor.page.keyboard.press("Tab")
        outlines.append(
            visitor.page.evaluate(
                """() => {
                  const focused = document.activeElement;
                  const shown = focused.type === "file" ? focused.parentElement : focused;
                  return getComputedStyle(shown).outlineStyle;
                }"""
            )
        )
    assert outlines == ["solid"] * 4


def test_looking_does_not_move_the_focus(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """While a batch is watched, rows change under somebody who is in the middle of them."""
    urls = [fresh("/slow?seconds=2"), fresh("/slow?seconds=4"), fresh("/page/1")]
    visitor = visit(stack)
    visitor.submit(*urls)
    opener = visitor.opener(urls[1]).element_handle()
    opener.focus()
    visitor.see_finished(3)
    assert opener.evaluate("(opener) => document.activeElement === opener")


@pytest.mark.parametrize(("motion", "animation"), [("reduce", "none"), ("no-preference", "flow")])
def test_motion(stack: Running, visit: Visit, fresh: Fresh, motion: str, animation: str) -> None:
    """Nothing moves for those who want it so."""
    visitor = visit(stack, reduced_motion=motion)
    visitor.submit(fresh("/slow?seconds=2"))
    running = visitor.progress.locator(".running")
    expect(running).to_have_css("animation-name", animation)
