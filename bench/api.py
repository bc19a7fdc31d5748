"""The API beside bare Chalice: how long a new process takes to its first answers, and the CPU of each route.

    python -m bench.api [--runs N]

Cold: processes of their own by turns, AWS answered by a stub. Warm: one process, the embedded emulator in another.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from chalice.app import Chalice

from bench import aws
from bench.lives import Bench, Urls, emulated, event_of, opened, site
from bench.peers.errors import BenchError, told
from bench.peers.processes import Disturbance, interruptible, told_by
from bench.tables import Table, machine
from bench.units import Tally
from local_stack.environment import applied, scrubbed

RUNS = 11  # cold starts of each
REQUESTS = 100  # of a route, warm
MOST_OVER_BARE = 1.15

_IMPORTED, _HEALTH, _SUBMISSION = "import and clients", "first GET /health", "first POST /jobs"
_NAMES = {"TABLE_NAME": "fetch-queue", "BUCKET_NAME": "fetch-queue", "FUNCTION_ROLE": "api"}

Steps = dict[str, tuple[float, float]]


def measure(runs: int = RUNS) -> list[Table]:
    """Run everything, in about a minute. Raises BenchError; nothing that it started is left then."""
    before, disturbance = machine(), Disturbance()
    with interruptible():
        cold = _cold(runs)
        warm = _warm()
    others = f"{disturbance.percent:.0f}% of the cores' time went to other programs meanwhile"
    return [_cold_table(cold, f"Measured on {before}; {others}. Runs: {runs}."), _warm_table(warm)]


# Cold


def _cold(runs: int) -> dict[str, list[Steps]]:
    cold: dict[str, list[Steps]] = {"ours": [], "bare": []}
    with aws.answering(["http://127.0.0.1"], 0) as endpoint:
        queues = dict.fromkeys(("QUEUE_URL", "DEAD_LETTER_QUEUE_URL"), f"{endpoint}/queue")
        variables = {**scrubbed(os.environ, endpoint), **_NAMES, **queues}
        app = _bare_app()
        events = {
            _HEALTH: event_of(app, "GET", "/health"),
            _SUBMISSION: event_of(app, "POST", "/jobs", {"url": "https://example.com/"}),
        }
        for number in range(runs + 1):  # the first fills the disk's cache
            for which, collected in cold.items():
                steps: Steps = told_by(["bench.cold", which], events, variables)
                if number:
                    collected.append(steps)
    return cold


def _cold_table(cold: dict[str, list[Steps]], note: str) -> Table:
    rows = []
    for step in (_IMPORTED, _HEALTH, _SUBMISSION):
        row: list[str] = [step]
        for which in cold.values():
            wall, cpu = (median(steps[step][kind] for steps in which) * 1000 for kind in (0, 1))
            row += [f"{wall:.0f}", f"{cpu:.0f}"]
        for kind in (0, 1):
            ratio = median(
                ours[step][kind] / bare[step][kind] for ours, bare in zip(cold["ours"], cold["bare"], strict=True)
            )
            row.append(f"{ratio:.2f}")
        rows.append(row)
    over = float(rows[0][-2])
    met = "met" if over <= MOST_OVER_BARE else "missed"
    return Table(
        "The API, cold: milliseconds from the first import, over those of chalice, boto3 and the clients alone",
        ["until", "ours", "ours, CPU", "bare", "bare, CPU", "ratio", "ratio of CPU"],
        rows,
        [
            note,
            f"Aim: import and clients within {MOST_OVER_BARE} of bare: {over:.2f}, {met}.",
            "The interpreter's own start is in neither.",
        ],
    )


# Warm


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a route takes, by request."""

    name: str
    cpu: float  # seconds
    requests: float  # to AWS


def _warm() -> list[Route]:
    with applied(scrubbed(os.environ, "")), site() as port, emulated() as endpoint:
        os.environ.pop("AWS_ENDPOINT_URL")
        with opened(endpoint, Urls(port)) as bench:
            bench.lives(10)  # imports, connections and caches
            return [Route(name="a bare Chalice route", cpu=_bare_cpu(), requests=0), *_routes(bench)]


def _bare_app() -> Chalice:
    app = Chalice(app_name="bare")
    for method, path in (("GET", "/health"), ("POST", "/jobs")):
        app.route(path, methods=[method], name=path[1:])(lambda: {"status": "ok"})
    return app


def _bare_cpu() -> float:
    app = _bare_app()
    return _cpu(app, [event_of(app, "GET", "/health")] * REQUESTS)


def _routes(bench: Bench) -> list[Route]:
    jobs = [json.loads(bench.ask("POST", "/jobs", {"url": url})["body"])["id"] for url in bench.urls.take(REQUESTS)]
    batch = json.loads(bench.ask("POST", "/batches", {"urls": bench.urls.take(100)})["body"])["id"]
    bench.run(Tally())
    requests: list[tuple[str, str, str, list[Any]]] = [
        ("GET /health", "GET", "/health", [None]),
        ("GET /", "GET", "/", [None]),
        ("GET /openapi.json", "GET", "/openapi.json", [None]),
        ("POST /jobs", "POST", "/jobs", [{"url": url} for url in bench.urls.take(REQUESTS)]),
        ("POST /batches, 10 URLs", "POST", "/batches", [{"urls": bench.urls.take(10)} for _ in range(20)]),
        ("POST /batches, 1,000 URLs", "POST", "/batches", [{"urls": bench.urls.take(1000)} for _ in range(2)]),
        ("GET /jobs/{id}", "GET", f"/jobs/{jobs[0]}", [None]),
        ("GET /jobs/{id}/result", "GET", f"/jobs/{jobs[0]}/result", [None]),
        ("GET /batches/{id}, 100 jobs", "GET", f"/batches/{batch}", [None] * 20),
        ("GET /batches/{id}/results, 100 jobs", "GET", f"/batches/{batch}/results", [None] * 20),
    ]
    routes = [_route(bench, name, method, [path] * len(bodies), bodies) for name, method, path, bodies in requests]
    routes.append(_route(bench, "DELETE /jobs/{id}", "DELETE", [f"/jobs/{job}" for job in jobs], [None] * len(jobs)))
    return routes


def _route(bench: Bench, name: str, method: str, paths: Sequence[str], bodies: Sequence[Any]) -> Route:
    if len(bodies) == 1:
        paths, bodies = list(paths) * REQUESTS, list(bodies) * REQUESTS
    app = bench.world.app
    events = [event_of(app, method, path, body) for path, body in zip(paths, bodies, strict=True)]
    with bench.world.counted_calls() as calls:
        cpu = _cpu(app, events)
    return Route(name=name, cpu=cpu, requests=calls.total() / len(events))


def _cpu(app: Any, events: Sequence[dict[str, Any]]) -> float:
    """Of one request, in seconds: the median."""
    taken = []
    for event in events:
        began = time.process_time()
        answer = app(event, None)
        taken.append(time.process_time() - began)
        if answer["statusCode"] >= 400:
            raise BenchError(f"a request was answered {answer['statusCode']}: {answer['body']}")
    return median(taken)


def _warm_table(routes: Sequence[Route]) -> Table:
    bare = routes[0].cpu
    return Table(
        "The API, warm: CPU of a request",
        ["route", "CPU ms", "over the bare route", "AWS requests"],
        [[one.name, f"{one.cpu * 1000:.2f}", f"{one.cpu / bare:.1f}", f"{one.requests:g}"] for one in routes],
        ["Medians, one thread, without TLS; what a request does in AWS is not counted, its calls are."],
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.api", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="cold starts of each")
    with told():
        tables = measure(parser.parse_args().runs)
    print("\n\n".join(str(table) for table in tables))


if __name__ == "__main__":
    main()
