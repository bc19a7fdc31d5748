"""The commands about everything that was submitted: list, usage. Each returns its exit code."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import click

from fetch_queue import console, options, shown
from fetch_queue.client import LONGEST_PAGE
from fetch_queue.codes import Exit
from fetch_queue.models import Job, Summary

SHOWN = 20  # unless more are asked for


@click.command("list", epilog=options.EXIT_CODES)
@click.option("--jobs", is_flag=True, help="List the jobs that were submitted alone, instead of batches.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=SHOWN,
    metavar="N",
    help=f"Show at most N. Default: {SHOWN}.",
)
@click.option("--all", "everything", is_flag=True, help="Show all that the service still keeps, whatever --limit says.")
@options.as_json("a line of JSON for each, as the API gives it")
@options.service
def list_submitted(service: options.Service, jobs: bool, limit: int, everything: bool, in_json: bool) -> int:
    """List what was submitted, newest first."""
    queue, page = service.queue(), LONGEST_PAGE if everything else limit
    found: Iterator[Job | Summary] = queue.jobs(page) if jobs else queue.batches(page)
    shown_any = False
    for one in itertools.islice(found, None if everything else limit):
        shown_any = True
        if in_json:
            console.document(one.document)
        elif isinstance(one, Summary):
            _show_batch(one)
        else:
            shown.line(one)
    if not shown_any:
        console.err(f"There are no {'jobs that were submitted alone' if jobs else 'batches'}.")
    return Exit.OK


@click.command(epilog=options.EXIT_CODES)
@options.as_json("the quotas as the API gives them")
@options.service
def usage(service: options.Service, in_json: bool) -> int:
    """Show how many URLs may still be submitted."""
    quotas = service.queue().usage()
    if in_json:
        console.document({"quotas": [one.document for one in quotas]})
    elif not quotas:
        console.out("There is no limit.")
    for one in quotas if not in_json else ():
        console.out(f"{one.remaining:,} of {one.limit:,} URLs are left this {one.span}, until {one.resets_at}")
    return Exit.OK


def _show_batch(batch: Summary) -> None:
    also = f"  (retry of {batch.retry_of})" if batch.retry_of else ""
    console.out(console.plain(f"{batch.id}  {batch.submitted_at}  {console.count(batch.submitted, 'URL')}{also}"))
