"""Listening sockets of the stack, on loopback only. The launcher opens them and its children accept on them, so a port
is known to be free before anything starts, and a child that is started again loses no connection."""

from __future__ import annotations

import errno
import socket

from local_stack.environment import HOST
from local_stack.errors import StackError

HIGHEST_PORT = 65535
BACKLOG = 128  # connections that wait to be accepted; Python's default of 5 resets the others in a burst


def listen(port: int, variable: str) -> socket.socket:
    """A listening socket on `port`, or on a free one for 0.

    Raises StackError, which names the `variable` to change, if the port cannot be used.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        other = port + 1000 if port < 64000 else port - 1000
        cause = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        raise StackError(f"port {port} {cause}; choose another: make run {variable}={other}") from error
    return listener


def free_port(port: int, variable: str) -> int:
    """`port` if nobody listens there, or a free one for 0, for a program that opens its socket itself.

    Raises StackError as `listen` does.
    """
    with listen(port, variable) as listener:
        return port_of(listener)


def port_of(listener: socket.socket) -> int:
    """The port that `listener` is bound to."""
    port: int = listener.getsockname()[1]
    return port


def url_of(listener: socket.socket) -> str:
    """The URL of what is served on `listener`, without a slash at its end."""
    return f"http://{HOST}:{port_of(listener)}"
