"""One run of one system: what is done to it, and the figures that come of it."""

from __future__ import annotations

import http.client
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.peers.client import Client
from bench.peers.errors import BenchError
from bench.peers.processes import told_by
from bench.peers.site import PAGE_BYTES, Site
from bench.peers.systems import WORKERS, Running, System

SLOW_MILLISECONDS = 50

_WARM_UP = 40  # URLs that are fetched before anything is measured; fewer of who is slow
_SETTLE_SECONDS = 0.3  # for what follows a job's end: acknowledgements
_READ = 50  # results that are read and held against what the site sent
_PAUSE_SECONDS = (0.05, 0.35)  # between single jobs; varied, or a poller would always be met at the same moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A batch of URLs, from the submission until all have succeeded."""

    jobs: int
    seconds: float
    cpu: Mapping[str, float]  # seconds, by part
    asked: int = 0  # how often the client asked for the batch's progress

    @property
    def jobs_per_second(self) -> float:
        """The speed."""
        return self.jobs / self.seconds

    def cpu_per_1000(self, *parts: str) -> float:
        """CPU seconds per 1,000 jobs, of some of the parts or of all."""
        return sum(self.cpu[part] for part in parts or self.cpu) / self.jobs * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a system did in a run."""

    new: Phase
    slow: Phase
    reused: Phase | None = None
    one_host: Phase | None = None
    read_seconds: float = float("nan")  # to read one result
    one_job: Sequence[float] = field(default_factory=list)  # seconds
    memory: Mapping[str, float] = field(default_factory=dict)  # bytes, by part


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much is asked for in a run."""

    urls: int = 1000
    of_one_host: int = 200
    single_jobs: int = 20


def run(system: System, load: Load, site: Site, name: str) -> Figures:
    """Start the system, measure it, end it. `name` is one that no other run has.

    Raises BenchError when anything fails, or a URL was fetched more than once.
    """
    new = site.urls(f"{name}-new", min(load.urls, system.most))
    slow = site.urls(f"{name}-slow", min(load.urls, system.most_slow), SLOW_MILLISECONDS)
    warm_up = site.urls(f"{name}-warm", min(_WARM_UP, system.most_slow // 5))
    single = site.urls(f"{name}-single", load.single_jobs)
    one_host = site.urls_of_one_host(f"{name}-host", min(load.of_one_host, system.most_slow), SLOW_MILLISECONDS)
    with system.start() as running, _named(system):
        client = Client(running.api, running.check)
        _batch(running, client, warm_up)
        first, job_ids = _batch(running, client, new)
        read_seconds = _read(client, site, job_ids, new)
        again, job_ids = _batch(running, client, new)
        _read(client, site, job_ids, new)
        slower, job_ids = _batch(running, client, slow)
        _read(client, site, job_ids, slow)
        of_one_host, job_ids = _batch(running, client, one_host)
        _read(client, site, job_ids, one_host)
        figures = Figures(
            new=first,
            slow=slower,
            reused=again,
            one_host=of_one_host,
            read_seconds=read_seconds,
            one_job=_one_by_one(client, single, name),
            memory=running.memory(),
        )
        running.check()
        kinds = {"new": new, "slow": slow, "warm": warm_up, "single": single, "host": one_host}
        for kind, urls in kinds.items():
            _fetched_once(site.requests(f"{name}-{kind}"), urls)
    return figures


def run_bare(load: Load, site: Site, name: str) -> Figures:
    """`requests` in 32 threads that do nothing but fetch, in a process of its own."""
    new, memory = _bare(site.urls(f"{name}-new", load.urls))
    slow, _ = _bare(site.urls(f"{name}-slow", load.urls, SLOW_MILLISECONDS))
    one_host, _ = _bare(site.urls_of_one_host(f"{name}-host", load.of_one_host, SLOW_MILLISECONDS))
    return Figures(new=new, slow=slow, one_host=one_host, memory={WORKERS: memory})


@contextmanager
def _named(system: System) -> Iterator[None]:
    try:
        yield
    except (BenchError, OSError, http.client.HTTPException) as error:
        raise BenchError(f"{system.name}: {error}") from error


def _batch(running: Running, client: Client, urls: Sequence[str]) -> tuple[Phase, list[str]]:
    before = running.cpu()
    began = time.perf_counter()
    batch_id, job_ids, all_done = client.submit_batch(urls)
    asked = 0 if all_done else client.await_batch(batch_id, began)
    seconds = time.perf_counter() - began
    time.sleep(_SETTLE_SECONDS)
    after = running.cpu()
    cpu = {part: after[part] - before[part] for part in after}
    return Phase(jobs=len(urls), seconds=seconds, cpu=cpu, asked=asked), job_ids


def _read(client: Client, site: Site, job_ids: Sequence[str], urls: Sequence[str]) -> float:
    """Read some of the results, the last one too, and check them; returns the seconds that one takes."""
    chosen = list(zip(job_ids, urls, strict=True))[:: -max(1, len(urls) // _READ)]
    began = time.perf_counter()
    results = [client.result(job_id) for job_id, _ in chosen]
    seconds = (time.perf_counter() - began) / len(chosen)
    if results != [site.page(url) for _, url in chosen]:
        raise BenchError("a result is not what the site sent")
    return seconds


def _one_by_one(client: Client, urls: Sequence[str], seed: str) -> list[float]:
    chance = random.Random(seed)  # noqa: S311 - pauses, not secrets
    times = []
    for url in urls:
        time.sleep(chance.uniform(*_PAUSE_SECONDS))
        times.append(client.one_job(url))
    return times


def _fetched_once(requests: Mapping[str, int], urls: Sequence[str]) -> None:
    if requests != dict.fromkeys(urls, 1):
        often = sum(1 for count in requests.values() if count > 1)
        raise BenchError(f"of {len(urls)} URLs {len(requests)} were fetched, and {often} of them more than once")


def _bare(urls: Sequence[str]) -> tuple[Phase, float]:
    reported = told_by(["bench.peers.bare"], urls)
    if reported["bytes"] != len(urls) * PAGE_BYTES:
        raise BenchError("bare requests: a page is missing")
    return Phase(jobs=len(urls), seconds=reported["seconds"], cpu={WORKERS: reported["cpu"]}), reported["memory"]
