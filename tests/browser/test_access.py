"""A service that wants a token, has a quota, or is away: what the page asks for and says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from playwright.sync_api import Route, expect

from tests.browser.conftest import Visit
from tests.e2e.running import Running

Fresh = Callable[[str], str]


def test_a_token_is_asked_for(closed: Running, visit: Visit, token: str) -> None:
    """When it is needed and not before; a wrong one again; then what was begun goes on."""
    visitor = visit(closed, expects=["status of 401"])
    dialog = visitor.page.get_by_role("dialog")
    expect(dialog).to_have_count(0)
    visitor.paste([closed.page("/page/1")])
    visitor.button("Submit").click()
    field = visitor.page.get_by_role("textbox", name="Access token")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("type", "password")
    field.fill("fq_000000000000_0000000000000000000000000000000000000000")
    visitor.button("Use it").click()
    expect(visitor.page.get_by_role("dialog", name="The service does not accept this token")).to_be_visible()
    expect(field).to_have_value("")
    field.fill(f"  {token} ")
    visitor.page.keyboard.press("Enter")
    visitor.see_finished(1)
    expect(dialog).to_have_count(0)


def test_the_token_is_kept_for_the_session_only(closed: Running, visit: Visit, token: str) -> None:
    """In sessionStorage and nowhere else: a reload needs none, another tab does, and it can be forgotten."""
    visitor = visit(closed, expects=["status of 401"])
    visitor.paste([closed.page("/page/2")])
    visitor.button("Submit").click()
    visitor.page.get_by_role("textbox", name="Access token").fill(token)
    visitor.button("Use it").click()
    visitor.see_finished(1)
    assert visitor.page.evaluate("() => Object.values(sessionStorage)") == [token]
    assert token not in visitor.page.evaluate("() => JSON.stringify(localStorage) + document.cookie + location.href")
    assert token not in visitor.page.content()
    assert visitor.context.cookies() == []
    visitor.page.reload()
    visitor.see_finished(1)

    another = visitor.new_tab()
    another.goto(visitor.page.url)
    expect(another.get_by_role("dialog", name="An access token is needed")).to_be_visible()

    visitor.button("Forget the token").click()
    assert visitor.page.evaluate("() => sessionStorage.length") == 0
    expect(visitor.button("Forget the token")).to_be_hidden()
    visitor.page.reload()
    expect(visitor.page.get_by_role("dialog", name="An access token is needed")).to_be_visible()


def test_no_token_is_given(closed: Running, visit: Visit, token: str) -> None:
    """It is said what is missing, nothing is lost, and it can be given later."""
    visitor = visit(closed, expects=["status of 401"])
    visitor.paste([closed.page("/page/3")])
    visitor.button("Submit").click()
    visitor.button("Cancel").click()
    expect(visitor.page.get_by_text("An access token is needed, and none was given.")).to_be_visible()
    expect(visitor.urls).to_have_value(closed.page("/page/3"))
    visitor.button("Submit").click()
    visitor.page.get_by_role("textbox", name="Access token").fill(token)
    visitor.button("Use it").click()
    visitor.see_finished(1)


def test_a_quota(closed: Running, visit: Visit, token: str) -> None:
    """What it is and when it goes on; what still fits can be sent."""
    visitor = visit(closed, expects=["status of 401", "status of 429"])
    urls = [closed.page(f"/page/quota-{n}") for n in range(20)]
    visitor.paste(urls[:15])
    visitor.button("Submit").click()
    visitor.page.get_by_role("textbox", name="Access token").fill(token)
    visitor.button("Use it").click()
    visitor.see_finished(15)
    visitor.paste(urls)
    visitor.button("Submit").click()
    note = visitor.page.get_by_role("status").filter(has_text="The quota is used up.")
    expect(note).to_contain_text("You may submit 20 URLs a day, of which 5 are left; this request has 20.")
    expect(note).to_contain_text(re.compile(r"Try again in \d"))
    expect(visitor.urls).to_have_value("\n".join(urls))
    visitor.submit_and_wait(*urls[15:])
    expect(note).to_be_hidden()


def test_a_service_that_is_away(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """503 with its Retry-After: said, waited for, and sent again with the same key."""
    keys: list[str] = []

    def away_once(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fulfill(status=503, headers={"Retry-After": "2"}, content_type="application/problem+json", body="{}")
        else:
            route.continue_()

    visitor = visit(stack, expects=["status of 503"])
    visitor.page.route("**/batches", away_once)
    visitor.paste([fresh("/page/1")])
    visitor.button("Submit").click()
    expect(visitor.page.get_by_text("The service cannot do this now. Trying again in 2 s.")).to_be_visible()
    visitor.see_finished(1)
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_what_was_not_sent_keeps_its_key(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """Whatever else is submitted meanwhile: so nothing that was sent already is submitted twice."""
    keys: list[str] = []
    refusal = {"type": "https://fetch-queue.dev/problems/quota-exceeded", "detail": "No URLs are left."}

    def refuse_once(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.fulfill(
                status=429,
                headers={"Retry-After": "3000"},
                content_type="application/problem+json",
                body=json.dumps(refusal),
            )
        else:
            route.continue_()

    visitor = visit(stack, expects=["status of 429"])
    missing = fresh("/missing")
    visitor.submit_and_wait(missing)
    first = visitor.page.url
    visitor.page.route("**/batches", refuse_once)
    later = fresh("/page/1")
    visitor.paste([later])
    visitor.button("Submit").click()
    expect(visitor.page.get_by_text("The quota is used up. No URLs are left.")).to_be_visible()
    visitor.open(missing).get_by_role("button", name="Retry this job").click()
    expect(visitor.page).not_to_have_url(first)
    visitor.button("Submit").click()
    expect(visitor.row(later)).to_contain_text("succeeded")
    assert keys[0] == keys[2]
    assert keys[1] != keys[0]


def test_watching_goes_on_after_trouble(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """It says why there is no news and when it looks again; a button looks at once."""
    visitor = visit(stack, expects=["status of 503", "status of 502"])
    slow = fresh("/slow?seconds=3")
    visitor.submit(slow)
    visitor.page.route(
        "**/batches/*", lambda route: route.fulfill(status=503, headers={"Retry-After": "50"}, body="not JSON")
    )
    expect(visitor.page.get_by_text("The service cannot do this now. Looking again in 50 s.")).to_be_visible()
    visitor.page.unroute("**/batches/*")
    visitor.button("Look again").click()
    visitor.see_finished(1)
    expect(visitor.page.get_by_text("The service cannot do this now.")).to_be_hidden()


def test_somebody_else_answers(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """A page to log in, where the service's answer should be: no riddle on the console, and watching goes on."""
    visitor = visit(stack)
    visitor.submit(fresh("/slow?seconds=3"))
    visitor.page.route("**/batches/*", lambda route: route.fulfill(content_type="text/html", body="<h1>Log in</h1>"))
    expect(visitor.page.get_by_text("Something else than the service has answered")).to_be_visible()
    visitor.page.unroute("**/batches/*")
    visitor.see_finished(1)


def test_offline(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """It is said; what was typed stays; back online the same press goes on, and watching by itself."""
    visitor = visit(stack, expects=["net::ERR_INTERNET_DISCONNECTED"])
    slow = fresh("/slow?seconds=4")
    visitor.paste([slow])
    visitor.context.set_offline(True)
    visitor.button("Submit").click()
    expect(visitor.page.get_by_text("This device is offline. Nothing is lost")).to_be_visible()
    expect(visitor.urls).to_have_value(slow)
    visitor.context.set_offline(False)
    visitor.button("Submit").click()
    expect(visitor.row(slow)).to_be_visible()
    visitor.context.set_offline(True)
    expect(visitor.page.get_by_text("This device is offline. Watching goes on when it is back.")).to_be_visible()
    visitor.context.set_offline(False)
    visitor.see_finished(1)
    expect(visitor.page.get_by_text("This device is offline.")).to_be_hidden()
    expect(visitor.listed(visitor.batch_id)).to_have_count(1)


def test_a_browser_that_keeps_nothing(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """Where storage is forbidden, everything but remembering works."""
    visitor = visit(stack)
    visitor.context.add_init_script(
        """for (const name of ["localStorage", "sessionStorage"])
             Object.defineProperty(window, name, { get() { throw new DOMException("no", "SecurityError"); } });"""
    )
    visitor.page.reload()
    visitor.submit_and_wait(fresh("/page/1"))


def test_batches_are_listed_for_who_has_a_token(closed: Running, visit: Visit, token: str) -> None:
    """Who comes without one is not asked before it is needed, and may give it."""
    visitor = visit(closed, expects=["status of 401"])
    expect(visitor.page.get_by_text("They are listed once you have given your access token.")).to_be_visible()
    expect(visitor.page.get_by_role("dialog")).to_have_count(0)
    visitor.button("Give it").click()
    visitor.page.get_by_role("textbox", name="Access token").fill(token)
    visitor.button("Use it").click()
    expect(visitor.page.get_by_text("They are listed once")).to_be_hidden()
    visitor.submit_and_wait(closed.page("/page/3"))
    batch_id = visitor.batch_id
    visitor.page.reload()
    expect(visitor.listed(batch_id)).to_be_visible()
    visitor.button("Forget the token").click()
    expect(visitor.page.get_by_text("They are listed once you have given your access token.")).to_be_visible()
    expect(visitor.batches).to_have_count(0)


def test_a_list_that_cannot_be_read(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """It is said so, and everything else works."""
    visitor = visit(stack, expects=["status of 503"])
    visitor.page.route("**/batches?*", lambda route: route.fulfill(status=503, headers={"Retry-After": "5"}, body=""))
    visitor.page.reload()
    expect(visitor.page.get_by_text("The service cannot do this now.")).to_be_visible()
    visitor.submit_and_wait(fresh("/page/1"))
    visitor.page.unroute("**/batches?*")
    visitor.button("Try again").click()
    expect(visitor.page.get_by_text("The service cannot do this now.")).to_be_hidden()
    expect(visitor.listed(visitor.batch_id)).to_be_visible()
