"""The command `submit`: a list of URLs, submitted, waited for, saved; gone on with after whatever ended it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console

from fetch_queue import console, options
from fetch_queue.codes import Exit
from fetch_queue.errors import FetchQueueError, ProblemError
from fetch_queue.folder import Folder
from fetch_queue.lists import MOST_URLS, ListError, cut, gather, headers_of
from fetch_queue.manifest import Manifest
from fetch_queue.progress import Bar, Display, Lines
from fetch_queue.request import Submitted
from fetch_queue.run import Run
from fetch_queue.teller import Teller

MANIFEST = "manifest.jsonl"


@click.command(epilog=options.EXIT_CODES)
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option(
    "-f",
    "--file",
    "files",
    type=click.File("rb"),
    multiple=True,
    metavar="FILE",
    help="Read URLs from a file, one per line; - is standard input. Blank lines and # comments are skipped. A line may "
    'be a JSON object: {"url": ..., "headers": {...}, "reference": ...}.',
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="HEADER",
    help='Send a header, such as "Accept: text/html", with every URL to its own site; @FILE reads some, one per line.',
)
@click.option(
    "--webhook",
    metavar="URL",
    help="Have an event sent to this https address when each batch is finished; webhook-secret shows what signs it.",
)
@click.option("--wait", is_flag=True, help="Wait until every URL is fetched or has failed.")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help=f"Wait, and save each result in a file in DIR, with a list of all URLs in DIR/{MANIFEST}.",
)
@click.option(
    "--manifest",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep what is needed to go on, and what became of each URL, in this file.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, MOST_URLS),
    default=MOST_URLS,
    metavar="N",
    help="Submit at most N URLs at a time, if a quota is below 1,000. Batches in a manifest stay as they are.",
)
@options.as_json("a line of JSON for each URL")
@options.service
def submit(
    service: options.Service,
    urls: Sequence[str],
    files: Sequence[BinaryIO],
    headers: Sequence[str],
    webhook: str | None,
    wait: bool,
    output: Path | None,
    manifest: Path | None,
    batch_size: int,
    in_json: bool,
) -> int:
    """Submit any number of URLs.

    They are sent in batches of up to 1,000, and the id of each batch is printed.

    Going on: with --output or --manifest, run the same command again to go on after Ctrl-C, a kill or a lost
    connection. Nothing is submitted twice, and what is saved is not read again. Without either of them there is nothing
    to go on from: the same command would submit everything again.
    """
    began = service.clock()
    path = output / MANIFEST if output and manifest is None else manifest
    teller = Teller(in_json=in_json, saves=output is not None)
    given = _list(urls, files)
    sent = _headers(headers)
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(closing(Folder(output))) if output else None
            kept = stack.enter_context(closing(_manifest(path, service.url, given, batch_size)))
            if kept.began:
                teller.say(f"Going on with {path}: {len(kept.entries):,} of {console.count(len(given), 'URL')} known.")
            if folder is not None:
                folder.keep(entry.file for entry in kept.entries.values() if folder.holds(entry.file, entry.size))
                folder.tidy()
            queue = service.queue(teller.say)
            run = stack.enter_context(closing(Run(queue, kept, folder, teller, sent, webhook)))
            run.submit()
            if wait or output:
                with _meter(service, len(given)) as teller.meter:
                    run.wait()
                teller.meter = None
            else:
                run.note()
    except (FetchQueueError, OSError, KeyboardInterrupt) as error:
        if isinstance(error, ProblemError) and any(problem.pointer == "/urls" for problem in error.errors):
            anew = f", and another directory or manifest: the batches of {path} are fixed" if path else ""
            error.add_note(f"Start over with a smaller --batch-size{anew}.")
        elif path is not None:
            error.add_note(f"Run the same command again to go on from here; what it needs is in {path}.")
        elif teller.batches:
            error.add_note(
                f"{console.count(teller.batches, 'batch')} submitted. Only --output or --manifest lets a run go on."
            )
        raise
    if not in_json:
        _conclude(teller, service.clock() - began, output, path, waited=wait or output is not None)
    return Exit.FAILED if teller.unsuccessful else Exit.OK


def _list(urls: Sequence[str], files: Sequence[BinaryIO]) -> list[Submitted]:
    try:
        return gather(urls, files)
    except ListError as error:
        raise click.UsageError(console.plain(str(error))) from error


def _headers(given: Sequence[str]) -> dict[str, str]:
    try:
        return headers_of(given)
    except ListError as error:
        raise click.UsageError(console.plain(str(error))) from None


def _manifest(path: Path | None, service: str, urls: Sequence[Submitted], batch_size: int) -> Manifest:
    try:
        return Manifest.open(path, service, urls, lambda all_: cut(all_, batch_size), lambda: str(uuid.uuid4()))
    except ListError as error:
        raise click.UsageError(console.plain(str(error))) from error


def _meter(service: options.Service, total: int) -> Display:
    terminal = Console(stderr=True)
    if terminal.is_terminal:
        return Bar(terminal, "Fetched", total)
    return Lines(console.err, service.clock, "Fetched", total)


def _conclude(teller: Teller, seconds: float, output: Path | None, path: Path | None, *, waited: bool) -> None:
    if waited:
        console.err(teller.summary(seconds))
    if output is not None:
        console.err(f"Saved in {output}; what became of each URL is in {path}.")
    elif path is not None:
        console.err(f"What became of each URL is in {path}.")
