"""Histories of submissions that join a fetch at once, and of batches whose counts are kept, run on the real code."""

from __future__ import annotations

import pytest

from tests.crash.invariants import settle
from tests.crash.scenarios import BAD, OTHER, URL, Stage
from tests.crash.stepping import Fault, Operation, Side
from tests.crash.test_traces import READ, WRITE, end
from tests.test_faults import answered, error
from tests.world import HOUR, MINUTE, SECOND, failure

CLAIM, FETCH, PUT = 1, 1, 1  # a submission's calls: it reads the claim, then its fetch, then writes


class TestOne:
    """A URL that is submitted again within its hour."""

    def test_the_last_sharer_leaves_meanwhile(self, s: Stage) -> None:
        """The job is not linked to what is gone: it is fetched anew."""
        first = s.finished()
        submit = s.post("submit", "/jobs", {"url": URL})
        s.conductor.begin(submit, CLAIM + FETCH)
        s.conductor.run(s.delete("DELETE", first))
        s.conductor.finish(submit)
        s.ledger.excused[URL] += 1
        job_id = list(s.ledger.accepted)[-1]
        s.w.run()
        assert (s.w.job(job_id)["status"], s.w.job(job_id)["reused"]) == ("succeeded", False)
        end(s)

    def test_its_fetch_fails_meanwhile(self, s: Stage) -> None:
        """It may be that the client has seen the failure, and submits again because of it."""
        s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
        s.ledger.excused[BAD] += 1
        _, records = s.message(BAD)
        run = s.run("run", records)
        s.conductor.begin(run, READ + WRITE)  # the site has failed it, to say so is next
        submit = s.post("submit", "/jobs", {"url": BAD})
        s.conductor.begin(submit, CLAIM + FETCH)
        s.conductor.finish(run)
        s.w.pass_time(s.w.settings.skew_seconds * SECOND)
        s.conductor.finish(submit)
        job_id = list(s.ledger.accepted)[-1]
        s.w.run()
        assert s.w.job(job_id)["status"] == "succeeded"
        end(s)

    def test_a_slow_duplicate_does_not_bring_it_back(self, s: Stage) -> None:
        """It was accepted for its repeat, and is deleted since."""
        s.finished()
        slow = s.post("slow", "/jobs", {"url": URL})
        s.conductor.begin(slow, CLAIM + FETCH)
        s.conductor.run(s.post("quick", "/jobs", {"url": URL}))
        job_id = list(s.ledger.accepted)[-1]
        s.conductor.run(s.delete("DELETE", job_id))
        s.conductor.finish(slow)
        assert s.w.request("GET", f"/jobs/{job_id}").status_code == 404
        end(s)

    def test_a_claim_that_was_read_too_early(self, s: Stage) -> None:
        """The reading is behind: by now the claim is another fetch's, since the first one failed."""
        s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
        s.ledger.excused[BAD] += 1
        _, records = s.message(BAD)
        run = s.run("run", records)
        s.conductor.begin(run, READ + WRITE)
        submit = s.post("submit", "/jobs", {"url": BAD})
        s.conductor.begin(submit, CLAIM)
        s.conductor.finish(run)
        s.w.pass_time(MINUTE)
        other = s.finished(BAD)
        s.conductor.finish(submit)
        s.w.run()
        statuses = {s.w.job(job_id)["status"] for job_id in (other, list(s.ledger.accepted)[-1])}
        assert statuses == {"succeeded"}
        end(s)

    def test_past_its_hour_it_joins_nothing(self, s: Stage) -> None:
        """The claim stays in the table for days."""
        s.finished()
        s.w.pass_time(HOUR)
        s.ledger.excused[URL] += 1
        job_id = s.submit()
        assert s.w.job(job_id)["status"] == "queued"
        s.w.run()
        assert s.w.site.requests[URL] == 2
        end(s)

    @pytest.mark.parametrize("side", [Side.LATE, Side.REPEATED, Side.CUT])
    def test_a_join_without_an_answer(self, s: Stage, side: Side) -> None:
        """Its job is stored once, whether the write was made or is made later."""
        s.finished()
        submit = s.post("submit", "/jobs", {"url": URL})
        submit.fault = Fault(CLAIM + FETCH, side)
        s.conductor.run(submit)
        s.conductor.carry_out_late()
        assert len(s.ledger.accepted) == 2
        end(s)


class TestSeveral:
    """A batch with URLs that are submitted again within their hour."""

    def test_joined_rows_that_may_be_written_late_keep_their_lease(self, s: Stage) -> None:
        """Else the next handler, which knows of no claim, puts bare rows over those that are counted by then."""
        s.finished()
        urls = {"urls": [URL]}
        first = s.post("first", "/batches", urls)
        first.fault = Fault(PUT + CLAIM + FETCH, Side.LATE)
        s.conductor.run(first)
        second = s.post("at once", "/batches", urls)
        with s.claims_unseen():
            s.conductor.begin(second, 4)  # has the lease, and has seen that no row is there
            s.conductor.carry_out_late()
            s.conductor.finish(second)
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        s.conductor.run(s.post("later", "/batches", urls))
        assert len(s.ledger.accepted) == 2
        end(s)

    @pytest.mark.parametrize("calls", [1, 2])  # the write, and what is read where it was refused
    def test_joined_rows_that_are_written_after_all_are_not_put_again(self, s: Stage, calls: int) -> None:
        """A write that was not answered is no refused one: bare rows would fall on those that are counted."""
        s.finished()
        urls = {"urls": [URL]}
        first = s.post("first", "/batches", urls)
        first.fault = Fault(PUT + CLAIM + FETCH, Side.LATE)
        s.conductor.begin(first, PUT + CLAIM + FETCH + calls)
        s.conductor.carry_out_late()
        s.conductor.finish(first)
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        s.conductor.run(s.post("again", "/batches", urls))
        assert len(s.ledger.accepted) == 2
        end(s)

    def test_joined_rows_whose_write_is_repeated_are_not_put_again(self, s: Stage) -> None:
        """The answer was lost, and the repeat is refused by the rows that the first one has put."""
        s.finished()
        submit = s.post("submit", "/batches", {"urls": [URL, OTHER, URL]})
        submit.fault = Fault(PUT + CLAIM + FETCH, Side.REPEATED)
        s.conductor.run(submit)
        assert len(s.w.receive()) == 1
        assert len(s.ledger.accepted) == 4
        end(s)

    def test_joins_that_are_refused_are_stored_as_new_ones(self, s: Stage) -> None:
        """They stand in one write with others, which then are new as well."""
        first = s.finished()
        s.finished(OTHER)
        submit = s.post("submit", "/batches", {"urls": [URL, OTHER, URL]})
        s.conductor.begin(submit, PUT + CLAIM + FETCH)
        s.conductor.run(s.delete("DELETE", first))
        s.ledger.excused[URL] += 1
        s.conductor.finish(submit)
        assert len(s.ledger.accepted) == 5
        end(s)

    def test_joins_that_only_meet_conflicts_are_stored_as_new_ones(self, s: Stage) -> None:
        """A URL that thousands submit at once: nobody is turned away."""
        s.finished()
        conflict = error(400, "TransactionConflictException")
        for path, body in (("/jobs", {"url": URL}), ("/batches", {"urls": [URL, URL]})):
            with answered(s.w, "dynamodb", "TransactWriteItems", lambda number, params: conflict):
                s.conductor.run(s.post("submit", path, body, {}))
        assert len(s.ledger.accepted) == 4
        assert len(s.w.receive()) == 3
        end(s)

    def test_rows_that_are_linked_are_not_put_again(self, s: Stage) -> None:
        """A handler died when the repeats were stored."""
        s.finished()
        urls = {"urls": [URL, OTHER]}
        first = s.post("first", "/batches", urls)
        first.fault = Fault(PUT + CLAIM + FETCH, Side.AFTER)
        s.conductor.run(first)
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        s.conductor.run(s.post("again", "/batches", urls))
        assert len(s.w.receive()) == 1, "the linked one needs no message"
        assert len(s.ledger.accepted) == 3
        end(s)


class TestTogether:
    """Messages of one invocation that join."""

    def test_one_whose_fetch_is_gone(self, s: Stage) -> None:
        """The write for all is refused, and each goes alone."""
        first = s.finished()
        s.finished(OTHER)
        records = s.messages(URL, OTHER, URL)
        run = s.run("run", records)
        s.conductor.begin(run, READ)
        s.conductor.run(s.delete("DELETE", first))
        s.ledger.excused[URL] += 1
        s.conductor.finish(run)
        end(s)

    def test_a_message_that_comes_twice(self, s: Stage) -> None:
        """Its job is counted once."""
        s.finished()
        records = s.messages(URL, URL)
        assert s.w.deliver([*records, records[0]]) == []
        end(s)

    def test_one_that_was_deleted(self, s: Stage) -> None:
        """The others join all the same."""
        s.finished()
        records = s.messages(URL, URL)
        run = s.run("run", records)
        s.conductor.begin(run, READ)
        s.conductor.run(s.delete("DELETE", list(s.ledger.accepted)[-1]))
        s.conductor.finish(run)
        end(s)


class TestCounts:
    """What is kept in a batch's row is what its jobs are."""

    def test_a_job_is_deleted_while_they_are_counted(self, s: Stage) -> None:
        """Who has read it finished must not keep that."""
        batch = s.batch(URL, OTHER)
        count = s.count("count", batch)
        s.conductor.begin(count, self._calls(s, batch) - 1)
        s.conductor.run(s.delete("DELETE", batch["jobs"][0]["id"]))
        s.conductor.finish(count)
        assert self._total(s, batch) == 1
        end(s)

    def test_a_batch_is_deleted_while_it_is_counted(self, s: Stage) -> None:
        """Its mark stays one."""
        batch = s.batch(URL, OTHER)
        count = s.count("count", batch)
        s.conductor.begin(count, self._calls(s, batch) - 1)
        s.conductor.run(s.delete_batch("DELETE", batch))
        s.conductor.finish(count)
        end(s)

    @pytest.mark.parametrize("call", [2, 3])
    def test_a_delete_that_dies_around_its_write(self, s: Stage, call: int) -> None:
        """Its repeat may find no job any more, and nothing that would tell it of the counts."""
        batch = s.batch(URL, OTHER)
        s.conductor.run(s.count("count", batch))
        delete = s.delete("DELETE", batch["jobs"][0]["id"])
        delete.fault = Fault(call, Side.AFTER)
        s.conductor.run(delete)
        s.conductor.run(s.delete("DELETE again", batch["jobs"][0]["id"]))
        assert self._total(s, batch) == 1
        end(s)

    def test_a_job_and_its_batch_are_deleted_at_once(self, s: Stage) -> None:
        """The job's DELETE has read it when the batch goes: the batch's mark stays one."""
        batch = s.batch(URL, OTHER)
        delete = s.delete("DELETE", batch["jobs"][0]["id"])
        s.conductor.begin(delete, 2)
        s.conductor.run(s.delete_batch("DELETE all", batch))
        s.conductor.finish(delete)
        end(s)

    def test_they_are_kept_only_when_all_is_finished(self, s: Stage) -> None:
        """And then one reading of the batch is enough."""
        batch = s.w.submit_batch([URL, BAD])
        s.ledger.accept(*batch["jobs"])
        records = s.w.receive()
        s.w.site.answers[BAD] = [failure(404)]
        s.w.deliver(records[:1])
        s.conductor.run(s.count("count", batch))
        assert "frozen" not in s.w.items()[f"BATCH#{batch['id']}"]
        s.w.run()
        s.conductor.run(s.count("count", batch))
        assert s.w.items()[f"BATCH#{batch['id']}"]["frozen"] == {"succeeded": 1, "failed": 1}
        s.w.site.answers.pop(BAD)
        end(s)

    @staticmethod
    def _calls(s: Stage, batch: dict[str, object]) -> int:
        """How many calls a first count makes; made of a batch like it."""
        other = s.batch(URL, OTHER)
        count = s.count("count", other)
        s.conductor.run(count)
        return count.calls

    @staticmethod
    def _total(s: Stage, batch: dict[str, object]) -> int:
        counted: Operation = s.count("count", batch)
        s.conductor.run(counted)
        total: int = s.w.request("GET", f"/batches/{batch['id']}").json_body["total"]
        return total


ACCEPT = 9  # calls that a retry makes before it is accepted
SEND = 8  # and before it sends its messages


class TestRetry:
    """A new batch of what failed of another."""

    def test_its_batch_is_deleted_meanwhile(self, s: Stage) -> None:
        """The retry stands, and the mark stays one."""
        batch = s.failed_batch()
        retry = s.retry("retry", batch)
        s.conductor.begin(retry, ACCEPT)
        s.conductor.run(s.delete_batch("DELETE", batch))
        s.conductor.finish(retry)
        assert s.w.job(list(s.ledger.accepted)[-1])["url"] == BAD
        end(s)

    def test_a_job_fails_meanwhile(self, s: Stage) -> None:
        """It is retried with the others, and not given the failure that it is to mend."""
        s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
        s.ledger.excused[BAD] += 1
        batch = s.w.submit_batch([BAD])
        s.ledger.accept(*batch["jobs"])
        retry = s.retry("retry", batch)
        s.conductor.begin(retry, 2)  # it has read the batch, and reads its jobs next
        s.w.pass_time(2 * s.w.settings.skew_seconds * SECOND)
        s.w.run()
        s.conductor.finish(retry)
        job_id = list(s.ledger.accepted)[-1]
        s.w.run()
        assert (s.w.job(job_id)["status"], s.w.job(job_id)["reused"]) == ("succeeded", False)
        end(s)

    def test_others_fail_before_it_is_continued(self, s: Stage) -> None:
        """It is continued with the jobs that it was begun with, or not at all."""
        s.w.site.answers[URL] = [failure(503, retryable=True), failure(404), b"found " + URL.encode()]
        s.ledger.excused[URL] += 2
        s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
        s.ledger.excused[BAD] += 1
        batch = s.batch(URL, BAD)
        retry = s.retry("retry", batch)
        retry.fault = Fault(SEND, Side.BEFORE)
        s.conductor.run(retry)
        settle(s.w)
        s.conductor.run(s.delete("DELETE", batch["jobs"][1]["id"]))
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        s.conductor.run(s.retry("retry again", batch))
        s.conductor.run(s.retry("another", batch, {}))
        assert s.w.job(list(s.ledger.accepted)[-1])["url"] == URL
        end(s)

    def test_two_with_one_key_choose_differently(self, s: Stage) -> None:
        """One of them was slow, and more has failed meanwhile: the other's choice stands."""
        s.w.site.answers[URL] = [failure(503, retryable=True), failure(404), b"found " + URL.encode()]
        s.ledger.excused[URL] += 2
        s.w.site.answers[BAD] = [failure(404), b"found " + BAD.encode()]
        s.ledger.excused[BAD] += 1
        batch = s.batch(URL, BAD)
        slow = s.retry("slow", batch)
        s.conductor.begin(slow, 4)  # it has chosen
        settle(s.w)
        s.conductor.run(s.delete("DELETE", batch["jobs"][1]["id"]))
        quick = s.retry("quick", batch)
        quick.fault = Fault(SEND, Side.BEFORE)
        s.conductor.run(quick)
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        s.conductor.finish(slow)
        s.conductor.run(s.retry("again", batch))
        assert s.w.job(list(s.ledger.accepted)[-1])["url"] == URL
        end(s)
