"""Where what tells webhooks is put together, once per process; the rest is put together in `wiring`."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from chalicelib import wiring
from chalicelib.jobs.webhooks import ANSWER_SECONDS
from chalicelib.storage.threads import Threads

if TYPE_CHECKING:
    from chalicelib.runner.invocation import Runner
    from chalicelib.runner.poster import Posts
    from chalicelib.settings import Settings
    from chalicelib.storage.calls import Parallel
    from chalicelib.wiring import Outside

THREADS = 128  # for messages: each may wait for a receiver
THREADS_WITHIN = 16  # for the calls of one message


@functools.cache
def runner() -> Runner:
    """What tells webhooks, in this process."""
    from chalicelib.runner.poster import Poster

    s = wiring.settings()
    poster = Poster(
        policy=wiring.address_policy(s),
        user_agent=wiring.user_agent(s),
        connect_seconds=s.connect_seconds,
        total_seconds=answer_seconds(s),
    )
    # Two pools: a message that waits for its own calls must not hold the threads that they need.
    return make_runner(s, wiring.make_outside("webhooks", THREADS), poster, within=Threads(THREADS_WITHIN))


def answer_seconds(s: Settings) -> float:
    """How long a try may take: less where the function itself may take no longer."""
    return min(ANSWER_SECONDS, s.function_seconds - 2 * s.margin_seconds)


def make_runner(s: Settings, outside: Outside, poster: Posts, *, within: Parallel) -> Runner:
    """What tells webhooks; `within` makes the calls of one message."""
    from chalicelib.runner.deliver import RECEIVER_PARALLEL, DeliverMessages
    from chalicelib.runner.invocation import Runner
    from chalicelib.runner.retry import RetryPolicy
    from chalicelib.runner.slots import Slots
    from chalicelib.runner.watch import WatchMessages
    from chalicelib.storage.queue import DeliverMessage, Queue, WatchMessage
    from chalicelib.storage.webhook_secrets import WebhookSecrets

    patience = outside.patience
    stores = replace(outside, parallel=within)
    table, events = wiring.make_table(s, stores), wiring.make_events(s, stores)
    queue = Queue(outside.client("sqs"), s.webhook_queue_url, parallel=within, patience=patience)
    deliver = DeliverMessages(
        table=table,
        events=events,
        secrets=WebhookSecrets(outside.client("dynamodb"), s.table_name, patience=patience),
        key=wiring.service_secret(s),
        queue=queue,
        poster=poster,
        slots=Slots(RECEIVER_PARALLEL),
        lease=s.lease_ms,
        clock=outside.clock,
        metrics=outside.metrics,
    )
    return Runner(
        handlers={
            WatchMessage.kind: WatchMessages(table=table, events=events, queue=queue, clock=outside.clock),
            DeliverMessage.kind: deliver,
        },
        queue=queue,
        dead_letters=queue,
        retries=RetryPolicy(
            fetch_seconds=answer_seconds(s),
            margin_seconds=s.margin_seconds,
            backoff_seconds=s.backoff_seconds,
            backoff_cap_seconds=s.backoff_cap_seconds,
            visibility_seconds=s.visibility_seconds,
        ),
        clock=outside.clock,
        parallel=outside.parallel,
        metrics=outside.metrics,
    )
