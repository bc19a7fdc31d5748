"""What a URL costs: AWS requests, DynamoDB units and dollars, counted on the real code and billed by `bench.prices`.

    python -m bench.cost            # about three minutes
    python -m bench.cost --plot     # and docs/images/bench-cost.png

The service runs in this process, on the embedded emulator, and fetches from a site on loopback. What botocore sends
and gets is counted as it passes, and the capacity units are computed from the sizes of the items, by the rules of
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html and
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

from bench.lives import RESULT_BYTES, URL_LENGTH, Bench, Life, Lives, Stage, Urls, deployed, emulated, opened, site
from bench.peers import environment
from bench.peers.errors import told
from bench.prices import APART, GIB, MILLION, MONTH_DAYS, PRICES, Bill, Unit
from bench.tables import Table, machine
from bench.units import Compared, Tally
from chalicelib.api.polls import BATCH_POLL_SECONDS, JOB_POLL_SECONDS, first_batch_poll
from chalicelib.service.read import PAGE
from chalicelib.settings import Settings
from chalicelib.storage.rows import WRITE_LIMIT
from local_stack.environment import KEY, REGION, applied, scrubbed

ROOT = Path(__file__).parent.parent
IMAGE = ROOT / "docs" / "images" / "bench-cost.png"

# What is asked of the service
SIZES = (1, 10, 100, 1_000)  # URLs of a batch
WHOLE = SIZES[-1]
GROWN = (1_000, 10_000, 100_000)  # jobs in a table
URL_LENGTHS = (URL_LENGTH, 150, 300, 600, 1_200)
ROUNDS = 20  # single jobs, in each of the grown tables

# What is assumed of AWS and of the sites, where nothing here can measure it
FETCH_SECONDS = 0.5  # a site's answer; the ten of an invocation at the same time
CALL_SECONDS = 0.010  # from a function to DynamoDB, SQS or S3 and back
LONG_POLL_SECONDS = 1.0  # between two readings of a GET with ?wait=: chalicelib.service.read.await_job
DELIVERY_SECONDS = 0.1  # from the queue to a warm function
VCPU_MB = 1769  # memory that brings one vCPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
FIRST_POLLERS, POLLERS_PER_MINUTE = 5, 300  # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
PLATFORM_LOG_BYTES = 320  # Lambda's own START, END and REPORT lines of an invocation

DAYS = (MILLION, 100 * MILLION, 10_000 * MILLION)  # URLs a day that the arithmetic of docs/scale.md is for
LATENCIES = (FETCH_SECONDS, 2.0, 10.0)  # of sites, likewise
PARTITION_WRITES = 1_000  # units a second, and the most for one item: bp-partition-key-design.html of DynamoDB's guide

SECONDS_A_DAY = 24 * 60 * 60
EVENT_SOURCE_MOST = 1_000  # MaximumConcurrency takes no more
QUOTAS = (  # defaults of AWS, a second; docs/scale.md has their sources
    ("a new table's write units", 4_000, Unit.TABLE_WRITE),
    ("a table's quota of write units", 40_000, Unit.TABLE_WRITE),
    ("a table's quota of read units", 40_000, Unit.TABLE_READ),
    ("an S3 prefix's PUT requests", 3_500, Unit.BUCKET_WRITE),
    ("an account's API requests", 10_000, Unit.API_REQUEST),
)

BATCH_SECONDS = 100  # that a batch with a webhook takes
MOST_WEBHOOK = 1.0  # dollars per million URLs, of a webhook for each batch of 1,000

AIMS = {"new": 11.4, "reused": 3.0}  # dollars per million URLs in batches of 1,000


# What the stages cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A way to use the service, for which a million URLs have a price."""

    title: str
    lives: Lives
    kind: str  # "new" or "reused"
    long_poll: bool = False

    @property
    def life(self) -> Life:
        """What its stages used."""
        return self.lives.new if self.kind == "new" else self.lives.reused

    @property
    def invocation_seconds(self) -> float:
        """How long one invocation of the job runner takes. CPU and waiting do not overlap: an upper bound."""
        run = self.life[Stage.RUN]
        if not run.times:  # known when it was submitted
            return 0.0
        fetch = FETCH_SECONDS if self.kind == "new" else 0.0
        return fetch + (_cpu_seconds(run, "RunnerMemory") + run.waits * CALL_SECONDS) / run.times

    @property
    def done_seconds(self) -> float:
        """From the submission to the end of the last job, on an idle queue: Lambda's pollers begin few and grow."""
        left, now, step = float(self.life[Stage.RUN].times), 0.0, 0.01
        while left > 0:
            pollers = min(FIRST_POLLERS + POLLERS_PER_MINUTE * now / 60, deployed("MaximumConcurrency"))
            left -= max(pollers, 1) * step / self.invocation_seconds
            now += step
        return DELIVERY_SECONDS + max(now, self.invocation_seconds)

    def runners(self, rate: float, latency: float) -> float:
        """Job runners at work at once, for so many URLs a second at sites that answer in so many seconds."""
        seconds = self.invocation_seconds - FETCH_SECONDS + latency
        return rate * seconds * self.life[Stage.RUN].times / self.lives.count

    @property
    def polls(self) -> int:
        """Statuses that are asked for: after each Retry-After, that of the submission first, until it is done."""
        if not self.life[Stage.RUN].times:
            return 0
        if self.long_poll:
            return 1
        first, every = JOB_POLL_SECONDS, JOB_POLL_SECONDS
        if self.lives.batch:
            first, every = first_batch_poll(self.lives.count), BATCH_POLL_SECONDS[0]
        return 1 + max(0, math.ceil((self.done_seconds - first) / every))

    def bills(self) -> dict[str, Bill]:
        """What each stage uses for a million URLs."""
        life = self.life
        fetched = 1 if self.kind == "new" else 0
        reading = _api(life[Stage.READ])
        if self.lives.batch:  # what the links lead to; a single result comes with the answer
            reading += Bill({Unit.BUCKET_READ: self.lives.count, Unit.TRANSFER: RESULT_BYTES * self.lives.count / GIB})
        bills = {
            "submit": _api(life[Stage.SUBMIT]),
            "run": _runner(life[Stage.RUN], self.invocation_seconds) if life[Stage.RUN].times else Bill(),
            "statuses": self._long_poll() if self.long_poll else self._statuses(),
            "read": reading,
            "keep": _kept(self.lives.stored_bytes[self.kind], RESULT_BYTES * fetched).times(self.lives.count),
        }
        return {stage: bill.times(MILLION / self.lives.count) for stage, bill in bills.items()}

    def bill(self) -> Bill:
        """All of it."""
        return sum(self.bills().values(), Bill())

    def _statuses(self) -> Bill:
        return _api(self.life[Stage.POLL]).times(self.polls)  # as if all were finished, which reads the most

    def _long_poll(self) -> Bill:
        rounds = math.ceil(self.done_seconds / LONG_POLL_SECONDS)
        seconds = rounds * LONG_POLL_SECONDS * deployed("ApiMemory") / 1024
        reads = self.life[Stage.EARLY].read_units + (rounds - 1) * self.life[Stage.POLL].read_units
        return _api(self.life[Stage.POLL]) + Bill({Unit.TABLE_READ: reads, Unit.COMPUTE: seconds})


def _calls(tally: Tally) -> Bill:
    """What it asked of DynamoDB, SQS and S3, and what it logged; deletions in S3 are free."""
    requests = tally.requests
    return Bill(
        {
            Unit.TABLE_WRITE: tally.write_units,
            Unit.TABLE_READ: tally.read_units,
            Unit.QUEUE_REQUEST: tally.services.get("sqs", 0),
            Unit.BUCKET_WRITE: requests.get("PutObject", 0),
            Unit.BUCKET_READ: requests.get("GetObject", 0),
            Unit.LOG: (tally.log_bytes + PLATFORM_LOG_BYTES * tally.times) / GIB,
            Unit.INVOCATION: tally.times,
        }
    )


def _cpu_seconds(tally: Tally, memory: str) -> float:
    """How long its CPU takes in a function of the memory that this parameter gives it."""
    share: float = deployed(memory) / VCPU_MB
    return tally.cpu / share


def _api(tally: Tally) -> Bill:
    seconds = _cpu_seconds(tally, "ApiMemory") + tally.waits * CALL_SECONDS
    return _calls(tally) + Bill(
        {
            Unit.API_REQUEST: tally.times,
            Unit.COMPUTE: seconds * deployed("ApiMemory") / 1024,
            Unit.TRANSFER: tally.answer_bytes / GIB,
        }
    )


def _runner(tally: Tally, seconds: float) -> Bill:
    """The job runner, and its event source, which receives and acknowledges once an invocation."""
    return _calls(tally) + Bill(
        {
            Unit.COMPUTE: tally.times * seconds * deployed("RunnerMemory") / 1024,
            Unit.QUEUE_REQUEST: 2 * tally.times,
        }
    )


def _kept(table_bytes: float, bucket_bytes: float) -> Bill:
    """The storage of one job until it expires."""
    settings = Settings()
    table_months = (settings.retention_days + settings.window_seconds / SECONDS_A_DAY) / MONTH_DAYS
    return Bill(
        {
            Unit.TABLE_STORAGE: table_bytes / GIB * table_months,
            Unit.TABLE_BACKUP: table_bytes / GIB * table_months,
            Unit.BUCKET_STORAGE: bucket_bytes / GIB * settings.lifecycle_days / MONTH_DAYS,
        }
    )


# A table that grows


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """What one new job used in a table of so many."""

    jobs: int
    life: Life
    milliseconds: Mapping[Stage, float]


def _fill(bench: Bench, jobs: int, endpoint: str) -> None:
    """Put the three items of finished jobs into the table: copies of those of one that was really run.

    Sent without boto3, which takes longer than the emulator.
    """
    submitted = bench.ask("POST", "/jobs", {"url": bench.urls.take(1)[0]})
    bench.run(Tally())
    table, client = bench.world.names["TABLE_NAME"], bench.world.clients["dynamodb"]
    job_id = json.loads(submitted["body"])["id"]
    job = client.get_item(TableName=table, Key={"pk": {"S": f"JOB#{job_id}"}})["Item"]
    puts = []
    for key in (f"JOB#{job_id}", f"FETCH#{job_id}", f"URL#{job['url_key']['S']}"):
        item = client.get_item(TableName=table, Key={"pk": {"S": key}})["Item"]
        kind, _, name = key.partition("#")
        # The world counts its ids from the other end.
        put = json.dumps({"PutRequest": {"Item": {**item, "pk": {"S": f"{kind}#NUMBER--{name[8:]}"}}}})
        puts.append(put.partition("NUMBER--")[::2])
    rows = (f"{start}{number:08d}{end}" for number in range(1, jobs) for start, end in puts)
    headers = {
        "Content-Type": "application/x-amz-json-1.0",
        "X-Amz-Target": "DynamoDB_20120810.BatchWriteItem",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20260101/{REGION}/dynamodb/aws4_request",
    }
    connection = HTTPConnection(endpoint.removeprefix("http://"))
    while chunk := list(itertools.islice(rows, WRITE_LIMIT)):
        body = f'{{"RequestItems": {{"{table}": [{",".join(chunk)}]}}}}'
        connection.request("POST", "/", body, headers)
        answer = json.load(connection.getresponse())
        if answer != {"UnprocessedItems": {}}:
            raise RuntimeError(f"the table could not be filled: {answer}")
    connection.close()


def _grow(endpoint: str, urls: Urls) -> list[Grown]:
    """Tables of several sizes; one job at a time in each, by turns."""
    with ExitStack() as worlds:
        benches = {jobs: worlds.enter_context(opened(endpoint, urls)) for jobs in GROWN}
        for jobs, bench in benches.items():
            _fill(bench, jobs, endpoint)
        lives: dict[int, list[Life]] = {jobs: [] for jobs in GROWN}
        for _ in range(ROUNDS):
            for jobs, bench in benches.items():
                lives[jobs].append(bench.lives(1, batch=False).new)
    return [
        Grown(
            jobs=jobs,
            life=lived[0],
            milliseconds={stage: median(life[stage].walls[0] for life in lived) * 1000 for stage in Stage},
        )
        for jobs, lived in lives.items()
    ]


# All that is measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the tables are made of."""

    single: Lives
    batches: Mapping[int, Lives]
    lengths: Mapping[int, Lives]
    replay: Tally
    token: Tally
    quota: Tally
    webhook: Tally
    grown: Sequence[Grown]
    compared: Mapping[str, Mapping[str, Compared]]  # by emulator, by request

    def patterns(self) -> list[Pattern]:
        """The ways of use that get a price."""
        whole = self.batches[WHOLE]
        return [
            Pattern(title="new, batch", lives=whole, kind="new"),
            Pattern(title="reused, batch", lives=whole, kind="reused"),
            Pattern(title="new, alone", lives=self.single, kind="new"),
            Pattern(title="new, alone, ?wait=20", lives=self.single, kind="new", long_poll=True),
            Pattern(title="reused, alone", lives=self.single, kind="reused"),
        ]


def _access(endpoint: str, urls: Urls) -> tuple[Tally, Tally]:
    """A status with a token that the process has not seen, and a submission with one that it has, under a quota."""
    settings = {"require_tokens": 1, "quota_urls_per_minute": MILLION, "quota_urls_per_day": MILLION}
    status, submission = Tally(), Tally()
    with opened(endpoint, urls, settings) as bench:
        mine = {"authorization": f"Bearer {bench.world.grant()}"}
        submitted = bench.ask("POST", "/jobs", {"url": urls.take(1)[0]}, **mine)
        bench.world.wire()  # another process
        bench.request(status, "GET", json.loads(submitted["body"])["links"]["self"], **mine)
        bench.request(submission, "POST", "/jobs", {"url": urls.take(1)[0]}, **mine)
    return status, submission


def _replay(bench: Bench) -> Tally:
    """A single submission that is sent again with the same Idempotency-Key."""
    body, key, tally = {"url": bench.urls.take(1)[0]}, {"idempotency-key": "again"}, Tally()
    bench.ask("POST", "/jobs", body, **key)
    bench.request(tally, "POST", "/jobs", body, **key)
    bench.run(Tally())
    return tally


def _on_moto() -> dict[str, Compared]:
    """A few jobs on moto, for what it says of their units."""
    with opened("", Urls(80)) as bench:
        bench.lives(SIZES[1])
        return bench.meter.compared


def _measure() -> Measured:
    with applied(scrubbed(os.environ, "")), site() as port:
        os.environ.pop("AWS_ENDPOINT_URL")  # each client is told where it is
        moto = _on_moto()
        with emulated() as endpoint:
            urls = Urls(port)
            with opened(endpoint, urls) as bench:
                bench.lives(SIZES[1])  # imports, connections and caches
                single = bench.lives(1, batch=False, times=ROUNDS)
                batches = {size: bench.lives(size) for size in SIZES}
                lengths = {length: bench.lives(SIZES[1], length=length) for length in URL_LENGTHS}
                replay = _replay(bench)
                webhook = bench.told(WHOLE, BATCH_SECONDS)
                ministack = bench.meter.compared
            token, quota = _access(endpoint, urls)
            grown = _grow(endpoint, urls)
    return Measured(
        single=single,
        batches=batches,
        lengths=lengths,
        replay=replay,
        token=token,
        quota=quota,
        webhook=webhook,
        grown=grown,
        compared={"ministack": ministack, "moto": moto},
    )


# The tables


def _n(number: float) -> str:
    """A count, without needless digits."""
    return f"{number:,.0f}" if number == round(number) or number >= 100 else f"{number:.3g}"


def _requests(m: Measured) -> Table:
    whole = m.batches[WHOLE]
    ten = deployed("BatchSize")
    rows: list[tuple[str, Tally]] = [
        ("submit one URL", m.single.new[Stage.SUBMIT]),
        ("submit the same URL again", m.single.reused[Stage.SUBMIT]),
        ("repeat a submission, same Idempotency-Key", m.replay),
        (f"submit {WHOLE:,} URLs", whole.new[Stage.SUBMIT]),
        (f"submit the same {WHOLE:,} again", whole.reused[Stage.SUBMIT]),
        (f"run a new URL, {ten} to an invocation", whole.new[Stage.RUN].over(WHOLE)),
        ("run a new URL alone", m.single.new[Stage.RUN]),
        ("status of a job, queued", m.single.new[Stage.EARLY]),
        ("status of a job, finished", m.single.new[Stage.POLL]),
        (f"status of {WHOLE:,}, nothing begun", whole.new[Stage.EARLY]),
        (f"status of {WHOLE:,}, finished, for the first time", whole.new[Stage.POLL]),
        (f"status of {WHOLE:,}, finished", whole.new[Stage.AGAIN]),
        ("result of a job, inline", m.single.new[Stage.READ]),
        (f"results of {WHOLE:,}, {WHOLE // PAGE} pages", whole.new[Stage.READ]),
        ("delete a job that shares its fetch", m.single.reused[Stage.DELETE]),
        ("delete the last job of a fetch", m.single.new[Stage.DELETE]),
        (f"delete {WHOLE:,} that share", whole.reused[Stage.DELETE]),
        (f"delete {WHOLE:,} last ones", whole.new[Stage.DELETE]),
        ("status of a job, queued, with a token new to the process", m.token),
        ("submit one URL, with a token known to it, under a quota", m.quota),
    ]
    return Table(
        "AWS requests and DynamoDB units",
        ["operation", "DynamoDB", "write units", "read units", "SQS", "S3", "requests by name"],
        [
            [
                title,
                *map(_n, (t.services.get("dynamodb", 0), t.write_units, t.read_units)),
                *(_n(t.services.get(name, 0)) for name in ("sqs", "s3")),
                ", ".join(f"{_n(number)} {name}" for name, number in t.requests.items()),
            ]
            for title, t in rows
        ],
        [
            "Units are computed from the sizes of the items that were read and written; a transaction counts twice.",
            f"URLs of {URL_LENGTH} characters, results of {RESULT_BYTES:,} bytes.",
            "Not among the requests: Lambda's event source, a ReceiveMessage and a DeleteMessageBatch an invocation.",
        ],
    )


def _agreement(m: Measured) -> Table:
    rows = []
    for name, requests in m.compared.items():
        for request, c in requests.items():
            says = "nothing" if not c.told else "the same" if c.ours == c.theirs else f"{_n(c.theirs)}"
            rows.append([name, request, c.requests, c.told, _n(c.ours) if c.told else "", says])
    return Table(
        "Units as computed, and as the emulators' ConsumedCapacity tells",
        ["emulator", "request", "made", "told", "computed for those", "the emulator says"],
        rows,
        [
            "moto tells a constant for each request, whatever the items are: where it agrees, the items are small.",
            "Neither emulator is DynamoDB. No unit here was seen on AWS.",
        ],
    )


def _by_service(m: Measured) -> Table:
    patterns = m.patterns()
    bills = [pattern.bill() for pattern in patterns]
    services = dict.fromkeys(price.service for unit, price in PRICES.items() if unit not in APART)
    rows: list[list[str]] = [
        [service, *(f"{bill.by_service().get(service, 0):.2f}" for bill in bills)] for service in services
    ]
    rows.append(["all", *(f"{bill.dollars():.2f}" for bill in bills)])
    rows.append(["apart: data sent out", *(f"{bill.dollars(apart=True):.2f}" for bill in bills)])
    return Table(
        "Dollars per million URLs, by service",
        ["service", *(pattern.title for pattern in patterns)],
        rows,
        [
            "List prices of us-east-1 (bench/prices.py), logs, storage and point-in-time recovery included.",
            "Submitted, run, asked for until done, all results read, kept until they expire. Data sent out would be",
            "less with gzip, and nothing to readers inside AWS.",
            *_assumptions(patterns),
        ],
    )


def _assumptions(patterns: Sequence[Pattern]) -> list[str]:
    functions = f"{deployed('RunnerMemory')} MB for the job runner, {deployed('ApiMemory')} MB for the API"
    lines = [
        f"Assumed: a site answers in {FETCH_SECONDS} s, an AWS call in {CALL_SECONDS * 1000:.0f} ms, a message is",
        f"delivered in {DELIVERY_SECONDS} s. CPU as measured here, {VCPU_MB} MB to a vCPU ({functions}).",
    ]
    for p in patterns:
        times = f"{p.invocation_seconds * 1000:.0f} ms an invocation, done after {p.done_seconds:.1f} s"
        lines.append(f"{p.title}: {times}, {p.polls} {'status request' if p.polls == 1 else 'status requests'}.")
    return lines


def _by_stage(m: Measured) -> Table:
    patterns = m.patterns()
    bills = [pattern.bills() for pattern in patterns]
    return Table(
        "Dollars per million URLs, by stage",
        ["stage", *(pattern.title for pattern in patterns)],
        [[stage, *(f"{bill[stage].dollars():.2f}" for bill in bills)] for stage in bills[0]],
        ["What a client does not do costs nothing: without statuses and reading, leave those two lines out."],
    )


def _aims(m: Measured) -> Table:
    rows = []
    for pattern in m.patterns()[:2]:
        aim, dollars, row = AIMS[pattern.kind], 0.0, [f"{pattern.kind}, in batches of {WHOLE:,}"]
        for stages in (("submit", "run", "keep"), ("statuses",), ("read",)):
            dollars += sum(pattern.bills()[stage].dollars() for stage in stages)
            row.append(f"{dollars:.2f}, {'met' if dollars < aim else f'missed by {dollars - aim:.2f}'}")
        rows.append([*row, f"{aim:.2f}"])
    return Table(
        "Aims: dollars per million URLs, all AWS services counted",
        ["URLs", "submitted, run, kept", "and asked for until done", "and results read", "aim, under"],
        rows,
    )


def _webhooks(m: Measured) -> Table:
    """The function alone: what a submission uses more is one SQS request, and what it keeps a row."""
    tally = m.webhook
    seconds = _cpu_seconds(tally, "WebhooksMemory") + tally.waits * CALL_SECONDS + FETCH_SECONDS
    own = {Unit.COMPUTE: seconds * deployed("WebhooksMemory") / 1024, Unit.QUEUE_REQUEST: 2 * tally.times + 1}
    bill = (_calls(tally) + Bill(own)).times(MILLION / WHOLE)
    dollars = bill.dollars()
    verdict = "met" if dollars < MOST_WEBHOOK else f"missed by {dollars - MOST_WEBHOOK:.2f}"
    return Table(
        f"A webhook for each batch of {WHOLE:,} that takes {BATCH_SECONDS} s: dollars per million URLs",
        ["invocations a batch", "read units", "write units", "SQS requests", "dollars", "aim, under"],
        [
            [
                _n(tally.times),
                _n(tally.read_units),
                _n(tally.write_units),
                _n(tally.services.get("sqs", 0) + 2 * tally.times + 1),
                f"{dollars:.2f}, {verdict}",
                f"{MOST_WEBHOOK:.2f}",
            ]
        ],
    )


def _cpu(m: Measured) -> Table:
    whole, single = m.batches[WHOLE], m.single
    rows = [
        ("job runner, a new URL, of ten", whole.new[Stage.RUN].over(WHOLE)),
        ("job runner, a new URL alone", single.new[Stage.RUN]),
        ("API, submit one URL", single.new[Stage.SUBMIT]),
        ("API, submit it again", single.reused[Stage.SUBMIT]),
        (f"API, submit {WHOLE:,} URLs", whole.new[Stage.SUBMIT]),
        (f"API, submit the same {WHOLE:,} again", whole.reused[Stage.SUBMIT]),
        ("API, status of a job", single.new[Stage.POLL]),
        (f"API, status of {WHOLE:,}, nothing begun", whole.new[Stage.EARLY]),
        (f"API, status of {WHOLE:,}, finished, for the first time", whole.new[Stage.POLL]),
        (f"API, status of {WHOLE:,}, finished", whole.new[Stage.AGAIN]),
        (f"API, results of {WHOLE:,}", whole.new[Stage.READ]),
        (f"API, delete {WHOLE:,}", whole.new[Stage.DELETE]),
    ]
    return Table(
        "CPU of this process, milliseconds",
        ["what", "CPU ms", "AWS requests", "log bytes", "answer bytes"],
        [
            [title, f"{t.cpu * 1000:.1f}", _n(sum(t.requests.values())), _n(t.log_bytes), _n(t.answer_bytes)]
            for title, t in rows
        ],
        [
            "One thread, real sockets to emulator and site, no TLS; medians where there are several. What else runs",
            "on the machine makes them larger: compare them within one run.",
        ],
    )


def _per_url(lives: Lives) -> list[str]:
    cells = []
    for kind, life in (("new", lives.new), ("reused", lives.reused)):
        stages = [life[Stage.SUBMIT], life[Stage.RUN]]
        pattern = Pattern(title="", lives=lives, kind=kind)
        requests = sum(sum(stage.requests.values()) for stage in stages)
        cells += [
            _n(requests / lives.count),
            _n(sum(stage.write_units for stage in stages) / lives.count),
            _n(sum(stage.read_units for stage in stages) / lives.count),
            f"{pattern.bill().dollars():.2f}",
        ]
    return cells


_PER_URL = [f"{kind}: {what}" for kind in ("new", "reused") for what in ("requests", "writes", "reads", "$/million")]


def _by_batch(m: Measured) -> Table:
    return Table(
        "Per URL, over the size of the batch",
        ["URLs", *_PER_URL],
        [[f"{size:,}", *_per_url(lives)] for size, lives in m.batches.items()],
        ["Requests, write units and read units of submission and run; dollars of all stages."],
    )


def _by_length(m: Measured) -> Table:
    return Table(
        "Per URL, over its length, in batches of ten",
        ["characters", *_PER_URL, "bytes of JOB, FETCH, URL"],
        [
            [f"{length:,}", *_per_url(lives), ", ".join(_n(size) for size in lives.largest.values())]
            for length, lives in m.lengths.items()
        ],
        ["A write costs a unit for each KB begun. FETCH holds the URL twice: as submitted, and as it was answered."],
    )


def _by_table(m: Measured) -> Table:
    stages = (Stage.SUBMIT, Stage.RUN, Stage.POLL, Stage.DELETE)
    rows = []
    for grown in m.grown:
        row: list[str] = [f"{grown.jobs:,}"]
        for stage in stages:
            tally, ratio = grown.life[stage], grown.milliseconds[stage] / m.grown[0].milliseconds[stage]
            requests = sum(tally.requests.values())
            row += [f"{_n(requests)} / {_n(tally.write_units)} / {_n(tally.read_units)}", f"{ratio:.2f}"]
        rows.append(row)
    return Table(
        "Per job, over the jobs in the table: requests / write units / read units, and time over that of the smallest",
        ["jobs", *(title for stage in stages for title in (stage.value, "time"))],
        rows,
        [f"Each job has three items. Times: medians of {ROUNDS}, the tables by turns, on the emulator."],
    )


def _scale(m: Measured) -> Table:
    new, reused = m.patterns()[:2]
    used = {unit: amount / MILLION for unit, amount in new.bill().used.items()}
    seconds = [day / SECONDS_A_DAY for day in DAYS]
    settings = Settings()
    stored = {
        "table": (new.lives.stored_bytes["new"], settings.retention_days),
        "bucket": (RESULT_BYTES, settings.lifecycle_days),
    }
    rows: list[tuple[str, list[float]]] = [
        ("URLs a second", seconds),
        ("DynamoDB write units a second", [rate * used[Unit.TABLE_WRITE] for rate in seconds]),
        ("DynamoDB read units a second", [rate * used[Unit.TABLE_READ] for rate in seconds]),
        (
            "partitions for the writes",
            [math.ceil(rate * used[Unit.TABLE_WRITE] / PARTITION_WRITES) for rate in seconds],
        ),
        ("SQS requests a second", [rate * used[Unit.QUEUE_REQUEST] for rate in seconds]),
        ("S3 PUT requests a second", [rate * used[Unit.BUCKET_WRITE] for rate in seconds]),
        ("API requests a second", [rate * used[Unit.API_REQUEST] for rate in seconds]),
        *(
            (f"job runners at once, sites answer in {latency:g} s", [new.runners(rate, latency) for rate in seconds])
            for latency in LATENCIES
        ),
        *((f"GB in the {where}", [size * days * day / GIB for day in DAYS]) for where, (size, days) in stored.items()),
        ("dollars a day, all new", [new.bill().dollars() * day / MILLION for day in DAYS]),
        ("dollars a day, all reused", [reused.bill().dollars() * day / MILLION for day in DAYS]),
    ]
    return Table(
        f"What so many URLs a day take, all new, in batches of {WHOLE:,}, evenly over the day",
        ["", *(f"{day:,} a day" for day in DAYS)],
        [[title, *(f"{number:,.0f}" if number >= 100 else f"{number:.3g}" for number in row)] for title, row in rows],
        ["Asked for until done and read, at list prices. A peak takes as much more as it is above the average."],
    )


def _limits(m: Measured) -> Table:
    """How many URLs a day each limit allows."""
    new, alone = m.patterns()[0], m.patterns()[2]
    used = {unit: amount / MILLION for unit, amount in new.bill().used.items()}
    singly = alone.bill().used[Unit.API_REQUEST] / MILLION
    runners, throttle = deployed("MaximumConcurrency"), deployed("ThrottleRate")
    rows: list[tuple[str, float]] = [
        *(
            (f"MaximumConcurrency {runners}, sites answer in {latency:g} s", runners / new.runners(1, latency))
            for latency in LATENCIES
        ),
        (f"ThrottleRate {throttle}, URLs alone", throttle / singly),
        (f"ThrottleRate {throttle}, batches of {WHOLE:,}", throttle / used[Unit.API_REQUEST]),
        *((f"{title}: {limit:,}", limit / used[unit]) for title, limit, unit in QUOTAS),
        *(
            (
                f"an event source's {EVENT_SOURCE_MOST:,} invocations at once, sites answer in {latency:g} s",
                EVENT_SOURCE_MOST / new.runners(1, latency),
            )
            for latency in LATENCIES
        ),
        ("one tenant under a quota, URLs alone: writes of one QUOTA item", PARTITION_WRITES),
        ("one URL again and again: joins of one FETCH item, by its partition", PARTITION_WRITES / 2),
        (f"the same, by transactions one after the other, {CALL_SECONDS * 1000:.0f} ms each", 1 / CALL_SECONDS),
    ]
    return Table(
        f"Where a limit is: URLs a second and a day, new, in batches of {WHOLE:,} where nothing else is said",
        ["limit", "URLs a second", "URLs a day"],
        [[title, _n(rate), f"{rate * SECONDS_A_DAY:,.0f}"] for title, rate in rows],
        ["Limits are AWS's defaults and those of .chalice/parameters-prod.json; docs/scale.md has their sources."],
    )


def tables(m: Measured) -> list[Table]:
    """The tables of what was measured."""
    makers = (
        _requests,
        _agreement,
        _cpu,
        _by_service,
        _by_stage,
        _aims,
        _webhooks,
        _by_batch,
        _by_length,
        _by_table,
        _scale,
        _limits,
    )
    return [make(m) for make in makers]


def measure(*, plot: Path | None = None) -> list[Table]:
    """Measure, and what is to be printed; draw the curves when a path is given. Raises BenchError."""
    pyplot = None if plot is None else _pyplot()  # before what takes long
    measured = _measure()
    if plot is not None:
        draw(measured, pyplot, plot)
    return tables(measured)


def _pyplot() -> Any:
    """matplotlib's, from the environment that has it. Raises BenchError."""
    programs = environment.install(lambda text: print(text, file=sys.stderr))
    sys.path += [str(path) for path in programs.parent.glob("lib/python*/site-packages")]
    importlib.import_module("matplotlib").use("Agg")
    return importlib.import_module("matplotlib.pyplot")


def draw(m: Measured, pyplot: Any, path: Path) -> None:
    """Draw the curves."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    for kind, aim in AIMS.items():
        dollars = [Pattern(title="", lives=lives, kind=kind).bill().dollars() for lives in m.batches.values()]
        (line,) = left.plot(list(m.batches), dollars, marker="o", label=kind)
        left.axhline(aim, linestyle=":", color=line.get_color())
    left.set(xscale="log", xlabel="URLs in a batch", ylabel="dollars per million URLs (dotted: aim)")
    left.set_ylim(bottom=0)
    for stage in (Stage.SUBMIT, Stage.RUN, Stage.POLL, Stage.DELETE):
        times = [grown.milliseconds[stage] / m.grown[0].milliseconds[stage] for grown in m.grown]
        right.plot([grown.jobs for grown in m.grown], times, marker="o", label=stage.value)
    right.set(xscale="log", ylim=(0, 2), xlabel="jobs in the table", ylabel="time, over the smallest table's")
    for axes, places in ((left, SIZES), (right, GROWN)):
        axes.set_xticks(places, [f"{place:,}" for place in places])
        axes.minorticks_off()
        axes.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plot", action="store_true", help=f"draw {IMAGE.relative_to(ROOT)} too")
    given = parser.parse_args()
    print(f"{machine()}\n", flush=True)
    with told():
        tables = measure(plot=IMAGE if given.plot else None)
    print("\n\n".join(str(table) for table in tables))


if __name__ == "__main__":
    main()
