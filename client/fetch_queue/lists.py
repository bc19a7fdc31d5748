"""Lists of URLs: read from arguments and files, and cut into batches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from fetch_queue.request import Request, Submitted, document_of, url_of

_EXAMPLE = '{"url": "https://example.com/", "headers": {"Accept": "text/html"}, "reference": "a"}'

MOST_URLS = 1000  # in a batch
MOST_BYTES = 1_000_000  # of a batch's body; the service takes 1 MiB


class ListError(ValueError):
    """A list cannot be read, or contains something that is not a URL."""


def read(name: str, lines: Iterable[bytes]) -> list[Submitted]:
    """The URLs of a file: one per line, without blank lines and lines that begin with #. Raises ListError.

    A line that begins with { is a JSON object with a url, and perhaps headers and a reference.
    """
    urls: list[Submitted] = []
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise ListError(f"{name} is not UTF-8 in line {number}; is it a list of URLs?") from error
        if text.startswith("{"):
            urls.append(_request(text, f"line {number} of {name}"))
        elif text and not text.startswith("#"):
            urls.append(text)
    return urls


def _request(text: str, where: str) -> Request:
    document: Any = None
    with suppress(ValueError):
        document = json.loads(text)
    if isinstance(document, dict) and document.keys() <= {"url", "headers", "reference"}:
        url, headers, reference = (document.get(name) for name in ("url", "headers", "reference"))
        headers = {} if headers is None else headers
        texts = headers.values() if isinstance(headers, dict) else [None]
        good = all(isinstance(text, str) for text in texts) and isinstance(reference, str | None)
        if good and isinstance(url, str):
            return Request(url, headers, reference)
    raise ListError(f"{where} is not like {_EXAMPLE}; only the url must be there")


def headers_of(given: Sequence[str]) -> dict[str, str]:
    """Headers from texts such as "Accept: text/html", and from the lines of files named like @headers.txt.

    Raises ListError. What follows the colon may be a secret, so no error repeats it.
    """
    headers: dict[str, str] = {}
    for text in given:
        lines = _lines(text.removeprefix("@")) if text.startswith("@") else [text]
        for line in lines:
            name, colon, value = line.partition(":")
            if not (colon and name.strip() and value.strip()):
                source = f"a line of {text.removeprefix('@')}" if text.startswith("@") else "a header"
                raise ListError(f'{source} is not like "Accept: text/html"')
            if name.strip().lower() in map(str.lower, headers):
                raise ListError(f"the header {name.strip()} is given twice")
            headers[name.strip()] = value.strip()
    return headers


def _lines(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ListError(f"{path} cannot be read: {reason}") from error
    return [line for line in text.splitlines() if line.strip()]


def gather(arguments: Sequence[str], files: Sequence[BinaryIO]) -> list[Submitted]:
    """All URLs in order: those of the command line, then those of the files. Raises ListError, also for none."""
    for argument in arguments:
        if not _is_text(argument):
            raise ListError(f"{argument!a} is not UTF-8")
    urls: list[Submitted] = [argument.strip() for argument in arguments]
    for file in files:
        urls += read(getattr(file, "name", "the list"), file)
    if not urls:
        raise ListError("no URLs were given; give some, or a file of them with -f")
    return urls


def cut(urls: Sequence[Submitted], most: int = MOST_URLS) -> list[range]:
    """Cut a list into batches of at most `most` URLs, each small enough to be sent. Raises ListError."""
    batches = []
    first, size = 0, 0
    for index, url in enumerate(urls):
        length = len(json.dumps(document_of(url), ensure_ascii=False).encode()) + 1
        if length > MOST_BYTES:
            raise ListError(f"URL {index + 1} is {len(url_of(url)):,} characters long; is this a list of URLs?")
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
