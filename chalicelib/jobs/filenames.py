"""The name of the file that a result is saved in, by the same rules as the command line. This repeats the code of its
`fetch_queue.names`, since neither package imports the other; a test makes sure that they agree.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import unquote, urlsplit

_MOST_BYTES: Final = 120  # of a name without its extension
# Windows takes these for devices, in any case and with any extension.
_DEVICES: Final = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_EXTENSION = re.compile(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{0,7}$")
_TYPES: Final = {
    "application/javascript": ".js",
    "application/json": ".json",
    "application/octet-stream": ".bin",
    "application/xml": ".xml",
    "image/jpeg": ".jpg",
    "text/html": ".html",
    "text/javascript": ".js",
    "text/plain": ".txt",
    "text/xml": ".xml",
}
_SUFFIXES: Final = {"+json": ".json", "+xml": ".xml"}


def file_name(url: str, content_type: str) -> str:
    """Host, path and query of `url`, and the extension of the path or else of the content type.

    A single path component on any file system, whatever the URL is; at most 143 bytes; only letters and digits of any
    language, dots, hyphens and underscores.
    """
    stem, extension = _parts(url)
    return stem + (extension or _extension_of(content_type))


def _parts(url: str) -> tuple[str, str]:
    try:
        split = urlsplit(url)
        host, path, query = split.netloc.rpartition("@")[2], split.path, split.query
    except ValueError:
        host, path, query = url, "", ""
    *segments, last = path.split("/")
    extension = ""
    if match := _EXTENSION.search(unquote(last)):
        extension = match[0]
        last = unquote(last)[: match.start()]
    words = [_words(part) for part in (host, *segments, last, query)]
    joined = re.sub(r"_{2,}", "_", "_".join(word for word in words if word))
    short = joined.strip("._-").encode()[:_MOST_BYTES].decode(errors="ignore")
    stem = short.rstrip("._-") or "result"
    return f"_{stem}" if stem.partition(".")[0].casefold() in _DEVICES else stem, extension


def _words(text: str) -> str:
    plain = unicodedata.normalize("NFKC", unquote(text))
    kept = "".join(char if char in ".-" or unicodedata.category(char)[0] in "LMN" else "_" for char in plain)
    return re.sub(r"\.{2,}", "_", kept).strip("_")


def _extension_of(content_type: str) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _TYPES:
        return _TYPES[kind]
    for suffix, extension in _SUFFIXES.items():
        if kind.endswith(suffix):
            return extension
    if "/" not in kind:
        return ".bin"
    import mimetypes  # 10 ms, and few types need it

    return mimetypes.MimeTypes(filenames=()).guess_extension(kind) or ".bin"  # whatever this machine's files say
