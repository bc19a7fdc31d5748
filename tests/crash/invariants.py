"""What must hold whatever happened: the promises of docs/proof.md, checked against table, queue, bucket and the site's
own count, after the world has gone on for as long as there was anything to do."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from chalicelib.jobs.access import LOCAL_TENANT
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.submitted import RequestHeaders
from chalicelib.jobs.target import Target
from chalicelib.storage.bucket import result_keys
from chalicelib.storage.queue import FetchMessage
from tests.world import MINUTE, World

CANARY = "canary"  # in the headers that are sent to sites
ENDS = {"succeeded", "failed"}
MOST_ATTEMPTS = 9  # more than any fetch here has


@dataclass
class Ledger:
    """What the clients were told, and what went wrong on the way."""

    accepted: dict[str, str] = field(default_factory=dict)  # job id -> URL, for each 202
    deleted: set[str] = field(default_factory=set)  # job ids, for each 204
    doubtful: set[str] = field(default_factory=set)  # job ids whose DELETE was not answered
    excused: Counter[str] = field(default_factory=Counter)  # URL -> how many more requests the site may have seen
    lost_answers: int = 0
    objects: set[str] = field(default_factory=set)  # what a dead one stored for a fetch that was deleted before
    uploads: set[str] = field(default_factory=set)  # and what it had begun to store
    deaths: int = 0

    def accept(self, *jobs: dict[str, Any]) -> None:
        """Note jobs of a 202."""
        self.accepted |= {job["id"]: job["url"] for job in jobs}

    def note_death(self, w: World, asked: set[str]) -> None:
        """An operation has died that had asked a site for these URLs; note what that excuses, and nothing else."""
        self.deaths += 1
        self.note_unfinished(w, asked)
        stored = w.items()
        fetches = {key.removeprefix("FETCH#") for key in stored if key.startswith("FETCH#")}
        its = {job_id for job_id, url in self.accepted.items() if url in asked}
        self.objects |= w.objects() & _keys_of(its) - _keys_of(fetches | _marked(stored))
        self.uploads |= {upload["UploadId"] for upload in w.uploads()}

    def note_unfinished(self, w: World, asked: set[str]) -> None:
        """Of these URLs, those whose fetch still runs will be asked for once more."""
        fetches = [item for key, item in w.items().items() if key.startswith("FETCH#")]
        self.excused.update({item["url"] for item in fetches if item["status"] == "running"} & asked)


def _marked(stored: dict[str, Any]) -> set[str]:
    """The fetches whose deletion is not finished, and will be by its repeat."""
    return {item["fetch_id"] for item in stored.values() if "fetch_id" in item and "attempts" in item}


def _keys_of(fetch_ids: Iterable[str]) -> set[str]:
    return {key for fetch_id in fetch_ids for key in result_keys(fetch_id, MOST_ATTEMPTS)}


class Broken(AssertionError):
    """An invariant does not hold; the text says which, by its number, and how."""


def settle(w: World) -> None:
    """Deliver everything that is left, with leases running out in between, until nothing is."""
    for _ in range(12):
        left = w.run()
        dead = w.receive_dead_letters()
        if dead:
            w.deliver(dead, dead_letters=True)
        if not left and not w.more_will_come:
            return
        w.pass_time(w.settings.lease_ms + 1000)
    raise Broken(f"3: messages never end: {w.messages} {w.delayed}")


def check(w: World, ledger: Ledger) -> None:
    """Every invariant, now that the world is settled. Leaves the world as it was, but for time and redeliveries."""
    stored = w.items()
    living = {job_id: url for job_id, url in ledger.accepted.items() if job_id not in ledger.deleted}
    _jobs_end_and_can_be_read(w, living, ledger)
    _deleted_ones_are_gone(w, ledger)
    _requests(w, ledger)
    _counts(stored)
    _frozen(stored)
    _retries(stored)
    _headers(w, stored)
    _objects(w, stored, ledger)
    _redelivery(w, ledger)
    _nothing_is_blocked(w, ledger)


def _jobs_end_and_can_be_read(w: World, living: dict[str, str], ledger: Ledger) -> None:
    for job_id, url in living.items():
        answer = w.request("GET", f"/jobs/{job_id}")
        if answer.status_code == 404 and job_id in ledger.doubtful:
            continue
        if answer.status_code != 200:
            raise Broken(f"1: {job_id} was accepted and is {answer.status_code}")
        job = answer.json_body
        if job["status"] not in ENDS:
            raise Broken(f"3: {job_id} stays {job['status']}")
        if job["status"] == "succeeded":
            result = w.request("GET", f"/jobs/{job_id}/result")
            if result.status_code != 200 or hashlib.sha256(result.body).hexdigest() != job["result"]["sha256"]:
                raise Broken(f"4: the result of {job_id} is {result.status_code} {result.body[:60]!r}")
            if job["result"]["size"] != len(result.body):
                raise Broken(f"4: the result of {job_id} has another size")
            if url.encode() not in result.body:
                raise Broken(f"4: the result of {job_id} is not of {url}")


def _deleted_ones_are_gone(w: World, ledger: Ledger) -> None:
    for job_id in ledger.deleted:
        for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/result"):
            if w.request("GET", path).status_code != 404:
                raise Broken(f"5: {path} can be read after 204")


def _requests(w: World, ledger: Ledger) -> None:
    for url, count in w.site.requests.items():
        most = 1 + ledger.excused[url]
        if count > most:
            raise Broken(f"2: {url} was fetched {count} times; {most} are excused")


def _counts(stored: dict[str, Any]) -> None:
    linked = Counter(
        item["fetch_id"]
        for key, item in stored.items()
        if key.startswith("JOB#") and "url" in item and "fetch_id" in item
    )
    fetches = {key.removeprefix("FETCH#"): item["jobs"] for key, item in stored.items() if key.startswith("FETCH#")}
    if dict(linked) != fetches:
        raise Broken(f"5: jobs linked {dict(linked)}, fetches count {fetches}")


def _frozen(stored: dict[str, Any]) -> None:
    for key, batch in stored.items():
        if not key.startswith("BATCH#") or "digest" not in batch:
            if key.startswith("BATCH#") and {"frozen", "thawed", "retried_by"} & batch.keys():
                raise Broken(f"10: the mark {key} has members of a batch")
            continue
        jobs = [stored.get(f"JOB#{key.removeprefix('BATCH#')}-{number}", {}) for number in range(batch["size"])]
        fetches = [stored[f"FETCH#{job['fetch_id']}"] if "fetch_id" in job else {} for job in jobs if "url" in job]
        statuses = Counter(fetch.get("status", "queued") for fetch in fetches)
        if batch.get("frozen", statuses) != statuses:
            raise Broken(f"10: {key} is counted as {batch['frozen']}, and is {dict(statuses)}")


def _retries(stored: dict[str, Any]) -> None:
    """A retry that was accepted is named by its batch, and no other is."""
    batches = {key.removeprefix("BATCH#"): item for key, item in stored.items() if key.startswith("BATCH#")}
    for batch_id, batch in batches.items():
        original = batches.get(batch.get("retry_of"), {})
        if "digest" in original and "accepted" in batch and "retried_by" not in original:
            raise Broken(f"14: the retry {batch_id} was accepted, and its batch does not name it")
        retry = batches.get(batch.get("retried_by"), {})
        if "retried_by" in batch and "digest" in retry and not ("accepted" in retry and retry["retry_of"] == batch_id):
            raise Broken(f"14: {batch_id} names a retry that was not accepted")


def _headers(w: World, stored: dict[str, Any]) -> None:
    for url, sent in w.site.sent.items():
        if any(headers != RequestHeaders(w.headers_of(url)) for headers in sent):
            raise Broken(f"11: {url} was asked for with {[dict(headers) for headers in sent]}")
    for key, item in stored.items():
        if CANARY in repr(item) and not (item.get("status") == "failed" or (key.startswith("JOB#") and "url" in item)):
            raise Broken(f"11: {key} still has its headers")
        if CANARY in repr(item) and "fetch_id" in item:
            raise Broken(f"11: {key} has its headers, though its fetch has them")


def _objects(w: World, stored: dict[str, Any], ledger: Ledger) -> None:
    fetches = {key.removeprefix("FETCH#"): item for key, item in stored.items() if key.startswith("FETCH#")}
    named = {item["result"]["key"] for item in fetches.values() if "result" in item}
    # An attempt whose end was lost has left its bytes for the deletion of its fetch, and that to its repeat.
    lost = _keys_of({*fetches, *_marked(stored)}) if ledger.deaths or ledger.lost_answers else set()
    if unnamed := w.objects() - named - lost - ledger.objects:
        raise Broken(f"6: no record names {sorted(unnamed)}")
    _uploads(w, ledger)


def _uploads(w: World, ledger: Ledger) -> None:
    # An upload whose id nobody heard can only be left to the bucket's lifecycle.
    if {upload["UploadId"] for upload in w.uploads()} - ledger.uploads and not ledger.lost_answers:
        raise Broken("6: parts of an upload stay")


def _redelivery(w: World, ledger: Ledger) -> None:
    before, requests = w.items(), w.site.requests.copy()
    named = {item["result"]["key"] for item in before.values() if "result" in item}
    for job_id in reversed(ledger.accepted):
        url = ledger.accepted[job_id]
        target = Target.of(url, AddressPolicy(), headers=RequestHeaders(w.headers_of(url)))
        message = FetchMessage(job_id, target.key(LOCAL_TENANT, w.service.secret), target.host_key(LOCAL_TENANT))
        for body in (message.body(), message.copy().body()):
            if w.deliver([{"messageId": job_id, "receiptHandle": "none", "body": body}]):
                raise Broken(f"8: a redelivery of {job_id} is left")
    if (w.items(), w.site.requests) != (before, requests):
        raise Broken("8: a redelivery changed something")
    if missing := named - w.objects():
        raise Broken(f"8: a redelivery removed {sorted(missing)}")


def _nothing_is_blocked(w: World, ledger: Ledger) -> None:
    """Whatever state a URL is in, a new submission of it ends."""
    w.forget_hosts()
    for url in sorted(set(ledger.accepted.values())):
        w.pass_time(MINUTE)
        told = w.site.answers.pop(url, None)
        job_id = w.submit(url)["id"]
        settle(w)
        if w.job(job_id)["status"] != "succeeded":
            raise Broken(f"7: {url} cannot be fetched any more")
        if w.request("DELETE", f"/jobs/{job_id}").status_code != 204:
            raise Broken(f"5: {job_id} cannot be deleted")
        if told is not None:
            w.site.answers[url] = told


def check_clean(w: World, ledger: Ledger) -> None:
    """Delete all that is left: only marks stay, and what belongs to submissions that nobody was told of."""
    for job_id in ledger.accepted:
        if job_id not in ledger.deleted:
            w.request("DELETE", f"/jobs/{job_id}")
    stored = w.items()
    jobs = {key.removeprefix("JOB#"): item for key, item in stored.items() if key.startswith("JOB#") and "url" in item}
    untold = {item.get("fetch_id") for job_id, item in jobs.items() if job_id not in ledger.accepted}
    left = set(jobs) & set(ledger.accepted)
    left |= {key for key in stored if key.startswith("FETCH#") and key.removeprefix("FETCH#") not in untold}
    left |= {key for key, item in stored.items() if key.startswith("URL#") and item["fetch_id"] not in untold}
    left |= w.objects() - ledger.objects - _keys_of(filter(None, untold))
    if left:
        raise Broken(f"5: after all jobs are deleted there is still {sorted(left)}")
