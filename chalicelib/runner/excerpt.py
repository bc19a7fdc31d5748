"""The beginning of the text of a refusing answer: the site's own words tell a person more than its status."""

from __future__ import annotations

import codecs
import re
from typing import Final

CHARACTERS: Final = 1000  # kept
MOST_BYTES: Final = 8 * 1024  # looked at, of the decoded body
SECONDS: Final = 2.0  # that a worker waits for them: the outcome is known without them

_TEXT = re.compile(r"text/.*|application/(?:.*\+)?(?:json|xml|xhtml|javascript)|application/x-www-form-urlencoded")
_NO_TEXT = re.compile(r"(?:image|audio|video|font|multipart)/.*")
_MARKS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_CHARSET = re.compile(r";\s*charset=[\"']?([\w.:-]+)", re.IGNORECASE)
# By Python's names. Some of its codecs are not charsets, and do more than decode: hex, punycode, unicode_escape.
_CHARSETS = re.compile(
    r"utf-16-[bl]e|ascii|iso8859-\d+|cp\d+|koi8-.|mac-\w+|gb2312|gbk|gb18030|hz|big5\w*|euc_\w+|shift_jis\w*|iso2022_\w+"
    r"|johab|tis-620"
)
# Bytes that text does not contain (https://mimesniff.spec.whatwg.org/#binary-data-byte), for bodies not called text.
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed
_MOST_UNREADABLE: Final = 1 / 4  # share of the characters of what is called text


def excerpt(data: bytes, content_type: str, *, whole: bool) -> str | None:
    """The first CHARACTERS of a body that begins with `data`, without control characters; None if it is not text.

    Decoded by the charset of `content_type` if that is known, else as UTF-8; `whole` says that nothing follows.
    """
    kind = content_type.partition(";")[0].strip().lower()
    charset = _charset_of(data, content_type)
    if not _TEXT.fullmatch(kind) and (_NO_TEXT.fullmatch(kind) or not _reads_as_text(data, whole=whole)):
        return None
    text = codecs.getincrementaldecoder(charset)("replace").decode(data, whole)
    readable = _CONTROLS.sub("", text)
    unreadable = len(text.replace("\r", "")) - len(readable.replace("\ufffd", ""))
    if unreadable > len(text) * _MOST_UNREADABLE:
        return None
    return readable.lstrip("\ufeff")[:CHARACTERS] if readable.strip("\ufeff \t\n") else None


def _charset_of(data: bytes, content_type: str) -> str:
    """As in browsers: a byte order mark overrides the type, and plain UTF-16 is little-endian."""
    for mark, charset in _MARKS:
        if data.startswith(mark):
            return charset
    match = _CHARSET.search(content_type)
    try:
        name = codecs.lookup(match[1]).name if match else "utf-8"
    except LookupError:
        return "utf-8"
    if name == "utf-16":
        return "utf-16-le"
    return name if _CHARSETS.fullmatch(name) else "utf-8"


def _reads_as_text(data: bytes, *, whole: bool) -> bool:
    if _BINARY.search(data):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, whole)
    except UnicodeDecodeError:
        return False
    return True
