"""The API's process: serves `app.py` over HTTP on loopback."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from contextlib import suppress

from chalicelib import settings
from local_stack import chalice_server, environment, lifeline, sockets

DEFAULT_PORT = 8000
GRACE_SECONDS = 2.0  # for requests in progress when the server is told to end

_TIMED_OUT = 70  # the exit status of an API that was ended as Lambda ends a function


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m local_stack.api", description=__doc__)
    parser.add_argument("--lifeline", action="store_true", help="end when standard input does")
    parser.add_argument("--descriptor", type=int, help="accept on this listening socket; else on port PORT")
    arguments = parser.parse_args()

    configured = settings.from_environment()
    if arguments.descriptor is None:
        port = environment.number(os.environ, "PORT", DEFAULT_PORT, sockets.HIGHEST_PORT)
        listener = sockets.listen(port, "PORT")
    else:
        listener = socket.socket(fileno=arguments.descriptor)

    import app  # here, not above: it reads the environment that was just checked
    from chalicelib import wiring

    wiring.api()  # clients must not be made by several threads at once, and on Lambda never are
    server = chalice_server.make(
        app.app,
        listener,
        function_seconds=configured.api_function_seconds,
        time_out=_end_as_lambda_would,
        log_requests=os.environ.get("LOG") == "1",
    )

    # shutdown() waits for serve_forever(), which the main thread is in, so another thread must call it.
    def end(*_: object) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    if arguments.lifeline:
        lifeline.watch(end)
    server.serve_forever(poll_interval=0.1)
    server.socket.close()
    server.busy.wait(GRACE_SECONDS)


def _end_as_lambda_would(sentence: str) -> None:
    """End the process, since nothing else surely stops what a request would still write; other requests are cut.

    On Lambda only that invocation would end: each has its own process there.
    """
    with suppress(OSError):  # nobody may be listening
        print(
            f"api: {sentence}; this process ends, and other requests in progress are cut", file=sys.stderr, flush=True
        )
    os._exit(_TIMED_OUT)


if __name__ == "__main__":
    main()
