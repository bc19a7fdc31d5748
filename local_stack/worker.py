"""A worker process: polls all queues and calls the functions of `app.py`, as Lambda's pollers and sandboxes would."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from chalicelib import settings
from chalicelib.storage.calls import refuse_cut_answers
from local_stack import lifeline
from local_stack.event_source import WAIT_SECONDS, EventSource, Handler, Outage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Invocations that run at once in one worker. Lambda begins with five pollers a queue; here two workers share a
# developer's two cores, and four keep them busy while sites are slow.
POLLERS = 4
DEAD_LETTER_POLLERS = 1  # dead letters are rare
WEBHOOK_POLLERS = 8  # each may wait for a receiver that sleeps, and others must not

GRACE_SECONDS = 3.0  # for what is being worked on when the worker is told to end

Handlers = tuple[Handler, Handler, Handler]

_TIMED_OUT = 70  # the exit status of a worker that was ended as Lambda ends a function
POLLER_LOST = 71  # that of a worker that would be idle, partly or wholly


def load() -> Handlers:
    """The functions that queues feed, in this process: of jobs, of webhooks, of dead letters."""
    import app  # here, not above: it reads the environment
    from chalicelib import wiring, wiring_webhooks

    wiring.runner()  # clients must not be made by several threads at once, and on Lambda never are
    wiring_webhooks.runner()
    return app.run_jobs, app.run_webhooks, app.run_dead_letters


def main(load: Callable[[], Handlers] = load) -> None:
    """Work until told to end. Does not return: a function that takes too long must not hold the process."""
    parser = argparse.ArgumentParser(prog="python -m local_stack.worker", description=__doc__)
    parser.add_argument("--lifeline", action="store_true", help="end when standard input does")
    arguments = parser.parse_args()

    configured = settings.from_environment()
    run_jobs, run_webhooks, run_dead_letters = load()
    config = Config(
        connect_timeout=2,
        read_timeout=WAIT_SECONDS + 10,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=POLLERS + WEBHOOK_POLLERS + DEAD_LETTER_POLLERS,
    )
    sqs = boto3.session.Session().client("sqs", config=config)
    refuse_cut_answers(sqs)
    outage = Outage(_report)

    def source(queue_url: str, name: str, handler: Handler) -> EventSource:
        return EventSource(
            sqs=sqs,
            queue_url=queue_url,
            function_name=name,
            handler=handler,
            function_seconds=configured.function_seconds,
            time_out=_end_as_lambda_would,
            report=_report,
            outage=outage,
        )

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if arguments.lifeline:
        lifeline.watch(stop.set)
    jobs = source(configured.queue_url, "run_jobs", run_jobs)
    webhooks = source(configured.webhook_queue_url, "run_webhooks", run_webhooks)
    dead_letters = source(configured.dead_letter_queue_url, "run_dead_letters", run_dead_letters)
    pollers = [jobs] * POLLERS + [webhooks] * WEBHOOK_POLLERS + [dead_letters] * DEAD_LETTER_POLLERS
    os._exit(work(pollers, stop))


def work(sources: Sequence[EventSource], stop: threading.Event, grace_seconds: float = GRACE_SECONDS) -> int:
    """Poll each source in a thread until `stop` is set; returns the exit status.

    If a poller ends before it was told to, the others are told to end too, and the launcher starts a complete worker.
    """
    lost = threading.Event()

    def poll(source: EventSource) -> None:
        try:
            source.run(stop)
        finally:
            if not stop.is_set():
                lost.set()
                stop.set()

    pollers = [threading.Thread(target=poll, args=(source,), daemon=True) for source in sources]
    for poller in pollers:
        poller.start()
    stop.wait()
    deadline = time.monotonic() + grace_seconds
    for poller in pollers:
        poller.join(max(0.0, deadline - time.monotonic()))
    if not lost.is_set():
        return 0
    _report("a poller has ended; this worker ends too")
    return POLLER_LOST


def _end_as_lambda_would(sentence: str) -> None:
    """End the whole process. On Lambda only that invocation would end: each has its own process there."""
    _report(f"{sentence}; this worker ends")
    os._exit(_TIMED_OUT)


def _report(sentence: str) -> None:
    with suppress(OSError):  # even if nobody listens any more, what comes next still matters
        print(f"worker {os.getpid()}: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
