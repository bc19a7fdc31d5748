"""What may be typed: the commands, and the values they take."""

from __future__ import annotations

import argparse
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import datetime
from typing import NoReturn

from admin.errors import AdminError
from chalicelib.jobs import access
from chalicelib.jobs.access import LOCAL_TENANT, SECRET_BYTES, UNLIMITED, Span

LONGEST_NAME = 100
MOST_DAYS = 36_500
MOST_URLS = 1_000_000_000


class Parser(argparse.ArgumentParser):
    """Raises AdminError for invalid arguments, instead of ending the process with a page of usage."""

    def error(self, message: str) -> NoReturn:
        """Say it in a line."""
        raise AdminError(f"{' '.join(message.split())} (see: {self.prog} --help)")


def parser() -> Parser:
    """Of the whole command line. The namespace has `stage`, `command` ("token create") and the command's values."""
    whole = Parser(prog="python -m admin", description="Access control: tokens and quotas.", allow_abbrev=False)
    whole.add_argument("--stage", required=True, help="dev, which is this machine, or prod")
    groups = whole.add_subparsers(metavar="COMMAND", required=True)

    token = groups.add_parser("token", help="make, list and end access tokens").add_subparsers(
        metavar="COMMAND", required=True
    )
    create = _command(token, "token create", "make a token; only the token is printed on standard output")
    create.add_argument("--name", type=name, default="", metavar="TEXT", help="your name for it")
    create.add_argument(
        "--expires-days", type=days, metavar="N", help="days until it expires; without this option: never"
    )
    create.add_argument(
        "--tenant",
        type=tenant,
        default=LOCAL_TENANT,
        help="in a shared service: the tenant whose jobs it gives access to",
    )
    listing = _command(token, "token list", "show all tokens; ended ones are shown for 30 days")
    listing.add_argument("--json", action="store_true", help="print JSON, for programs")
    revoke = _command(token, "token revoke", "end a token now, for good")
    revoke.add_argument("id", type=token_id, metavar="ID")
    expire = _command(token, "token expire", "give a token another end, or none")
    expire.add_argument("id", type=token_id, metavar="ID")
    end = expire.add_mutually_exclusive_group(required=True)
    end.add_argument("--in-days", type=days, metavar="N")
    end.add_argument("--at", type=moment, metavar="RFC3339", help="such as 2027-01-31T12:00:00Z")
    end.add_argument("--never", action="store_true")

    quota = groups.add_parser("quota", help="show and set how many URLs may be submitted").add_subparsers(
        metavar="COMMAND", required=True
    )
    show = _command(quota, "quota show", "the limits, and what was counted")
    change = _command(quota, "quota set", "set limits; a limit that is not given stays as it is")
    for command in (show, change):
        command.add_argument(
            "tenant",
            type=tenant,
            nargs="?",
            default=LOCAL_TENANT,
            metavar="TENANT",
            help="in a shared service: the tenant",
        )
    for span in Span:
        change.add_argument(
            f"--per-{span}",
            type=limit,
            dest=span,
            default=argparse.SUPPRESS,
            metavar="URLS",
            help="a number, none (no limit), or default (the limit for every tenant)",
        )
    return whole


def _command(group: argparse._SubParsersAction[Parser], command: str, text: str) -> Parser:
    made = group.add_parser(command.split()[-1], help=text, description=text, allow_abbrev=False)
    made.set_defaults(command=command)
    return made


def _whole(most: int, otherwise: str = "") -> Callable[[str], int]:
    def read(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 1 <= int(text) <= most:
            return int(text)
        raise ArgumentTypeError(f"must be a whole number from 1 to {most}{otherwise}")

    return read


days = _whole(MOST_DAYS)
_urls = _whole(MOST_URLS, ", or none, or default")


def limit(text: str) -> int | None:
    """A tenant's own limit; None: no limit of its own."""
    match text:
        case "none":
            return UNLIMITED
        case "default":
            return None
        case _:
            return _urls(text)


def name(text: str) -> str:
    """A token's name."""
    if len(text) > LONGEST_NAME or not text.isprintable():
        raise ArgumentTypeError(f"must be at most {LONGEST_NAME} printable characters")
    return text


def tenant(text: str) -> str:
    """A tenant's name."""
    if not access.is_tenant(text):
        raise ArgumentTypeError(
            "must be 1 to 64 letters, digits, dots, dashes and underscores, and begin with a letter or digit"
        )
    return text


def token_id(text: str) -> str:
    """A token's id. A whole token pasted by mistake is not shown again."""
    if access.token_id(access.token_text(text, "0" * 2 * SECRET_BYTES)) != text:
        raise ArgumentTypeError("must be the 12 hexadecimal digits that come after fq_ in the token")
    return text


def moment(text: str) -> int:
    """A time with its zone, as milliseconds since the epoch."""
    try:
        if re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d", text):  # fromisoformat takes more than RFC 3339 has
            read = datetime.fromisoformat(text.upper())
            if read.tzinfo is not None:
                return int(read.timestamp() * 1000)
    except (ValueError, OverflowError):
        pass
    raise ArgumentTypeError("must be a date and time with its zone, such as 2027-01-31T12:00:00Z")
