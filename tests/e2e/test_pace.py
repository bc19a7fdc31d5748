"""A list that lives on one host that wants to be asked slowly comes through whole."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from bench.limited_site import serving
from tests.e2e.running import Running, until

Fresh = Callable[[str], str]
PATIENCE = 240  # seconds; on any machine


def test_a_list_of_a_slow_host(stack: Running, fresh: Fresh) -> None:
    """It refuses most at first, with a Retry-After that makes no sense. Nothing fails, and no other host is delayed."""
    with serving(4, "soon") as site:
        batch = stack.submit_batch(site.urls(24))
        until(lambda: stack.ask("GET", f"/batches/{batch['id']}").json["waiting_for_host"], PATIENCE)
        other = stack.finished(stack.submit(stack.page(fresh("/page")))["id"])
        assert other["status"] == "succeeded"
        assert not stack.ask("GET", f"/batches/{batch['id']}").json["finished"]
        done = stack.finished_batch(batch["id"], PATIENCE)
        assert done["counts"]["succeeded"] == 24
        told = site.told()
        assert len(told.taken) == 24
        assert len(told.refused) == sum(job["attempts"] - 1 for job in done["jobs"]) <= 48


def test_workers_that_are_killed_while_jobs_wait(stack: Running) -> None:
    """Their messages are on the queue: others go on, and what was fetched is not fetched again."""
    with serving(2, "1") as site:
        batch = stack.submit_batch(site.urls(16))
        until(lambda: stack.ask("GET", f"/batches/{batch['id']}").json["waiting_for_host"], PATIENCE)
        for pid in stack.workers:
            os.kill(pid, signal.SIGKILL)
        done = stack.finished_batch(batch["id"], PATIENCE)
        assert done["counts"]["succeeded"] == 16
        told = site.told()
        # A request that was under way when its worker died is made again, and counts as an attempt.
        assert 16 <= len(told.taken) + len(told.refused) <= sum(job["attempts"] for job in done["jobs"])
