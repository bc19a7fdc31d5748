"""`fetch-queue`: runs a command, and turns whatever ends it into a line and an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from fetch_queue import console
from fetch_queue.codes import Exit
from fetch_queue.commands import main as commands
from fetch_queue.errors import FetchQueueError, ManifestError, ProblemError
from fetch_queue.options import World
from fetch_queue.patience import Timing

PROGRAM = "fetch-queue"


def main() -> None:
    """The program: ends the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a URL may contain characters that the terminal cannot show
    code = run(sys.argv[1:], World(Timing()))
    if code != Exit.OK:
        # Otherwise downloads under way would be waited for, up to a minute each; what they wrote is not a result yet.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # of a disk that is full, which the code says already
                stream.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str], world: World) -> int:
    """Run a command and return its exit code."""
    try:
        return int(commands.main(list(arguments), PROGRAM, standalone_mode=False, obj=world) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.USAGE
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        console.err(f"{context.command_path if context else PROGRAM}: {console.plain(error.format_message())}")
        return Exit.USAGE
    except click.Abort as error:  # which is what click makes of Ctrl-C
        return _tell("stopped", error.__cause__, Exit.INTERRUPTED)
    except ManifestError as error:
        return _tell(str(error), None, Exit.USAGE)
    except ProblemError as error:
        return _tell(_in_words(error), error, Exit.FAILED if error.name == "job-failed" else Exit.REFUSED)
    except FetchQueueError as error:
        return _tell(str(error), error, Exit.UNREACHABLE)
    except SystemExit:  # which is what click makes of an output that nobody reads any more
        return Exit.FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _tell(f"{where}{error.strerror or error}", error, Exit.UNREACHABLE)


def _tell(text: str, error: BaseException | None, code: Exit) -> int:
    console.err(f"{PROGRAM}: {console.plain(text)}")
    for note in getattr(error, "__notes__", ()):
        console.err(console.plain(note))
    return code


def _in_words(error: ProblemError) -> str:
    if error.status == 401:
        return f"{error.detail} Put it in FETCH_QUEUE_TOKEN."
    return error.detail
