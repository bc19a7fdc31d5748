"""What tells webhooks is killed at each of its calls, takes turns with what it may meet, and is led through the
histories that its clauses forbid."""

from __future__ import annotations

import itertools
import random

import pytest

from chalicelib.runner.poster import Reply
from tests.crash.scenarios import OTHER, URL, Scenario, Stage, stage
from tests.crash.scenarios import again as repeated
from tests.crash.stepping import DEATHS, FAULTS, Conductor, Fault, Schedules, Side
from tests.crash.webhook_scenarios import (
    BATCH,
    HOOK,
    JOB,
    PAIRS,
    SINGLE,
    again,
    check_everything,
    delivering,
    settle_told,
    submitted,
    tell,
    watching,
)
from tests.depth import FULL, depth
from tests.world import HOUR, MINUTE, SECOND, World, failure

MOST_ORDERS = depth(1, 12, "PROVE_ORDERS")
MOST_DEATHS = depth(1, 4, "PROVE_DEATHS")
MOST_CALLS = 6  # of an operation, at which it may die
READ, SECRET, WRITE = 1, 1, 1  # a delivery's calls before it asks the receiver


def cases(call: int) -> list[tuple[Fault, bool]]:
    """What goes wrong at a call, and whether the client repeats its request: everything, or one of it in turn."""
    every = [(Fault(call, side), repeat) for repeat in (False, True) for side in FAULTS]
    return every if FULL else [every[(call * 3) % len(every)]]


def attempt(s: Stage, scenario: Scenario, fault: Fault, *, repeat: bool) -> bool:
    """One case; False when the operation has no such call."""
    (operation,) = scenario.make(s)
    operation.fault = fault
    s.conductor.run(operation)
    if operation.calls <= fault.call:
        return False
    if not operation.crashed:
        s.ledger.lost_answers += 1
    if repeat:
        s.w.pass_time(s.w.settings.batch_lease_seconds * SECOND)
        s.conductor.run(repeated(operation))
    check_everything(s, faults=True)
    return True


@pytest.mark.parametrize("scenario", SINGLE, ids=str)
def test_crash_points(crash_world: tuple[World, Conductor], scenario: Scenario) -> None:
    """Whatever call an operation dies at: at least one delivery, and one event."""
    w, conductor = crash_world
    for call in itertools.count():
        for fault, repeat in cases(call):
            with stage(w, conductor) as s:
                try:
                    if not attempt(s, scenario, fault, repeat=repeat):
                        assert call >= 1
                        return
                except BaseException as error:
                    error.add_note(f"{scenario}, {fault}, {'repeated' if repeat else 'not repeated'}")
                    error.add_note("\n".join(conductor.trace))
                    raise


@pytest.mark.parametrize("scenario", PAIRS, ids=str)
def test_interleavings(crash_world: tuple[World, Conductor], scenario: Scenario) -> None:
    """In whatever order they take turns, and whoever of them dies."""
    w, conductor = crash_world
    drawn = random.Random(1)
    schedules = Schedules()
    for number, choose in enumerate(schedules):
        if number == MOST_ORDERS:
            break
        one_order(w, conductor, scenario, choose, None)
    for _ in range(MOST_ORDERS):
        one_order(w, conductor, scenario, lambda alive: drawn.choice(list(alive)), None)
    for _ in range(MOST_DEATHS):
        death = Fault(drawn.randrange(MOST_CALLS), drawn.choice(DEATHS))
        one_order(w, conductor, scenario, lambda alive: drawn.choice(list(alive)), death)


def one_order(w: World, conductor: Conductor, scenario: Scenario, choose: object, death: Fault | None) -> None:
    """Run a scenario's operations in an order, let the world go on, check."""
    with stage(w, conductor) as s:
        try:
            operations = scenario.make(s)
            if death is not None:
                operations[death.call % len(operations)].fault = death
            conductor.take_turns(operations, choose)  # type: ignore[arg-type]
            check_everything(s, faults=death is not None)
        except BaseException as error:
            error.add_note(f"{scenario}, {death}")
            error.add_note("\n".join(conductor.trace))
            raise


class TestHistories:
    """Each the shortest that a clause, or an order of calls, forbids."""

    def test_an_event_is_made_twice(self, s: Stage) -> None:
        """A slow duplicate of the watch must not make it anew when it was told: it would be told again."""
        submitted(s, JOB)
        records = watching(s)
        slow = tell(s, "slow", records)
        s.conductor.begin(slow, 2)  # has read the job and its fetch
        s.w.pass_time(SECOND)
        s.conductor.run(tell(s, "quick", records))
        s.w.run_webhooks()
        assert len(s.w.receiver.told) == 1
        s.conductor.finish(slow)
        settle_told(s.w)
        assert len(s.w.receiver.told) == 1
        check_everything(s, faults=False)

    def test_two_try_at_once(self, s: Stage) -> None:
        """Both have read the event when it was due."""
        submitted(s, JOB)
        records = delivering(s)
        one, other = tell(s, "one", records), tell(s, "other", records)
        s.conductor.begin(one, READ + SECRET)
        s.conductor.begin(other, READ + SECRET)
        s.conductor.finish(one)
        s.conductor.finish(other)
        assert len(s.w.receiver.told) == 1
        check_everything(s, faults=False)

    def test_a_late_one_tries_on_what_it_read_long_ago(self, s: Stage) -> None:
        """The next try waits for its time, and each is counted."""
        s.w.receiver.answers[HOOK] = [Reply(status=500), Reply(status=200)]
        submitted(s, JOB)
        records = delivering(s)
        late = tell(s, "late", records)
        s.conductor.begin(late, READ + SECRET)
        s.conductor.run(tell(s, "one", records))
        s.w.pass_time(s.w.settings.lease_ms)
        s.conductor.finish(late)
        assert len(s.w.receiver.told) == 1
        check_everything(s, faults=False)

    def test_a_slow_worker_ends_what_another_tries(self, s: Stage) -> None:
        """Its lease is over: what it heard is not what stands."""
        s.w.receiver.answers[HOOK] = [Reply(status=410), Reply(status=200)]
        job_id = submitted(s, JOB)
        records = delivering(s)
        slow = tell(s, "slow", records)
        s.conductor.begin(slow, READ + SECRET + WRITE)  # has asked the receiver
        s.w.pass_time(s.w.settings.lease_ms + SECOND)
        quick = tell(s, "quick", records)
        s.conductor.begin(quick, READ + SECRET + WRITE)
        s.conductor.finish(slow)
        assert s.w.items()[f"EVENT#{job_id}"]["state"] == "pending"
        s.conductor.finish(quick)
        check_everything(s, faults=False)

    def test_a_late_end_undoes_a_sending_again(self, s: Stage) -> None:
        """AWS carries out the write that ended the try when the client has asked for another one."""
        job_id = submitted(s, JOB)
        deliver = tell(s, "deliver", delivering(s))
        deliver.fault = Fault(READ + SECRET + WRITE, Side.LATE)
        s.conductor.run(deliver)
        s.w.pass_time(s.w.settings.lease_ms + SECOND)
        s.conductor.run(again(s, "again", f"/jobs/{job_id}"))
        s.conductor.carry_out_late()
        assert s.w.items()[f"EVENT#{job_id}"]["state"] == "pending"
        settle_told(s.w)
        assert len(s.w.receiver.told) == 2
        check_everything(s, faults=True)

    def test_an_event_is_made_after_its_job_is_deleted(self, s: Stage) -> None:
        """The watch has read the job before: nobody is told, and nothing of it stays."""
        job_id = submitted(s, JOB)
        watch = tell(s, "watch", watching(s))
        s.conductor.begin(watch, 2)
        s.conductor.run(s.delete("DELETE", job_id))
        s.conductor.finish(watch)
        assert f"EVENT#{job_id}" in s.w.items()
        settle_told(s.w)
        assert s.w.receiver.told == []
        check_everything(s, faults=False)

    def test_a_delete_that_dies_before_the_job_is_gone(self, s: Stage) -> None:
        """The job lives on; of what was told already there is no second, other event."""
        job_id = submitted(s, JOB)
        s.w.receiver.answers[HOOK] = [Reply(status=500), Reply(status=200)]
        s.conductor.run(tell(s, "deliver", delivering(s)))
        delete = s.delete("DELETE", job_id)
        delete.fault = Fault(2, Side.AFTER)  # job, fetch, the announcement
        s.conductor.run(delete)
        s.w.pass_time(HOUR)
        settle_told(s.w)
        assert [told.id for told in s.w.receiver.told] == [f"evt_{job_id}"] * 2
        assert len({told.body for told in s.w.receiver.told}) == 1
        check_everything(s, faults=True)

    def test_a_delete_that_dies_once_the_job_is_gone(self, s: Stage) -> None:
        """Its announcement, which comes later, finds the mark, and removes the event."""
        job_id = submitted(s, JOB)
        s.conductor.run(tell(s, "deliver", delivering(s)))
        delete = s.delete("DELETE", job_id)
        delete.fault = Fault(4, Side.BEFORE)  # job, fetch, the announcement, the write; then the event
        s.conductor.run(delete)
        assert f"EVENT#{job_id}" in s.w.items()
        settle_told(s.w)
        assert f"EVENT#{job_id}" not in s.w.items()
        check_everything(s, faults=True)

    def test_a_watch_that_meets_a_delete(self, s: Stage) -> None:
        """What a watch makes meanwhile is removed by the message that it sends."""
        job_id = submitted(s, JOB)
        watch = tell(s, "watch", watching(s))
        s.conductor.begin(watch, 2)
        s.conductor.run(s.delete("DELETE", job_id))
        s.conductor.finish(watch)
        settle_told(s.w)
        assert s.w.receiver.told == []
        check_everything(s, faults=True)

    def test_a_batch_is_told_of_all_its_jobs(self, s: Stage) -> None:
        """Not while one is unfinished, however often it is looked at."""
        batch_id = submitted(s, BATCH, ran=False)
        s.w.deliver(s.w.receive()[:2])
        for _ in range(3):
            s.w.run_webhooks_until(MINUTE)
        assert f"evt_{batch_id}" not in {told.id for told in s.w.receiver.told}
        s.w.run()
        s.w.run_webhooks_until(MINUTE)
        counts = [told.event["data"] for told in s.w.receiver.told if told.id == f"evt_{batch_id}"]
        assert [data["counts"] for data in counts] == [{"succeeded": 2, "failed": 1}]
        check_everything(s, faults=False)

    def test_a_batch_that_is_taken_over_is_watched(self, s: Stage) -> None:
        """Its first handler died before it sent that message, or was so slow that the message has ended."""
        body = {"urls": [URL, OTHER], "webhook": HOOK}
        first = s.post("submit", "/batches", body)
        first.fault = Fault(5, Side.BEFORE)  # all but its acceptance is there
        s.conductor.run(first)
        s.w.run()
        s.w.run_webhooks_until(2 * MINUTE)
        assert s.w.receiver.told == []
        s.conductor.run(repeated(first))
        check_everything(s, faults=True)

    def test_a_dead_letter_waits_and_is_tried_again(self, s: Stage) -> None:
        """As long as its job is there."""
        s.w.site.answers[OTHER] = [failure(404)]
        submitted(s, JOB)
        s.conductor.run(s.bury("bury", watching(s)))
        settle_told(s.w)
        assert len(s.w.receiver.told) == 1
        check_everything(s, faults=False)
