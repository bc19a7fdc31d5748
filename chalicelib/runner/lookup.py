"""Names to addresses, in bounded time: getaddrinfo itself has no timeout."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import Any

MAX_LOOKUPS = 64  # at once, the abandoned ones included: a silent name server cannot pile up threads

# No such name, or a name without addresses. EAI_NODATA is in glibc only.
_NO_ADDRESS = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class UnknownName(Exception):
    """The name has no address, and will have none in a minute."""


class NoAnswer(Exception):
    """The name server did not answer in time, or could not say."""


class Lookup:
    """Looks names up with `getaddrinfo`, each for at most the seconds given. Safe to be called from many threads."""

    def __init__(self, getaddrinfo: Callable[..., Any]) -> None:
        self._getaddrinfo = getaddrinfo
        self._slots = BoundedSemaphore(MAX_LOOKUPS)

    def addresses(self, name: str, port: int, seconds: float) -> list[IPv4Address | IPv6Address]:
        """The addresses of `name`, IPv4 first: where IPv6 leads nowhere, eight of them would cost all the time.

        Raises UnknownName or NoAnswer. Not more than `seconds` pass; a look-up that takes longer goes on in its
        daemon thread, and nobody waits for it.
        """
        if not self._slots.acquire(blocking=False):
            raise NoAnswer  # most of those that run were abandoned, so another would fare no better
        answer: SimpleQueue[Any] = SimpleQueue()
        Thread(target=self._ask, args=(name, port, answer), name="lookup", daemon=True).start()
        try:
            found = answer.get(timeout=seconds)
        except Empty:
            raise NoAnswer from None
        if isinstance(found, socket.gaierror):
            raise (UnknownName if found.errno in _NO_ADDRESS else NoAnswer) from found
        if isinstance(found, UnicodeError):  # Python encodes the name for the C library: a label too long, say
            raise UnknownName from found
        if isinstance(found, OSError):
            raise NoAnswer from found
        if isinstance(found, Exception):
            raise found
        ips = {ip_address(entry[4][0]): None for entry in found if entry[0] in (socket.AF_INET, socket.AF_INET6)}
        if not ips:
            raise UnknownName
        return sorted(ips, key=lambda ip: ip.version)

    def _ask(self, name: str, port: int, answer: SimpleQueue[Any]) -> None:
        try:
            answer.put(self._getaddrinfo(name, port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001  # raised, or told apart, in the thread that waits
            answer.put(error)
        finally:
            self._slots.release()
