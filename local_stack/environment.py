"""The environment of the stack's processes: a person's own AWS configuration never leaks in, and no proxy stands
between processes on loopback."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from local_stack.errors import StackError

HOST = "127.0.0.1"
REGION = "us-east-1"
KEY = "test"  # the emulator verifies presigned URLs against this key and this secret, and takes no others

_TYPED = re.compile(r"(?<!\\) (\w+)=")

# Set by Lambda or by this stack, never by a person.
_OURS = ("FUNCTION_ROLE", "TABLE_NAME", "QUEUE_URL", "DEAD_LETTER_QUEUE_URL", "WEBHOOK_QUEUE_URL", "BUCKET_NAME")


def scrubbed(given: Mapping[str, str], endpoint_url: str) -> dict[str, str]:
    """`given` for a process that must reach the emulator at `endpoint_url` and nothing of AWS.

    Every AWS_* is removed, including profiles, tokens and endpoints of single services. The two files are set to
    nothing: `ignore_configured_endpoint_urls` in one of them would send clients to the real AWS in spite of
    AWS_ENDPOINT_URL.
    """
    kept = {name: value for name, value in given.items() if not name.startswith("AWS_") and name not in _OURS}
    loopback = f"{HOST},localhost"
    bypassed = kept.get("no_proxy") or kept.get("NO_PROXY")
    no_proxy = f"{bypassed},{loopback}" if bypassed else loopback
    return kept | {
        "STAGE": "dev",
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }


def number(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    """The whole number that variable `name` holds, or `default` where it is unset or empty.

    Raises StackError if it is not a number, or more than `most`.
    """
    text = given.get(name, "")
    if text == "":
        return default
    if text.isascii() and text.isdigit() and int(text) <= most:
        return int(text)
    raise StackError(f"{name} must be a whole number up to {most}, not {text!r}")


def refuse_misspelt(makeflags: str, known: Collection[str]) -> None:
    """Raise StackError for a variable on make's command line that is nearly one of these: it would change nothing.

    Make has what was typed in MAKEFLAGS, a space before each variable and a backslash before a value's own.
    """
    for name in _TYPED.findall(f" {makeflags}"):
        near = difflib.get_close_matches(name.upper(), known, 1, cutoff=0.7)
        if near and name not in known:
            raise StackError(f"there is no setting {name}; did you mean {near[0]}?")


@contextmanager
def applied(variables: Mapping[str, str]) -> Iterator[None]:
    """For a while this process's environment is `variables`: boto3 reads it, whatever arguments it is given."""
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)
