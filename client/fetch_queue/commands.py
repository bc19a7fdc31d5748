"""The commands about one job or batch (status, batch, result, retry, delete), and webhook-secret. Each returns its
exit code."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

import click

import fetch_queue
from fetch_queue import console, drafts, options, shown, waits
from fetch_queue.client import FetchQueue, is_of_batch
from fetch_queue.codes import Exit
from fetch_queue.download import Downloaded
from fetch_queue.models import FAILED, Batch, Job
from fetch_queue.overview import list_submitted, usage
from fetch_queue.submission import submit

IN_MEMORY = 8 * 1024 * 1024  # bytes of a result that is printed


@click.group(
    epilog=options.EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name=None, version=fetch_queue.__version__, prog_name="fetch-queue")
def main() -> None:
    """Submit URLs to a Fetch Queue, wait for them, save the results.

    \b
    fetch-queue submit https://example.com/ --wait
    fetch-queue submit -f urls.txt --output results
    """


main.add_command(submit)
main.add_command(list_submitted)
main.add_command(usage)


@main.command(epilog=options.EXIT_CODES)
@options.an_id
@options.as_json("the job or batch as the API gives it")
@options.service
def status(service: options.Service, any_id: str, in_json: bool) -> int:
    """Show how a job or batch is doing.

    The exit code is 1 if the job failed, or any job of the batch.
    """
    found = service.queue().find(any_id)
    if in_json:
        console.document(found.document)
    elif isinstance(found, Job):
        _show_job(found)
    else:
        _show_counts(found)
    return Exit.FAILED if _has_failed(found) else Exit.OK


@main.command(epilog=options.EXIT_CODES)
@options.an_id
@options.as_json("the batch with all of its jobs")
@options.service
def batch(service: options.Service, any_id: str, in_json: bool) -> int:
    """List the jobs of a batch.

    With --json, each result has a link by which anybody can read it for a minute. The exit code is 1 if any job failed.
    """
    _refuse_job(any_id)
    queue = service.queue()
    found = queue.batch(any_id)
    jobs = list(queue.results(any_id))
    if in_json:
        console.document({**found.document, "jobs": [job.document for job in jobs], "next": None})
    else:
        _show_counts(found)
        for job in jobs:
            shown.line(job)
    return Exit.FAILED if _has_failed(found) else Exit.OK


@main.command(epilog=options.EXIT_CODES)
@options.an_id
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Write to this file.",
)
@options.as_json("the file's size, SHA-256 and type (needs -o)")
@options.service
def result(service: options.Service, any_id: str, output: Path | None, in_json: bool) -> int:
    """Print or save what a job fetched.

    The bytes are checked first: only a complete result is printed or written. The ID of a batch of one job works too.
    """
    to_file = output is not None and str(output) != "-"
    if in_json and not to_file:
        raise click.UsageError("--json needs -o FILE: the bytes would be on standard output too")
    queue = service.queue()
    job_id = _job_id(queue, any_id)
    if output is None or not to_file:
        _copy(queue, job_id, sys.stdout.buffer)
        return Exit.OK
    target = Path(os.path.realpath(output))  # unlike `resolve`, this accepts links that form a loop
    if target.exists() and not target.is_file():  # a device or a pipe, which must not become a file
        with target.open("wb") as file:
            written = _copy(queue, job_id, file)
    else:
        written = _save(queue, job_id, target)
    if in_json:
        about = {"size": written.size, "sha256": written.sha256, "content_type": written.content_type}
        console.document({"id": job_id, "file": str(output), **about})
    else:
        console.err(
            f"{console.plain(str(output))}: {console.size(written.size)}, {console.plain(written.content_type)}"
        )
    return Exit.OK


@main.command(epilog=options.EXIT_CODES)
@options.an_id
@click.option(
    "--only",
    multiple=True,
    metavar="TYPE",
    help="Only jobs that failed with this error type, such as timeout; several --only for several types.",
)
@options.as_json("the new batch as the API gives it")
@options.service
def retry(service: options.Service, any_id: str, only: tuple[str, ...], in_json: bool) -> int:
    """Submit the failed jobs of a batch again, as a new batch.

    Each is sent with the headers and has the reference that it was submitted with.
    """
    _refuse_job(any_id)
    accepted = service.queue().retry(any_id, only or None)
    if in_json:
        console.document(accepted.document)
        return Exit.OK
    console.out(f"{accepted.id}  {console.count(len(accepted.jobs), 'URL')} accepted")
    for one in accepted.rejected:
        console.out(f"rejected  {console.plain(one.url)}  ({console.plain(one.detail)})")
    return Exit.FAILED if accepted.rejected else Exit.OK


@main.command(epilog=options.EXIT_CODES)
@options.an_id
@options.as_json("its id")
@options.service
def delete(service: options.Service, any_id: str, in_json: bool) -> int:
    """Delete a job, or a batch and its jobs, for good."""
    service.queue().delete(any_id)
    if in_json:
        console.document({"id": any_id, "deleted": True})
    else:
        console.err(f"{any_id} is deleted for good.")
    return Exit.OK


@main.command("webhook-secret", epilog=options.EXIT_CODES)
@click.option("--renew", is_flag=True, help="Get another one. For a day the one before it signs too.")
@options.as_json("it")
@options.service
def webhook_secret(service: options.Service, renew: bool, in_json: bool) -> int:
    """Show the secret that signs the events that webhooks are sent."""
    secret = service.queue().webhook_secret(renew=renew)
    if in_json:
        console.document({"secret": secret})
    else:
        console.out(secret)
    return Exit.OK


def _refuse_job(any_id: str) -> None:
    if is_of_batch(any_id):
        raise click.UsageError(f"{any_id} is a job; its batch is {any_id.partition('-')[0]}")


def _copy(queue: FetchQueue, job_id: str, to: BinaryIO) -> Downloaded:
    """Write a result to a stream, once it is complete."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as spool:
        written = queue.download(job_id, spool)
        spool.seek(0)
        shutil.copyfileobj(spool, to)
    to.flush()
    return written


def _save(queue: FetchQueue, job_id: str, target: Path) -> Downloaded:
    """Put a result in a file's place, once it is complete."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        with drafts.begin(partial) as file:
            written = queue.download(job_id, file)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return written


def _job_id(queue: FetchQueue, any_id: str) -> str:
    """The id of a job, or of the only job of a batch."""
    if is_of_batch(any_id):
        return any_id
    found = queue.find(any_id)
    if isinstance(found, Batch):
        if found.total != 1:
            raise click.UsageError(
                f"{any_id} is a batch of {console.count(found.total, 'job')}; give the id of one, such as {any_id}-0"
            )
        return next(queue.results(any_id)).id
    return found.id


def _has_failed(found: Job | Batch) -> bool:
    return found.status == FAILED if isinstance(found, Job) else bool(found.counts.get(FAILED))


def _show_counts(found: Batch) -> None:
    parts = [f"{number:,} {status}" for status, number in found.counts.items() if number]
    waiting = waits.of_batches([found])
    also = f"  ({waiting})" if waiting else ""
    console.out(f"{found.id}  {console.count(found.total, 'job')}: {', '.join(parts) or 'none'}{also}")
    for name, other in (("retry of", found.retry_of), ("retried by", found.retried_by)):
        if other is not None:
            console.out(f"  {name:<10} {console.plain(other)}")


def _show_job(job: Job) -> None:
    reused = "  (shares the fetch of another job)" if job.reused else ""
    waiting = waits.of_job(job)
    console.out(f"{job.id}  {console.status(job.status)}{reused}{f'  ({waiting})' if waiting else ''}")
    rows = {"url": job.url, "submitted": job.submitted_at, "finished": job.finished_at or ""}
    if job.attempts > 1:
        rows["attempts"] = str(job.attempts)
    if job.result is not None:
        if job.result.final_url != job.url:
            rows["came from"] = job.result.final_url
        rows["result"] = f"{console.size(job.result.size)}, {job.result.content_type}"
    if job.error is not None:
        rows["error"] = f"{job.error.type}: {job.error.detail}"
    for name, value in rows.items():
        if value:
            console.out(f"  {name:<10} {console.plain(value)}")
    if job.error is not None and job.error.excerpt is not None:
        _show_words(job.error.excerpt)


def _show_words(excerpt: str) -> None:
    """What a site said about its refusal, marked as such on every line."""
    console.out("  the site said")
    for line in excerpt.splitlines():
        if line.strip():
            console.out(f"  | {console.plain(line.expandtabs().rstrip())}")
