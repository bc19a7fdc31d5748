"""Lists of URLs: read from arguments and files, and cut into batches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import BinaryIO

MOST_URLS = 1000  # in a batch
MOST_BYTES = 1_000_000  # of a batch's body; the service takes 1 MiB


class ListError(ValueError):
    """A list cannot be read, or contains something that is not a URL."""


def read(name: str, lines: Iterable[bytes]) -> list[str]:
    """The URLs of a file: one per line, without blank lines and lines that begin with #. Raises ListError."""
    urls = []
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise ListError(f"{name} is not UTF-8 in line {number}; is it a list of URLs?") from error
        if text and not text.startswith("#"):
            urls.append(text)
    return urls


def gather(arguments: Sequence[str], files: Sequence[BinaryIO]) -> list[str]:
    """All URLs in order: those of the command line, then those of the files. Raises ListError, also for none."""
    for argument in arguments:
        if not _is_text(argument):
            raise ListError(f"{argument!a} is not UTF-8")
    urls = [argument.strip() for argument in arguments]
    for file in files:
        urls += read(getattr(file, "name", "the list"), file)
    if not urls:
        raise ListError("no URLs were given; give some, or a file of them with -f")
    return urls


def cut(urls: Sequence[str], most: int = MOST_URLS) -> list[range]:
    """Cut a list into batches of at most `most` URLs, each small enough to be sent. Raises ListError."""
    batches = []
    first, size = 0, 0
    for index, url in enumerate(urls):
        length = len(json.dumps(url, ensure_ascii=False).encode()) + 1
        if length > MOST_BYTES:
            raise ListError(f"URL {index + 1} is {len(url):,} characters long; is this a list of URLs?")
        if index - first == most or size + length > MOST_BYTES:
            batches.append(range(first, index))
            first, size = index, 0
        size += length
    if urls:
        batches.append(range(first, len(urls)))
    return batches


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
