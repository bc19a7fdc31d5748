"""Webhooks from their submission to their delivery, as a client and a receiver see them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks.webhooks as reference
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from chalicelib.jobs.webhooks import MOST_TRIES
from chalicelib.runner.deliver import RECEIVER_PARALLEL
from chalicelib.runner.poster import Reply
from chalicelib.storage.queue import MAX_DELAY_SECONDS, DeliverMessage, Message, WatchMessage
from tests.test_faults import answered, error
from tests.world import DAY, HOUR, MINUTE, SECOND, START, World, failure

URL, OTHER, BAD = "https://a.example/", "https://b.example/", "https://bad.example/"
HOOK = "https://told.example/hook"
CANARY = "canary-7Q"
SECRET = {"Authorization": f"Bearer {CANARY}"}


def submit(w: World, **body: Any) -> dict[str, Any]:
    """A submission that is accepted."""
    path = "/batches" if "urls" in body else "/jobs"
    answer = w.request("POST", path, {"webhook": HOOK, **body})
    assert answer.status_code == 202, answer.body
    accepted: dict[str, Any] = answer.json_body
    return accepted


def webhook_of(w: World, path: str) -> Any:
    """What is shown of a webhook."""
    return w.request("GET", path).json_body.get("webhook")


def secret_of(w: World, **headers: str) -> str:
    """The tenant's secret."""
    text: str = w.request("GET", "/webhook-secret", headers=headers).json_body["secret"]
    return text


def settle(w: World, ms: int = MINUTE) -> None:
    """Fetch what there is, and let the webhooks' function work for so long."""
    w.run()
    w.run_webhooks_until(ms)


@pytest.fixture
def frozen(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard's library lives in the world's time."""

    class Frozen(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.fromtimestamp(w.now / 1000, tz=UTC)

    monkeypatch.setattr(reference, "datetime", Frozen)


def test_a_job(w: World) -> None:
    """It is told once that it is finished, with what it brought."""
    job = submit(w, url=URL, reference="order 7")
    assert job["webhook"] == {
        "url": HOOK,
        "status": "waiting",
        "tries": 0,
        "last_status": None,
        "next_try_at": None,
    }
    settle(w)
    (told,) = w.receiver.told
    shown = w.job(job["id"])
    assert (told.url, told.id) == (HOOK, f"evt_{job['id']}")
    assert told.event["type"] == "job.finished"
    assert told.event["data"] == {
        **{name: shown[name] for name in ("id", "batch_id", "url", "status", "submitted_at", "finished_at")},
        **{name: shown[name] for name in ("reference", "attempts", "error")},
        "result": {
            name: shown["result"][name] for name in ("content_type", "size", "sha256", "http_status", "final_url")
        },
    }
    assert shown["webhook"] == {
        "url": HOOK,
        "status": "delivered",
        "tries": 1,
        "last_status": 200,
        "next_try_at": None,
    }


def test_a_failed_job(w: World) -> None:
    """Its error is told without the site's own words."""
    w.site.answers[BAD] = [failure(404, excerpt="words")]
    submit(w, url=BAD)
    settle(w)
    (told,) = w.receiver.told
    data = told.event["data"]
    assert (data["status"], data["result"]) == ("failed", None)
    assert data["error"] == {"type": "http-status", "detail": "The site answered 404.", "http_status": 404}


def test_a_batch_is_one_event(w: World) -> None:
    """When all of it is finished, and not before."""
    w.site.answers[BAD] = [failure(503, retryable=True), failure(404)]
    batch = submit(w, urls=[URL, BAD, OTHER])
    path = batch["links"]["self"]
    settle(w, 10 * SECOND)
    assert (w.receiver.told, webhook_of(w, path)["status"]) == ([], "waiting")
    settle(w)
    (told,) = w.receiver.told
    assert (told.id, told.event["type"]) == (f"evt_{batch['id']}", "batch.finished")
    finished = max(w.job(f"{batch['id']}-{n}")["finished_at"] for n in range(3))
    assert told.event["data"] == {
        "id": batch["id"],
        "submitted_at": batch["submitted_at"],
        "finished_at": finished,
        "total": 3,
        "counts": {"succeeded": 2, "failed": 1},
    }
    assert webhook_of(w, path)["status"] == "delivered"
    assert "webhook" not in w.request("GET", path).json_body["jobs"][0]


def test_each_job_of_a_batch(w: World) -> None:
    """Failures too, and the batch last."""
    w.site.answers[BAD] = [failure(404)]
    batch = submit(w, urls=[URL, BAD, OTHER], webhook={"url": HOOK, "each": True})
    settle(w)
    ids = [f"evt_{batch['id']}-{n}" for n in range(3)] + [f"evt_{batch['id']}"]
    assert sorted(told.id for told in w.receiver.told) == sorted(ids)
    statuses = {told.event["data"]["id"]: told.event["data"].get("status") for told in w.receiver.told}
    assert statuses[f"{batch['id']}-1"] == "failed"
    assert webhook_of(w, f"/jobs/{batch['id']}-0")["status"] == "delivered"


def test_a_job_of_a_batch_shows_its_batchs_webhook(w: World) -> None:
    """Before it is finished too."""
    batch = submit(w, urls=[URL], webhook={"url": HOOK, "each": True})
    assert webhook_of(w, f"/jobs/{batch['id']}-0")["status"] == "waiting"


def test_a_long_batch_is_walked_by_pages(w: World) -> None:
    """Each page once, whatever is behind it."""
    urls = [f"{URL}{n}" for n in range(110)]
    batch = submit(w, urls=urls, webhook={"url": HOOK, "each": True})
    w.run()
    with w.counted_calls() as calls:
        w.run_webhooks_until(MINUTE)
    assert len(w.receiver.told) == len({told.id for told in w.receiver.told}) == 111
    assert w.receiver.told[-1].event["data"]["counts"] == {"succeeded": 110, "failed": 0}
    assert calls["UpdateItem"] == 2 * 111
    assert w.request("GET", f"/jobs/{batch['id']}-109").json_body["webhook"]["tries"] == 1


@pytest.mark.parametrize("age", [1, 49, 50, 95, 99])
def test_a_batch_is_told_within_ten_seconds_of_its_end(w: World, age: int) -> None:
    """If it takes less than a hundred."""
    batch = submit(w, urls=[f"{URL}{n}" for n in range(20)])
    records = w.receive()
    w.deliver(records[:10])
    w.run_webhooks_until(age * SECOND)
    assert w.receiver.told == []
    w.deliver(records[10:])
    done = w.now
    while not w.receiver.told:
        w.run_webhooks_until(SECOND)
    assert w.now - done <= 10 * SECOND
    w.run_webhooks_until(MINUTE)
    (told,) = w.receiver.told
    assert told.event["data"]["total"] == 20
    assert told.id == f"evt_{batch['id']}"


def test_repeats_that_are_finished_at_once(w: World) -> None:
    """They joined at submission; nothing is left to wait for."""
    w.submit(URL)
    w.run()
    submit(w, url=URL)
    submit(w, urls=[URL, URL])
    w.run_webhooks()
    assert [told.event["type"] for told in w.receiver.told] == ["job.finished", "batch.finished"]


def test_the_standards_library_accepts_it(w: World, frozen: None) -> None:
    """And refuses a changed byte, an old time, and another's secret."""
    submit(w, url=URL)
    settle(w)
    (told,) = w.receiver.told
    w.now -= MINUTE
    verifier = Webhook(secret_of(w))
    assert verifier.verify(told.body, dict(told.headers)) == told.event
    with pytest.raises(WebhookVerificationError):
        verifier.verify(told.body.replace(b"succeeded", b"succeedeD"), dict(told.headers))
    w.pass_time(6 * MINUTE)
    with pytest.raises(WebhookVerificationError):
        verifier.verify(told.body, dict(told.headers))


def test_two_signatures_while_a_secret_changes(w: World, frozen: None) -> None:
    """Receivers that know the old one or the new one accept it, for a day."""
    old = secret_of(w)
    answer = w.request("POST", "/webhook-secret")
    new = answer.json_body["secret"]
    assert old != new == secret_of(w)
    assert answer.json_body["old_secret_until"] == "2026-01-02T00:00:00.000Z"
    submit(w, url=URL)
    settle(w, 10 * SECOND)
    for secret in (old, new):
        Webhook(secret).verify(w.receiver.told[0].body, dict(w.receiver.told[0].headers))
    w.pass_time(DAY)
    submit(w, url=OTHER)
    settle(w, 10 * SECOND)
    Webhook(new).verify(w.receiver.told[1].body, dict(w.receiver.told[1].headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(w.receiver.told[1].body, dict(w.receiver.told[1].headers))
    assert w.request("GET", "/webhook-secret").json_body["old_secret_until"] is None


def test_no_secret_is_stored_or_logged(w: World) -> None:
    """A number is, once it was renewed."""
    secrets = [secret_of(w)]
    assert not any(key.startswith("SECRET#") for key in w.items())
    secrets.append(w.request("POST", "/webhook-secret").json_body["secret"])
    stored = w.items()["SECRET#local"]
    assert stored["generation"] == 1
    assert not any(secret[6:30] in repr([w.items(), w.metrics]) for secret in secrets)


def test_it_is_tried_again(w: World) -> None:
    """500, 500, 200: three tries of one event, with the same body and another time."""
    w.receiver.answers[HOOK] = [Reply(status=500), Reply(status=500), Reply(status=200)]
    job = submit(w, url=URL)
    settle(w, 10 * SECOND)
    shown = webhook_of(w, f"/jobs/{job['id']}")
    assert (shown["status"], shown["tries"], shown["last_status"]) == ("pending", 2, 500)
    assert shown["next_try_at"] == "2026-01-01T00:05:10.000Z"
    settle(w, 5 * MINUTE)
    assert len({(told.id, told.body) for told in w.receiver.told}) == 1
    times = [int(told.headers["webhook-timestamp"]) for told in w.receiver.told]
    assert [later - times[0] for later in times] == [0, 5, 305]
    assert webhook_of(w, f"/jobs/{job['id']}")["status"] == "delivered"


def test_it_fails_in_the_end(w: World) -> None:
    """After a day and some hours, by copies that never wait longer than a queue lets them."""
    w.receiver.answers[HOOK] = [Reply(status=None)]
    job = submit(w, url=URL)
    settle(w, 2 * DAY)
    times = [int(told.headers["webhook-timestamp"]) for told in w.receiver.told]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses == [5, 300, 1800, 7200, 18_000, 36_000, 36_000]
    shown = webhook_of(w, f"/jobs/{job['id']}")
    assert (shown["status"], shown["tries"], shown["last_status"]) == ("failed", MOST_TRIES, None)
    assert "Undelivered" in "".join(w.metrics)
    assert not w.receive_webhooks()


def test_retry_after(w: World) -> None:
    """A receiver may ask for more time."""
    w.receiver.answers[HOOK] = [Reply(status=429, retry_after=3600.0), Reply(status=200)]
    submit(w, url=URL)
    settle(w, HOUR)
    assert len(w.receiver.told) == 1
    settle(w, MINUTE)
    assert len(w.receiver.told) == 2


def test_gone_ends_it(w: World) -> None:
    w.receiver.answers[HOOK] = [Reply(status=410)]
    job = submit(w, url=URL)
    settle(w, 2 * DAY)
    assert len(w.receiver.told) == 1
    assert webhook_of(w, f"/jobs/{job['id']}")["status"] == "ended"


@pytest.mark.parametrize("status", [200, 410, 500])
def test_sending_again(w: World, status: int) -> None:
    """The same event, whatever became of it."""
    w.receiver.answers[HOOK] = [Reply(status=status), Reply(status=204)]
    job, batch = submit(w, url=URL), submit(w, urls=[OTHER])
    w.run()
    w.run_webhooks_until(9 * SECOND)
    for path in (f"/jobs/{job['id']}/webhook", f"/batches/{batch['id']}/webhook"):
        w.receiver.told.clear()
        answer = w.request("POST", path, {})
        assert (answer.status_code, answer.json_body["status"]) == (202, "pending")
        w.run_webhooks_until(3 * SECOND)
        assert len({(told.id, told.body) for told in w.receiver.told}) == 1
        assert webhook_of(w, path.removesuffix("/webhook"))["status"] == "delivered"


def test_there_is_nothing_to_send(w: World) -> None:
    """No webhook, not finished, or another's: what is wrong is said, but for the last."""
    plain, waiting = w.submit(OTHER)["id"], submit(w, url=URL)["id"]
    for job_id, word in ((plain, "without a webhook"), (waiting, "not finished")):
        answer = w.request("POST", f"/jobs/{job_id}/webhook")
        assert (answer.status_code, answer.json_body["type"].rpartition("/")[2]) == (409, "nothing-to-send")
        assert word in answer.json_body["detail"]
    assert w.request("POST", f"/jobs/{'0' * 32}/webhook").status_code == 404
    assert w.request("POST", f"/batches/{'0' * 32}/webhook").status_code == 404


@pytest.mark.parametrize("path", ["/webhook-secret", f"/jobs/{'0' * 32}/webhook", f"/batches/{'0' * 32}/webhook"])
def test_a_page_of_another_origin_cannot_ask_for_it(w: World, path: str) -> None:
    """Its browser says where the page came from."""
    assert w.request("POST", path, headers={"Origin": "https://evil.example.com"}).status_code == 421
    assert w.request("POST", path, {"force": True}).status_code == 422


@pytest.mark.parametrize(
    ("webhook", "pointer"),
    [
        ("http://told.example/", "/webhook"),
        ("https://10.0.0.1/", "/webhook"),
        ("", "/webhook"),
        (5, "/webhook"),
        ({"url": "http://told.example/"}, "/webhook/url"),
        ({"url": HOOK, "each": "yes"}, "/webhook/each"),
        ({"url": HOOK, "every": True}, "/webhook/every"),
        ({}, "/webhook"),
    ],
)
def test_what_is_no_webhook(w: World, webhook: Any, pointer: str) -> None:
    """Nothing is stored, and the answer points at it."""
    for path, body in (("/jobs", {"url": URL}), ("/batches", {"urls": [URL]})):
        answer = w.request("POST", path, {**body, "webhook": webhook})
        assert answer.status_code == 422
        assert answer.json_body["errors"][0]["pointer"] == pointer
    assert w.items() == {}


def test_a_url_of_a_batch_has_no_webhook(w: World) -> None:
    answer = w.request("POST", "/batches", {"urls": [{"url": URL, "webhook": HOOK}]})
    assert (answer.status_code, answer.json_body["errors"][0]["pointer"]) == (422, "/urls/0/webhook")


def test_a_key_stands_for_the_webhook_too(w: World) -> None:
    """A replay is told once; another webhook is another body."""
    key = {"Idempotency-Key": "k"}
    for path, body in (("/jobs", {"url": URL}), ("/batches", {"urls": [OTHER]})):
        first = w.request("POST", path, {**body, "webhook": HOOK}, key)
        w.run()
        again = w.request("POST", path, {**body, "webhook": HOOK}, key)
        assert (again.status_code, again.json_body["id"]) == (202, first.json_body["id"])
        for other in ({}, {"webhook": f"{HOOK}2"}):
            assert w.request("POST", path, {**body, **other}, key).status_code == 422
        w.run_webhooks_until(MINUTE)
        done = w.request("POST", path, {**body, "webhook": HOOK}, key)
        assert done.json_body["webhook"]["status"] == "delivered"
    w.run_webhooks_until(MINUTE)
    assert len(w.receiver.told) == 2


def test_who_uses_none_pays_nothing(w: World) -> None:
    """No call, no message and no member more than before there were webhooks."""

    def made(act: Callable[[], Any]) -> tuple[Any, dict[str, int]]:
        with w.counted_calls() as calls:
            answer = act()
        return answer, dict(calls)

    job, calls = made(lambda: w.submit(URL))
    assert calls == {"BatchGetItem": 1, "PutItem": 1, "SendMessageBatch": 1}
    batch, calls = made(lambda: w.submit_batch([OTHER, URL]))
    assert calls == {"BatchGetItem": 1, "BatchWriteItem": 1, "PutItem": 1, "SendMessageBatch": 1, "UpdateItem": 1}
    w.run()
    assert made(lambda: w.job(job["id"]))[1] == {"BatchGetItem": 1, "GetItem": 1}
    assert made(lambda: w.request("GET", batch["links"]["self"]))[1] == {"BatchGetItem": 2, "GetItem": 1}
    assert "webhook" not in repr([job, batch, w.items()])
    deleted = made(lambda: w.request("DELETE", f"/jobs/{job['id']}"))
    assert deleted[1] == {"BatchGetItem": 2, "TransactWriteItems": 1}
    assert w.receive_webhooks() == []


@pytest.mark.parametrize("finished", [False, True])
def test_a_delete_ends_its_event(w: World, finished: bool) -> None:
    """Nothing of it is kept, and nothing more is sent."""
    w.receiver.answers[HOOK] = [Reply(status=500)]
    job = submit(w, url=URL)
    batch = submit(w, urls=[OTHER, BAD], webhook={"url": HOOK, "each": True})
    if finished:
        settle(w, 10 * SECOND)
        assert w.receiver.told
    w.receiver.told.clear()
    for path in (f"/jobs/{job['id']}", f"/batches/{batch['id']}"):
        assert w.request("DELETE", path).status_code == 204
    assert not any(key.startswith("EVENT#") for key in w.items())
    settle(w, 2 * DAY)
    assert w.receiver.told == []
    assert not any(key.startswith("EVENT#") for key in w.items())


def test_a_job_of_a_batch_that_is_deleted_is_not_counted(w: World) -> None:
    batch = submit(w, urls=[URL, OTHER])
    assert w.request("DELETE", f"/jobs/{batch['id']}-0").status_code == 204
    settle(w)
    (told,) = w.receiver.told
    assert (told.event["data"]["total"], told.event["data"]["counts"]["succeeded"]) == (1, 1)


def test_what_expires_is_not_told(w: World) -> None:
    """Its job can be read no more."""
    w.receiver.answers[HOOK] = [Reply(status=500)]
    submit(w, url=URL)
    settle(w)
    w.receiver.told.clear()
    w.pass_time(8 * DAY)
    w.run_webhooks()
    assert w.receiver.told == []
    assert not any(key.startswith("EVENT#") for key in w.items())


def test_headers_are_told_nobody(w: World) -> None:
    """Neither the receiver, nor the queue, nor the log."""
    w.site.answers[BAD] = [failure(404)]
    submit(w, url=URL, headers=SECRET)
    submit(w, urls=[OTHER, BAD], headers=SECRET, webhook={"url": HOOK, "each": True})
    settle(w)
    events = {key: item for key, item in w.items().items() if key.startswith("EVENT#")}
    assert len(w.receiver.told) == len(events) == 4
    assert CANARY not in repr([w.receiver.told, events, w.messages, w.metrics])


def test_another_tenant_sees_and_sends_nothing(w: World) -> None:
    """Nor can it guess the secret: its own is another one."""
    w.settings = replace(w.settings, require_tokens=1)
    w.wire()
    mine, yours = ({"Authorization": f"Bearer {w.grant(tenant)}"} for tenant in ("mine", "yours"))
    job = w.request("POST", "/jobs", {"url": URL, "webhook": HOOK}, mine).json_body
    batch = w.request("POST", "/batches", {"urls": [OTHER], "webhook": HOOK}, mine).json_body
    settle(w)
    assert len(w.receiver.told) == 2
    for path in (f"/jobs/{job['id']}", f"/batches/{batch['id']}"):
        assert w.request("GET", path, headers=yours).status_code == 404
        assert w.request("POST", f"{path}/webhook", None, yours).status_code == 404
        assert w.request("POST", f"{path}/webhook", None, mine).status_code == 202
    secrets = {secret_of(w, **who) for who in (mine, yours)}
    w.request("POST", "/webhook-secret", None, yours)
    assert secret_of(w, **mine) in secrets
    assert secret_of(w, **yours) not in secrets
    assert w.request("GET", "/webhook-secret").status_code == 401


def test_ten_that_sleep_hold_up_nobody(w: World) -> None:
    """A few tries at once at one receiver; the others come back, and that costs them no try."""
    batch = submit(w, urls=[f"{URL}{n}" for n in range(9)], webhook={"url": HOOK, "each": True})
    w.run()
    records: list[dict[str, Any]] = []
    while len(records) < 10:
        fresh = w.receive_webhooks()
        records += [each for each in fresh if "deliver" in each["body"]]
        w.deliver_webhooks([each for each in fresh if "deliver" not in each["body"]])
        w.pass_time(SECOND)

    def sleep(_: str) -> None:
        """While one receiver sleeps, the next message comes."""
        if len(w.receiver.told) < RECEIVER_PARALLEL:
            w.deliver_webhooks(records[len(w.receiver.told) : len(w.receiver.told) + 1])
        else:
            w.receiver.during = None
            w.deliver_webhooks(records[RECEIVER_PARALLEL:])

    w.receiver.during = sleep
    w.deliver_webhooks(records[:1])
    assert len(w.receiver.told) == RECEIVER_PARALLEL
    tries = [item["tries"] for key, item in w.items().items() if key.startswith(f"EVENT#{batch['id']}")]
    assert sorted(tries) == [0] * (10 - RECEIVER_PARALLEL) + [1] * RECEIVER_PARALLEL
    w.run_webhooks_until(10 * SECOND)
    assert len(w.receiver.told) == len({told.id for told in w.receiver.told}) == 10


def test_duplicates_of_messages_change_nothing(w: World) -> None:
    """SQS delivers at least once, and in any order."""
    job, batch = submit(w, url=URL), submit(w, urls=[OTHER])
    bodies = [WatchMessage("job", job["id"], START).body(), WatchMessage("batch", batch["id"], START).body()]
    settle(w)
    stored = w.items()
    bodies += [DeliverMessage("job", job["id"]).body(), DeliverMessage("batch", batch["id"]).body()]
    for body in bodies:
        w.clients["sqs"].send_message(QueueUrl=w.names["WEBHOOK_QUEUE_URL"], MessageBody=body)
    w.run_webhooks_until(MINUTE)
    assert len(w.receiver.told) == 2
    assert w.items() == stored


def test_dead_letters_go_back(w: World) -> None:
    """While what they are about is there; a receiver's trouble is no reason to forget an event."""
    job, gone = submit(w, url=URL), submit(w, url=OTHER)
    w.run()
    w.request("DELETE", f"/jobs/{gone['id']}")
    w.pass_time(5 * SECOND)
    lost = w.receive_webhooks()
    assert len(lost) == 2
    for record in lost:
        w.clients["sqs"].send_message(QueueUrl=w.names["DEAD_LETTER_QUEUE_URL"], MessageBody=record["body"])
    w._acknowledge(lost)
    w.deliver(w.receive_dead_letters(), dead_letters=True)
    w.run_webhooks_until((MAX_DELAY_SECONDS - 1) * SECOND)
    assert w.receiver.told == []
    w.run_webhooks_until(SECOND)
    assert [told.id for told in w.receiver.told] == [f"evt_{job['id']}"]


def test_a_batch_that_was_never_accepted_is_not_told(w: World) -> None:
    """Who stores it died after the message; it is watched while somebody may still accept it."""
    table: Any = w.service.table
    table.accept_batch = lambda batch: False
    answer = w.request("POST", "/batches", {"urls": [URL], "webhook": HOOK}, {"Idempotency-Key": "k"})
    assert answer.status_code == 409
    del table.accept_batch
    w.run()
    w.run_webhooks_until(HOUR)
    assert (w.receiver.told, w.receive_webhooks()) == ([], [])
    assert w.request("POST", "/batches", {"urls": [URL], "webhook": HOOK}, {"Idempotency-Key": "k"}).status_code == 202
    w.run_webhooks_until(MINUTE)
    assert len(w.receiver.told) == 1


def test_a_queue_that_is_away_is_said_so(w: World) -> None:
    """503, and the same request again is told once."""
    queue: Any = w.service.webhook_queue
    real = queue.send_later
    queue.send_later = lambda copies: w.service.webhook_queue.hide("none", 0)
    key = {"Idempotency-Key": "k"}
    assert w.request("POST", "/jobs", {"url": URL, "webhook": HOOK}, key).status_code == 503
    queue.send_later = real
    assert w.request("POST", "/jobs", {"url": URL, "webhook": HOOK}, key).status_code == 202
    settle(w)
    assert len(w.receiver.told) == 1


def test_messages_name_no_url(w: World) -> None:
    """The rows do."""
    job, batch = submit(w, url=URL), submit(w, urls=[URL])
    w.pass_time(MINUTE)
    bodies = [message["body"] for message in w.receive_webhooks()]
    assert [Message.parse(body) for body in bodies] == [
        WatchMessage("job", job["id"], START),
        WatchMessage("batch", batch["id"], START),
    ]
    assert all("example" not in body and json.loads(body)["v"] == 1 for body in bodies)


def test_a_renewal_that_is_repeated(w: World) -> None:
    """With its key, by who got no answer: there is one new secret, and the old one signs for a day."""
    first = w.request("GET", "/webhook-secret").json_body["secret"]
    key = {"Idempotency-Key": "k"}
    renewed = w.request("POST", "/webhook-secret", headers=key).json_body["secret"]
    assert w.request("POST", "/webhook-secret", headers=key).json_body["secret"] == renewed != first
    assert w.items()["SECRET#local"]["generation"] == 1


def test_a_renewal_whose_write_was_repeated(w: World) -> None:
    """The answer to the first write was lost, and the driver's repeat was refused because of it."""
    client = w.clients["dynamodb"]

    def written_before(number: int, _: dict[str, Any]) -> Any:
        if number == 0:
            client.put_item(TableName=w.names["TABLE_NAME"], Item=sent[0])
        return None

    def remember(params: dict[str, Any], **_: Any) -> None:
        sent.append(params["Item"])

    sent: list[Any] = []
    client.meta.events.register("provide-client-params.dynamodb.PutItem", remember, unique_id="remember")
    with answered(w, "dynamodb", "PutItem", written_before):
        renewed = w.request("POST", "/webhook-secret")
    client.meta.events.unregister("provide-client-params.dynamodb.PutItem", unique_id="remember")
    assert renewed.status_code == 200
    assert w.items()["SECRET#local"]["generation"] == 1
    assert w.request("GET", "/webhook-secret").json_body["secret"] == renewed.json_body["secret"]


def test_a_batch_that_was_accepted_late(w: World) -> None:
    """Its watch has ended, since nobody could accept it any more; who repeats the request is told all the same."""
    body = {"urls": [URL], "webhook": HOOK}
    key = {"Idempotency-Key": "k"}
    with answered(w, "dynamodb", "UpdateItem", lambda *_: error(500, "InternalServerError")):
        assert w.request("POST", "/batches", body, key).status_code == 503
    w.run_webhooks_until(HOUR)
    (batch,) = [item for name, item in w.items().items() if name.startswith("BATCH#")]
    w.clients["dynamodb"].update_item(
        TableName=w.names["TABLE_NAME"],
        Key={"pk": {"S": batch["pk"]}},
        UpdateExpression="SET accepted = :true",
        ExpressionAttributeValues={":true": {"BOOL": True}},
    )
    assert w.request("POST", "/batches", body, key).status_code == 202
    settle(w)
    assert len(w.receiver.told) == 1


def test_a_watch_of_an_older_batch_with_the_same_key(w: World) -> None:
    """It knows of jobs that were swept since: the new batch is told of by its own."""
    old = submit(w, urls=[URL, OTHER])
    w.clients["sqs"].send_message(
        QueueUrl=w.names["WEBHOOK_QUEUE_URL"],
        MessageBody=WatchMessage("batch", old["id"], START - DAY, position=2, succeeded=2).body(),
    )
    w.run_webhooks()
    assert w.receiver.told == []
