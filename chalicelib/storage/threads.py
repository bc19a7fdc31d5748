"""Independent calls in threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Threads:
    """`Parallel` with a pool of threads. One value needs no thread, so calls may nest if the inner has one value."""

    def __init__(self, size: int) -> None:
        self._pool = ThreadPoolExecutor(size)

    def __call__(self, function: Callable[[T], R], values: list[T], /) -> list[R]:
        """Apply the function to all of the values.

        Once one fails, no further ones are begun; when the running ones have ended, its exception is raised.
        """
        if len(values) <= 1:
            return [function(value) for value in values]
        failed: list[Exception] = []

        def begin(value: T) -> list[R]:
            if failed:
                return []
            try:
                return [function(value)]
            except Exception as error:
                failed.append(error)
                raise

        futures = [self._pool.submit(begin, value) for value in values]
        wait(futures)
        if failed:
            raise failed[0]
        return [result for future in futures for result in future.result()]
