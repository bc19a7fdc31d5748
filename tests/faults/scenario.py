"""A day in bad weather: jobs are submitted, watched and deleted while a share of all calls to AWS fails; then the
weather clears, and what must hold is held against what is there."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chalicelib.storage.bucket import result_key
from local_stack.demo import ask
from tests.faults.client import Client
from tests.faults.parts import Parts, parts

# Short, but long enough for the driver's own pauses and for a machine that is busy with other things.
SETTINGS = {
    "CONNECT_SECONDS": "5",
    "FETCH_SECONDS": "5",
    "FUNCTION_SECONDS": "18",
    "SKEW_SECONDS": "1",
    "LEASE_SECONDS": "19",
    "VISIBILITY_SECONDS": "20",
    "BACKOFF_SECONDS": "1",
    "BACKOFF_CAP_SECONDS": "5",
    "API_FUNCTION_SECONDS": "10",
    "WAIT_SECONDS": "5",
    "BATCH_LEASE_SECONDS": "11",
    "QUOTA_URLS_PER_DAY": "1000000",  # to have it counted
}
CLIENTS = 16
WATCHERS = 2
BATCHES_OF = (5, 25)
ENDED = ("succeeded", "failed")
SLACK_SECONDS = 120.0  # for a slow machine, on top of what the settings allow


@dataclass
class Report:
    """What a run showed."""

    lines: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Print a line now: a run that hangs has said how far it came."""
        print(line, flush=True)
        self.lines.append(line)

    def demand(self, holds: bool, sentence: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.broken.append(sentence)


def run(directory: Path, *, seed: int, rate: float, jobs: int, storm_seconds: float) -> Report:
    """One run: `rate` of all calls fail until every job is submitted, then until all ended or for `storm_seconds`."""
    report = Report()
    report.say(f"seed {seed}: {jobs} jobs, {rate:.0%} of all calls to AWS fail")
    with parts(directory, SETTINGS, seed) as p:
        Weather(p, report, seed, rate).run(jobs, storm_seconds)
    return report


class Weather:
    """One run on parts that run."""

    def __init__(self, p: Parts, report: Report, seed: int, rate: float) -> None:
        self._parts = p
        self._report = report
        self._rate = rate
        self._dice = random.Random(seed)
        self._client = Client(p.api_url)
        self._targets: list[str] = []  # of each job, alone or in a batch
        self._batches: list[str] = []
        self._last: dict[str, dict[str, Any]] = {}  # each job as it was read last, by its target
        self._ended = threading.Event()

    def run(self, jobs: int, storm_seconds: float) -> None:
        """All of it."""
        urls = self._urls(jobs)
        began, began_on = time.monotonic(), datetime.now(UTC).date()
        self._parts.proxy.rate = self._rate
        with ThreadPoolExecutor(WATCHERS) as watchers:
            watching = [watchers.submit(self._watch, random.Random(number)) for number in range(WATCHERS)]
            try:
                self._submit(urls)
                self._report.say(f"  submitted after {time.monotonic() - began:.1f} s")
                self._wait_in_storm(storm_seconds)
            finally:
                self._ended.set()
            for watched in watching:
                watched.result()
        self._say_faults()
        self._parts.proxy.rate = 0
        self._wait_for_all()
        self._check_jobs(jobs)
        self._check_requests()
        self._check_results()
        self._check_stored()
        self._check_quota(began_on)
        self._delete_all()
        for wrong in self._client.wrong:
            self._report.demand(False, f"a client was answered {wrong}")
        self._report.say(f"  answers: {dict(sorted(self._client.statuses.items()))}")

    def _urls(self, jobs: int) -> list[str]:
        """A quarter of them repeats; some large, some that fail at first, some that fail for good."""
        site, urls = self._parts.site.url, list[str]()
        for number in range(jobs):
            kind = self._dice.random()
            if urls and kind < 0.25:
                urls.append(self._dice.choice(urls))
            elif kind < 0.30:
                urls.append(f"{site}/flaky/{number}")
            elif kind < 0.32:
                urls.append(f"{site}/missing/{number}")
            elif kind < 0.34:
                urls.append(f"{site}/big?bytes={9_000_000 + number}")  # in two parts
            else:
                urls.append(f"{site}/page/{number}")
        return urls

    def _submit(self, urls: list[str]) -> None:
        tasks: list[Callable[[], None]] = []
        left = list(urls)
        while left:
            size = 1 if self._dice.random() < 0.8 else self._dice.randint(*BATCHES_OF)
            some, left = left[:size], left[size:]
            tasks.append(self._submission(some, f"{len(left)}"))
        with ThreadPoolExecutor(CLIENTS) as clients:
            for done in [clients.submit(task) for task in tasks]:
                done.result()

    def _submission(self, urls: list[str], key: str) -> Callable[[], None]:
        def one() -> None:
            job = self._client.submit("/jobs", {"url": urls[0]}, key)
            self._targets.append(job["links"]["self"])

        def several() -> None:
            batch = self._client.submit("/batches", {"urls": urls}, key)
            self._batches.append(batch["links"]["self"])
            self._targets.extend(job["links"]["self"] for job in batch["jobs"])

        return one if len(urls) == 1 else several

    # While calls fail

    def _watch(self, dice: random.Random) -> None:
        """Ask for what was accepted, as clients do: it is there from then on."""
        while not self._ended.wait(0.02):
            if self._batches and dice.random() < 0.1:
                self._client.read(dice.choice(self._batches), {200})
            elif self._targets:
                target = dice.choice(self._targets)
                self._read(target)
                if dice.random() < 0.3:
                    self._client.read(f"{target}/result", {200, 303, 409})

    def _read(self, target: str) -> None:
        answer = self._client.read(target, {200})
        if answer is None:
            return
        was, job = self._last.get(target), answer.json
        if was is not None and was["status"] in ENDED and job["status"] != was["status"]:
            self._report.demand(False, f"{target} was {was['status']}, then {job['status']}")
        self._last[target] = job

    def _open(self) -> list[str]:
        return [target for target in self._targets if self._last.get(target, {}).get("status") not in ENDED]

    def _wait_in_storm(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._open() and time.monotonic() < until:
            for target in self._open():
                self._read(target)
            self._ended.wait(0.2)

    def _say_faults(self) -> None:
        proxy = self._parts.proxy
        self._report.say(f"  {proxy.calls.total()} calls: {dict(sorted(proxy.calls.items()))}")
        self._report.say(f"  {proxy.faults.total()} faults:")
        for fault, count in sorted(proxy.faults.items()):
            self._report.say(f"    {count:5} {fault}")

    # Afterwards

    def _wait_for_all(self) -> None:
        settings, open_then = self._parts.settings, len(self._open())
        pause = max(self._parts.proxy.longest_leave, settings.backoff_cap_seconds)
        bound = 2 * settings.visibility_seconds + pause
        began = time.monotonic()
        while self._open() and time.monotonic() - began < bound + SLACK_SECONDS:
            for target in self._open():
                self._read(target)
            self._ended.clear()
            self._ended.wait(0.2)
        left, passed = len(self._open()), time.monotonic() - began
        self._report.say(
            f"  {open_then} jobs were open when the faults ended, and {left} of them {passed:.1f} s later,"
            f" of {bound} that the settings allow (longest pause {pause} s)"
        )
        for target in self._open():
            self._report.demand(False, f"{target} never ended: {self._last.get(target)}")

    def _check_jobs(self, jobs: int) -> None:
        self._report.demand(len(self._targets) == jobs, f"{len(self._targets)} jobs were accepted of {jobs}")
        ends = Counter[str]()
        for target in self._targets:
            self._last[target] = job = self._client.read_on(target, {200}).json
            ends[job["status"] if job["error"] is None else f"failed: {job['error']['type']}"] += 1
            failed_itself = "/missing/" in job["url"]
            # What is large takes its time from its store, too, and may run out of it.
            passing = ("http-status", "worker-lost", *(["timeout"] if "/big?" in job["url"] else []))
            if job["status"] == "failed" and job["error"]["type"] not in passing:
                self._report.demand(False, f"{target} failed of {job['error']}")
            if job["status"] == "succeeded" and failed_itself:
                self._report.demand(False, f"{target} succeeded, and should not have")
            if job["status"] == "failed" and job["error"]["type"] == "http-status" and not failed_itself:
                # A page that fails at first does so once.
                self._report.demand("/flaky/" in job["url"], f"{target} failed of {job['error']}")
        self._report.say(f"  ends: {dict(ends)}")

    def _check_requests(self) -> None:
        allowed: Counter[str] = Counter()
        for job in self._last.values():
            if job["reused"] is False:  # it led a fetch
                allowed[job["url"]] += job["attempts"]
        asked = self._parts.site.counts()
        for url in {job["url"] for job in self._last.values()}:
            times = asked.get(_path(url), 0)
            self._report.demand(times <= allowed[url], f"{url} was asked for {times} times in {allowed[url]} attempts")
        self._report.say(f"  {sum(asked.values())} requests in {allowed.total()} attempts, {len(asked)} URLs")

    def _check_results(self) -> None:
        bodies: dict[str, str] = {}
        for target, job in self._last.items():
            if job["status"] != "succeeded":
                continue
            answer = self._client.read_on(f"{target}/result", {200, 303})
            if answer.status == 303:
                answer = ask("GET", answer.headers["Location"])
            hashed = hashlib.sha256(answer.body).hexdigest()
            if job["url"] not in bodies:
                bodies[job["url"]] = hashlib.sha256(ask("GET", job["url"]).body).hexdigest()
            self._report.demand(
                job["result"]["sha256"] == hashed == bodies[job["url"]],
                f"{target} has another result than {job['url']}: {answer.status}, {len(answer.body)} bytes, {hashed}"
                f" for {bodies[job['url']]}; {job['result']}",
            )

    def _check_stored(self) -> None:
        """Every result is there, and every object belongs to an attempt of a fetch that is there.

        An upload whose beginning was not heard of stays for a day, until the bucket's lifecycle takes it.
        """
        items = self._parts.items()
        results = {item["result"]["key"] for item in items.values() if "result" in item}
        objects = self._parts.objects()
        attempts = {
            result_key(key.removeprefix("FETCH#"), number)
            for key, item in items.items()
            if key.startswith("FETCH#")
            for number in range(1, item["attempt"] + 1)
        }
        left = (
            f"{len(objects - results)} of attempts that brought no result, {self._parts.uploads()} unfinished uploads"
        )
        self._report.say(f"  {len(objects)} objects, {left}")
        self._report.demand(results <= objects, f"results are gone: {results - objects}")
        self._report.demand(objects <= attempts, f"objects stay that no record names: {objects - attempts}")

    def _check_quota(self, began_on: date) -> None:
        """What was accepted was counted; what ended in a 503 may have been, too."""
        (used,) = [item["day_used"] for key, item in self._parts.items().items() if key.startswith("QUOTA#")]
        self._report.say(f"  {used} URLs counted in the quota, {len(self._targets)} accepted")
        if datetime.now(UTC).date() == began_on:  # else some were counted in the next day
            self._report.demand(used >= len(self._targets), f"{used} were counted of {len(self._targets)}")

    def _delete_all(self) -> None:
        """The half of it while calls fail; then the rest, and whatever was answered by 503 again."""
        alone = [target for target in self._targets if self._last[target]["batch_id"] is None]
        targets = self._batches + alone
        before = self._parts.objects()
        self._parts.proxy.rate = self._rate
        with ThreadPoolExecutor(CLIENTS) as clients:
            for done in [clients.submit(self._client.delete, target) for target in targets[::2]]:
                done.result()
        self._parts.proxy.rate = 0
        for target in targets[1::2]:
            self._client.delete(target)
        for target in self._targets:
            self._report.demand(self._client.ask("GET", target).status == 404, f"{target} is there after its DELETE")
        items = defaultdict(list)
        for key, item in self._parts.items().items():
            kind = key.partition("#")[0]
            items[f"live {kind}" if "url" in item and kind == "JOB" else kind].append(key)
        for kind in ("live JOB", "URL", "FETCH"):
            self._report.demand(not items[kind], f"{kind} items stay after DELETE: {items[kind]}")
        objects = self._parts.objects()
        late = {key for key in objects if any(path.endswith(key) for path in self._parts.proxy.late)}
        self._report.say(f"  after DELETE {len(objects)} objects of {len(before)} are left, {len(late)} stored late")
        self._report.demand(objects <= late, f"{len(objects - late)} objects stay after DELETE")


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
