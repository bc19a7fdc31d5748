"""What the page is for, from pasting URLs to deleting the batch, in a browser and against the whole stack."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Visit
from tests.browser.contents import BUSY, site
from tests.e2e.running import Running

Fresh = Callable[[str], str]

LISTEN = """() => {
  window.heard = [];
  new MutationObserver(() => window.heard.push(document.getElementById("live").textContent))
    .observe(document.getElementById("live"), { childList: true, characterData: true, subtree: true });
}"""


def test_two_hundred_urls(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """Submitted, watched to the end, read: JSON, a text, an image; and why one failed."""
    data, text, image, missing = fresh("/data.json"), fresh("/page/1"), fresh("/image.png"), fresh("/missing")
    urls = [data, text, image, missing, data, *(fresh(f"/page/{n}") for n in range(195))]
    visitor = visit(stack)
    visitor.page.evaluate(LISTEN)
    visitor.paste(urls)
    expect(visitor.page.get_by_text("200 URLs", exact=True)).to_be_visible()
    visitor.submit_and_wait(*urls)

    expect(visitor.page.get_by_text("200 of 200 finished: 199 succeeded, 1 failed").first).to_be_visible()
    expect(
        visitor.page.get_by_role("status").get_by_text("The batch is finished: 199 succeeded, 1 failed.")
    ).to_have_count(1)
    assert len(visitor.page.evaluate("() => window.heard")) <= 5  # at most each quarter, and the end
    expect(visitor.row(missing)).to_contain_text("failed")
    expect(visitor.row(text)).to_contain_text("16 B")
    expect(visitor.row(text)).to_contain_text("new")
    expect(visitor.opener(data)).to_have_count(2)
    assert sorted(re.findall("new|reused", " ".join(visitor.row(data).all_inner_texts()))) == ["new", "reused"]

    panel = visitor.open(text)
    expect(panel.get_by_role("region", name="Result as text")).to_have_text("This is page 1.\n")
    panel = visitor.open(image)
    expect(panel.get_by_role("img", name=f"Image from {image}")).to_be_visible()
    expect(panel).to_contain_text("1 \N{MULTIPLICATION SIGN} 1 pixels")
    panel = visitor.open(missing)
    expect(panel.get_by_role("heading")).to_have_text("The site has no such page")
    expect(panel).to_contain_text("The site answered 404 Not Found. It was tried once.")
    expect(panel.get_by_role("region", name="What the site says")).to_have_text("There is no such page.\n")

    expect(visitor.rows).to_have_count(100)
    expect(visitor.page.get_by_text("Jobs 1 to 100 of 200")).to_be_visible()
    visitor.button("Next").click()
    expect(visitor.page.get_by_text("Jobs 101 to 200 of 200").first).to_be_visible()
    expect(visitor.opener(urls[199])).to_be_visible()
    expect(visitor.opener(urls[99])).to_have_count(0)
    visitor.button("Previous").click()
    expect(visitor.opener(urls[99])).to_be_visible()
    expect(visitor.opener(urls[100])).to_have_count(0)


def test_json_as_a_tree(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """It opens and closes, and is there as text too."""
    data = fresh("/data.json")
    visitor = visit(stack)
    visitor.submit_and_wait(data)
    panel = visitor.open(data)
    tree = panel.get_by_role("region", name="Result as a tree")
    expect(tree.get_by_text("answer: 42")).to_be_visible()
    tree.get_by_text("{ 2 members }").click()
    expect(tree.get_by_text("answer: 42")).to_be_hidden()
    panel.get_by_role("button", name="As text").click()
    expect(panel.get_by_role("region", name="Result as text")).to_have_text('{"answer": 42, "unit": "none"}\n')
    panel.get_by_role("button", name="As tree").click()
    expect(tree).to_be_visible()


def test_a_filter(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """Jobs of one status alone, and how many there are of each."""
    good, bad = fresh("/page/1"), fresh("/missing")
    visitor = visit(stack)
    visitor.submit_and_wait(good, bad)
    visitor.choice("Failed").click()
    expect(visitor.rows).to_have_count(1)
    expect(visitor.choice("Failed")).to_have_attribute("aria-pressed", "true")
    expect(visitor.row(bad)).to_be_visible()
    visitor.choice("Queued").click()
    expect(visitor.page.get_by_text("No job is queued.")).to_be_visible()
    visitor.choice("All").click()
    expect(visitor.rows).to_have_count(2)


def test_a_job_is_seen_to_run(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """A row changes while it is looked at, and what it has opened becomes the result."""
    slow = fresh("/slow?seconds=3")
    visitor = visit(stack)
    visitor.page.evaluate(LISTEN)
    visitor.submit(slow)
    expect(visitor.row(slow)).to_contain_text("running")
    expect(visitor.page).to_have_title("0/1 · Fetch Queue")
    panel = visitor.open(slow)
    expect(panel).to_contain_text("It is being fetched.")
    expect(panel.get_by_role("region", name="Result as text")).to_have_text("That took a while.\n")
    expect(visitor.row(slow)).to_contain_text("succeeded")
    expect(visitor.page).to_have_title("Fetch Queue")
    assert visitor.page.evaluate("() => window.heard") == ["The batch is finished: 1 succeeded."]


def test_jobs_that_wait_for_their_host(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """It is said for which one and until when, in the row and in what it opens; another host's job is not like that."""
    with site({}) as made:
        busy, good = made.page(BUSY), fresh("/page/1")
        visitor = visit(stack)
        visitor.submit(busy, good, f"{busy}?again")
        expect(visitor.page.get_by_text("1 of 3 finished: 1 succeeded; 2 wait for their host").first).to_be_visible()
        waits = f"waits for 127.0.0.1:{made.server_port} until"
        expect(visitor.row(busy).get_by_text(waits)).to_be_visible()
        expect(visitor.row(good)).not_to_contain_text("waits for")
        expect(visitor.open(busy)).to_contain_text(f"It {waits}")


def test_retry_the_failed_ones(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """They become a new batch, which is opened; the others are left alone."""
    late, missing, good = stack.page("/late/retried"), fresh("/missing"), fresh("/page/1")
    visitor = visit(stack)
    visitor.submit_and_wait(good, late, missing)
    first = visitor.page.url
    visitor.button("Retry 2 failed jobs").click()
    expect(visitor.page).not_to_have_url(first)
    visitor.see_finished(2)
    expect(visitor.row(late)).to_contain_text("succeeded")
    expect(visitor.row(missing)).to_contain_text("failed")
    retry = visitor.batch_id
    expect(visitor.listed(retry)).to_be_visible()
    visitor.page.get_by_text("Retry of").get_by_role("link").click()
    visitor.see_finished(3)
    expect(visitor.page).to_have_url(first)
    visitor.page.get_by_text("Retried as").get_by_role("link").click()
    visitor.see_finished(2)
    assert visitor.batch_id == retry


def test_retry_with_headers(stack: Running, visit: Visit) -> None:
    """The service has kept them; the page never sees a value."""
    late = stack.page("/late/headers")
    visitor = visit(stack)
    visitor.page.get_by_text("Options", exact=True).click()
    visitor.page.get_by_label("Headers, one a line").fill("Cookie: canary=1")
    visitor.submit_and_wait(late)
    expect(visitor.open(late).get_by_role("button", name="Retry this job")).to_have_count(0)
    visitor.button("Retry 1 failed job").click()
    expect(visitor.row(late)).to_contain_text("succeeded")
    expect(visitor.open(late)).to_contain_text("Cookie")
    assert "canary" not in visitor.page.content()


def test_retry_one(stack: Running, visit: Visit) -> None:
    """From where it says why it failed."""
    late, other = stack.page("/late/one"), stack.page("/late/other")
    visitor = visit(stack)
    visitor.submit_and_wait(late, other)
    visitor.open(late).get_by_role("button", name="Retry this job").click()
    visitor.see_finished(1)
    expect(visitor.row(late)).to_contain_text("succeeded")


def test_delete_one_job(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """After a question that Escape says no to; the batch counts without it."""
    first, second = fresh("/page/1"), fresh("/page/2")
    visitor = visit(stack)
    visitor.submit_and_wait(first, second)
    batch_id = visitor.batch_id
    delete = visitor.button("Delete job 1")
    delete.click()
    expect(visitor.page.get_by_role("dialog", name="Delete job 1?")).to_contain_text(first)
    visitor.page.keyboard.press("Escape")
    expect(visitor.row(first)).to_be_visible()
    expect(delete).to_be_focused()
    assert stack.ask("GET", f"/jobs/{batch_id}-0").status == 200
    delete.click()
    visitor.button("Delete job").click()
    expect(visitor.row(first)).to_have_count(0)
    expect(visitor.opener(second)).to_be_focused()
    visitor.see_finished(1)
    assert stack.ask("GET", f"/jobs/{batch_id}-0").status == 404
    assert stack.ask("GET", f"/jobs/{batch_id}-1").status == 200


def test_a_quick_hand(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """No, and then yes, before the browser has told of the first dialog's end: the yes counts."""
    first, second = fresh("/page/1"), fresh("/page/2")
    visitor = visit(stack)
    visitor.submit_and_wait(first, second)
    cancel = visitor.page.locator("#confirm-no").element_handle()
    visitor.button("Delete job 1").evaluate("(button, no) => { button.click(); no.click(); button.click(); }", cancel)
    visitor.button("Delete job").click()
    expect(visitor.row(first)).to_have_count(0)
    expect(visitor.row(second)).to_be_visible()


def test_delete_the_batch(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """All of it is gone, and it is no longer listed."""
    visitor = visit(stack)
    visitor.submit_and_wait(fresh("/page/1"), fresh("/page/2"))
    batch_id = visitor.batch_id
    visitor.button("Delete batch").click()
    dialog = visitor.page.get_by_role("dialog", name="Delete this batch?")
    expect(dialog).to_contain_text("Its 2 jobs")
    dialog.get_by_role("button", name="Cancel").click()
    expect(visitor.rows).to_have_count(2)
    visitor.button("Delete batch").click()
    dialog.get_by_role("button", name="Delete batch").click()
    expect(visitor.page.get_by_text("The batch is deleted.")).to_be_visible()
    expect(visitor.listed(batch_id)).to_have_count(0)
    assert stack.ask("GET", f"/batches/{batch_id}").status == 404


def test_batches_are_listed(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """Newest first, in any browser; a reload shows the open one. Nothing is kept in the browser."""
    visitor = visit(stack)
    visitor.submit_and_wait(fresh("/page/1"))
    first = visitor.batch_id
    visitor.submit_and_wait(fresh("/page/2"), fresh("/page/3"))
    second = visitor.batch_id
    visitor.page.reload()
    visitor.see_finished(2)
    expect(visitor.batches.first).to_have_attribute("aria-current", "true")
    expect(visitor.batches.first).to_have_attribute("href", f"#{second}")
    expect(visitor.batches.first).to_contain_text("2 jobs, all succeeded")
    visitor.batches.nth(1).click()
    visitor.see_finished(1)
    assert visitor.batch_id == first
    assert visitor.page.evaluate("() => localStorage.length") == 0
    another = visit(stack)
    expect(another.batches.first).to_contain_text("2 jobs")
    another.batches.first.click()
    another.see_finished(2)


def test_older_batches(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """Fifty are listed; a button shows more."""
    oldest = stack.ask("POST", "/batches", {"urls": [fresh("/page/1")]}).json["id"]
    for _ in range(50):
        stack.ask("POST", "/batches", {"urls": [stack.page("/page/1")]})
    visitor = visit(stack)
    expect(visitor.batches).to_have_count(50)
    expect(visitor.listed(oldest)).to_have_count(0)
    visitor.button("Older batches").click()
    expect(visitor.listed(oldest)).to_have_count(1)


def test_a_batch_that_is_gone_is_forgotten(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """Somebody else deleted it: it is said so, and it is no longer listed."""
    visitor = visit(stack, expects=["status of 404"])
    visitor.submit_and_wait(fresh("/page/1"))
    batch_id = visitor.batch_id
    assert stack.ask("DELETE", f"/batches/{batch_id}").status == 204
    visitor.page.reload()
    expect(visitor.page.get_by_text("This batch is gone: it was deleted, or it has expired.")).to_be_visible()
    expect(visitor.listed(batch_id)).to_have_count(0)


def test_rejected_urls(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """Each with its reason, beside a batch of the others; they can be put back to be mended."""
    visitor = visit(stack, expects=["status of 422"])
    good = fresh("/page/1")
    visitor.paste(["ftp://example.com/", good, "example.com"])
    visitor.button("Submit").click()
    expect(visitor.page.get_by_role("heading", name="2 URLs were not accepted")).to_be_visible()
    rejected = visitor.page.get_by_role("list", name="2 URLs were not accepted").get_by_role("listitem")
    expect(rejected).to_have_text(
        [re.compile("^ftp://example.com/The scheme must"), re.compile("^example.comA URL must begin")]
    )
    visitor.see_finished(1)
    visitor.button("Put back to mend").click()
    expect(visitor.urls).to_have_value("ftp://example.com/\nexample.com\n")
    expect(rejected).to_have_count(0)

    batch_id = visitor.batch_id
    visitor.button("Submit").click()  # now none is valid, which is another answer: 422
    expect(rejected).to_have_count(2)
    expect(visitor.page.get_by_role("heading", name="2 URLs were not accepted")).to_be_focused()
    assert visitor.batch_id == batch_id


def test_nothing_to_submit(stack: Running, visit: Visit) -> None:
    """It is said, and the field has the focus."""
    visitor = visit(stack)
    visitor.paste(["", "  "])
    visitor.button("Submit").click()
    expect(visitor.page.get_by_text("Give at least one URL.")).to_be_visible()
    expect(visitor.urls).to_be_focused()


def test_a_file(stack: Running, visit: Visit) -> None:
    """Chosen or dropped, its lines are added; what is no text is refused."""
    visitor = visit(stack)
    visitor.paste(["https://example.com/0"])
    visitor.page.get_by_label("From a file").set_input_files(
        {
            "name": "urls.txt",
            "mimeType": "text/plain",
            "buffer": b"https://example.com/1\r\n\r\n  https://example.com/2",
        }
    )
    expect(visitor.page.get_by_text("2 URLs from urls.txt.")).to_be_visible()
    expect(visitor.urls).to_have_value("https://example.com/0\nhttps://example.com/1\nhttps://example.com/2\n")
    expect(visitor.page.get_by_text("3 URLs", exact=True)).to_be_visible()

    dropped = visitor.page.evaluate_handle(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["https://example.com/3"], "more.txt", { type: "text/plain" }));
          return data;
        }"""
    )
    visitor.page.get_by_role("main").dispatch_event("drop", {"dataTransfer": dropped})
    expect(visitor.urls).to_have_value(re.compile("https://example.com/3\n$"))

    visitor.page.get_by_label("From a file").set_input_files(
        {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": b"\xff\xd8\xff\x00\x10"}
    )
    expect(visitor.page.get_by_text("photo.jpg is not a text file.")).to_be_visible()


def test_more_than_a_batch_holds(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """They go in parts of 1,000; a part whose answer was lost is sent again with its key, and not stored twice."""
    sent: list[tuple[str, int]] = []
    first, second = fresh("/page/1"), fresh("/page/2")
    urls = [first, *(f"ftp://example.com/{n}" for n in range(1198)), second]  # so that two jobs are all that is stored

    def lose_the_first_answer(route: Route) -> None:
        sent.append((route.request.headers["idempotency-key"], len(json.loads(route.request.post_data or "")["urls"])))
        if len(sent) == 1:
            route.fetch()
            route.abort("connectionreset")
        else:
            route.continue_()

    visitor = visit(stack, expects=["net::ERR_CONNECTION_RESET"])
    visitor.page.route("**/batches", lose_the_first_answer)
    visitor.paste(urls)
    expect(visitor.page.get_by_text("1,200 URLs, 2 batches")).to_be_visible()
    visitor.button("Submit").click()
    expect(visitor.page.get_by_text("2 URLs went into 2 batches.")).to_be_visible()
    expect(visitor.page.get_by_role("heading", name="1,198 URLs were not accepted")).to_be_visible()
    assert [count for _, count in sent] == [1000, 1000, 200]
    assert sent[0] == sent[1]
    assert sent[1][0] != sent[2][0]
    visitor.see_finished(1)
    expect(visitor.opener(first)).to_be_visible()
    visitor.batches.nth(0).click()
    expect(visitor.opener(second)).to_be_visible()
    visitor.see_finished(1)


@pytest.mark.parametrize("name", ["html", "svg"])
def test_a_fetched_script_does_not_run(stack: Running, visit: Visit, fresh: Fresh, name: str) -> None:
    """It is shown as text: no mark is set, no dialog comes, the title stays."""
    hostile = fresh(f"/script.{name}")
    visitor = visit(stack)
    visitor.submit_and_wait(hostile)
    panel = visitor.open(hostile)
    expect(panel.get_by_text("Shown as text")).to_be_visible()
    expect(panel.get_by_role("region", name="Result as text")).to_contain_text("window.scriptRan = true")
    assert visitor.page.evaluate("() => typeof window.scriptRan") == "undefined"
    expect(visitor.page).to_have_title("Fetch Queue")
    expect(visitor.page.locator("iframe, object, embed")).to_have_count(0)


def test_a_url_is_text(stack: Running, visit: Visit) -> None:
    """Whatever markup is in it, accepted or rejected."""
    markup = "<img src=x onerror=window.scriptRan=true>"
    with site({}) as made:
        hostile = made.page(f"/{markup}")
        visitor = visit(stack)
        visitor.paste([hostile, markup])
        visitor.button("Submit").click()
        visitor.see_finished(1)
        expect(visitor.opener(hostile)).to_be_visible()
        visitor.open(hostile)
        expect(visitor.page.get_by_role("heading", name="1 URL was not accepted")).to_be_visible()
        assert visitor.page.evaluate("() => typeof window.scriptRan") == "undefined"


def test_headers_and_a_reference(stack: Running, visit: Visit, fresh: Fresh) -> None:
    """They are in a fold; the site gets the headers, the job shows the reference and their names, never a value."""
    url = fresh("/headers")
    visitor = visit(stack)
    page = visitor.page
    expect(page.get_by_label("Reference: what you call these URLs")).to_be_hidden()
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Headers, one a line").fill("Accept-Language de")
    visitor.paste([url])
    visitor.button("Submit").click()
    expect(page.get_by_text('A header is like "Accept-Language: de". This is not: Accept-Language de')).to_be_visible()
    page.get_by_label("Headers, one a line").fill("Accept-Language: de\nCookie: canary=1")
    page.get_by_label("Reference: what you call these URLs").fill("order 7")
    visitor.submit_and_wait(url)
    panel = visitor.open(url)
    expect(panel).to_contain_text('Accept-Language: "de"')
    expect(panel).to_contain_text("order 7")
    expect(panel).to_contain_text("Accept-Language, Cookie")
    stored = page.evaluate("() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    assert "canary" not in stored
