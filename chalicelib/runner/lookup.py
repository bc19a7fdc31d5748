"""Names to addresses, in bounded time: getaddrinfo itself has no time-out, and cannot be stopped.

A look-up that runs out of time is abandoned: its caller goes on, its thread stays until the resolver gives up. The
seconds given bound the caller's wait; the resolver's own time-outs bound how long an abandoned thread lives (glibc:
5 s, twice, for each of at most three name servers, so some 30 s); the caps here bound how many of them there are. A
look-up that is waited for does not count: there is at most one for each thread that fetches.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Lock, Thread
from typing import Any

from chalicelib.jobs.errors import FetchQueueError

# How many look-ups may hang, abandoned, before others are refused at once: in all, and below one parent domain, by how
# many labels of the name count. Those that wait when a cap is met may still join it, one for each thread that fetches.
# Whoever has one zone (*.evil.example) is held by two labels, or by three where two are a registry's (evil.co.uk):
# neighbours below co.uk go on meanwhile, unless sixteen such zones hang. Whoever has many zones adds one for each
# thread that fetches and each `seconds`, so 60 in 30 s where ten threads wait 5 s each: far below the whole, which
# takes 13 MiB.
MAX_ABANDONED = 512
MAX_ABANDONED_BY_LABELS = {3: 8, 2: 128}

# No such name, or a name without addresses. EAI_NODATA is in glibc only.
_NO_ADDRESS = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


class UnknownName(FetchQueueError):
    """The name has no address, and will not have one in a minute."""


class NoAnswer(FetchQueueError):
    """The name server did not answer in time, or could not say."""


class Lookup:
    """Looks names up with `getaddrinfo`, each for at most the seconds given. Safe to be called from many threads."""

    def __init__(self, getaddrinfo: Callable[..., Any]) -> None:
        self._getaddrinfo = getaddrinfo
        self._lock = Lock()
        self._abandoned: Counter[tuple[int, str]] = Counter()  # by number of labels and parent domain; (0, "") is all

    def addresses(self, name: str, port: int, seconds: float) -> list[IPv4Address | IPv6Address]:
        """The addresses of `name`, IPv4 first: if IPv6 does not work, eight such addresses would use up the time.

        Raises UnknownName, or NoAnswer: immediately if too many look-ups hang. Takes at most `seconds`.
        """
        if self._too_many_hang(name):
            raise NoAnswer
        asked: Future[list[Any]] = Future()
        Thread(target=self._ask, args=(name, port, asked), name="lookup", daemon=True).start()
        try:
            found = asked.result(timeout=seconds)
        except TimeoutError:
            self._abandon(name, asked)
            raise NoAnswer from None
        except socket.gaierror as error:
            raise (UnknownName if error.errno in _NO_ADDRESS else NoAnswer) from error
        except UnicodeError as error:  # Python encodes the name for the C library: a label too long, say
            raise UnknownName from error
        except OSError as error:
            raise NoAnswer from error
        ips = {ip_address(entry[4][0]): None for entry in found if entry[0] in (socket.AF_INET, socket.AF_INET6)}
        if not ips:
            raise UnknownName
        return sorted(ips, key=lambda ip: ip.version)

    def _ask(self, name: str, port: int, asked: Future[list[Any]]) -> None:
        try:
            asked.set_result(self._getaddrinfo(name, port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001  # raised, or told apart, in the thread that waits
            asked.set_exception(error)

    def _too_many_hang(self, name: str) -> bool:
        with self._lock:
            return any(
                self._abandoned[labels, parent] >= MAX_ABANDONED_BY_LABELS.get(labels, MAX_ABANDONED)
                for labels, parent in _parents(name)
            )

    def _abandon(self, name: str, asked: Future[list[Any]]) -> None:
        """Count it until its thread ends, which may be now."""
        with self._lock:
            self._abandoned.update(_parents(name))
        asked.add_done_callback(lambda _: self._forget(name))

    def _forget(self, name: str) -> None:
        with self._lock:
            self._abandoned.subtract(_parents(name))
            self._abandoned = +self._abandoned  # without zero counts: strangers choose the names


def _parents(name: str) -> list[tuple[int, str]]:
    """What a look-up counts towards: its parent domains, and the total."""
    labels = name.lower().rstrip(".").split(".")
    return [(0, ""), *((count, ".".join(labels[-count:])) for count in MAX_ABANDONED_BY_LABELS)]
