"""Reading a request: its body as one of our types, its query, its idempotency key. Whatever is wrong becomes a problem
that says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from chalicelib.api import problems
from chalicelib.api.bodies import BatchRequest, BatchURL, JobRequest, WebhookRequest
from chalicelib.api.problems import ProblemError
from chalicelib.api.types import FieldError
from chalicelib.jobs import ids
from chalicelib.jobs.entities import ErrorType, Status
from chalicelib.service.lists import LONGEST_LIST

BODY_LIMIT = 1024 * 1024  # bytes: the answer repeats each URL, and Lambda's limit is 6 MB
MOST_UNKNOWN = 100  # members named in an answer
CURSOR_PATTERN = "[0-9]{15}-[0-9a-f]{32}"  # of a list: a place in `storage.listing`

T = TypeVar("T", JobRequest, BatchRequest)

_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*([0-9]{1,4})\s*(?:$|[,;])", re.IGNORECASE)
_KEY = re.compile(r"[!-~]{1,255}")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_IN_WORDS = {
    "str": "a string",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "array": "an array",
    "object": "an object",
}
_WRONG_ROUTE = {
    "urls": "several URLs go to POST /batches",
    "url": 'one URL goes to POST /jobs; here send {"urls": ["https://..."]}',
}


def body(raw: bytes, content_type: str | None, kind: type[T]) -> T:
    """The body as `kind`. Raises ProblemError: 413, 415, 400 for what is not JSON, 422 for what is not valid."""
    if (content_type or "").partition(";")[0].strip().lower() != "application/json":
        given = f"it is {content_type}" if content_type else "there is none"
        raise ProblemError(problems.UNSUPPORTED_TYPE, f"Send Content-Type: application/json (curl --json); {given}.")
    if len(raw) > BODY_LIMIT:
        raise ProblemError(
            problems.TOO_LARGE,
            f"The body has {len(raw)} bytes; at most {BODY_LIMIT} are allowed. Split the URLs into several batches.",
        )
    if not raw:
        raise ProblemError(problems.MALFORMED, f"The body is empty; send JSON such as {_example(kind)}.")
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(problems.MALFORMED, f"The body is not JSON in UTF-8: {_reason(error)}.") from error
    return _convert(value, kind)


def no_body(raw: bytes) -> None:
    """Raises ProblemError for a body where none is read, but `{}`: what it says would be ignored in silence."""
    if raw.strip() not in (b"", b"{}"):
        raise ProblemError(problems.INVALID, "Send no body here; what may be chosen is in the query.")


def _convert(value: Any, kind: type[T]) -> T:
    if not isinstance(value, dict):
        raise problems.at("", f"The body must be a JSON object such as {_example(kind)}.")
    members = msgspec.structs.fields(kind)
    known = [member.name for member in members]
    errors = [
        FieldError(
            pointer=pointer([name]),
            detail=f"Unknown member; {_WRONG_ROUTE.get(name, _allowed(known)) if known else 'send {}'}.",
        )
        for name in [name for name in value if name not in known][:MOST_UNKNOWN]
    ] + [
        FieldError(pointer=pointer([name]), detail=f"Missing member; send {_example(kind)}.")
        for name in [member.name for member in members if member.required]
        if name not in value
    ]
    if errors:
        raise ProblemError(problems.INVALID, errors[0].detail, errors=errors)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _invalid(error, value, kind) from error


def _allowed(names: Sequence[str]) -> str:
    return f"allowed here: {', '.join(names)}"


def _invalid(error: msgspec.ValidationError, value: dict[str, Any], kind: type[T]) -> ProblemError:
    text = str(error)
    match = _PATH.search(text)
    steps = _steps(match["path"], value) if match else []
    detail = f"{text[: match.start()] if match else text}."
    if steps == ["urls"] and isinstance(value["urls"], list):
        count = len(value["urls"])
        detail = (
            f"A batch has at most {ids.MAX_BATCH} URLs; this one has {count}. Split it."
            if count
            else f"A batch has at least one URL; send {_example(kind)}."
        )
    elif unknown := _UNKNOWN.match(text):
        inner = WebhookRequest if steps[:1] == ["webhook"] else BatchURL
        steps.append(unknown[1])
        detail = f"Unknown member; allowed here: {', '.join(inner.__struct_fields__)}."
    return problems.at(pointer(steps), re.sub(r"`([\w |]+)`", _in_words, detail))


def _steps(path: str, value: Any) -> list[str]:
    """The steps of one of msgspec's paths. It does not say which member of an object of any names is meant."""
    steps: list[str] = []
    for step in re.findall(r"\w+|\.\.\.", path):
        if step == "...":
            step = next((name for name, member in value.items() if not isinstance(member, str)), "")
        value = value[int(step)] if isinstance(value, list) else value.get(step) if isinstance(value, dict) else None
        steps.append(step)
    return steps


def _in_words(types: re.Match[str]) -> str:
    return " or ".join(_IN_WORDS.get(name, name) for name in types[1].split(" | ") if name != "null")


def _example(kind: type[msgspec.Struct]) -> str:
    return '{"url": "https://example.com/"}' if kind is JobRequest else '{"urls": ["https://example.com/"]}'


def pointer(steps: Sequence[str]) -> str:
    """Where a member of a body is: RFC 6901."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)


def idempotency_key(header: str | None) -> str | None:
    """The key of an Idempotency-Key header, without quotes; None without a header."""
    if header is None:
        return None
    text = header.strip()
    key = text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text
    if not _KEY.fullmatch(key) or '"' in key:
        raise ProblemError(
            problems.INVALID_KEY,
            'An Idempotency-Key has 1 to 255 visible ASCII characters, quoted ("k") or bare (k); a UUID will do.',
        )
    return key


def query(given: Mapping[str, Sequence[str]], allowed: Sequence[str]) -> dict[str, str]:
    """The query's parameters. Raises ProblemError for an unknown one and for one given twice."""
    values = {}
    for name, all_values in given.items():
        if name not in allowed:
            known = f"allowed here: {', '.join(allowed)}" if allowed else "none is allowed here"
            raise ProblemError(problems.INVALID, f"Unknown query parameter {name!r}; {known}.")
        if len(all_values) != 1:
            raise ProblemError(problems.INVALID, f"Give the query parameter {name} only once.")
        values[name] = all_values[0]
    return values


def as_given(text: str | None) -> str | None:
    """The value itself."""
    return text


def wait(text: str | None) -> int | None:
    """The seconds of `?wait=`. Raises ProblemError for what is not a number."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise ProblemError(problems.INVALID, "wait must be a whole number of seconds, with at most four digits.")
    return int(text)


def preferred_wait(header: str | None) -> int | None:
    """The seconds of `Prefer: wait=`. A preference that cannot be understood is ignored (RFC 7240)."""
    match = _WAIT.search(header or "")
    return None if match is None else int(match[1])


def cursor(text: str | None) -> int:
    """Where a page begins. Raises ProblemError for a value that no `next` link has."""
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise ProblemError(problems.INVALID, "The cursor is not valid; follow the `next` link of a page.")
    return int(text)


def list_cursor(text: str | None) -> str | None:
    """Where a page of a list begins. Raises ProblemError for a value that no `next` link has."""
    if text is not None and not re.fullmatch(CURSOR_PATTERN, text):
        raise ProblemError(problems.INVALID, "The cursor is not valid; follow the `next` link of a page.")
    return text


def limit(text: str | None) -> int:
    """How many a page of a list has at most. Raises ProblemError for what is not a number within bounds."""
    if text is None:
        return LONGEST_LIST
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LONGEST_LIST):
        raise ProblemError(problems.INVALID, f"limit must be a whole number from 1 to {LONGEST_LIST}.")
    return int(text)


def error_types(text: str | None) -> frozenset[ErrorType]:
    """The error types of `?only=`; empty if none were given. Raises ProblemError for an unknown one."""
    if text is None:
        return frozenset()
    try:
        return frozenset(map(ErrorType, text.split(",")))
    except ValueError:
        known = ", ".join(ErrorType)
        raise ProblemError(
            problems.INVALID, f"only={text}: name error types, with commas between them. There are {known}."
        ) from None


def status(text: str | None) -> Status | None:
    """The status that a page is limited to. Raises ProblemError for an unknown one."""
    if text is None:
        return None
    try:
        return Status(text)
    except ValueError:
        raise ProblemError(problems.INVALID, f"No such status: {text!r}. Use one of {', '.join(Status)}.") from None
