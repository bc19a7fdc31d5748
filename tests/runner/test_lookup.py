"""Look-ups that hang are abandoned, and hold up nobody but their own domain."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from threading import Event, Semaphore, Thread
from typing import Any

import pytest

from chalicelib.runner.lookup import MAX_ABANDONED, MAX_ABANDONED_BY_LABELS, Lookup, NoAnswer
from tests.runner.sites import entry

ADDRESS = "93.184.216.34"
LONG = 60.0  # seconds; nothing here waits for their end


@dataclass
class Resolver:
    """A getaddrinfo whose silent name servers are those of every domain with `evil` in it."""

    answering: Event = field(default_factory=Event)  # set: they answer after all
    asked: list[str] = field(default_factory=list)
    begun: Semaphore = field(default_factory=lambda: Semaphore(0))
    threads: list[Thread] = field(default_factory=list)

    def getaddrinfo(self, name: str, port: int, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(name)
        self.threads.append(threading.current_thread())
        self.begun.release()
        if "evil" in name:
            self.answering.wait()
        return [entry(ADDRESS, port)]

    def answer(self) -> None:
        """Whoever hangs gets an answer, and every thread ends."""
        self.answering.set()
        for thread in self.threads:
            thread.join(LONG)
            assert not thread.is_alive()


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    resolver = Resolver()
    yield resolver
    resolver.answer()


@pytest.fixture
def lookup(resolver: Resolver) -> Lookup:
    return Lookup(resolver.getaddrinfo)


def abandon(lookup: Lookup, names: list[str]) -> None:
    """Look up names that get no answer, and wait for none."""
    for name in names:
        with pytest.raises(NoAnswer):
            lookup.addresses(name, 80, seconds=0)


def resolves(lookup: Lookup, name: str) -> bool:
    return lookup.addresses(name, 80, LONG) == [ip_address(ADDRESS)]


@pytest.mark.parametrize(
    ("names", "hanging", "neighbour"),
    [
        (["www.evil.example"] * 200, MAX_ABANDONED_BY_LABELS[3], "www.good.example"),
        ([f"{n}.evil.example" for n in range(200)], MAX_ABANDONED_BY_LABELS[2], "www.good.example"),
        ([f"{n}.a.b.evil.example." for n in range(200)], MAX_ABANDONED_BY_LABELS[3], "good.example"),
        ([f"{n}.evil.co.example" for n in range(200)], MAX_ABANDONED_BY_LABELS[3], "good.co.example"),
        ([f"evil{n}.example" for n in range(200)], 200, "good.example"),
        ([f"www.evil{n}.co{n}.example" for n in range(200)], 200, "good.co.example"),
        (["evil"] * 200, MAX_ABANDONED_BY_LABELS[3], "good"),
    ],
    ids=["one name", "one zone", "a zone within", "a zone below a registry", "many zones", "many registries", "bare"],
)
def test_a_neighbour_is_answered_while_others_hang(
    resolver: Resolver, lookup: Lookup, names: list[str], hanging: int, neighbour: str
) -> None:
    """One zone gets no further than its cap; many zones have one each, and there is room for all of them."""
    abandon(lookup, names)
    assert all(resolver.begun.acquire(timeout=LONG) for _ in range(hanging))
    assert len(resolver.asked) == hanging
    assert resolves(lookup, neighbour)


def test_a_domain_at_its_cap_is_refused_at_once(resolver: Resolver, lookup: Lookup) -> None:
    """Its own names are not even asked for, in whatever case; once its look-ups have ended they are again."""
    most = MAX_ABANDONED_BY_LABELS[2]
    abandon(lookup, [f"{n}.evil.example" for n in range(most + 50)])
    assert all(resolver.begun.acquire(timeout=LONG) for _ in range(most))
    before = len(resolver.asked)
    for name in ("another.evil.example", "another.EVIL.Example.", "evil.example"):
        with pytest.raises(NoAnswer):
            lookup.addresses(name, 80, LONG)
    assert len(resolver.asked) == before
    resolver.answer()
    assert resolves(lookup, "another.evil.example")
    assert resolves(lookup, "0.evil.example")


def test_all_that_hang_are_bounded(resolver: Resolver, lookup: Lookup) -> None:
    """However many zones somebody has; then everybody is refused, until some have ended."""
    abandon(lookup, [f"www.evil{n}.example{n}" for n in range(MAX_ABANDONED + 100)])
    assert all(resolver.begun.acquire(timeout=LONG) for _ in range(MAX_ABANDONED))
    assert len(resolver.asked) == MAX_ABANDONED
    with pytest.raises(NoAnswer):
        lookup.addresses("good.example", 80, LONG)
    resolver.answer()
    assert resolves(lookup, "good.example")


def test_whoever_still_waits_takes_nobodys_place(resolver: Resolver, lookup: Lookup) -> None:
    """A hundred look-ups of one zone at once, all within their time; and each gets its answer when it comes."""
    with ThreadPoolExecutor(100) as pool:
        waiting = [pool.submit(resolves, lookup, f"{n}.evil.example") for n in range(100)]
        try:
            assert all(resolver.begun.acquire(timeout=LONG) for _ in waiting)
            assert resolves(lookup, "good.example")
        finally:
            resolver.answering.set()
        assert all(each.result(LONG) for each in waiting)
