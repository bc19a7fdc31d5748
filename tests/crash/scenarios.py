"""What the operations are tried in: a world made ready, the operations, and what the clients have been told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

from chalicelib.jobs.access import LOCAL_TENANT
from chalicelib.jobs.target import Target
from chalicelib.service import read
from tests.crash.invariants import CANARY, Broken, Ledger
from tests.crash.stepping import Conductor, Fault, Operation, Side
from tests.world import HOUR, MINUTE, SECOND, World, failure

URL = "https://a.example/"
OTHER = "https://b.example/"
BAD = "https://bad.example/"
LARGE = "https://large.example/"
KEY = {"Idempotency-Key": "k"}
PRIVATE = {url: {"Authorization": f"Bearer {CANARY}"} for url in (OTHER, BAD)}  # what is sent with some URLs


@dataclass
class Stage:
    """A world that is ready, with what a scenario's operations need."""

    w: World
    conductor: Conductor
    ledger: Ledger = field(default_factory=Ledger)

    # Making ready: not stepped

    def submit(self, url: str = URL) -> str:
        """A job that was accepted; its message is on the queue."""
        job = self.w.submit(url)
        self.ledger.accept(job)
        job_id: str = job["id"]
        return job_id

    @contextmanager
    def claims_unseen(self) -> Iterator[None]:
        """The claims are put just after a submission reads them: it joins nothing."""
        table: Any = self.w.service.table
        table.claims = lambda url_keys: {}
        try:
            yield
        finally:
            del table.claims

    def message(self, url: str = URL) -> tuple[str, list[dict[str, Any]]]:
        """A job that was accepted, and its message, received: it did not join at submission."""
        with self.claims_unseen():
            job_id = self.submit(url)
        return job_id, self.w.receive()

    def messages(self, *urls: str) -> list[dict[str, Any]]:
        """Jobs that were accepted, and their messages, received together."""
        with self.claims_unseen():
            for url in urls:
                self.submit(url)
        return self.w.receive()

    def finished(self, url: str = URL) -> str:
        """A job whose fetch is finished."""
        job_id, records = self.message(url)
        self.w.deliver(records)
        self.w.pass_time(SECOND)
        return job_id

    def crashed(self, url: str = URL) -> tuple[str, list[dict[str, Any]]]:
        """A job whose worker died in the middle of its fetch; the lease still runs."""
        job_id, records = self.message(url)

        def die(asked: str) -> None:
            raise ZeroDivisionError  # the one message's own fault: it is left

        self.w.site.during = die
        self.w.deliver(records)
        self.w.site.during = None
        self.ledger.excused[url] += 1
        return job_id, records

    def refused(self, url: str) -> tuple[str, list[dict[str, Any]]]:
        """A job that was accepted, and its message; its host will refuse it once."""
        self.w.site.answers[url] = [failure(429, retryable=True, retry_after=1), b"at last " + url.encode()]
        self.ledger.excused[url] += 1
        return self.message(url)

    def deferred(self, url: str) -> str:
        """A job that was refused once, and waits for its turn; the time for that is nearly there."""
        job_id, records = self.refused(url)
        self.w.deliver(records)
        self.w.pass_time(SECOND)
        return job_id

    def crowd(self, url: str) -> None:
        """So many wait for the URL's host that nobody else's turn would come in time."""
        self.w.clients["dynamodb"].update_item(
            TableName=self.w.names["TABLE_NAME"],
            Key={"pk": {"S": f"HOST#{Target(url).host_key(LOCAL_TENANT)}"}},
            UpdateExpression="SET next_place = :many",
            ExpressionAttributeValues={":many": {"N": str(10**8)}},
        )

    def note_death(self, dead: Operation) -> None:
        """An operation has died; only what it has asked a site for and not brought to an end may be asked for again."""
        self.ledger.note_death(self.w, set(dead.asked))

    def note_request(self, url: str) -> None:
        """A site was asked."""
        if self.conductor.active is not None:
            self.conductor.active.asked[url] += 1

    # The operations

    def run(self, name: str, records: list[dict[str, Any]]) -> Operation:
        """An invocation of the job runner."""
        return Operation(name, lambda: self.w.deliver(records))

    def run_out_of_time(self, name: str, records: list[dict[str, Any]]) -> Operation:
        """An invocation that has time for one decision, and none for the request that follows from it."""

        def body() -> None:
            seconds = iter([self.w.seconds_left])
            self.w.deliver(records, seconds_left=lambda: next(seconds, 0.0))

        return Operation(name, body)

    def run_later(self, name: str, records: list[dict[str, Any]], after: int) -> Operation:
        """An invocation that comes when so much time has passed."""

        def body() -> None:
            self.w.pass_time(after)
            self.w.deliver(records)

        return Operation(name, body, eager=False)

    def run_whatever_is_there(self, name: str) -> Operation:
        """An invocation with what the queue has by then."""
        return Operation(name, lambda: self.w.deliver(self.w.receive()), eager=False)

    def bury(self, name: str, records: list[dict[str, Any]]) -> Operation:
        """An invocation of the dead letters' runner."""
        return Operation(name, lambda: self.w.deliver(records, dead_letters=True))

    def post(self, name: str, path: str, body: dict[str, Any], headers: dict[str, str] = KEY) -> Operation:
        """A client's submission; what it is told counts."""

        def send() -> None:
            answer = self.w.request("POST", path, body, headers)
            if answer.status_code not in (202, 409, 422, 503):
                raise Broken(f"a submission was answered {answer.status_code}: {answer.body!r}")
            if answer.status_code == 202:
                self.ledger.accept(*answer.json_body.get("jobs", [answer.json_body]))

        return Operation(name, send)

    def batch(self, *urls: str) -> dict[str, Any]:
        """A batch that was accepted and is finished."""
        batch: dict[str, Any] = self.w.submit_batch(list(urls))
        self.ledger.accept(*batch["jobs"])
        self.w.run()
        return batch

    def failed_batch(self) -> dict[str, Any]:
        """A batch of which one URL has failed, and would not a second time."""
        self.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
        self.ledger.excused[BAD] += 1
        batch = self.batch(URL, BAD)
        self.w.pass_time(SECOND)
        return batch

    def retry(self, name: str, batch: dict[str, Any], headers: dict[str, str] = KEY) -> Operation:
        """A client's retry of what failed of a batch; what it is told counts."""

        def send() -> None:
            answer = self.w.request("POST", f"/batches/{batch['id']}/retry", headers=headers)
            if answer.status_code not in (202, 404, 409, 422, 503):
                raise Broken(f"a retry was answered {answer.status_code}: {answer.body!r}")
            if answer.status_code == 202:
                self.ledger.accept(*answer.json_body["jobs"])

        return Operation(name, send)

    def count(self, name: str, batch: dict[str, Any]) -> Operation:
        """A client's question how a batch stands, where a page has fewer jobs than the batch."""

        def ask() -> None:
            with mock.patch.object(read, "PAGE", 1):
                answer = self.w.request("GET", f"/batches/{batch['id']}")
            if answer.status_code not in (200, 404, 503):
                raise Broken(f"a question was answered {answer.status_code}: {answer.body!r}")

        return Operation(name, ask)

    def delete(self, name: str, job_id: str) -> Operation:
        """A client's DELETE of a job; 204 counts, and 404 where it was deleted before."""

        return Operation(name, lambda: self._delete(f"/jobs/{job_id}", {job_id}))

    def delete_batch(self, name: str, batch: dict[str, Any]) -> Operation:
        """A client's DELETE of a batch."""
        return Operation(name, lambda: self._delete(f"/batches/{batch['id']}", {job["id"] for job in batch["jobs"]}))

    def _delete(self, path: str, job_ids: set[str]) -> None:
        repeated = job_ids <= self.ledger.doubtful
        self.ledger.doubtful |= job_ids
        status = self.w.request("DELETE", path).status_code
        if status not in (204, 404, 503):
            raise Broken(f"a DELETE was answered {status}")
        if status == 204 or (status == 404 and repeated):
            self.ledger.deleted |= job_ids
            self.ledger.doubtful -= job_ids


Make = Callable[[Stage], list[Operation]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Operations that meet, in a world that was made ready."""

    name: str
    make: Make

    def __str__(self) -> str:
        return self.name


SINGLE: list[Scenario] = []
PAIRS: list[Scenario] = []


def single(make: Make) -> Make:
    """One operation, to be killed at each of its calls."""
    SINGLE.append(Scenario(make.__name__, make))
    return make


def pair(make: Make) -> Make:
    """Operations, two or three, that take turns."""
    PAIRS.append(Scenario(make.__name__, make))
    return make


def again(operation: Operation) -> Operation:
    """The same, by a client that repeats what it had no answer to."""
    return Operation(operation.name + " again", operation.body)


# One operation


@single
def submit_one(s: Stage) -> list[Operation]:
    return [s.post("submit", "/jobs", {"url": URL})]


@single
def submit_a_batch(s: Stage) -> list[Operation]:
    return [s.post("submit", "/batches", {"urls": [URL, OTHER, URL]})]


@single
def submit_a_batch_again_after_its_handler_died(s: Stage) -> list[Operation]:
    first = s.post("submit", "/batches", {"urls": [URL, OTHER, URL]})
    first.fault = Fault(4, Side.BEFORE)  # all but its acceptance is there
    s.conductor.run(first)
    s.w.run()
    s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
    return [s.post("submit again", "/batches", {"urls": [URL, OTHER, URL]})]


@single
def submit_a_repeat(s: Stage) -> list[Operation]:
    s.finished()
    return [s.post("submit", "/jobs", {"url": URL})]


@single
def submit_a_repeat_of_one_that_runs(s: Stage) -> list[Operation]:
    s.crashed()
    return [s.post("submit", "/jobs", {"url": URL})]


@single
def submit_a_batch_with_repeats(s: Stage) -> list[Operation]:
    s.finished()
    s.crashed(BAD)
    return [s.post("submit", "/batches", {"urls": [URL, OTHER, URL, BAD]})]


@single
def submit_a_batch_with_repeats_again_after_its_handler_died(s: Stage) -> list[Operation]:
    s.finished()
    first = s.post("submit", "/batches", {"urls": [URL, OTHER, URL]})
    first.fault = Fault(4, Side.BEFORE)  # the repeats are there, the other row is not
    s.conductor.run(first)
    s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
    return [s.post("submit again", "/batches", {"urls": [URL, OTHER, URL]})]


@single
def retry_a_batch(s: Stage) -> list[Operation]:
    return [s.retry("retry", s.failed_batch())]


@single
def retry_a_batch_again_after_its_handler_died(s: Stage) -> list[Operation]:
    batch = s.failed_batch()
    first = s.retry("retry", batch)
    first.fault = Fault(9, Side.BEFORE)  # all but its acceptance is there
    s.conductor.run(first)
    s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
    return [s.retry("retry again", batch)]


@single
def run_several_joins(s: Stage) -> list[Operation]:
    s.finished()
    s.crashed(OTHER)
    return [s.run("run", s.messages(URL, OTHER, URL))]


@single
def count_a_finished_batch(s: Stage) -> list[Operation]:
    return [s.count("count", s.batch(URL, OTHER))]


@single
def delete_one_of_a_batch_that_was_counted(s: Stage) -> list[Operation]:
    batch = s.batch(URL, OTHER)
    s.conductor.run(s.count("count", batch))
    return [s.delete("delete", batch["jobs"][0]["id"])]


@single
def delete_a_batch_that_was_counted(s: Stage) -> list[Operation]:
    batch = s.batch(URL, OTHER)
    s.conductor.run(s.count("count", batch))
    return [s.delete_batch("delete", batch)]


@single
def run_a_new_url(s: Stage) -> list[Operation]:
    return [s.run("run", s.message()[1])]


@single
def run_several_new_urls(s: Stage) -> list[Operation]:
    return [s.run("run", s.messages(URL, OTHER, URL))]


@single
def run_several_of_which_one_joins(s: Stage) -> list[Operation]:
    s.finished()
    return [s.run("run", s.messages(URL, OTHER, BAD))]


@single
def run_one_whose_start_takes_too_long(s: Stage) -> list[Operation]:
    return [s.run_out_of_time("run", s.message()[1])]


@single
def run_a_large_one(s: Stage) -> list[Operation]:
    s.w.site.answers[LARGE] = [LARGE.encode() + b"." * (9 * 2**20)]
    return [s.run("run", s.message(LARGE)[1])]


@single
def run_a_join(s: Stage) -> list[Operation]:
    s.finished()
    return [s.run("run", s.message()[1])]


@single
def run_one_that_fails(s: Stage) -> list[Operation]:
    s.w.site.answers[BAD] = [failure(404)]
    return [s.run("run", s.message(BAD)[1])]


@single
def run_one_that_is_retried(s: Stage) -> list[Operation]:
    s.w.site.answers[BAD] = [failure(503, retryable=True), b"at last " + BAD.encode()]
    s.ledger.excused[BAD] += 1
    return [s.run("run", s.message(BAD)[1])]


@single
def run_its_second_attempt(s: Stage) -> list[Operation]:
    s.w.site.answers[BAD] = [failure(503, retryable=True), b"at last " + BAD.encode()]
    s.ledger.excused[BAD] += 1
    _, records = s.message(BAD)
    s.w.deliver(records)
    return [s.run_later("run", records, 10 * SECOND)]


@single
def run_after_a_crash(s: Stage) -> list[Operation]:
    _, records = s.crashed()
    return [s.run_later("run", records, s.w.settings.lease_ms)]


@single
def give_up(s: Stage) -> list[Operation]:
    s.w.settings = replace(s.w.settings, max_attempts=1)
    s.w.wire()
    _, records = s.crashed()
    return [s.run_later("run", records, s.w.settings.lease_ms)]


@single
def run_after_a_failure(s: Stage) -> list[Operation]:
    s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
    s.ledger.excused[BAD] += 1
    s.finished(BAD)
    return [s.run("run", s.message(BAD)[1])]


@single
def run_a_deleted_job(s: Stage) -> list[Operation]:
    job_id, records = s.message()
    s.conductor.run(s.delete("delete", job_id))
    return [s.run("run", records)]


@single
def run_a_deleted_leader_that_is_shared(s: Stage) -> list[Operation]:
    job_id, records = s.crashed()
    s.submit()
    s.w.run()
    s.conductor.run(s.delete("delete", job_id))
    return [s.run_later("run", records, s.w.settings.lease_ms)]


@single
def bury_one_that_never_started(s: Stage) -> list[Operation]:
    return [s.bury("bury", s.message()[1])]


@single
def bury_one_whose_worker_died(s: Stage) -> list[Operation]:
    _, records = s.crashed()
    s.w.pass_time(s.w.settings.lease_ms)
    return [s.bury("bury", records)]


@single
def delete_a_queued_job(s: Stage) -> list[Operation]:
    return [s.delete("delete", s.submit())]


@single
def delete_a_sharer(s: Stage) -> list[Operation]:
    s.finished()
    sharer = s.finished()
    return [s.delete("delete", sharer)]


@single
def delete_the_last(s: Stage) -> list[Operation]:
    return [s.delete("delete", s.finished())]


@single
def delete_one_that_runs(s: Stage) -> list[Operation]:
    job_id, _ = s.crashed()
    return [s.delete("delete", job_id)]


@single
def delete_a_failed_one(s: Stage) -> list[Operation]:
    s.w.site.answers[BAD] = [failure(404)]
    return [s.delete("delete", s.finished(BAD))]


@single
def delete_a_batch(s: Stage) -> list[Operation]:
    batch = s.w.submit_batch([URL, OTHER, URL])
    s.ledger.accept(*batch["jobs"])
    s.w.run()
    return [s.delete_batch("delete", batch)]


@single
def run_one_that_the_host_refuses(s: Stage) -> list[Operation]:
    _, records = s.refused(BAD)
    return [s.run("run", records)]


@single
def run_it_when_its_turn_is(s: Stage) -> list[Operation]:
    s.deferred(BAD)
    return [s.run_later("run", s.w.copies(), SECOND)]


@single
def run_it_before_its_turn(s: Stage) -> list[Operation]:
    s.deferred(BAD)
    return [s.run("run", s.w.copies())]


@single
def run_it_long_after_its_turn(s: Stage) -> list[Operation]:
    s.deferred(BAD)
    return [s.run_later("run", s.w.copies(), MINUTE)]


@single
def run_others_of_a_host_that_refused(s: Stage) -> list[Operation]:
    s.deferred(BAD)
    return [s.run("run", s.messages(BAD + "1", BAD + "2", BAD + "1", OTHER))]


@single
def run_another_of_a_host_that_refused(s: Stage) -> list[Operation]:
    s.deferred(BAD)
    return [s.run("run", s.message(BAD + "1")[1])]


@single
def run_one_whose_turn_would_not_come_in_time(s: Stage) -> list[Operation]:
    s.deferred(BAD)
    s.crowd(BAD)
    return [s.run("run", s.message(BAD + "1")[1])]


@single
def run_a_copy_whose_turn_did_not_come_in_time(s: Stage) -> list[Operation]:
    s.deferred(BAD)
    s.crowd(BAD)
    return [s.run_later("run", s.w.copies(), s.w.settings.host_wait_hours * HOUR)]


@single
def bury_one_that_waits_for_its_host(s: Stage) -> list[Operation]:
    s.deferred(BAD)
    return [s.bury("bury", s.w.copies())]


@single
def delete_one_that_waits_for_its_host(s: Stage) -> list[Operation]:
    job_id = s.deferred(BAD)
    return [s.delete("delete", job_id)]


# Operations that meet


@pair
def a_refused_run_and_its_redelivery(s: Stage) -> list[Operation]:
    _, records = s.refused(BAD)
    return [s.run("first", records), s.run("second", records)]


@pair
def two_refused_runs_of_one_host(s: Stage) -> list[Operation]:
    _, one = s.refused(BAD)
    _, two = s.refused(BAD + "1")
    return [s.run("J1", one), s.run("J2", two)]


@pair
def a_refused_run_and_a_join(s: Stage) -> list[Operation]:
    _, one = s.refused(BAD)
    _, two = s.message(BAD)
    return [s.run("J1", one), s.run("J2", two)]


@pair
def a_refused_run_and_a_delete(s: Stage) -> list[Operation]:
    job_id, records = s.refused(BAD)
    s.ledger.excused[BAD] += 1
    return [s.run("run", records), s.delete("delete", job_id)]


@pair
def two_copies_of_one_message(s: Stage) -> list[Operation]:
    s.deferred(BAD)
    records = s.w.copies()
    s.w.pass_time(SECOND)
    return [s.run("first", records), s.run("second", records)]


@pair
def two_copies_that_have_missed_their_turn(s: Stage) -> list[Operation]:
    s.deferred(BAD)
    records = s.w.copies()
    s.w.pass_time(MINUTE)
    return [s.run("first", records), s.run("second", records)]


@pair
def a_copy_and_a_delete(s: Stage) -> list[Operation]:
    job_id = s.deferred(BAD)
    records = s.w.copies()
    s.w.pass_time(SECOND)
    s.ledger.excused[BAD] += 1
    return [s.run("run", records), s.delete("delete", job_id)]


@pair
def a_copy_and_a_burial(s: Stage) -> list[Operation]:
    s.deferred(BAD)
    records = s.w.copies()
    s.w.pass_time(SECOND)
    s.ledger.excused[BAD] += 1
    return [s.run("run", records), s.bury("bury", records)]


@pair
def two_runs_of_urls_of_a_host_that_refused(s: Stage) -> list[Operation]:
    s.deferred(BAD)
    return [s.run("J1", s.messages(BAD + "1", BAD + "2")), s.run("J2", s.messages(BAD + "1", BAD + "3"))]


@pair
def a_repeat_and_the_delete_of_the_last_sharer(s: Stage) -> list[Operation]:
    first = s.finished()
    s.ledger.excused[URL] += 1
    return [s.post("submit", "/jobs", {"url": URL}), s.delete("delete", first)]


@pair
def a_repeat_and_the_run_of_its_fetch(s: Stage) -> list[Operation]:
    return [s.post("submit", "/jobs", {"url": URL}), s.run("run", s.message()[1])]


@pair
def a_repeat_and_a_run_that_fails(s: Stage) -> list[Operation]:
    s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
    s.ledger.excused[BAD] += 1
    _, records = s.message(BAD)
    s.w.pass_time(SECOND)
    return [s.post("submit", "/jobs", {"url": BAD}), s.run("run", records)]


@pair
def two_repeats_with_one_key(s: Stage) -> list[Operation]:
    s.finished()
    return [s.post("S1", "/jobs", {"url": URL}), s.post("S2", "/jobs", {"url": URL})]


@pair
def a_late_repeat_of_a_submission_that_joined_and_a_delete(s: Stage) -> list[Operation]:
    s.finished()
    s.conductor.run(s.post("submit", "/jobs", {"url": URL}))
    job_id = list(s.ledger.accepted)[-1]
    return [s.post("submit again", "/jobs", {"url": URL}), s.delete("delete", job_id)]


@pair
def a_batch_with_repeats_and_the_delete_of_the_last_sharer(s: Stage) -> list[Operation]:
    first = s.finished()
    s.ledger.excused[URL] += 1
    return [s.post("submit", "/batches", {"urls": [URL, OTHER, URL]}), s.delete("delete", first)]


@pair
def two_batches_with_repeats_and_one_key(s: Stage) -> list[Operation]:
    s.finished()
    urls = {"urls": [URL, OTHER]}
    return [s.post("S1", "/batches", urls), s.post("S2", "/batches", urls)]


@pair
def a_retry_and_the_delete_of_its_batch(s: Stage) -> list[Operation]:
    batch = s.failed_batch()
    return [s.retry("retry", batch), s.delete_batch("delete", batch)]


@pair
def two_retries_with_one_key(s: Stage) -> list[Operation]:
    batch = s.failed_batch()
    return [s.retry("R1", batch), s.retry("R2", batch)]


@pair
def two_retries_of_one_batch(s: Stage) -> list[Operation]:
    batch = s.failed_batch()
    return [s.retry("R1", batch), s.retry("R2", batch, {"Idempotency-Key": "another"})]


@pair
def a_retry_and_the_run_of_another_retry(s: Stage) -> list[Operation]:
    batch = s.failed_batch()
    s.conductor.run(s.retry("retry", batch))
    return [s.retry("another", batch, {}), s.run("run", s.w.receive())]


@pair
def several_joins_and_the_delete_of_the_last_sharer(s: Stage) -> list[Operation]:
    first = s.finished()
    s.ledger.excused[URL] += 1
    return [s.run("run", s.messages(URL, URL)), s.delete("delete", first)]


@pair
def several_joins_and_their_redelivery(s: Stage) -> list[Operation]:
    s.finished()
    records = s.messages(URL, URL)
    return [s.run("first", records), s.run("second", records)]


@pair
def several_joins_and_the_delete_of_one(s: Stage) -> list[Operation]:
    s.finished()
    records = s.messages(URL, URL)
    return [s.run("run", records), s.delete("delete", list(s.ledger.accepted)[-1])]


@pair
def a_count_and_the_delete_of_a_job(s: Stage) -> list[Operation]:
    batch = s.batch(URL, OTHER)
    return [s.count("count", batch), s.delete("delete", batch["jobs"][0]["id"])]


@pair
def a_count_and_the_delete_of_its_batch(s: Stage) -> list[Operation]:
    batch = s.batch(URL, OTHER)
    return [s.count("count", batch), s.delete_batch("delete", batch)]


@pair
def two_runs_of_one_url(s: Stage) -> list[Operation]:
    _, one = s.message()
    _, two = s.message()
    return [s.run("J1", one), s.run("J2", two)]


@pair
def two_runs_after_a_failure(s: Stage) -> list[Operation]:
    s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
    s.ledger.excused[BAD] += 1
    s.finished(BAD)
    _, one = s.message(BAD)
    _, two = s.message(BAD)
    return [s.run("J1", one), s.run("J2", two)]


@pair
def a_failing_run_and_a_join(s: Stage) -> list[Operation]:
    s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
    s.ledger.excused[BAD] += 1
    _, one = s.message(BAD)
    s.w.pass_time(SECOND)
    _, two = s.message(BAD)
    return [s.run("J1", one), s.run("J2", two)]


@pair
def a_run_of_several_and_a_run_of_one_of_their_urls(s: Stage) -> list[Operation]:
    several = s.messages(URL, OTHER)
    return [s.run("several", several), s.run("one", s.messages(OTHER))]


@pair
def two_runs_of_the_same_several(s: Stage) -> list[Operation]:
    records = s.messages(URL, OTHER)
    return [s.run("first", records), s.run("second", records)]


@pair
def a_run_of_several_and_a_delete(s: Stage) -> list[Operation]:
    job_id = s.submit()
    s.ledger.excused[URL] += 1
    return [s.run("several", s.messages(OTHER)), s.delete("delete", job_id)]


@pair
def a_run_and_its_redelivery(s: Stage) -> list[Operation]:
    _, records = s.message()
    return [s.run("first", records), s.run("second", records)]


@pair
def a_run_and_a_delete(s: Stage) -> list[Operation]:
    job_id, records = s.message()
    s.ledger.excused[URL] += 1
    return [s.run("run", records), s.delete("delete", job_id)]


@pair
def a_join_and_the_delete_of_the_last_sharer(s: Stage) -> list[Operation]:
    first = s.finished()
    s.ledger.excused[URL] += 1
    _, records = s.message()
    return [s.run("join", records), s.delete("delete", first)]


@pair
def two_deletes_of_a_shared_fetch(s: Stage) -> list[Operation]:
    first, second = s.finished(), s.finished()
    return [s.delete("D1", first), s.delete("D2", second)]


@pair
def two_deletes_of_one_job(s: Stage) -> list[Operation]:
    first = s.finished()
    s.finished()
    return [s.delete("D1", first), s.delete("D2", first)]


@pair
def two_deletes_of_the_last_job(s: Stage) -> list[Operation]:
    job_id = s.finished()
    return [s.delete("D1", job_id), s.delete("D2", job_id)]


@pair
def a_finish_after_a_lost_lease(s: Stage) -> list[Operation]:
    _, records = s.message()
    s.ledger.excused[URL] += 1
    return [s.run("slow", records), s.run_later("quick", records, s.w.settings.lease_ms)]


@pair
def a_start_that_takes_too_long_and_a_resume(s: Stage) -> list[Operation]:
    _, records = s.message()
    return [s.run_out_of_time("slow", records), s.run_later("quick", records, s.w.settings.lease_ms)]


@pair
def two_resumes(s: Stage) -> list[Operation]:
    _, records = s.crashed()
    s.w.pass_time(s.w.settings.lease_ms)
    return [s.run("R1", records), s.run("R2", records)]


@pair
def a_resume_and_a_burial(s: Stage) -> list[Operation]:
    _, records = s.crashed()
    s.w.pass_time(s.w.settings.lease_ms)
    return [s.run("run", records), s.bury("bury", records)]


@pair
def a_late_run_and_a_burial(s: Stage) -> list[Operation]:
    _, records = s.message()
    s.ledger.excused[URL] += 1
    return [s.run("run", records), s.bury("bury", records)]


@pair
def a_batch_and_the_runs_of_its_first_jobs(s: Stage) -> list[Operation]:
    return [s.post("submit", "/batches", {"urls": [URL, OTHER]}), s.run_whatever_is_there("run")]


@pair
def two_submissions_with_one_key(s: Stage) -> list[Operation]:
    return [s.post("S1", "/jobs", {"url": URL}), s.post("S2", "/jobs", {"url": URL})]


@pair
def two_batches_with_one_key(s: Stage) -> list[Operation]:
    return [s.post("S1", "/batches", {"urls": [URL, OTHER]}), s.post("S2", "/batches", {"urls": [URL, OTHER]})]


@pair
def two_replays_of_a_batch_whose_handler_died_and_a_run(s: Stage) -> list[Operation]:
    urls = {"urls": [URL]}
    first = s.post("first", "/batches", urls)
    first.fault = Fault(1, Side.BEFORE)  # no row is there
    s.conductor.run(first)
    s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
    return [s.post("S1", "/batches", urls), s.post("S2", "/batches", urls), s.run_whatever_is_there("run")]


@pair
def two_jobs_of_one_url_and_the_delete_of_the_first(s: Stage) -> list[Operation]:
    first, one = s.message()
    _, two = s.message()
    s.ledger.excused[URL] += 1
    return [s.run("J1", one), s.run("J2", two), s.delete("delete J1", first)]


@pair
def a_run_its_redelivery_and_a_delete(s: Stage) -> list[Operation]:
    job_id, records = s.message()
    s.ledger.excused[URL] += 1
    return [s.run("first", records), s.run("second", records), s.delete("delete", job_id)]


@pair
def a_join_and_two_deletes(s: Stage) -> list[Operation]:
    first, second = s.finished(), s.finished()
    s.ledger.excused[URL] += 1
    _, records = s.message()
    return [s.run("join", records), s.delete("D1", first), s.delete("D2", second)]


@pair
def a_run_and_the_delete_of_its_batch(s: Stage) -> list[Operation]:
    batch = s.w.submit_batch([URL, URL])
    s.ledger.accept(*batch["jobs"])
    s.ledger.excused[URL] += 1
    return [s.run("run", s.w.receive()), s.delete_batch("delete", batch)]


@pair
def a_late_repeat_of_a_submission_and_a_delete(s: Stage) -> list[Operation]:
    s.conductor.run(s.post("submit", "/jobs", {"url": URL}))
    (job_id,) = s.ledger.accepted
    return [s.post("submit again", "/jobs", {"url": URL}), s.delete("delete", job_id)]


@pair
def a_late_repeat_of_a_finished_submission_and_a_delete(s: Stage) -> list[Operation]:
    s.conductor.run(s.post("submit", "/jobs", {"url": URL}))
    (job_id,) = s.ledger.accepted
    s.w.run()
    return [s.post("submit again", "/jobs", {"url": URL}), s.delete("delete", job_id)]


@contextmanager
def stage(w: World, conductor: Conductor) -> Iterator[Stage]:
    """A stage whose world is empty at the beginning."""
    w.reset()
    conductor.trace.clear()
    ready = Stage(w, conductor)
    conductor.on_death, w.site.note = ready.note_death, ready.note_request
    yield ready
