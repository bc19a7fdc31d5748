"""The tables that the runs of all systems come to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from bench.peers.runs import SLOW_MILLISECONDS, Figures, Phase
from bench.peers.systems import API, DURABLE, STORE, WORKERS
from bench.tables import Table

Results = Mapping[str, Sequence[Figures]]  # each system's runs; Fetch Queue is the first
Figure = Callable[[Figures], float]

_MIB = 1024 * 1024


def tables(results: Results, notes: Sequence[str]) -> list[Table]:
    """What the runs of each system come to. The first system is Fetch Queue."""
    return [_speed(results, notes), _one_host(results), _one_job(results), _cpu(results), _memory(results)]


def _speed(results: Results, notes: Sequence[str]) -> Table:
    rows = []
    for name, figures in results.items():
        cells = [
            cell
            for figure in (speed_of_new, speed_of_slow, _reused)
            for cell in (_number(middle(figure, figures)), _ratio(figure, results, name))
        ]
        rows.append([name, *cells, f"{figures[0].new.jobs:,} / {figures[0].slow.jobs:,}"])
    asked = max(phase.asked for figures in results.values() for one in figures for phase in _phases(one))
    columns = ["", "new, 0 ms", "ratio", f"new, {SLOW_MILLISECONDS} ms", "ratio", "reused", "ratio", "URLs"]
    return Table(
        "Jobs a second: 1 KiB pages, from the first POST until every result can be read",
        columns,
        rows,
        [
            *notes,
            "- ratio: Fetch Queue's over this one's, in the same run; more than 1: Fetch Queue is faster.",
            f"- 0 and {SLOW_MILLISECONDS} ms: how long the site takes. Reused: the URLs of the 0 ms batch once more.",
            "- Every URL was fetched exactly once by every system: the site counted. Results were read and compared.",
            "- Fetch Queue: two workers, and an emulator of DynamoDB, SQS and S3.",
            (
                "- The others: FastAPI in one process, Redis as broker and store, `SET NX EX 3600` for the hour, one "
                "worker started as its documentation says, with the compiled parts that it recommends. A reused URL "
                "never gets to their worker."
            ),
            (
                f"- {DURABLE}: Redis writes each change to disk before it answers (`appendfsync always`), as AWS does. "
                "The others, and the emulator, keep all in memory, and lose it with a crash."
            ),
            "- URLs: of the batches of 0 ms and of the slow one. RQ works on one job at a time and gets fewer.",
            (
                "- Progress is asked for after 60% of the time that the rest seems to take, and not before 3% of what "
                "has passed, with pauses of a quarter of a second at the most, whoever is asked: "
                f"{asked} times a batch at the most. The answers are part of the time. "
                "Where the answer to the submission says that all have succeeded, nothing is asked."
            ),
        ],
    )


def _one_host(results: Results) -> Table:
    rows = []
    for name, figures in results.items():
        shown = _number(middle(_speed_of_one_host, figures)), _ratio(_speed_of_one_host, results, name)
        jobs = {one.one_host.jobs for one in figures if one.one_host is not None}
        rows.append([name, *shown, " / ".join(map(str, sorted(jobs)))])
    return Table(
        "Jobs a second where all URLs are of one host",
        ["", f"new, {SLOW_MILLISECONDS} ms", "ratio", "URLs"],
        rows,
        [
            "- Each of Fetch Queue's two workers asks a host at most HOST_PARALLEL (8) times at once; the others 32.",
            "- ratio: Fetch Queue's over this one's. Less than 1 is what a host is spared.",
        ],
    )


def _one_job(results: Results) -> Table:
    rows = []
    for name, figures in results.items():
        times = sorted(seconds for one in figures for seconds in one.one_job)
        if times:
            p95 = times[math.ceil(0.95 * len(times)) - 1]
            read = middle(_read_seconds, figures)
            shown = [_number(1000 * seconds) for seconds in (median(times), p95, read)]
            rows.append([name, shown[0], _ratio(_middle_job, results, name), shown[1], len(times), shown[2]])
    return Table(
        "One job: milliseconds from its POST until it is seen to have succeeded",
        ["", "median", "ratio", "p95", "jobs", "one result"],
        rows,
        [
            "- ratio: Fetch Queue's median over this one's; less than 1: Fetch Queue is quicker. The site takes 0 ms.",
            "- Asked every 4 ms, each time on a new connection; 0.05 to 0.35 s between jobs.",
            "- one result: milliseconds to read a result of 1 KiB through the API.",
        ],
    )


def _cpu(results: Results) -> Table:
    rows = []
    for name, figures in results.items():
        parts = [_part_of(figures, part, _cpu_of(part), 2) for part in (API, WORKERS, STORE)]
        alone = _number(middle(_cpu_of(API, WORKERS), figures), 2) if _has(figures, API) else parts[1]
        reused = _number(middle(_cpu_reused, figures), 2)
        whole = _number(middle(_cpu_all, figures), 2)
        rows.append([name, *parts, whole, _ratio(_cpu_all, results, name), alone, reused])
    return Table(
        "CPU seconds per 1,000 jobs",
        ["", "API", "workers", "emulator / Redis", "all", "ratio", "without it", "all, reused"],
        rows,
        [
            "- New URLs, 0 ms, answers to POST and progress included; the last column: the same URLs once more.",
            "- ratio: Fetch Queue's whole over this one's. `without it`: API and workers alone.",
            "- The emulator stands for what AWS runs; Redis is what its user runs.",
            "- Client and site are left out; child processes that have ended are counted.",
        ],
    )


def _memory(results: Results) -> Table:
    rows = []
    for name, figures in results.items():
        parts = [_part_of(figures, part, _memory_of(part), 0) for part in (API, WORKERS, STORE)]
        rows.append([name, *parts, _number(middle(_memory_all, figures)), _ratio(_memory_all, results, name)])
    return Table(
        "Resident memory, MiB, after the batches",
        ["", "API", "workers", "emulator / Redis", "all", "ratio"],
        rows,
        [
            "- What processes share is counted for each. RQ's default worker has no job, so no child, at that time.",
        ],
    )


def speed_of_new(figures: Figures) -> float:
    """Jobs a second of a site that answers at once."""
    return figures.new.jobs_per_second


def speed_of_slow(figures: Figures) -> float:
    """Jobs a second of a site that takes its time."""
    return figures.slow.jobs_per_second


def _reused(figures: Figures) -> float:
    return figures.reused.jobs_per_second if figures.reused else math.nan


def _speed_of_one_host(figures: Figures) -> float:
    return figures.one_host.jobs_per_second if figures.one_host else math.nan


def _read_seconds(figures: Figures) -> float:
    return figures.read_seconds


def _middle_job(figures: Figures) -> float:
    return median(figures.one_job)


def _cpu_all(figures: Figures) -> float:
    return figures.new.cpu_per_1000()


def _cpu_reused(figures: Figures) -> float:
    return figures.reused.cpu_per_1000() if figures.reused else math.nan


def _cpu_of(*parts: str) -> Figure:
    return lambda figures: figures.new.cpu_per_1000(*parts)


def _memory_of(part: str) -> Figure:
    return lambda figures: figures.memory[part] / _MIB


def _memory_all(figures: Figures) -> float:
    return sum(figures.memory.values()) / _MIB


def _phases(figures: Figures) -> list[Phase]:
    return [phase for phase in (figures.new, figures.slow, figures.reused, figures.one_host) if phase is not None]


def _has(figures: Sequence[Figures], part: str) -> bool:
    return part in figures[0].memory


def _part_of(figures: Sequence[Figures], part: str, figure: Figure, digits: int) -> str:
    return _number(middle(figure, figures), digits) if _has(figures, part) else "-"


def middle(figure: Figure, figures: Sequence[Figures]) -> float:
    """The median of the runs."""
    return median(figure(one) for one in figures)


def _ratio(figure: Figure, results: Results, name: str) -> str:
    """Fetch Queue's figure over another's, run by run."""
    us, *_ = results
    if name == us:
        return ""
    return _number(
        median(figure(our) / figure(their) for our, their in zip(results[us], results[name], strict=True)), 2
    )


def _number(value: float, digits: int = 0) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"
