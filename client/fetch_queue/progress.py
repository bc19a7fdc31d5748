"""The progress of a run: a bar on a terminal, otherwise a line now and then. On standard error."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

LINE_SECONDS = 10.0


class Display(Protocol):
    """Shows progress, while it is entered."""

    def show(self, done: int, note: str) -> None:
        """So many are done."""

    def say(self, text: str) -> None:
        """Print a line beside it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Bar:
    """A bar that moves."""

    def __init__(self, console: Console, what: str, total: int) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[note]}", markup=False),  # it may name a host
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(what, total=total, note="")

    def show(self, done: int, note: str) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, note=note)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(Text.from_ansi(text), soft_wrap=True)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


class Lines:
    """A line when something has changed, at most every few seconds."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float], what: str, total: int) -> None:
        self.say = say
        self._clock = clock
        self._what = what
        self._total = total
        self._last = clock()
        self._shown = ""

    def show(self, done: int, note: str) -> None:
        """Print a line, if it is time for one."""
        text = f"{self._what} {done:,} of {self._total:,}{', ' if note else ''}{note}"
        if text != self._shown and self._clock() - self._last >= LINE_SECONDS:
            self.say(text)
            self._last, self._shown = self._clock(), text

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
