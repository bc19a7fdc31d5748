"""Histories that broke earlier protocols of this kind, each the shortest of its sort, run on the real code."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.runner.outcome import Failure
from tests.crash.invariants import check, check_clean, settle
from tests.crash.scenarios import BAD, KEY, OTHER, URL, Stage
from tests.crash.stepping import Fault, Operation, Side
from tests.test_faults import answered, error
from tests.world import HOUR, MINUTE, SECOND, failure

READ, WRITE = 1, 1  # a run's calls: the reading of job and claim, then one write
LOOKS = 2  # of a run whose job has a fetch: it is read the second time


def end(s: Stage) -> None:
    """The world goes on, and every promise holds."""
    settle(s.w)
    check(s.w, s.ledger)
    check_clean(s.w, s.ledger)


class TestNobodyLeads:
    """A message that is acknowledged while its fetch is unfinished leaves those who share it running for ever."""

    def test_the_leaders_job_is_deleted(self, s: Stage) -> None:
        """The message leads its fetch although its job is gone."""
        job_id, records = s.crashed()
        delete = s.delete("DELETE J1", job_id)
        s.conductor.begin(delete, 1)  # has read the job
        sharer = s.submit()
        s.w.deliver(s.w.receive())
        s.conductor.finish(delete)
        s.w.pass_time(s.w.settings.lease_ms)
        assert s.w.deliver(records) == []
        assert s.w.job(sharer)["status"] == "succeeded"
        end(s)

    def test_the_claim_moved_on(self, s: Stage) -> None:
        """A message finds its own fetch by its own id, whatever the claim names."""
        first, one = s.message()
        s.w.pass_time(HOUR)
        second, two = s.message()
        run_one, run_two = s.run("J1", one), s.run("J2", two)
        s.conductor.begin(run_one, READ)
        s.conductor.begin(run_two, READ)
        s.conductor.make_calls(run_one, WRITE)
        s.conductor.kill(run_one)
        s.ledger.excused[URL] += 1  # two windows
        s.conductor.finish(run_two)
        s.w.pass_time(s.w.settings.lease_ms)
        assert s.w.deliver(one) == []
        assert s.w.job(first)["status"] == s.w.job(second)["status"] == "succeeded"
        end(s)

    def test_a_refusal_is_no_reason_to_acknowledge(self, s: Stage) -> None:
        """A duplicate whose start is refused looks again and finds a fetch to lead."""
        job_id, records = s.message()
        a, b = s.run("A", records), s.run("B", records)
        s.conductor.begin(a, READ)
        s.conductor.begin(b, READ + WRITE)
        s.conductor.kill(b)
        sharer = s.submit()
        s.w.deliver(s.w.receive())
        s.conductor.run(s.delete("DELETE J1", job_id))
        s.conductor.finish(a)
        assert s.w.messages, "the message must be left"
        s.w.pass_time(s.w.settings.lease_ms)
        s.w.run()
        assert s.w.job(sharer)["status"] == "succeeded"
        end(s)

    def test_refused_in_every_round(self, s: Stage) -> None:
        """A worker whose writes are all refused gives the message back."""
        _, records = s.message()
        rows = s.w.runners_table._rows
        rows.write = lambda write, **_: False  # type: ignore[method-assign]
        assert s.w.deliver(records) == records
        del rows.write
        assert s.w.deliver(records) == []
        end(s)

    def test_a_reading_is_not_one_moment(self, s: Stage) -> None:
        """Own fetch read before a start and job after it: only a second look may acknowledge."""
        job_id, records = s.message()
        real = s.w.runners_table.seen
        looks = []

        def torn(*arguments: object, **options: object) -> object:
            seen = real(*arguments, **options)  # type: ignore[arg-type]
            looks.append(seen)
            if len(looks) == 1:  # as if the job were read when B had linked it, the fetch before
                job = seen[0].job
                assert job is not None
                b = s.run("B", records)
                s.conductor.begin(b, READ + WRITE)
                s.conductor.kill(b)
                return [replace(seen[0], job=replace(job, fetch_id=job.id))]
            return seen

        s.w.runners_table.seen = torn  # type: ignore[method-assign, assignment]
        assert s.w.deliver(records) == records
        del s.w.runners_table.seen
        s.w.pass_time(s.w.settings.lease_ms)
        s.w.deliver(records)
        assert s.w.job(job_id)["status"] == "succeeded"
        end(s)

    def test_a_loser_does_not_acknowledge(self, s: Stage) -> None:
        """A worker that lost its lease leaves the message: its successor may be dead."""
        job_id, records = s.message()
        a = s.run("A", records)
        s.conductor.begin(a, READ + WRITE + 1)  # its result is stored, finish is next
        s.w.pass_time(s.w.settings.lease_ms)
        b = s.run("B", records)
        s.conductor.begin(b, LOOKS + WRITE)
        s.conductor.kill(b)
        s.ledger.excused[URL] += 1  # A's
        s.conductor.finish(a)
        assert s.w.messages
        s.w.pass_time(s.w.settings.lease_ms)
        s.w.run()
        assert (s.w.job(job_id)["status"], s.w.job(job_id)["attempts"]) == ("succeeded", 3)
        end(s)


class TestOneFetchToAJob:
    """A job that has its fetch gets no other, and is counted once."""

    def test_a_duplicate_does_not_count_twice(self, s: Stage) -> None:
        """With its one job goes the fetch."""
        job_id, records = s.message()
        a, b = s.run("A", records), s.run("B", records)
        s.conductor.begin(a, READ)
        s.conductor.begin(b, READ)
        s.conductor.make_calls(a, WRITE)
        s.conductor.finish(b)
        s.conductor.finish(a)
        assert s.w.items()[f"FETCH#{job_id}"]["jobs"] == 1
        end(s)

    def test_a_slow_duplicate_does_not_move_a_finished_job(self, s: Stage) -> None:
        """A failed job stays with its own failure, though another fetch of the URL runs by now."""
        s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
        s.ledger.excused[BAD] += 1
        first, records = s.message(BAD)
        slow = s.run("slow", records)
        s.conductor.begin(slow, READ)
        s.w.deliver(records)
        s.w.pass_time(SECOND)
        s.finished(BAD)
        s.conductor.finish(slow)
        job = s.w.job(first)
        assert (job["status"], job["reused"]) == ("failed", False)
        end(s)

    def test_a_finished_fetch_is_not_begun_again(self, s: Stage) -> None:
        """A duplicate that read "no fetch yet" before it all cannot put it anew."""
        job_id, records = s.message()
        slow = s.run("slow", records)
        s.conductor.begin(slow, READ)
        s.w.deliver(records)
        s.conductor.finish(slow)
        assert s.w.job(job_id)["attempts"] == 1
        end(s)


class TestTheWindow:
    """It counts from submissions, also where workers meet."""

    def test_two_delayed_starts_at_once(self, s: Stage) -> None:
        """Submitted half an hour apart, worked on after the hour, both find no claim: one fetch."""
        _, one = s.message()
        s.w.pass_time(30 * MINUTE)
        _, two = s.message()
        s.w.pass_time(35 * MINUTE)
        a, b = s.run("J1", one), s.run("J2", two)
        s.conductor.begin(a, READ)
        s.conductor.begin(b, READ)
        s.conductor.finish(a)
        s.conductor.finish(b)
        s.w.run()
        assert s.w.site.requests[URL] == 1
        end(s)

    def test_two_starts_after_a_failure(self, s: Stage) -> None:
        """Both have seen the claim's fetch dead: one replaces the claim, and the other joins it."""
        s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
        s.ledger.excused[BAD] += 1
        s.finished(BAD)
        _, one = s.message(BAD)
        _, two = s.message(BAD)
        a, b = s.run("J1", one), s.run("J2", two)
        s.conductor.begin(a, READ + WRITE + READ)  # a join is refused: then the fetch is read, too
        s.conductor.begin(b, READ + WRITE + READ)
        s.conductor.finish(a)
        s.conductor.finish(b)
        assert s.w.site.requests[BAD] == 2
        end(s)


class TestSubmissions:
    """A message and its row."""

    def test_a_message_that_is_older_than_its_keys_next_life(self, s: Stage) -> None:
        """It waited for a week; by now its key stands for a job of another URL, which is given no bytes of its own."""
        job_id = s.w.submit(URL, "k")["id"]
        old = s.w.receive()
        s.w.pass_time(s.w.settings.retention_ms + s.w.service.rules.sharing + MINUTE)
        s.w.sweep()
        s.finished()
        assert s.w.submit(OTHER, "k")["id"] == job_id
        s.ledger.accepted[job_id] = OTHER
        assert s.w.deliver(old) == []
        assert s.w.job(job_id)["status"] == "queued"
        end(s)

    def test_a_batch_without_a_key_whose_first_write_is_repeated(self, s: Stage) -> None:
        """What stands in its way is itself: nobody else can have its id."""
        submit = s.post("submit", "/batches", {"urls": [URL]}, {})
        submit.fault = Fault(0, Side.REPEATED)
        s.conductor.run(submit)
        assert s.ledger.accepted
        end(s)

    @pytest.mark.parametrize("call", [0, 1])
    def test_a_batch_with_a_key_whose_write_is_repeated(self, s: Stage, call: int) -> None:
        """It knows its own lease, when it is made and when it is taken over."""
        urls = {"urls": [URL]}
        if call:
            first = s.post("first", "/batches", urls)
            first.fault = Fault(1, Side.BEFORE)
            s.conductor.run(first)
            s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        submit = s.post("submit", "/batches", urls)
        submit.fault = Fault(2 * call, Side.REPEATED)
        s.conductor.run(submit)
        assert s.ledger.accepted
        end(s)

    def test_rows_that_may_be_written_late_keep_their_lease(self, s: Stage) -> None:
        """Else the next handler's rows are linked when the first one's fall on them."""
        urls = {"urls": [URL, OTHER]}
        first = s.post("first", "/batches", urls)
        first.fault = Fault(2, Side.LATE)
        s.conductor.run(first)
        s.conductor.run(s.post("at once", "/batches", urls))
        s.w.run()
        s.conductor.carry_out_late()
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        s.conductor.run(s.post("later", "/batches", urls))
        assert s.ledger.accepted
        end(s)

    def test_rows_that_may_be_written_after_a_servers_error_keep_their_lease(self, s: Stage) -> None:
        """DynamoDB answers 500, and carries the write out all the same, later."""
        rows: list[Any] = []

        def fail(number: int, params: Any) -> Any:
            rows.append(json.loads(params["body"])["RequestItems"])
            return error(500, "InternalServerError")

        urls = {"urls": [URL, OTHER]}
        with answered(s.w, "dynamodb", "BatchWriteItem", fail):
            s.conductor.run(s.post("first", "/batches", urls))
        s.conductor.run(s.post("at once", "/batches", urls))
        s.w.run()
        s.w.clients["dynamodb"].batch_write_item(RequestItems=rows[0])
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        s.conductor.run(s.post("later", "/batches", urls))
        assert s.ledger.accepted
        end(s)

    def test_a_lease_that_is_let_go_late_is_the_next_ones_by_then(self, s: Stage) -> None:
        """Else a third handler writes rows while the second does."""
        urls = {"urls": [URL]}
        first = s.post("first", "/batches", urls)
        first.fault = Fault(3, Side.LATE)
        with answered(s.w, "dynamodb", "BatchWriteItem", lambda number, params: error(400, "ThrottlingException")):
            s.conductor.run(first)
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        second = s.post("second", "/batches", urls)
        s.conductor.begin(second, 5)  # has the lease, and has seen that no row is there, nor a claim
        s.conductor.carry_out_late()
        s.conductor.run(s.post("third", "/batches", urls))
        s.w.run()
        s.conductor.finish(second)
        end(s)

    def test_a_message_that_is_quicker_than_its_submission(self, s: Stage) -> None:
        """Whatever is on the queue at any moment of a submission, the job that is accepted runs."""
        submit = s.post("submit", "/jobs", {"url": URL})
        for _ in range(4):
            s.conductor.begin(submit) if submit.calls == 0 else s.conductor.make_calls(submit, 1)
            s.w.run()
        s.conductor.finish(submit)
        end(s)


class TestAnEnd:
    """Attempts are counted, and a burial is no attempt."""

    def test_workers_that_always_die(self, s: Stage) -> None:
        """After the last attempt no further request is made."""
        most = s.w.settings.max_attempts
        job_id, records = s.message()
        for number in range(most + 1):
            run = s.run("run", records)
            s.conductor.begin(run, (LOOKS if number else READ) + WRITE)
            s.conductor.kill(run)
            s.w.pass_time(s.w.settings.lease_ms)
        assert (s.w.job(job_id)["status"], s.w.site.requests[URL]) == ("failed", most)
        end(s)

    def test_a_burial_makes_no_request(self, s: Stage) -> None:
        """A job that never started is not begun by the dead letters' runner."""
        job_id, records = s.message()
        s.w.deliver(records, dead_letters=True)
        assert (s.w.job(job_id)["status"], s.w.site.requests[URL]) == ("failed", 0)
        end(s)


class TestADeleteThatDies:
    """What a crash in a DELETE leaves blocks nobody, and its repeat finishes it."""

    def test_after_the_transaction(self, s: Stage) -> None:
        """The claim on a fetch that is gone is no claim."""
        job_id = s.finished()
        delete = s.delete("DELETE", job_id)
        delete.fault = Fault(2, Side.AFTER)
        s.conductor.run(delete)
        s.ledger.excused[URL] += 1  # its data is gone
        assert any(key.startswith("URL#") for key in s.w.items())
        again = s.submit()
        s.w.run()
        assert s.w.job(again)["status"] == "succeeded"
        s.conductor.run(s.delete("DELETE again", job_id))
        assert job_id in s.ledger.deleted
        assert s.w.job(again)["status"] == "succeeded"
        third = s.submit()
        s.w.run()
        assert s.w.job(third)["reused"] is True, "the younger fetch's claim must stand"
        end(s)

    @pytest.mark.parametrize("call", [3, 4, 5])
    def test_between_what_follows_it(self, s: Stage, call: int) -> None:
        """The repeat removes what the first one did not."""
        job_id = s.finished()
        delete = s.delete("DELETE", job_id)
        delete.fault = Fault(call, Side.BEFORE)
        s.conductor.run(delete)
        s.conductor.run(s.delete("DELETE again", job_id))
        assert s.w.objects() == set()
        assert s.w.items().keys() == {f"JOB#{job_id}"}


class TestResults:
    """No object outlives its jobs."""

    def test_an_attempt_whose_end_was_lost(self, s: Stage) -> None:
        """A worker dies when it has stored its result: the last DELETE removes it with its successor's."""
        job_id, records = s.message()
        run = s.run("run", records)
        run.fault = Fault(READ + WRITE, Side.AFTER)
        s.conductor.run(run)
        s.w.pass_time(s.w.settings.lease_ms)
        s.w.deliver(records)
        assert len(s.w.objects()) == 2
        s.conductor.run(s.delete("DELETE", job_id))
        assert s.w.objects() == set()
        end(s)

    def test_an_attempt_that_is_begun_while_it_is_deleted(self, s: Stage) -> None:
        """The DELETE removes what every attempt has stored until its own write."""
        job_id, records = s.crashed()
        s.w.pass_time(s.w.settings.lease_ms)
        delete = s.delete("DELETE", job_id)
        s.conductor.begin(delete, 2)
        run = s.run("run", records)
        run.fault = Fault(LOOKS + WRITE, Side.AFTER)
        s.conductor.run(run)
        s.conductor.finish(delete)
        assert s.w.objects() == set()
        end(s)

    def test_a_worker_that_dies_when_its_job_is_gone(self, s: Stage) -> None:
        """It stored the result after the DELETE: its message comes back, and removes it."""
        job_id, records = s.message()
        run = s.run("run", records)
        s.conductor.begin(run, READ + WRITE)
        s.conductor.run(s.delete("DELETE", job_id))
        s.conductor.make_calls(run, 1)
        s.conductor.kill(run)
        assert s.w.objects()
        assert s.w.deliver(records) == []
        assert s.w.objects() == set()
        end(s)

    def test_a_mark_that_is_older_than_its_fetchs_next_life(self, s: Stage) -> None:
        """A week later a key gives its job's id, and its fetch's, again: what is left of a sharer's DELETE is over."""
        leader = s.w.submit(URL, "k")["id"]
        s.w.run()
        s.w.pass_time(59 * MINUTE)
        sharer = s.finished()
        s.w.request("DELETE", f"/jobs/{leader}")
        delete = s.delete("DELETE", sharer)
        delete.fault = Fault(2, Side.AFTER)
        s.conductor.run(delete)
        s.w.pass_time(s.w.settings.retention_ms + s.w.service.rules.sharing - 58 * MINUTE)
        s.w.sweep()
        assert s.w.submit(URL, "k")["id"] == leader
        s.w.run()
        assert s.w.request("DELETE", f"/jobs/{sharer}").status_code == 404
        assert s.w.request("GET", f"/jobs/{leader}/result").status_code == 200
        assert s.w.submit(URL)["id"] != leader
        s.w.run()
        assert s.w.site.requests[URL] == 2


class TestDeadLetters:
    """Nothing that is done is undone, nothing that is dead comes back."""

    def test_one_copy_is_buried_while_another_runs(self, s: Stage) -> None:
        """The burial waits for the lease."""
        job_id, records = s.message()
        run = s.run("run", records)
        s.conductor.begin(run, READ + WRITE)
        assert s.w.deliver(records, dead_letters=True) == records
        s.conductor.finish(run)
        assert s.w.job(job_id)["status"] == "succeeded"
        end(s)

    def test_a_resume_after_the_burial(self, s: Stage) -> None:
        """A fetch that failed is not taken up again."""
        job_id, records = s.crashed()
        s.w.pass_time(s.w.settings.lease_ms)
        resume = s.run("resume", records)
        s.conductor.begin(resume, LOOKS)
        s.w.deliver(list(records), dead_letters=True)
        before = s.w.site.requests[URL]
        s.conductor.finish(resume)
        assert (s.w.job(job_id)["status"], s.w.site.requests[URL]) == ("failed", before)
        s.ledger.excused[URL] += 1
        end(s)


class TestADeleteThatMeets:
    """A DELETE and a start, a finish, another DELETE."""

    def test_a_start(self, s: Stage) -> None:
        """DELETE read "no fetch yet": its write is refused and it looks again."""
        job_id, records = s.message()
        delete = s.delete("DELETE", job_id)
        s.conductor.begin(delete, 1)
        run = s.run("run", records)
        s.conductor.begin(run, READ + WRITE)
        s.conductor.finish(delete)
        s.conductor.finish(run)
        assert job_id in s.ledger.deleted
        assert s.w.objects() == set()
        s.ledger.excused[URL] += 1
        end(s)

    def test_a_start_that_is_later(self, s: Stage) -> None:
        """The worker read the job before it was deleted: nothing is fetched for nobody."""
        job_id, records = s.message()
        run = s.run("run", records)
        s.conductor.begin(run, READ)
        s.conductor.run(s.delete("DELETE", job_id))
        s.conductor.finish(run)
        assert (s.w.site.requests[URL], s.w.messages) == (0, [])
        end(s)

    def test_a_finish(self, s: Stage) -> None:
        """DELETE read "running, no object": the object is removed all the same."""
        job_id, records = s.message()
        run = s.run("run", records)
        s.conductor.begin(run, READ + WRITE + 1)
        delete = s.delete("DELETE", job_id)
        s.conductor.begin(delete, 2)
        s.conductor.finish(run)
        s.conductor.finish(delete)
        assert s.w.objects() == set()
        s.ledger.excused[URL] += 1
        end(s)

    def test_the_delete_of_the_other_sharer(self, s: Stage) -> None:
        """Each believes that the other stays: with the second the fetch goes."""
        first, second = s.finished(), s.finished()
        one, two = s.delete("D1", first), s.delete("D2", second)
        s.conductor.begin(one, 2)
        s.conductor.begin(two, 2)
        s.conductor.finish(one)
        s.conductor.finish(two)
        assert not any(key.startswith(("FETCH#", "URL#")) for key in s.w.items())
        end(s)

    def test_a_join(self, s: Stage) -> None:
        """Who joins in between keeps the result."""
        first = s.finished()
        delete = s.delete("DELETE", first)
        s.conductor.begin(delete, 2)
        sharer = s.submit()
        s.w.run()
        s.conductor.finish(delete)
        assert s.w.request("GET", f"/jobs/{sharer}/result").status_code == 200
        end(s)

    @pytest.mark.parametrize("of_batch", [False, True])
    def test_another_delete_that_dies(self, s: Stage, of_batch: bool) -> None:
        """Whoever finds the fetch gone finishes what the other has begun."""
        batch = s.w.submit_batch([URL])
        s.ledger.accept(*batch["jobs"])
        s.w.run()
        job_id = batch["jobs"][0]["id"]

        def delete(name: str) -> Operation:
            return s.delete_batch(name, batch) if of_batch else s.delete(name, job_id)

        before = 1 if of_batch else 0  # the reading of the batch
        one, two = delete("D1"), delete("D2")
        s.conductor.begin(two, before + 1)  # has read the job
        s.conductor.begin(one, before + 3)  # has made its transaction
        s.conductor.kill(one)
        s.conductor.finish(two)
        assert job_id in s.ledger.deleted
        assert s.w.objects() == set()
        assert not any(key.startswith(("FETCH#", "URL#")) for key in s.w.items())
        end(s)

    def test_itself(self, s: Stage) -> None:
        """Two DELETEs of one job take one sharer away."""
        first = s.finished()
        second = s.finished()
        one, two = s.delete("D1", first), s.delete("D2", first)
        s.conductor.begin(one, 2)
        s.conductor.begin(two, 2)
        s.conductor.finish(one)
        s.conductor.finish(two)
        assert s.w.job(second)["status"] == "succeeded"
        end(s)


def test_a_failure_is_in_the_fetch_alone(s: Stage) -> None:
    """A job submitted after a failure is not given it, though the claim says nothing of it."""
    s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
    s.ledger.excused[BAD] += 1
    s.finished(BAD)
    again = s.finished(BAD)
    assert s.w.job(again)["status"] == "succeeded"
    end(s)


def test_a_failure_that_was_seen_is_not_given_again(s: Stage) -> None:
    """Although the clock of the API that takes the next submission is behind the runner's."""
    s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
    s.ledger.excused[BAD] += 1
    s.finished(BAD)
    behind = s.w.settings.skew_seconds * SECOND - 1
    s.w.pass_time(-behind)
    again, records = s.message(BAD)
    s.w.pass_time(behind)
    s.w.deliver(records)
    assert s.w.job(again)["status"] == "succeeded"
    end(s)


def test_a_start_of_several_that_is_refused(s: Stage) -> None:
    """Nothing of it has happened: who was too late joins, the others start alone."""
    records = s.messages(URL, BAD)
    several = s.run("several", records)
    s.conductor.begin(several, READ)
    _, one = s.message(BAD)
    s.w.deliver(one)
    s.conductor.finish(several)
    assert s.w.site.requests == {URL: 1, BAD: 1}
    end(s)


def test_a_late_resume(s: Stage) -> None:
    """Two found the lease over; the second resumes on what it read long ago."""
    job_id, records = s.crashed()
    s.w.pass_time(s.w.settings.lease_ms)
    a, b = s.run("A", records), s.run("B", records)
    s.conductor.begin(a, LOOKS)
    s.conductor.begin(b, LOOKS)
    s.conductor.finish(a)
    s.w.pass_time(s.w.settings.lease_ms)
    s.conductor.finish(b)
    assert (s.w.job(job_id)["attempts"], s.w.site.requests[URL]) == (2, 2)
    end(s)


def test_a_late_resume_after_a_retry(s: Stage) -> None:
    """Every attempt is counted: who read the one before the last, by a clock that is ahead, takes no number."""
    job_id, records = s.crashed()
    s.w.site.answers[URL] = [failure(503, retryable=True), b"at last " + URL.encode()]
    s.ledger.excused[URL] += 1
    s.w.pass_time(s.w.settings.lease_ms)
    ahead = s.w.settings.skew_seconds * SECOND
    a, b = s.run("A", records), s.run("B", records)
    s.conductor.begin(a, LOOKS)
    s.w.pass_time(ahead)
    s.conductor.begin(b, LOOKS)
    s.w.pass_time(-ahead)
    s.conductor.finish(a)
    s.w.pass_time(ahead)
    s.conductor.finish(b)
    assert (s.w.job(job_id)["attempts"], s.w.site.requests[URL]) == (3, 3)
    end(s)


@pytest.mark.parametrize("buried", [False, True])
def test_a_pause_is_kept(s: Stage, buried: bool) -> None:
    """Who found the lease over, just before its holder asked for a pause after all, waits for its end."""
    job_id, records = s.message()
    s.w.site.answers[URL] = [failure(503, retryable=True, retry_after=200), b"at last " + URL.encode()]
    s.ledger.excused[URL] += 1
    slow = s.run("slow", records)
    s.conductor.begin(slow, READ + WRITE)
    s.w.pass_time(s.w.settings.lease_ms)
    other = s.bury("bury", list(records)) if buried else s.run("quick", records)
    s.conductor.begin(other, LOOKS)
    s.conductor.finish(slow)
    s.conductor.finish(other)
    assert (s.w.job(job_id)["status"], s.w.site.requests[URL]) == ("queued", 1)
    end(s)


LATE = [
    failure(404),
    failure(500, retryable=True, retry_after=200),
    failure(503, retryable=True, retry_after=200),
    b"late " + URL.encode(),
]


@pytest.mark.parametrize("answer", LATE, ids=["fails", "retries", "defers", "finishes"])
@pytest.mark.parametrize("burial_first", [True, False])
def test_what_has_ended_stays_as_it_ended(s: Stage, answer: Failure | bytes, burial_first: bool) -> None:
    """A worker slower than its lease and a burial: whichever ends the fetch first, the other changes nothing."""
    job_id, records = s.message()
    s.w.site.answers[URL] = [answer, b"again " + URL.encode()]
    s.ledger.excused[URL] += 1
    slow = s.run("slow", records)
    stored = 1 if isinstance(answer, bytes) else 0
    s.conductor.begin(slow, READ + WRITE + stored)
    s.w.pass_time(s.w.settings.lease_ms)
    bury = s.bury("bury", list(records))
    s.conductor.begin(bury, LOOKS)
    for operation in (bury, slow) if burial_first else (slow, bury):
        s.conductor.finish(operation)
    job = s.w.job(job_id)
    if burial_first:
        assert (job["status"], job["error"]["type"]) == ("failed", "worker-lost")
        assert s.w.objects() == set()
    elif isinstance(answer, bytes):
        assert job["status"] == "succeeded"
    else:
        assert job["status"] == ("queued" if answer.retryable else "failed")
        assert job["error"] is None or job["error"]["type"] == "http-status"
    end(s)


@pytest.mark.parametrize("answer", LATE[:3], ids=["fails", "retries", "defers"])
def test_a_loser_that_failed_changes_nothing(s: Stage, answer: Failure) -> None:
    """What a worker that lost its lease was told by the site does not end its successor's attempt."""
    job_id, records = s.message()
    s.w.site.answers[URL] = [answer, b"found " + URL.encode()]
    slow = s.run("slow", records)
    s.conductor.begin(slow, READ + WRITE)  # the site has failed it, to say so is next
    s.w.pass_time(s.w.settings.lease_ms)
    s.ledger.excused[URL] += 1
    quick = s.run("quick", records)
    s.conductor.begin(quick, LOOKS + WRITE)
    s.conductor.finish(slow)
    s.conductor.finish(quick)
    job = s.w.job(job_id)
    assert (job["status"], job["attempts"]) == ("succeeded", 2)
    end(s)


def test_a_finish_whose_answer_was_lost(s: Stage) -> None:
    """The SDK's repeat is refused by the first one's own doing: the result stays."""
    job_id, records = s.message()
    run = s.run("run", records)
    run.fault = Fault(READ + WRITE + 1, Side.REPEATED)
    s.conductor.run(run)
    assert s.w.request("GET", f"/jobs/{job_id}/result").status_code == 200
    end(s)


def test_a_finish_whose_answer_was_lost_and_a_reading_that_is_cut(s: Stage) -> None:
    """Half an answer, believed, would say that the fetch is gone: the result of a job that succeeded would go, too."""
    job_id, records = s.message()
    run = s.run("run", records)
    finish = READ + WRITE + 1
    run.fault = Fault(finish, Side.REPEATED)
    s.conductor.begin(run, finish + 1)
    run.fault = Fault(finish + 1, Side.CUT)
    s.conductor.finish(run)
    assert s.w.messages, "the message must be left"
    assert s.w.request("GET", f"/jobs/{job_id}/result").status_code == 200
    end(s)


class TestBatches:
    """A batch whose handler dies, and its replay."""

    def test_a_replay_keeps_what_the_runner_linked(self, s: Stage) -> None:
        """Rows that are there are not written again."""
        urls = {"urls": [URL, "https://b.example/"]}
        first = s.post("first", "/batches", urls)
        first.fault = Fault(4, Side.BEFORE)  # rows and messages are there, it is not accepted
        s.conductor.run(first)
        s.w.run()
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        s.conductor.run(s.post("again", "/batches", urls))
        s.w.run()
        assert s.w.site.requests[URL] == 1
        assert len(s.ledger.accepted) == 2
        end(s)

    def test_two_replays_at_once(self, s: Stage) -> None:
        """One handler at a time writes the rows: the other's would fall on what the runner has linked."""
        urls = {"urls": [URL]}
        first = s.post("first", "/batches", urls)
        first.fault = Fault(1, Side.BEFORE)
        s.conductor.run(first)
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        one, two = s.post("one", "/batches", urls), s.post("two", "/batches", urls)
        s.conductor.begin(one, 2)  # the put is refused, the batch is read
        s.conductor.begin(two, 2)
        s.conductor.make_calls(one, 1)  # takes over
        s.conductor.make_calls(two, 3)  # would take over and find no row, nor a claim
        s.conductor.make_calls(one, 4)  # finds no row, nor a claim, writes it, sends the message
        s.w.deliver(s.w.receive())
        s.conductor.finish(two)
        s.conductor.finish(one)
        s.w.run()
        assert s.w.site.requests[URL] == 1
        end(s)

    def test_a_replay_that_is_slower_than_another(self, s: Stage) -> None:
        """It has found no rows, and must not write them when the other's have run."""
        urls = {"urls": [URL]}
        first = s.post("first", "/batches", urls)
        first.fault = Fault(1, Side.BEFORE)
        s.conductor.run(first)
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        quick, slow = s.post("quick", "/batches", urls), s.post("slow", "/batches", urls)
        s.conductor.begin(quick, 3)
        s.conductor.begin(slow, 3)
        s.conductor.finish(quick)
        s.w.run()
        s.conductor.finish(slow)
        s.w.run()
        assert s.w.site.requests[URL] == 1
        end(s)

    def test_a_replay_keeps_the_first_submission(self, s: Stage) -> None:
        """The window counts from when the batch was first put."""
        urls = {"urls": [URL]}
        first = s.post("first", "/batches", urls)
        first.fault = Fault(1, Side.BEFORE)
        s.conductor.run(first)
        s.w.pass_time(10 * MINUTE)
        s.conductor.run(s.post("again", "/batches", urls))
        (job_id,) = s.ledger.accepted
        assert s.w.job(job_id)["submitted_at"] == "2026-01-01T00:00:00.000Z"
        end(s)

    def test_a_delete_that_dies_half_way(self, s: Stage) -> None:
        """The batch is still there for the repeat."""
        batch = s.w.submit_batch([URL, "https://b.example/"])
        s.ledger.accept(*batch["jobs"])
        s.w.run()
        delete = s.delete_batch("DELETE", batch)
        delete.fault = Fault(4, Side.BEFORE)
        s.conductor.run(delete)
        s.conductor.run(s.delete_batch("DELETE again", batch))
        assert s.w.objects() == set()
        end(s)


def test_a_slow_duplicate_of_a_submission(s: Stage) -> None:
    """It cannot bring a deleted job back."""
    slow = s.post("slow", "/jobs", {"url": URL})
    s.conductor.begin(slow)
    s.conductor.run(s.post("quick", "/jobs", {"url": URL}))
    (job_id,) = s.ledger.accepted
    s.conductor.run(s.delete("DELETE", job_id))
    s.conductor.finish(slow)
    assert s.w.request("GET", f"/jobs/{job_id}").status_code == 404
    assert s.w.request("POST", "/jobs", {"url": URL}, KEY).status_code == 409
    end(s)


class TestTheHourWhileAHostIsSlow:
    """A claim stands past its window while its fetch is not finished."""

    def test_a_list_that_is_submitted_again_while_it_waits(self, s: Stage) -> None:
        """Ninety minutes later it shares what has not been fetched yet, and so does the next within an hour of that."""
        _, records = s.crashed()
        jobs = []
        for _ in range(2):
            s.w.pass_time(90 * MINUTE)
            job_id, again = s.message()
            assert s.w.deliver(again) == []
            jobs.append(job_id)
        s.w.pass_time(30 * MINUTE)
        assert s.w.deliver(records) == []
        s.w.pass_time(20 * MINUTE)
        jobs.append(s.finished())
        assert [s.w.job(job_id)["reused"] for job_id in jobs] == [True] * 3
        assert s.w.site.requests[URL] == 2  # the one that died, and the one for all
        end(s)

    def test_what_was_finished_in_the_meantime_is_fetched_again(self, s: Stage) -> None:
        """Past its window a finished fetch stands for nothing."""
        s.finished()
        s.w.pass_time(HOUR)
        s.ledger.excused[URL] += 1
        job_id = s.finished()
        assert not s.w.job(job_id)["reused"]
        end(s)

    def test_a_late_sharer_can_be_read_as_long_as_any_other(self, s: Stage) -> None:
        """It is hours younger than the fetch, whose row and object stay for it."""
        _, records = s.crashed()
        s.w.pass_time(5 * HOUR)
        job_id, again = s.message()
        s.w.deliver(again)
        s.w.deliver(records)
        s.w.pass_time(s.w.settings.retention_ms - MINUTE)
        s.w.sweep()
        assert s.w.job(job_id)["status"] == "succeeded"
        assert s.w.request("GET", f"/jobs/{job_id}/result").status_code == 200

    def test_two_who_share_late(self, s: Stage) -> None:
        """The younger one has renewed the claim when the older one comes: the claim stays the younger one's."""
        _, records = s.crashed()
        s.w.pass_time(90 * MINUTE)
        _, one = s.message()
        s.w.pass_time(20 * MINUTE)
        _, two = s.message()
        older, younger = s.run("older", one), s.run("younger", two)
        s.conductor.begin(older, LOOKS)
        s.conductor.run(younger)
        s.conductor.finish(older)
        s.w.deliver(records)
        s.w.pass_time(50 * MINUTE)  # within the younger one's hour, past the older one's
        assert s.w.job(s.finished())["reused"]
        end(s)

    def test_the_claim_is_anothers_when_a_late_sharer_joins(self, s: Stage) -> None:
        """Its fetch is dead by then, and its claim was replaced: the late one is not counted there."""
        s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
        _, records = s.crashed(BAD)
        s.w.pass_time(90 * MINUTE)
        late_id, late = s.message(BAD)
        joining = s.run("late", late)
        s.conductor.begin(joining, LOOKS)
        s.w.deliver(records)  # fails
        s.w.pass_time(MINUTE)
        s.ledger.excused[BAD] += 1
        other = s.finished(BAD)
        s.conductor.finish(joining)
        assert s.w.job(late_id)["status"] == s.w.job(other)["status"] == "succeeded"
        end(s)

    def test_a_late_sharer_renews_what_another_would_replace(self, s: Stage) -> None:
        """One has seen the fetch unfinished, and the other, a bit later, finished and past its window."""
        _, records = s.crashed()
        s.w.pass_time(90 * MINUTE)
        _, late = s.message()
        joining = s.run("late", late)
        s.conductor.begin(joining, LOOKS)
        s.w.deliver(records)
        s.w.pass_time(5 * MINUTE)
        _, later = s.message()
        starting = s.run("later", later)
        s.conductor.begin(starting, LOOKS)
        s.conductor.finish(joining)
        s.conductor.finish(starting)
        assert s.w.site.requests[URL] == 2  # the one that died, and the one for all
        end(s)

    def test_an_older_job_has_replaced_the_claim_of_what_a_late_sharer_joins(self, s: Stage) -> None:
        """The older one's hour is not made longer by one that shares another fetch."""
        _, records = s.crashed()
        s.w.pass_time(70 * MINUTE)
        _, older = s.message()
        s.w.pass_time(20 * MINUTE)
        _, late = s.message()
        joining = s.run("late", late)
        s.conductor.begin(joining, LOOKS)
        s.w.deliver(records)
        s.w.deliver(older)
        s.ledger.excused[URL] += 2  # the older one's, and the last one's
        s.conductor.finish(joining)
        s.w.pass_time(50 * MINUTE)  # past the older one's hour
        assert not s.w.job(s.finished())["reused"]
        end(s)

    def test_an_older_job_starts_in_between(self, s: Stage) -> None:
        """A job saw a claim past its window on a finished fetch; an older one, delayed, starts before it does."""
        first = s.finished()
        s.w.pass_time(5 * MINUTE)
        _, delayed = s.message()
        s.w.pass_time(65 * MINUTE)
        _, records = s.message()
        run = s.run("run", records)
        s.conductor.begin(run, LOOKS)
        s.conductor.run(s.delete("delete", first))
        s.ledger.excused[URL] += 1
        s.w.site.during = self._die
        s.w.deliver(delayed)
        s.w.site.during = None
        s.ledger.excused[URL] += 1
        s.conductor.finish(run)
        s.w.pass_time(s.w.settings.lease_ms)
        end(s)
        assert s.w.site.requests[URL] == 3

    @staticmethod
    def _die(asked: str) -> None:
        raise ZeroDivisionError


class TestExpiry:
    """What TTL removes, some day, is needed by nobody."""

    def test_delayed_jobs_find_the_claim(self, s: Stage) -> None:
        """Two jobs half an hour apart, both delayed past the hour, and a sweep in between: one fetch."""
        _, one = s.message()
        s.w.pass_time(30 * MINUTE)
        _, two = s.message()
        s.w.pass_time(50 * MINUTE)
        s.w.deliver(one)
        s.w.sweep()
        s.w.deliver(two)
        assert s.w.site.requests[URL] == 1
        end(s)

    def test_an_expired_job_is_not_started(self, s: Stage) -> None:
        """It is gone for the runner as for readers."""
        _, records = s.message()
        s.w.pass_time(s.w.settings.retention_ms)
        s.w.sweep()
        assert s.w.deliver(records) == []
        assert s.w.site.requests == {}
