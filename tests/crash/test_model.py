"""A random client against a model of a dozen lines that says what a user must see."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from chalicelib.storage.queue import FetchMessage
from tests.crash.invariants import Ledger, check_clean, settle
from tests.crash.stepping import FAULTS, Conductor, Fault, Operation, Side
from tests.depth import depth
from tests.world import HOUR, SECOND, World, failure

URLS = ["https://a.example/", "https://b.example/"]
EXAMPLES = depth(6, 25, "PROVE_MODELS")
STEPS = int(os.environ.get("PROVE_STEPS", "25"))

covered: Counter[str] = Counter()


@dataclass
class Known:
    """What the model knows of a job."""

    url: str
    submitted_at: int
    living: bool = True


class Service(RuleBasedStateMachine):
    """The rules are what clients, time and bad luck can do."""

    w: World
    conductor: Conductor

    jobs = Bundle("jobs")

    @initialize()
    def begin(self) -> None:
        """An empty world."""
        self.w.reset()
        self.conductor.trace.clear()
        self.known: dict[str, Known] = {}
        self.keys: dict[str, str] = {}
        self.ledger = Ledger()
        self.conductor.on_death = lambda operation: self.ledger.note_death(self.w, set())
        self.deletes = 0

    @rule(target=jobs, url=st.sampled_from(URLS), spelling=st.sampled_from(["", "#part", "?"]))
    def submit(self, url: str, spelling: str) -> str:
        """A new job."""
        return self._submit(url, spelling)

    @rule(target=jobs, url=st.sampled_from(URLS))
    def submit_an_hour_later(self, url: str) -> str:
        """A new job when every window so far is over: it must be fetched anew."""
        self.w.pass_time(HOUR)
        return self._submit(url)

    @rule(target=jobs, url=st.sampled_from(URLS), key=st.sampled_from(["k", "l"]))
    def submit_with_a_key(self, url: str, key: str) -> str:
        """A job with a key: the same job for the same key, or a refusal."""
        covered["submit with a key"] += 1
        answer = self.w.request("POST", "/jobs", {"url": url}, {"Idempotency-Key": key})
        if key not in self.keys:
            assert answer.status_code == 202
            self.keys[key] = answer.json_body["id"]
            self.known[self.keys[key]] = Known(url, self.w.now)
        else:
            known = self.known[self.keys[key]]
            expected = 409 if not known.living else 202 if known.url == url else 422
            assert answer.status_code == expected
        return self.keys[key]

    @rule(job_id=jobs)
    def delete(self, job_id: str) -> None:
        """204 once, then 404."""
        covered["delete"] += 1
        known = self.known[job_id]
        status = self.w.request("DELETE", f"/jobs/{job_id}").status_code
        assert status == (204 if known.living else 404)
        self.deletes += known.living
        known.living = False

    @rule(job_id=consumes(jobs), call=st.integers(0, 5), side=st.sampled_from(FAULTS))
    def delete_with_bad_luck(self, job_id: str, call: int, side: Side) -> None:
        """A DELETE that dies or loses an answer, and its repeat."""
        covered["delete with bad luck"] += 1
        known = self.known[job_id]
        self._with_bad_luck(lambda: self.w.request("DELETE", f"/jobs/{job_id}"), call, side)
        status = self.w.request("DELETE", f"/jobs/{job_id}").status_code
        assert status in ((204, 404) if known.living else (404,))
        self.deletes += known.living
        known.living = False

    @rule()
    def run(self) -> None:
        """Every message is delivered once."""
        covered["run"] += 1
        self.w.run()

    @rule(draw=st.integers(0, 100))
    def run_one(self, draw: int) -> None:
        """One message, whichever comes first."""
        covered["run one"] += 1
        self.w.receive()
        if self.w.messages:
            self.w.deliver([self.w.messages[draw % len(self.w.messages)]])

    @rule(draw=st.integers(0, 100), call=st.integers(0, 4), side=st.sampled_from(FAULTS))
    def run_with_bad_luck(self, draw: int, call: int, side: Side) -> None:
        """A worker that dies or loses an answer."""
        covered["run with bad luck"] += 1
        self.w.receive()
        if self.w.messages:
            record = self.w.messages[draw % len(self.w.messages)]
            self._with_bad_luck(lambda: self.w.deliver([record]), call, side)

    @rule(job_id=jobs)
    def redeliver(self, job_id: str) -> None:
        """A message that was acknowledged comes again."""
        covered["redeliver"] += 1
        stored = self.w.items().get(f"JOB#{job_id}", {})
        if "url_key" in stored and "url" in stored:
            self.w.service.queue.send([FetchMessage(job_id, stored["url_key"])])

    @rule(url=st.sampled_from(URLS), status=st.sampled_from([404, 503]))
    def the_site_fails_once(self, url: str, status: int) -> None:
        """The next answer is no result."""
        covered["site fails"] += 1
        self.w.site.answers[url] = [failure(status, retryable=status == 503), b"again " + url.encode()]

    @rule(ms=st.sampled_from([1, SECOND, 80 * SECOND, HOUR // 2, HOUR - 1, HOUR]))
    def time_passes(self, ms: int) -> None:
        """The clock goes on."""
        covered["time passes"] += 1
        self.w.pass_time(ms)

    @invariant()
    def deleted_jobs_are_gone(self) -> None:
        """And living ones are there, with a status."""
        for job_id, known in getattr(self, "known", {}).items():
            answer = self.w.request("GET", f"/jobs/{job_id}")
            assert answer.status_code == (200 if known.living else 404), job_id

    def teardown(self) -> None:
        """The world goes on until nothing is left to do."""
        if not hasattr(self, "known"):
            return
        settle(self.w)
        living = {job_id: known for job_id, known in self.known.items() if known.living}
        own: dict[str, list[int]] = {}
        for job_id, known in living.items():
            job = self.w.job(job_id)
            assert job["status"] in ("succeeded", "failed"), job_id
            if job["status"] == "succeeded":
                body = self.w.request("GET", f"/jobs/{job_id}/result").body
                assert known.url.encode() in body
                if not job["reused"]:
                    own.setdefault(known.url, []).append(known.submitted_at)
        if not self.deletes:  # a deletion may take a claim away, and then it is fetched anew
            for times in own.values():
                times.sort()
                covered["fetched anew after the hour"] += len(times) > 1
                assert all(b - a >= HOUR for a, b in pairwise(times)), "fetched twice in a window"
        self.ledger.accepted = {job_id: known.url for job_id, known in self.known.items()}
        self.ledger.deleted = set(self.known) - set(living)
        check_clean(self.w, self.ledger)

    def _submit(self, url: str, spelling: str = "") -> str:
        job = self.w.submit(url + spelling)
        self.known[job["id"]] = Known(url, self.w.now)
        covered["submit"] += 1
        return str(job["id"])

    def _with_bad_luck(self, body: Any, call: int, side: Side) -> None:
        operation = Operation("unlucky", body, fault=Fault(call, side))
        self.conductor.run(operation)


def test_what_a_user_sees(crash_world: tuple[World, Conductor]) -> None:
    """Random histories; each promise holds at each step and in the end."""

    class Ready(Service):
        w, conductor = crash_world

    run_state_machine_as_test(
        Ready,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert covered["fetched anew after the hour"] or EXAMPLES < 10
    print(f"\nmodel steps: {covered.total()} ({', '.join(f'{n} {name}' for name, n in covered.items())})")
