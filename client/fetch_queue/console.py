"""What is printed: results on standard output, everything else on standard error, nothing that a terminal obeys."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

COLOURS = {"succeeded": "green", "failed": "red", "rejected": "red", "gone": "red", "corrupt": "red"}
UNITS = ("B", "kB", "MB", "GB", "TB")


def plain(text: str) -> str:
    """Text from strangers, without characters that a terminal would obey or that cannot be encoded."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def out(text: str) -> None:
    """A line of the answer."""
    click.echo(text)


def document(value: Any) -> None:
    """The answer as a JSON document on one line."""
    click.echo(json.dumps(value))


def err(text: str) -> None:
    """A line about what is happening."""
    click.echo(text, err=True)


def status(text: str, width: int = 0) -> str:
    """A status in its colour."""
    shown = plain(text).ljust(width)
    return click.style(shown, fg=COLOURS[text]) if text in COLOURS else shown


def size(count: int) -> str:
    """A number of bytes for a person."""
    if count < 1000:
        return f"{count} B"
    power = min(4, (len(str(count)) - 1) // 3)
    value = count / 1000**power
    return f"{value:.1f} {UNITS[power]}" if value < 9.95 else f"{value:.0f} {UNITS[power]}"


def duration(seconds: float) -> str:
    """A time for a person."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def count(number: int, noun: str) -> str:
    """A number of things."""
    ending = "es" if noun.endswith("ch") else "s"
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def once_in(seconds: float, clock: Callable[[], float], say: Callable[[str], None]) -> Callable[[str], None]:
    """Says each thing, but repeats it only after a while: eight downloads may meet the same fault at once."""
    said: dict[str, float] = {}

    def notice(text: str) -> None:
        now = clock()
        if now - said.get(text, now - seconds) >= seconds:
            said[text] = now
            say(text)

    return notice
