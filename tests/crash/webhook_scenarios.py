"""What webhooks' operations are tried in, and what must hold of them: of whatever was accepted somebody is told at
least once, by one event, and of what was deleted nothing is told or kept."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from chalicelib.runner.poster import Reply
from chalicelib.storage.queue import DeliverMessage, WatchMessage
from tests.crash.invariants import Broken, check, check_clean, settle
from tests.crash.scenarios import BAD, KEY, OTHER, URL, Make, Scenario, Stage
from tests.crash.stepping import Operation
from tests.depth import FULL
from tests.world import MINUTE, SECOND, World, failure

HOOK = "https://told.example/"
LATER = 15 * MINUTE  # more than any message of these is delayed

SINGLE: list[Scenario] = []
PAIRS: list[Scenario] = []

JOB = {"url": URL, "webhook": HOOK}
BATCH = {"urls": [URL, OTHER, BAD], "webhook": {"url": HOOK, "each": True}}


def single(make: Make) -> Make:
    """One operation, to be killed at each of its calls."""
    SINGLE.append(Scenario(make.__name__, make))
    return make


def pair(make: Make) -> Make:
    """Operations that take turns."""
    PAIRS.append(Scenario(make.__name__, make))
    return make


# Making ready


def submitted(s: Stage, body: dict[str, Any], *, ran: bool = True) -> str:
    """What was accepted, and, unless it is to wait, is finished."""
    path = "/batches" if "urls" in body else "/jobs"
    s.w.site.answers[BAD] = [failure(404)]
    answer = s.w.request("POST", path, body, KEY).json_body
    s.ledger.accept(*answer.get("jobs", [answer]))
    if ran:
        s.w.run()
    subject_id: str = answer["id"]
    return subject_id


def watching(s: Stage) -> list[dict[str, Any]]:
    """The messages that watch, when they come."""
    s.w.pass_time(5 * SECOND)
    return s.w.receive_webhooks()


def delivering(s: Stage) -> list[dict[str, Any]]:
    """The messages that deliver, received; what is watched has been looked at."""
    s.w.deliver_webhooks(watching(s))
    return s.w.receive_webhooks()


def tell(s: Stage, name: str, records: list[dict[str, Any]]) -> Operation:
    """An invocation of the webhooks' function."""
    return Operation(name, lambda: s.w.deliver_webhooks(records))


def again(s: Stage, name: str, path: str) -> Operation:
    """A client that has an event sent again."""

    def send() -> None:
        answer = s.w.request("POST", f"{path}/webhook")
        if answer.status_code not in (202, 404, 409, 503):
            raise Broken(f"a sending again was answered {answer.status_code}: {answer.body!r}")

    return Operation(name, send)


def delete_batch(s: Stage, name: str, batch_id: str) -> Operation:
    """A client's DELETE of a batch."""
    jobs = [{"id": job_id} for job_id in s.ledger.accepted if job_id.startswith(batch_id)]
    return s.delete_batch(name, {"id": batch_id, "jobs": jobs})


# One operation


@single
def submit_a_job(s: Stage) -> list[Operation]:
    return [s.post("submit", "/jobs", JOB)]


@single
def submit_a_batch(s: Stage) -> list[Operation]:
    return [s.post("submit", "/batches", {"urls": [URL, OTHER], "webhook": {"url": HOOK, "each": True}})]


@single
def submit_a_repeat(s: Stage) -> list[Operation]:
    s.finished()
    return [s.post("submit", "/jobs", JOB)]


@single
def submit_a_batch_of_repeats(s: Stage) -> list[Operation]:
    s.finished()
    return [s.post("submit", "/batches", {"urls": [URL, URL], "webhook": HOOK})]


@single
def watch_a_job(s: Stage) -> list[Operation]:
    submitted(s, JOB)
    return [tell(s, "watch", watching(s))]


@single
def watch_a_job_that_waits(s: Stage) -> list[Operation]:
    submitted(s, JOB, ran=False)
    return [tell(s, "watch", watching(s))]


@single
def watch_a_batch(s: Stage) -> list[Operation]:
    submitted(s, BATCH)
    return [tell(s, "watch", watching(s))]


@single
def watch_a_batch_of_which_some_wait(s: Stage) -> list[Operation]:
    submitted(s, BATCH, ran=False)
    s.w.deliver(s.w.receive()[:1])
    return [tell(s, "watch", watching(s))]


@single
def watch_a_deleted_job(s: Stage) -> list[Operation]:
    job_id = submitted(s, JOB)
    records = watching(s)
    s.conductor.run(s.delete("delete", job_id))
    return [tell(s, "watch", records)]


@single
def deliver_an_event(s: Stage) -> list[Operation]:
    submitted(s, JOB)
    return [tell(s, "deliver", delivering(s))]


@single
def deliver_one_that_is_not_taken(s: Stage) -> list[Operation]:
    s.w.receiver.answers[HOOK] = [Reply(status=500), Reply(status=200)]
    submitted(s, JOB)
    return [tell(s, "deliver", delivering(s))]


@single
def deliver_several(s: Stage) -> list[Operation]:
    submitted(s, BATCH)
    return [tell(s, "deliver", delivering(s))]


@single
def deliver_one_that_is_deleted(s: Stage) -> list[Operation]:
    job_id = submitted(s, JOB)
    records = delivering(s)
    s.conductor.run(s.delete("delete", job_id))
    return [tell(s, "deliver", records)]


@single
def send_again(s: Stage) -> list[Operation]:
    job_id = submitted(s, JOB)
    s.w.deliver_webhooks(delivering(s))
    return [again(s, "again", f"/jobs/{job_id}")]


@single
def delete_a_job_whose_event_waits(s: Stage) -> list[Operation]:
    job_id = submitted(s, JOB)
    delivering(s)
    return [s.delete("delete", job_id)]


@single
def delete_a_job_that_was_told(s: Stage) -> list[Operation]:
    job_id = submitted(s, JOB)
    s.w.deliver_webhooks(delivering(s))
    return [s.delete("delete", job_id)]


@single
def delete_a_batch_whose_events_wait(s: Stage) -> list[Operation]:
    batch_id = submitted(s, BATCH)
    delivering(s)
    return [delete_batch(s, "delete", batch_id)]


@single
def bury_what_watches(s: Stage) -> list[Operation]:
    submitted(s, JOB)
    return [s.bury("bury", watching(s))]


# Operations that meet


@pair
def a_job_is_watched_twice(s: Stage) -> list[Operation]:
    submitted(s, JOB)
    records = watching(s)
    return [tell(s, "one", records), tell(s, "other", records)]


@pair
def a_batch_is_watched_twice(s: Stage) -> list[Operation]:
    submitted(s, {"urls": [URL, OTHER], "webhook": HOOK})
    records = watching(s)
    return [tell(s, "one", records), tell(s, "other", records)]


@pair
def an_event_is_delivered_twice(s: Stage) -> list[Operation]:
    submitted(s, JOB)
    records = delivering(s)
    return [tell(s, "one", records), tell(s, "other", records)]


@pair
def an_event_is_delivered_and_made_again(s: Stage) -> list[Operation]:
    submitted(s, JOB)
    watched = watching(s)
    s.w.deliver_webhooks(watched)
    return [tell(s, "deliver", s.w.receive_webhooks()), tell(s, "watch", watched)]


@pair
def a_watch_and_a_delete(s: Stage) -> list[Operation]:
    job_id = submitted(s, JOB)
    return [tell(s, "watch", watching(s)), s.delete("delete", job_id)]


@pair
def a_delivery_and_a_delete(s: Stage) -> list[Operation]:
    job_id = submitted(s, JOB)
    return [tell(s, "deliver", delivering(s)), s.delete("delete", job_id)]


@pair
def a_delivery_that_is_not_taken_and_a_delete(s: Stage) -> list[Operation]:
    s.w.receiver.answers[HOOK] = [Reply(status=500), Reply(status=200)]
    job_id = submitted(s, JOB)
    return [tell(s, "deliver", delivering(s)), s.delete("delete", job_id)]


@pair
def a_watch_of_a_batch_and_its_delete(s: Stage) -> list[Operation]:
    batch_id = submitted(s, {"urls": [URL, OTHER], "webhook": HOOK})
    return [tell(s, "watch", watching(s)), delete_batch(s, "delete", batch_id)]


@pair
def a_watch_of_a_batch_and_the_delete_of_a_job(s: Stage) -> list[Operation]:
    batch_id = submitted(s, BATCH)
    return [tell(s, "watch", watching(s)), s.delete("delete", f"{batch_id}-0")]


@pair
def a_delivery_and_a_sending_again(s: Stage) -> list[Operation]:
    job_id = submitted(s, JOB)
    return [tell(s, "deliver", delivering(s)), again(s, "again", f"/jobs/{job_id}")]


@pair
def two_send_again(s: Stage) -> list[Operation]:
    job_id = submitted(s, JOB)
    s.w.deliver_webhooks(delivering(s))
    return [again(s, "one", f"/jobs/{job_id}"), again(s, "other", f"/jobs/{job_id}")]


@pair
def a_submission_and_a_watch(s: Stage) -> list[Operation]:
    def watch() -> None:
        s.w.deliver_webhooks(watching(s))

    body = {"urls": [URL, OTHER], "webhook": HOOK}
    return [s.post("submit", "/batches", body), Operation("watch", watch, eager=False)]


# What must hold


def settle_told(w: World) -> None:
    """Let the world go on until every message has come to its end."""
    settle(w)
    for _ in range(12):
        w.run_webhooks_until(LATER)
        w.pass_time(w.settings.lease_ms)
        if not w.run_webhooks() and not any(m["queue"] == "WEBHOOK_QUEUE_URL" for _, m in w.delayed):
            return
    raise Broken(f"12: webhooks' messages never end: {w.messages} {w.delayed}")


def check_told(s: Stage, *, faults: bool) -> None:
    """Whoever was accepted and lives is told, of one event; nothing is told of, or kept of, what was deleted."""
    w, stored = s.w, s.w.items()
    told: dict[str, set[bytes]] = defaultdict(set)
    for each in w.receiver.told:
        told[each.id].add(each.body)
    for event_id, bodies in told.items():
        if len(bodies) > 1:
            raise Broken(f"12: {event_id} was told in {len(bodies)} ways")
    for subject_id in _subjects(s, stored):
        if f"evt_{subject_id}" not in told:
            raise Broken(f"12: of {subject_id} nobody was told")
        event = stored.get(f"EVENT#{subject_id}")
        asked_again = (
            faults and event is not None and event.get("tries_before", 0) > 0
        )  # by a client that got no answer
        if event is None or not (event["state"] == "delivered" or asked_again):
            raise Broken(f"12: the event of {subject_id} is {event}")
        if not faults and event["tries"] != sum(each.id == f"evt_{subject_id}" for each in w.receiver.told):
            raise Broken(f"12: {subject_id} counts {event['tries']} tries")
    for key in stored:
        if key.startswith("EVENT#") and not _lives(stored, key.removeprefix("EVENT#")):
            raise Broken(f"13: {key} is kept of what was deleted")
    _redelivered(s, stored)


def _subjects(s: Stage, stored: dict[str, Any]) -> set[str]:
    """What was accepted with a webhook and is there, and was not half deleted: its event may be gone by then."""
    known = set(s.ledger.accepted) - s.ledger.doubtful
    batches = {job_id.rpartition("-")[0] for job_id in known if "-" in job_id}
    doubtful = {job_id.rpartition("-")[0] for job_id in s.ledger.doubtful}
    living = {job_id for job_id in known if _lives(stored, job_id)}
    return living | {each for each in batches - doubtful if _lives(stored, each)}


def _lives(stored: dict[str, Any], subject_id: str) -> bool:
    job, batch = stored.get(f"JOB#{subject_id}", {}), stored.get(f"BATCH#{subject_id}", {})
    of_job = "url" in job and ("webhook" in job or "watched" in job)
    return of_job or ("digest" in batch and "webhook" in batch)


def _redelivered(s: Stage, stored: dict[str, Any]) -> None:
    """A message that comes once more changes nothing and tells nobody."""
    before = len(s.w.receiver.told)
    told = [each for each in sorted(_subjects(s, stored)) if stored[f"EVENT#{each}"]["state"] == "delivered"]
    for subject_id in told:
        subject = "batch" if f"BATCH#{subject_id}" in stored else "job"
        submitted_at = stored[f"{subject.upper()}#{subject_id}"]["submitted_at"]
        for message in (WatchMessage(subject, subject_id, submitted_at), DeliverMessage(subject, subject_id)):
            s.w.clients["sqs"].send_message_batch(
                QueueUrl=s.w.names["WEBHOOK_QUEUE_URL"], Entries=[{"Id": "0", "MessageBody": message.body()}]
            )
            s.w.run_webhooks()
    if (s.w.items(), len(s.w.receiver.told)) != (stored, before):
        raise Broken("12: a redelivery changed something")


def check_everything(s: Stage, *, faults: bool) -> None:
    """Settle, then every promise; in the end what is left is deleted, and no event of it stays."""
    settle_told(s.w)
    check_told(s, faults=faults)
    if FULL:  # the promises to jobs, which these operations can hardly break, take longest
        check(s.w, s.ledger)
    check_clean(s.w, s.ledger)
    batches = {job_id.rpartition("-")[0] for job_id in s.ledger.accepted if "-" in job_id}
    for batch_id in sorted(batches):
        s.w.request("DELETE", f"/batches/{batch_id}")
    told = len(s.w.receiver.told)
    s.w.run_webhooks_until(LATER)
    gone = [*batches, *s.ledger.accepted]
    if kept := {f"EVENT#{each}" for each in gone} & set(s.w.items()):
        raise Broken(f"13: {sorted(kept)} are kept of what was deleted")
    if len(s.w.receiver.told) != told:
        raise Broken("13: somebody was told of what was deleted")
