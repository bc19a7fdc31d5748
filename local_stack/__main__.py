"""`python -m local_stack`, which is what `make run` calls: the service on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from local_stack import environment
from local_stack.errors import StackError
from local_stack.stack import KNOWN, LocalStack, Options

_WATCH_SECONDS = 0.1


def main() -> None:
    """Run the stack until told to end."""
    parser = argparse.ArgumentParser(prog="python -m local_stack", description=__doc__)
    parser.add_argument(
        "--ready-file", type=Path, help="write URLs and process ids there, as JSON, once everything is up"
    )
    parser.add_argument("--makeflags", default="", help="what make was called with: a misspelt setting is refused")
    arguments = parser.parse_args()
    # All three end the stack the same way, wherever it is: starting, installing, or running.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        environment.refuse_misspelt(arguments.makeflags, KNOWN)
        stack = LocalStack(os.environ, Options.from_environment(os.environ), _say)
    except StackError as error:
        sys.exit(f"Fetch Queue: {error}")
    try:
        _run(stack, arguments.ready_file)
    except KeyboardInterrupt:
        _say("\nStopping the API, the workers, then the emulator. Ctrl-C again stops at once.")
        _end(stack)
        _say("Stopped. The emulator's data is gone.")
    except StackError as error:
        _end(stack)
        sys.exit(f"Fetch Queue: {error}")
    except BaseException:
        _end(stack)
        raise


def _run(stack: LocalStack, ready_file: Path | None) -> NoReturn:
    stack.start()
    if ready_file is not None:
        stack.write(ready_file)
    _say(_welcome(stack))
    while True:
        if stack.watch() and ready_file is not None:
            stack.write(ready_file)
        time.sleep(_WATCH_SECONDS)


def _end(stack: LocalStack) -> None:
    # A second Ctrl-C ends the launcher here and now; the children end with it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    stack.end()


def _welcome(stack: LocalStack) -> str:
    workers = ", ".join(str(pid) for pid in stack.worker_pids)
    return f"""\
Fetch Queue is ready. Ctrl-C stops it.

  API          {stack.api_url}   {_access(stack)}
  sample site  {stack.site_url}   something to fetch without the Internet
  emulator     {stack.emulator_url}   its data is lost when it stops
  workers      {f"processes {workers}" if workers else "none (WORKERS=0): jobs stay queued"}

In another shell: submit a URL, read the job's status, read the result.

  job=$(curl -s {stack.api_url}/jobs -H 'Content-Type: application/json' \\
    -d '{{"url": "{stack.site_url}/hello.txt"}}' | tee /dev/stderr | sed 's/.*"id": *"\\([^"]*\\)".*/\\1/')
  curl {stack.api_url}/jobs/$job
  curl -L {stack.api_url}/jobs/$job/result
"""


def _access(stack: LocalStack) -> str:
    if stack.variables.get("REQUIRE_TOKENS") == "1":
        return 'closed: make admin DO="token create" gives a token'
    return "stage dev: open without a token, so it answers only this machine"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
