"""File names made from URLs: readable, and safe on any file system whatever the URL is."""

from __future__ import annotations

import mimetypes
import re
import unicodedata
from urllib.parse import unquote, urlsplit

MOST_BYTES = 120  # of a name without its number and extension; eCryptfs allows 143 in all
FALLBACK = "result"

# Windows takes these for devices, in any case and with any extension.
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_EXTENSION = re.compile(r"(?<=.)\.[A-Za-z][A-Za-z0-9]{0,7}$")
_TYPES = {
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
_SUFFIXES = {"+json": ".json", "+xml": ".xml"}
# The library's own table, whatever this machine's files say: the same URL has the same name everywhere.
_KNOWN = mimetypes.MimeTypes(filenames=())


def of(url: str, content_type: str) -> tuple[str, str]:
    """The name of a result, host_path_query, and its extension: the path's own, or else the content type's."""
    stem, extension = _parts(url)
    return stem, extension or extension_of(content_type)


def numbered(stem: str, extension: str, number: int) -> str:
    """The name of the first, second, ... result that would be called the same."""
    return f"{stem}{extension}" if number == 1 else f"{stem}-{number}{extension}"


def key(name: str) -> str:
    """The same for names that some file system takes for one: case and Unicode's forms make no difference."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def extension_of(content_type: str) -> str:
    """The usual extension of a content type; `.bin` where it has none."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _TYPES:
        return _TYPES[kind]
    for suffix, extension in _SUFFIXES.items():
        if kind.endswith(suffix):
            return extension
    guessed = _KNOWN.guess_extension(kind) if "/" in kind else None
    return guessed or ".bin"


def _parts(url: str) -> tuple[str, str]:
    """The name without its extension, and the extension that the path has."""
    try:
        split = urlsplit(url)
        host, path, query = split.netloc.rpartition("@")[2], split.path, split.query
    except ValueError:
        host, path, query = url, "", ""
    segments = path.split("/")
    extension = ""
    if match := _EXTENSION.search(unquote(segments[-1])):
        extension = match[0]
        segments[-1] = unquote(segments[-1])[: match.start()]
    words = [_words(part) for part in (host, *segments, query)]
    stem = re.sub(r"_{2,}", "_", "_".join(word for word in words if word))
    stem = _cut(stem.strip("._-")).rstrip("._-") or FALLBACK
    if stem.partition(".")[0].casefold() in _DEVICES:
        stem = f"_{stem}"
    return stem, extension


def _words(text: str) -> str:
    """Letters, digits, dots and hyphens of any language; a low line for everything else."""
    plain = unicodedata.normalize("NFKC", unquote(text))
    kept = "".join(char if char in ".-" or unicodedata.category(char)[0] in "LMN" else "_" for char in plain)
    return re.sub(r"\.{2,}", "_", kept).strip("_")


def _cut(stem: str) -> str:
    """At most so many bytes, without half a character at the end."""
    return stem.encode()[:MOST_BYTES].decode(errors="ignore")
