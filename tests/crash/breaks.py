"""Breaks the real code on purpose, one clause or one order of writes at a time, in a copy of the tree, and says whether
the proof catches it: `make prove-breaks`. A proof that catches nothing proves nothing.

When all breaks were tried, and each was caught or is explained, the table in docs/proof.md is written anew. It is read
too: the suite that caught a break last is tried first."""

# ruff: noqa: E501 - what is replaced are whole lines of the code

from __future__ import annotations

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PROTOCOL = "chalicelib/storage/protocol.py"
SUBMITTING = "chalicelib/storage/protocol_submit.py"
DELETING = "chalicelib/storage/protocol_delete.py"
LOOP = "chalicelib/runner/fetch_messages.py"
ATTEMPT = "chalicelib/runner/attempt.py"
DECIDE = "chalicelib/jobs/decide.py"
ENTITIES = "chalicelib/jobs/entities.py"
PACE = "chalicelib/jobs/pace.py"
LEAVE = "chalicelib/jobs/leave.py"
DELETE = "chalicelib/service/delete.py"
SUBMIT = "chalicelib/service/submit.py"
STORING = "chalicelib/service/storing.py"
REUSE = "chalicelib/service/reuse.py"
RETRY = "chalicelib/service/retry.py"
READ = "chalicelib/service/read.py"
TABLE = "chalicelib/storage/table.py"
READING = "chalicelib/storage/reading.py"
TERMS = "chalicelib/storage/terms.py"
LINES = "chalicelib/storage/lines.py"
ROBOTS_FILES = "chalicelib/storage/robots.py"
ROBOTS = "chalicelib/runner/robots.py"
ROBOTS_TEXT = "chalicelib/jobs/robots.py"
INVOCATION = "chalicelib/runner/invocation.py"
TOGETHER = "chalicelib/runner/together.py"
TURNS = "chalicelib/runner/turns.py"
EVENTS = "chalicelib/storage/events.py"
WATCH = "chalicelib/runner/watch.py"
DELIVER = "chalicelib/runner/deliver.py"
RETURNED = "chalicelib/runner/returned.py"
SUBMISSION = "chalicelib/service/submission.py"
WEBHOOKS = "chalicelib/jobs/webhooks.py"
CALLS = "chalicelib/storage/calls.py"
BUCKET = "chalicelib/storage/bucket.py"

NOT_CAUGHT = "NOT CAUGHT"
# Half of what `make check` does: each break runs it all.
DEPTH = {"DEPTH": "full", "PROVE_ORDERS": "12", "PROVE_DEATHS": "5", "PROVE_MODELS": "12"}

ALWAYS = '"(attribute_exists(pk) OR attribute_not_exists(pk))"'
NEVER = '"(attribute_exists(pk) AND attribute_not_exists(pk))"'
SUITES = [
    "tests/crash/test_traces.py",
    "tests/crash/test_turns.py",
    "tests/crash/test_lines.py",
    "tests/crash/test_repeats.py",
    "tests/test_webhooks.py",
    "tests/crash/test_webhooks.py",
    "tests/jobs/test_pace.py",
    "tests/jobs/test_robots.py",
    "tests/storage/test_robots.py",
    "tests/runner/test_robots.py",
    "tests/test_faults.py",
    "tests/runner/test_pace.py",
    "tests/crash/test_model.py",
    "tests/crash/test_crash_points.py",
    "tests/crash/test_interleavings.py",
]
PROOF = ROOT / "docs" / "proof.md"
TABLE_BEGINS = "| break | caught by |\n|---|---|\n"
SECONDS = 5400  # a proof that finds nothing takes a quarter of an hour alone, and longer where the machine is busy


@dataclass(frozen=True, slots=True)
class Break:
    """One deliberate mistake: the text `old` of a file becomes `new`."""

    name: str
    path: str
    old: str
    new: str
    redundant: str = ""  # why the code keeps what nothing misses

    @property
    def function(self) -> str:
        """Which function's clause it drops; its own name where it is another kind of break."""
        return self.name.partition(":")[0]

    def applies(self) -> bool:
        """True where the text is there just once: else the code has moved on, and the break must follow it."""
        return (ROOT / self.path).read_text().count(self.old) == 1

    def apply(self, tree: Path) -> None:
        """Break the copy."""
        path = tree / self.path
        path.write_text(path.read_text().replace(self.old, self.new))


# What the proof does not miss, clause by clause, and why it stays.
REDUNDANT: dict[str, str] = {
    "_untie: without JOB_TIED": "a job's fetch never changes once it has one, so what was read still holds; it stays because "
    "it names the fetch that the job is counted for",
    "delete_batch: without BATCH_ACCEPTED": "who deletes has read it accepted, and that is final; it stays so that a mark is "
    "never put where there was nothing",
    "delete_unlinked: without JOB_LIVES": "it would put the same bare mark over the mark of another DELETE; it stays "
    "because every write on a job asks for a job",
    "_untie: without JOB_LIVES": "a mark that names its fetch is only there once the fetch is gone, which the clauses on "
    "FETCH refuse; it stays for the same reason",
    "start: without FETCH_ABSENT": "a job with a fetch is linked or a mark, so the clauses on JOB refuse first; it stays "
    "as the last defence should a row ever be written again",
    "fail_unstarted: without FETCH_ABSENT": "as in start",
    "submit_joined: without FETCH_SHARED": "a fetch that is gone has no number to add to, so that DynamoDB refuses the "
    "expression; it stays because that is an error, and this is an answer",
    "give_up: without FETCH_UNCHANGED": "whoever gives up a fetch that another resumed and let go since would do so "
    "after another look too; it stays because an open fetch has one meaning, here and in resume",
    "line_up: without FETCH_UNCHANGED": "as in give_up",
    "accept_batch: without BATCH_LEASE_MINE": "only a handler that outlives its lease meets it, which the settings rule "
    "out; it stays because it costs nothing and ties a 202 to the lease under which the rows were written",
}

BY_HAND = [
    Break(
        "acknowledge at the first look",
        LOOP,
        "            case decide.LookAgain() | decide.LookAtClaim():\n                return None\n",
        "            case decide.LookAgain() | decide.LookAtClaim():\n                return Done()\n",
    ),
    Break("a loser acknowledges", ATTEMPT, "return Done() if own is None or own.finished else Left(own.lease_until)", "return Done()"),
    Break("acknowledge after a refusal", LOOP, "        return Left(now)\n\n    def _carry_out", "        return Done()\n\n    def _carry_out"),
    Break("several are started whatever was refused", TABLE, "return together if self._rows.write([operation for write in writes for operation in write]) else []", "self._rows.write([operation for write in writes for operation in write])\n        return together"),
    Break("one round only", LOOP, "ROUNDS = 5", "ROUNDS = 1"),
    Break(
        "the claim's fetch is forgotten",
        LOOP,
        "            claimed_id = None if seen.claim is None else seen.claim.fetch_id\n",
        "            claimed_id = None\n",
    ),
    Break(
        "finish before the result is stored",
        ATTEMPT,
        "                if isinstance(outcome, Fetched):\n                    upload.complete()\n",
        "                if isinstance(outcome, Fetched):\n"
        "                    end = self._finish(fetch_id, attempt, self._result(outcome, key))\n"
        "                    upload.complete()\n                    return end\n",
    ),
    Break("finish gives up early", ATTEMPT, "if _insisted(lambda: self._table.finish(fetch_id, attempt, result, now=now)):", "if self._table.finish(fetch_id, attempt, result, now=now):"),
    Break("a loser's object stays", ATTEMPT, "        self._bucket.delete([result.key])  # where that fails the message is left, and comes back to it\n", ""),
    Break("a deleted job's message leaves its results", LOOP, "                if remove:\n", "                if False:\n"),
    Break("a deleted leader's message removes what others share", LOOP, "            end = self._carry_out(decision, message, now)\n", "            if seen.deleted and isinstance(decision, decide.Acknowledge):\n                decision = decide.Acknowledge(remove=True)\n            end = self._carry_out(decision, message, now)\n"),
    Break("a message takes whatever job its id has", READING, "if isinstance(job, Job) and job.url_key == message.url_key else", "if isinstance(job, Job) else"),
    Break(
        "a repeated finish removes its own object",
        ATTEMPT,
        "if own is not None and own.status is Status.SUCCEEDED and own.attempt == attempt:",
        "if False:",
    ),
    Break("attempts share an object", BUCKET, "hexdigest()[:32]}/{attempt}", "hexdigest()[:32]}/1"),
    Break("a resume is no new attempt", PROTOCOL, '":next": fetch.attempt + 1', '":next": fetch.attempt'),
    Break("a join is not counted", PROTOCOL, '"SET jobs = jobs + :joining"', '"SET jobs = jobs + :none"'),
    Break("joins of an invocation count as one", PROTOCOL, '{":joining": len(joins)', '{":joining": 1'),
    Break("joins of an invocation are believed", TOGETHER, "                if self.table.join_all([join for _, join in joining.values()]):\n", "                if self.table.join_all([join for _, join in joining.values()]) or True:\n"),
    Break("a message that came twice joins twice", TOGETHER, "joining.setdefault(job.id, (delivery, join))", "joining[delivery.message_id + str(id(delivery))] = (delivery, join)", redundant="a transaction takes no item twice, so that it fails and each goes alone; not to ask saves it"),
    Break("a join at submission is not counted", SUBMITTING, '"SET jobs = jobs + :joining"', '"SET jobs = jobs + :none"'),
    Break("a join at submission is believed", TABLE, "            for part in _made(self._rows.try_all, _packed(plans, limit=TRANSACTION_LIMIT)):\n                put += part\n", "            _made(self._rows.try_all, _packed(plans, limit=TRANSACTION_LIMIT))\n            for plan in plans:\n                put += plan.what\n"),
    Break("a claim past its window is joined at submission", REUSE, "if claim is not None and claim.submitted_at > job.submitted_at - service.rules.window:", "if claim is not None:"),
    Break("a join that is refused by itself is believed", REUSE, "rows.get(job.id) == job]", "False]"),
    Break("joined rows are put again", STORING, "put_jobs([job for job in missing if job.id not in joined])", "put_jobs(missing)"),
    Break("a replayed batch joins what is there", STORING, "joined = reuse.join(self.service, missing)", "joined = reuse.join(self.service, jobs)", redundant="the rows are there, so the write is refused; not to ask saves it"),
    Break("the lease ends while joined rows may be written", CALLS, "        with unavailable(operation, late=True):\n            try:\n                return write(token)\n", "        with unavailable(operation):\n            try:\n                return write(token)\n"),
    Break("a batch is counted before all is finished", READ, "if found.finished and is_new and", "if is_new and"),
    Break("a batch is thawed after its job is gone", DELETE, "            self.service.table.thaw_batch(batch_id)  # first: else a death would leave it with counts that are wrong\n            self.thawed.add(batch_id)\n        leaving_together = list(leave.departures(leaving))\n        departed = self.service.table.leave(leaving_together, alone=self.alone)\n", "            self.thawed.add(batch_id)\n        leaving_together = list(leave.departures(leaving))\n        departed = self.service.table.leave(leaving_together, alone=self.alone)\n        for batch_id in self.thawed:\n            self.service.table.thaw_batch(batch_id)\n"),
    Break("a thawed batch keeps its counts", DELETING, '"SET thawed = :true REMOVE frozen"', '"SET thawed = :true"'),
    Break("a failure has no time", PROTOCOL, '"SET #status = :failed, failed_at = :now, finished_at = :now, #error = :error",\n            all_of(FETCH_UNCHANGED, FETCH_RUNNING)', '"SET #status = :failed, finished_at = :now, #error = :error",\n            all_of(FETCH_UNCHANGED, FETCH_RUNNING)'),
    Break(
        "the window counts from the clock",
        PROTOCOL,
        '":window_start": job.submitted_at - terms.rules.window',
        '":window_start": now - terms.rules.window',
    ),
    Break(
        "the decision counts from the clock",
        DECIDE,
        "    decision = _of_claim(seen, job, rules)\n",
        "    decision = _of_claim(seen, job, rules)\n"
        "    if isinstance(decision, Join) and seen.claim is not None and seen.claim.submitted_at <= now - rules.window:\n"
        "        decision = Start(job, over=seen.claim.fetch_id)\n",
    ),
    Break("clocks are believed to the millisecond", DECIDE, "else job.submitted_at + rules.skew", "else job.submitted_at"),
    Break("only what is gone is dead", DECIDE, "return fetch is None or (", "return fetch is None or False and ("),
    Break(
        "a live lease is not respected",
        DECIDE,
        "    if own.lease_until > now:\n        return Wait(own.lease_until, own if own.in_line else None)\n",
        "",
    ),
    Break("attempts never end", DECIDE, "if dead_letter or own.spent >= rules.max_attempts:", "if dead_letter:"),
    Break("the burial resumes", DECIDE, "if dead_letter or own.spent >= rules.max_attempts:", "if own.spent >= rules.max_attempts:"),
    Break("the burial starts", DECIDE, "return Fail(job) if dead_letter and isinstance(decision, Start) else decision", "return decision"),
    Break("a claim ends with its window", DECIDE, "    if fetch is None or fetch.finished:\n        return False\n", "    return False\n"),
    Break("a claim is renewed for a fetch that is over", DECIDE, "    if fetch is None or fetch.finished:\n", "    if fetch is None:\n"),
    Break("a late sharer does not renew the claim", PROTOCOL, "        *renewals,\n", ""),
    Break("a fetch is swept before its late sharers", DECIDE, "return 2 * self.window + self.wait", "return self.window"),
    Break("acknowledge before the copy is sent", INVOCATION, "            invocation.send_copies([(delivery, later.until)], self._clock())\n        except Unavailable:\n            return Left(later.until)\n", "            invocation.send_copies([(delivery, later.until)], self._clock())\n        except Unavailable:\n            return Done()\n"),
    Break("copies are not sent", TOGETHER, "                self.invocation.send_copies(list(waiting.items()), self.clock())\n", ""),
    Break("a refusal counts", PROTOCOL, '"refused = if_not_exists(refused, :none) + :one"', '"refused = if_not_exists(refused, :none)"'),
    Break("a refused attempt keeps its number's object", BUCKET, "    return [result_key(fetch_id, attempt) for attempt in range(1, attempts + 1)]\n", "    return [result_key(fetch_id, attempt) for attempt in range(2, attempts + 1)]\n"),
    Break("who was due before the host was slowed keeps its place", TURNS, "or not standing.first_place <= place < standing.next_place:", "or not place < standing.next_place:"),
    Break("who is late asks at once", TURNS, "if now - at <= _LATE_AFTER:", "if True:"),
    Break("one who is late moves all others", TURNS, "            if redelivered:\n                return None\n", ""),
    Break("who waits too long waits on", LOOP, "at = max(until, turn.at) if turn is not None and in_time else until", "at = max(until, turn.at) if turn is not None else until"),
    Break("a copy that is buried is sent again", LOOP, "            case decide.Wait(until, Fetch() as waiting) if not self.invocation.dead_letters:\n", "            case decide.Wait(until, Fetch() as waiting):\n"),
    Break("a line's interval is not looked at again", LINES, '"cool_until = :seen AND least_us = :least"', '"cool_until = :seen"'),
    Break("a full line keeps its interval", LINES, "            if line != standing:\n", "            if line != standing and taken:\n"),
    Break("a changed interval forgets who was asked last", PACE, "due(old, reached - 1) + math.ceil(interval))", "now)"),
    Break("a changed interval pushes the line ahead", PACE, "    if reached > old.first_place:\n        first_at = max(due(old, reached), due(old, reached - 1) + math.ceil(interval))\n", "    first_at = now + math.ceil(interval)\n"),
    Break("what is forbidden is fetched", ROBOTS, "        return Forbidden(_forbidden(target))\n", "        return Allowed()\n"),
    Break("what is not known is allowed", ROBOTS, "            return Unknown(target)\n", "            return Allowed()\n"),
    Break("who asks is not waited for", ROBOTS, "        if now >= file.valid_until:\n            return Asked()\n", "        if now >= file.valid_until:\n            return Allowed()\n"),
    Break("an older failure ends a later attempt", ROBOTS, " if file.fetched_at >= since else Asked()", ""),
    Break("a host that refuses its robots.txt allows all", ROBOTS, "            if _is_refusal(outcome):\n", "            if False:\n"),
    Break("a host that refuses its robots.txt is not slowed", ROBOTS, "                self._turns.refused(host_key, sent_at=now, cooling=cooling(outcome))\n", ""),
    Break("who was refused a robots.txt keeps the lease", ROBOTS, "                robots.files.give_up(key, mine=mine)\n", ""),
    Break("a site that cannot be reached allows all", ROBOTS, "failed = isinstance(outcome, Failure) and not _is_unavailable(outcome)", "failed = False"),
    Break("a redirect that cannot be followed fails", ROBOTS, " or failure in unfollowed", ""),
    Break("robots.txt is asked for together", TOGETHER, "                case decide.Start() as start if not self._allowed(message, start, now):\n                    pass  # it goes alone\n", ""),
    Break("a robots.txt has no end", ROBOTS, "            self.cut = True\n            raise _Enough\n", "            self.cut = True\n"),
    Break("half a rule counts", ROBOTS, "return whole_lines(bytes(self._data[:MOST_BYTES])) if self.cut else bytes(self._data)", "return bytes(self._data[:MOST_BYTES])"),
    Break("all who ask have one place for the text", ROBOTS, "key = text_key(file.key, mine)", "key = text_key(file.key, 0)"),
    Break("a robots.txt costs no turn", LOOP, "        self.turns.spend(message.host_key, turn)\n", ""),
    Break("a robots.txt is not counted as a request", ROBOTS_TEXT, "return Wish(delay, last + delay if delay else 0)", "return Wish(delay)"),
    Break("a line learns its interval from those who come", ROBOTS, "            self._turns.lay(host_key)\n", ""),
    Break("a beginning of our name is ours", ROBOTS_TEXT, '"\\n".join(map(_for_us, decoded.splitlines()))', "decoded"),
    Break("dead letters read robots.txt", LOOP, "reads = self.robots is not None and not invocation.dead_letters", "reads = self.robots is not None"),
    Break("a linked job keeps its headers", PROTOCOL, '"SET fetch_id = :fetch REMOVE request_headers"', '"SET fetch_id = :fetch"'),
    Break("a fetch that has succeeded keeps its headers", PROTOCOL, "#result = :result REMOVE request_headers", "#result = :result"),
    Break("a job that joins at submission keeps its headers", ENTITIES, "replace(self, fetch_id=fetch_id, request_headers=NO_HEADERS)", "replace(self, fetch_id=fetch_id)"),
    Break("a later attempt forgets the headers", ATTEMPT, "headers=fetch.request_headers", "headers=RequestHeaders()"),
    Break("items are swept with the job", TERMS, "(submitted_at + self.rules.retention + self.rules.sharing)", "(submitted_at + self.rules.sharing)"),
    Break(
        "the message is sent before the row is put",
        SUBMIT,
        "        if shown is None and not submission.service.table.submit_job(job):\n",
        "        submission.send([job] if shown is None else [], (Subject.JOB, job.id))\n        if shown is None and not submission.service.table.submit_job(job):\n",
    ),
    Break(
        "a replay sends no message",
        SUBMIT,
        "        service.queue.send([FetchMessage.of(standing)])\n",
        "        pass\n",
    ),
    Break(
        "a batch's own write, repeated, is a refusal",
        STORING,
        "return batch if write() else self.service.table.batch(batch.id)",
        'return batch if write() else replace(batch, holder="another")',
    ),
    Break(
        "a batch is accepted before its messages are sent",
        STORING,
        "            self.submission.send(unlinked, batch)\n            self._accept(batch)\n",
        "            self._accept(batch)\n            self.submission.send(unlinked, batch)\n",
    ),
    Break(
        "a replayed batch writes every row",
        STORING,
        "missing = [job for job in jobs if job.id not in written]",
        "missing = jobs",
    ),
    Break("a replayed batch takes no lease", STORING, "        if standing.lease_until > now:\n            raise InProgress(-(-(standing.lease_until - now) // 1000))\n        mine = replace(standing, lease_until=now + self.service.batch_lease, holder=holder)\n        taken = self._take_lease(mine, lambda: self.service.table.take_over_batch(mine, now=now))\n        if not _is_held_by(taken, holder):\n            raise InProgress(1)\n", "        mine = standing\n"),
    Break("a retry does not tell its batch", TABLE, "if batch.retry_of is not None and self._rows", "if batch.retry_of is None and self._rows"),
    Break("a retry that is continued chooses anew", RETRY, "_chosen(service, access.tenant, batch_id, str(standing.chosen))", "_failed(service, read_batch(service, access.tenant, batch_id), only)"),
    Break("a retry is older than what it retries", RETRY, "chosen=_as_bits(chosen), submitted_at=service.clock())", "chosen=_as_bits(chosen))"),
    Break("a retry continues what another has chosen", STORING, "        if standing.chosen != batch.chosen:  # it was begun since we looked, with other jobs\n            raise InProgress(1)\n", ""),
    Break("the lease ends while rows may be written", STORING, "            if not error.late:\n                self._release(batch)\n", "            self._release(batch)\n"),
    Break("a server's error is believed to be a refusal", CALLS, 'return error.response["ResponseMetadata"]["HTTPStatusCode"] < 500', "return True"),
    Break("a batch that ends in 503 keeps its lease", STORING, "        with suppress(Unavailable):  # then it ends by itself\n", "        if not self.service:\n"),
    Break("a replayed batch is submitted now", STORING, "return mine, self._store(mine, begun=True)", "return mine, self._store(replace(mine, submitted_at=now), begun=True)"),
    Break(
        "the batch goes before its jobs",
        DELETE,
        "    delete_jobs(service, tenant, batch.job_ids())\n    told =",
        "    service.table.delete_batch(batch)\n    delete_jobs(service, tenant, batch.job_ids())\n    told =",
    ),
    Break(
        "a repeated DELETE does not go on",
        DELETE,
        "                    self.unfinished.append(mark)\n",
        "",
    ),
    Break(
        "the mark is bare before all is removed",
        DELETE,
        "    keys = {key for mark in marks",
        "    service.table.put_bare_marks(marks)\n    keys = {key for mark in marks",
    ),
    Break("the result is not removed", DELETE, "    service.bucket.delete(sorted(keys))\n", ""),
    Break("the claim is not removed", DELETE, "    removed = service.table.remove_claims(marks)\n", "    removed = list(marks)\n"),
    Break("a refused DELETE is believed", TABLE, "if was_made for plan in group]", "for plan in group]"),
    Break("a deleted job leaves no mark", DELETING, 'return [put(items.item_of(mark_of(job, terms)), all_of(JOB_LIVES, JOB_UNLINKED))]', 'return [delete(items.job_key(job.id), all_of(JOB_LIVES, JOB_UNLINKED), {})]'),
    Break("the last mark does not name the fetch", DELETING, "return replace(mark_of(job, terms), fetch_id=fetch.id, url_key=job.url_key, attempts=fetch.spent)", "return mark_of(job, terms)"),
    Break("the last mark knows of one attempt", DELETING, "attempts=fetch.spent)", "attempts=min(fetch.spent, 1))"),
    Break("a mark never ends", LEAVE, "    if is_over(mark, now=now, rules=rules):\n        return Absent()\n", ""),
    Break("a job whose fetch is gone is not looked at again", LEAVE, "return Absent() if seen.fetch_was_gone else LookAgain()", "return Absent()"),
    Break("half an answer is believed", CALLS, '    client.meta.events.register("before-parse.*.*", _refuse_if_cut)\n', ""),
    Break("lack of time uses up deliveries", LOOP, "return Left()  # AWS is slow", "return Left(now)  # AWS is slow"),
    Break("nobody watches what was submitted", SUBMISSION, "            if self.webhook is not None:\n                send_watch", "            if False:\n                send_watch"),
    Break("a watch is acknowledged while something is unfinished", WATCH, "        self._queue.send_later([(message.copy(), math.ceil((until - self._clock()) / 1000))])\n", ""),
    Break("an event is made and nobody is asked to deliver it", WATCH, "        self._queue.send([DeliverMessage(event.subject, event.subject_id) for event in events])\n", ""),
    Break("delivery is asked for, and no event is made", WATCH, "        self._events.make(events, submitted_at, now=self._clock())\n        self._queue.send([DeliverMessage(event.subject, event.subject_id) for event in events])\n", "        self._queue.send([DeliverMessage(event.subject, event.subject_id) for event in events])\n", ),
    Break("a page with an unfinished job counts whole", WATCH, "            if isinstance(seen, Job):\n                return ended, False\n", "            if isinstance(seen, Job):\n                continue\n"),
    Break("a batch is told of before it is accepted", WATCH, "        if not batch.accepted:\n", "        if False:\n"),
    Break("what is deleted keeps the event that a watch made", DELIVER, "            self._events.remove([message.subject_id])\n            return Done()\n", "            return Done()\n"),
    Break("what is deleted is told of", DELIVER, "        if not lives(row, now=now, rules=self._table.rules):\n", "        if row is None:\n"),
    Break("a DELETE is not announced", DELETE, "    if subject_ids:\n        service.webhook_queue", "    if not subject_ids:\n        service.webhook_queue"),
    Break("an old watch tells of a new batch", WATCH, "        if message.is_older(batch.submitted_at):\n            return Done()\n", ""),
    Break("another's try is not respected", DELIVER, "        if event.lease_until > now:\n            return self._come_back(message, event.lease_until)\n", ""),
    Break("a try is acknowledged before the next one's copy is sent", DELIVER, "            return self._come_back(message, after.lease_until)\n", "            return Done()\n"),
    Break("a refused try is believed", DELIVER, "        if not self._events.change(event, begun):\n            return self._come_back(message, now + SHORT_PAUSE)\n", "        self._events.change(event, begun)\n"),
    Break("a change is not counted", WEBHOOKS, "changes=self.changes + 1", "changes=self.changes"),
    Break("a dead letter of a webhook is forgotten", RETURNED, "            self._queue.send_later([(message.copy(), MAX_DELAY_SECONDS)])\n", ""),
    Break("a DELETE leaves the event", DELETE, "        self.service.events.remove([job_id for job_id in told if job_id in gone])\n", ""),
    Break("a conflict counts as made", CALLS, "                if not why & _RETRYABLE:\n                    raise\n", "                return error.response\n"),
]  # fmt: skip


def by_clause() -> Iterator[Break]:
    """Each clause of each condition, dropped: from an AND it becomes always true, from an OR never."""
    clauses = {
        clause
        for path in (PROTOCOL, LINES, ROBOTS_FILES, EVENTS)
        for clause in re.findall(r"^([A-Z_]+) = \"", (ROOT / path).read_text(), re.MULTILINE)
    }
    for path in (PROTOCOL, SUBMITTING, DELETING, LINES, ROBOTS_FILES, EVENTS):
        yield from _of_module(path, clauses)


def _of_module(path: str, clauses: set[str]) -> Iterator[Break]:
    text = (ROOT / path).read_text()
    lines = text.splitlines(keepends=True)
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef):
            continue
        alternatives = {
            name.id
            for call in ast.walk(function)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "any_of"
            for name in ast.walk(call)
            if isinstance(name, ast.Name)
        }
        body = "".join(lines[function.lineno - 1 : function.end_lineno])
        for clause in dict.fromkeys(re.findall(r"\b[A-Z_]+\b", body)):
            if clause in clauses:
                dropped = NEVER if clause in alternatives else ALWAYS
                name = f"{function.name}: without {clause}"
                broken = re.sub(rf"\b{clause}\b", dropped, body)
                yield Break(name, path, body, broken, REDUNDANT.get(name, ""))
        if " any_of(" in body and "CLAIM_FREE," in body and alternatives:
            name = f"{function.name}: any claim may be replaced"
            yield Break(name, path, body, body.replace("CLAIM_FREE,", f"{ALWAYS},"))


def every_break() -> list[Break]:
    """Each clause dropped, then what was thought of by hand."""
    return [*by_clause(), *BY_HAND]


def grouped(breaks: Sequence[Break]) -> list[list[Break]]:
    """What is tried in one copy: a break alone, but redundant ones together.

    To drop several clauses allows whatever to drop one of them allows: where the proof misses none of them, it misses
    no single one. Those of one function may stand in for each other, and are kept apart.
    """
    groups = [[broken] for broken in breaks if not broken.redundant]
    together: list[list[Break]] = []
    for broken in breaks:
        if broken.redundant:
            free = (group for group in together if all(broken.function != other.function for other in group))
            group = next(free, None)
            if group is None:
                together.append([broken])
            else:
                group.append(broken)
    return together + groups


def caught(group: Sequence[Break]) -> list[tuple[Break, str]]:
    """Break a copy and run the proof on it; returns how it ended for each. A group that is caught is tried one by one."""
    verdict = _verdict(group)
    if len(group) > 1 and verdict != NOT_CAUGHT:
        return [(broken, _verdict([broken])) for broken in group]
    return [(broken, verdict) for broken in group]


def _suites(group: Sequence[Break]) -> list[str]:
    last = dict(re.findall(r"^\| (.+?) \| ([a-z_/]+): ", PROOF.read_text(), re.MULTILINE))
    first = [suite for suite in SUITES if _short(suite) in {last.get(broken.name) for broken in group}]
    return first + [suite for suite in SUITES if suite not in first]


def _short(suite: str) -> str:
    """What a suite is called in the table."""
    path = Path(suite)
    name = path.stem.removeprefix("test_")
    return name if path.parent.name == "crash" else f"{path.parent.name}/{name}"


def row(broken: Break, verdict: str) -> str:
    """A break's row of the table."""
    by = re.search(r" by (\S+?\.py)::(\S+)", verdict)
    if by is None:
        said = verdict.removeprefix("caught").strip().replace("redundant:", "nothing:")
        return f"| {broken.name} | {said} |\n"
    return (
        f"| {broken.name} | {_short(by[1] if '/' in by[1] else f'tests/crash/{by[1]}')}: {by[2].replace('::', ' ')} |\n"
    )


def write_table(rows: Sequence[str]) -> None:
    """Put the rows in place of those in docs/proof.md."""
    before, begin, rest = PROOF.read_text().partition(TABLE_BEGINS)
    after = re.sub(r"\A(\|.*\n)*", "", rest)
    PROOF.write_text(before + begin + "".join(rows) + after)


def _verdict(group: Sequence[Break]) -> str:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fetch-queue-break-") as directory:
        tree = Path(directory) / "tree"
        shutil.copytree(
            ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", ".emulator", "__pycache__", ".*_cache")
        )
        for broken in group:
            broken.apply(tree)
        # Plugins take longer to load than most breaks to be caught.
        quick = {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        environment = {**DEPTH, **os.environ, **quick}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *_suites(group)]
        try:
            ran = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return "caught    by going round for ever"
    if ran.returncode == 0:
        return NOT_CAUGHT
    first = re.search(r"^FAILED (?:tests/crash/)?(\S+)", ran.stdout, re.MULTILINE)
    if first is None:
        return f"ERROR: {ran.stdout[-300:]}{ran.stderr[-300:]}"
    return f"caught    {time.monotonic() - began:4.0f} s  by {first[1]}"


def main() -> None:
    """Try every break, or those whose name contains an argument; exits 1 when one is neither caught nor explained."""
    words = sys.argv[1:]
    breaks = [b for b in every_break() if not words or any(word in b.name for word in words)]
    if stale := [b.name for b in breaks if not b.applies()]:
        sys.exit(f"the code has moved on from under: {'; '.join(stale)}")
    unexplained, rows = 0, dict[str, str]()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for broken, verdict in itertools.chain.from_iterable(pool.map(caught, grouped(breaks))):
            if verdict == NOT_CAUGHT and broken.redundant:
                verdict = f"redundant: {broken.redundant}"
            elif not verdict.startswith("caught"):
                unexplained += 1
            rows[broken.name] = row(broken, verdict)
            print(f"{broken.name:58} {verdict}", flush=True)
    if not words and not unexplained:
        write_table([rows[broken.name] for broken in breaks])
    print(f"{len(breaks)} breaks, {unexplained} neither caught nor explained")
    sys.exit(unexplained > 0)


if __name__ == "__main__":
    main()
