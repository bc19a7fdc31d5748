"""URLs with headers and references of their own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.jobs.submitted import RequestHeaders
from tests.world import HOUR, SECOND, World, failure

URL = "https://example.com/"
OTHER = "https://other.example/"
CANARY = "canary-7Q"
SECRET = {"Authorization": f"Bearer {CANARY}", "Accept-Language": "de"}


def told(answer: Any) -> tuple[int, list[tuple[str, str]]]:
    body = answer.json_body
    return answer.status_code, [(error["pointer"], error["detail"]) for error in body.get("errors", [])]


def everything(w: World) -> str:
    """All that the service has stored, sent, counted and logged."""
    bodies = [message["body"] for message in w.messages]
    return repr([w.items(), bodies, w.metrics])


def test_they_are_sent_to_the_site(w: World) -> None:
    """As they were given, with each attempt."""
    w.site.answers[URL] = [failure(503, retryable=True), b"at last"]
    answer = w.request("POST", "/jobs", {"url": URL, "headers": SECRET, "reference": "order 7"})
    assert answer.status_code == 202
    job = answer.json_body
    assert (job["reference"], job["header_names"]) == ("order 7", ["Accept-Language", "Authorization"])
    w.run()
    w.pass_time(10 * SECOND)
    w.run()
    assert w.site.sent[URL] == [RequestHeaders(SECRET)] * 2
    assert w.job(job["id"])["status"] == "succeeded"
    assert w.job(job["id"])["reference"] == "order 7"


def test_a_batch_has_defaults(w: World) -> None:
    """A URL's own win, by name; a plain text and an object may stand side by side."""
    urls = [URL, {"url": OTHER, "headers": {"accept-language": "fr"}, "reference": "b"}]
    batch = w.request("POST", "/batches", {"urls": urls, "headers": SECRET, "reference": "a"}).json_body
    assert [job["reference"] for job in batch["jobs"]] == ["a", "b"]
    w.run()
    assert w.site.sent[URL] == [RequestHeaders(SECRET)]
    assert w.site.sent[OTHER] == [RequestHeaders({**SECRET, "Accept-Language": "fr"})]
    page = w.request("GET", batch["links"]["self"]).json_body
    assert [job["header_names"] for job in page["jobs"]] == [
        ["Accept-Language", "Authorization"],
        ["accept-language", "Authorization"],
    ]
    lines = w.request("GET", f"{batch['links']['self']}/results").body.splitlines()
    assert [json.loads(line)["reference"] for line in lines] == ["a", "b"]


def test_the_same_url_with_other_headers_is_another_request(w: World) -> None:
    """With the same ones it is reused, whatever the case of their names."""

    def submit(headers: dict[str, str]) -> Any:
        job = w.request("POST", "/jobs", {"url": URL, "headers": headers}).json_body
        w.run()
        return w.job(job["id"])

    jobs = [submit({"Accept": "a"}), submit({"Accept": "b"}), submit({}), submit({"accept": "a"})]
    assert [job["reused"] for job in jobs] == [False, False, False, True]
    assert w.site.requests[URL] == 3
    w.pass_time(HOUR)
    assert submit({"Accept": "a"})["reused"] is False


def test_who_gives_none_is_shown_none(w: World) -> None:
    """Not even that there could be some."""
    for body in ({"url": URL}, {"url": URL, "headers": {}}, {"url": URL, "headers": None, "reference": None}):
        job = w.request("POST", "/jobs", body).json_body
        assert not {"reference", "header_names"} & job.keys()


@pytest.mark.parametrize("ends_well", [True, False])
def test_values_are_nowhere_once_they_were_used(w: World, caplog: pytest.LogCaptureFixture, ends_well: bool) -> None:
    """A failed fetch keeps them, for another try; a job has them no more when its fetch does."""
    w.site.answers[URL] = [b"found"] if ends_well else [failure(404)]
    answers = []

    def ask(method: str, path: str, body: Any = None) -> Any:
        answer = w.request(method, path, body)
        answers.append(repr((answer.body, answer.headers)))
        return answer.json_body

    batch = ask("POST", "/batches", {"urls": [URL, URL], "headers": SECRET})
    alone = ask("POST", "/jobs", {"url": URL, "headers": SECRET})
    assert CANARY in repr(w.items())
    messages = w.receive()
    assert CANARY not in repr(messages)
    w.deliver(messages)
    late = ask("POST", "/jobs", {"url": URL, "headers": SECRET})
    w.run()
    for job_id in (alone["id"], late["id"]):
        ask("GET", f"/jobs/{job_id}")
    ask("GET", batch["links"]["self"])
    answers.append(repr(w.request("GET", f"{batch['links']['self']}/results").body))
    stored = {key: item for key, item in w.items().items() if CANARY in repr(item)}
    assert all(key.startswith("FETCH#") and item["status"] == "failed" for key, item in stored.items())
    assert (stored == {}) == ends_well
    assert CANARY not in "".join(answers) + caplog.text + repr(w.metrics)
    assert not any(CANARY in repr(vars(record)) for record in caplog.records)
    for job_id in (alone["id"], late["id"]):
        w.request("DELETE", f"/jobs/{job_id}")
    w.request("DELETE", batch["links"]["self"])
    assert CANARY not in everything(w)


def test_a_job_that_is_deleted_before_it_begins_leaves_nothing(w: World) -> None:
    """Its mark has no headers."""
    job = w.request("POST", "/jobs", {"url": URL, "headers": SECRET}).json_body
    w.request("DELETE", f"/jobs/{job['id']}")
    assert CANARY not in everything(w)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": URL, "headers": {"Host": "x"}}, "/headers/Host"),
        ({"url": URL, "headers": {"a/b": "x"}}, "/headers/a~1b"),
        ({"url": URL, "headers": {"X": f"{CANARY}\r\nY: z"}}, "/headers/X"),
        ({"url": URL, "headers": {"A": "1", "X": 1}}, "/headers/X"),
        ({"url": URL, "headers": {"X": None}}, "/headers/X"),
        ({"url": URL, "headers": []}, "/headers"),
        ({"url": URL, "headers": {f"X-{n}": "v" for n in range(33)}}, "/headers"),
        ({"url": URL, "reference": ""}, "/reference"),
        ({"url": URL, "reference": 7}, "/reference"),
        ({"url": URL, "reference": "a\nb"}, "/reference"),
        ({"url": URL, "referer": "a"}, "/referer"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(w: World, body: dict[str, Any], pointer: str) -> None:
    """Alone, in a batch's object, and as a batch's default; nothing is stored, and no value is repeated."""
    given = {"/jobs": [(body, pointer)], "/batches": [({"urls": [URL, body]}, f"/urls/1{pointer}")]}
    if pointer != "/referer":
        defaults = {name: value for name, value in body.items() if name != "url"}
        given["/batches"].append(({"urls": [URL], **defaults}, pointer))
    for path, bodies in given.items():
        for sent, where in bodies:
            answer = w.request("POST", path, sent)
            status, errors = told(answer)
            assert (status, [at for at, _ in errors]) == (422, [where])
            assert CANARY not in answer.body.decode()
    assert w.items() == {}


@pytest.mark.parametrize("urls", [[1], [None], [["a"]], [{"url": 1}], [{}], [{"urls": [URL]}]])
def test_what_is_no_url_of_a_batch(w: World, urls: list[Any]) -> None:
    """The answer says which it is, and what would do."""
    status, ((pointer, detail),) = told(w.request("POST", "/batches", {"urls": [URL, *urls]}))
    assert status == 422
    assert pointer.startswith("/urls/1")
    assert "`" not in detail


def test_a_repeat_with_a_key_has_the_same_headers(w: World) -> None:
    """Or it is another submission; also when the values are gone from the table."""

    def submit(**more: Any) -> int:
        status: int = w.request("POST", "/jobs", {"url": URL, **more}, {"Idempotency-Key": "k"}).status_code
        return status

    assert submit(headers=SECRET, reference="a") == 202
    w.run()
    assert submit(headers=SECRET, reference="a") == 202
    assert submit(headers={**SECRET, "Accept-Language": "fr"}, reference="a") == 422
    assert submit(headers=SECRET, reference="b") == 422
    assert submit(reference="a") == 422
    assert submit() == 422


def test_a_repeat_of_a_batch_has_the_same_headers(w: World) -> None:
    """The digest of what was submitted covers them."""

    def submit(urls: list[Any], **more: Any) -> int:
        status: int = w.request("POST", "/batches", {"urls": urls, **more}, {"Idempotency-Key": "k"}).status_code
        return status

    assert submit([URL, {"url": OTHER}]) == 202
    assert submit([URL, OTHER]) == 202
    assert submit([URL, OTHER], headers=SECRET) == 422
    assert submit([URL, OTHER], reference="a") == 422
    assert submit([URL, {"url": OTHER, "headers": {"A": "1"}}]) == 422


def test_a_batchs_digest_lets_no_value_be_guessed(w: World) -> None:
    """Without the service's key the same headers have another digest."""
    digests = []
    for key in ("one", "another"):
        w.settings = w.given = replace(w.settings, service_key=key)
        w.reset()
        batch = w.request("POST", "/batches", {"urls": [URL], "headers": SECRET}).json_body
        items = w.items()
        digests.append((items[f"BATCH#{batch['id']}"]["digest"], items[f"JOB#{batch['id']}-0"]["url_key"]))
    assert digests[0][0] != digests[1][0]
    assert digests[0][1] != digests[1][1]


def test_an_older_worker_leaves_what_it_does_not_understand(w: World) -> None:
    """It would ask for the URL without its headers."""
    w.request("POST", "/jobs", {"url": URL, "headers": SECRET})
    w.request("POST", "/jobs", {"url": OTHER})
    assert sorted(json.loads(message["body"])["v"] for message in w.receive()) == [1, 2]
