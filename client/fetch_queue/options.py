"""What the commands have in common: where the service is, and what their help ends with."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from fetch_queue import console
from fetch_queue.client import DEFAULT_URL, FetchQueue, is_id
from fetch_queue.patience import Timing
from fetch_queue.transport import Sessions, is_loopback

Command = TypeVar("Command", bound=Callable[..., Any])

NOTICE_SECONDS = 10.0
EXIT_CODES = """\
\b
Exit codes:
  0    success: every URL succeeded
  1    some URL failed or was rejected
  2    the command line is wrong
  3    the service refused: no access, no such id, not valid
  4    the service could not be reached, or something failed on this machine
  130  ended by Ctrl-C
"""

_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class World:
    """What a command runs in; tests have their own."""

    timing: Timing
    sessions: Sessions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Where the service is."""

    url: str
    token: str | None
    give_up_after: float | None
    world: World

    def clock(self) -> float:
        """Seconds, from any beginning."""
        return self.world.timing.clock()

    def queue(self, say: Callable[[str], None] = console.err) -> FetchQueue:
        """A client of it, which says what it waits for."""
        if self.token and self.url.startswith("http:") and not is_loopback(self.url):
            say(f"The token goes to {console.plain(self.url)} unencrypted; use https:// if the service has it.")
        notice = console.once_in(NOTICE_SECONDS, self.world.timing.clock, lambda text: say(console.plain(text)))
        return FetchQueue(
            self.url,
            self.token,
            give_up_after=self.give_up_after,
            timing=self.world.timing,
            notice=notice,
            sessions=self.world.sessions,
        )


def service(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command a Service as its first argument, made from --url, --token and --give-up-after."""

    @click.pass_obj
    @functools.wraps(command)
    def with_service(
        world: World, /, *, url: str, token: str | None, give_up_after: float | None, **others: Any
    ) -> int:
        return command(Service(url=url, token=token, give_up_after=give_up_after, world=world), **others)

    decorated: Callable[..., int] = with_service
    for option in (
        click.option(
            "--give-up-after",
            type=click.FloatRange(min=0),
            metavar="SECONDS",
            help="How long to keep trying while the service does not answer, or says that it cannot do this now. "
            "Default: 300; 15 if it has never answered.",
        ),
        click.option(
            "--token",
            envvar="FETCH_QUEUE_TOKEN",
            callback=_token,
            metavar="TOKEN",
            help="The access token. Better set FETCH_QUEUE_TOKEN: other users of this machine can see command lines.",
        ),
        click.option(
            "--url",
            envvar="FETCH_QUEUE_URL",
            default=DEFAULT_URL,
            callback=_url,
            metavar="URL",
            help=f"The service's address, with its stage's prefix. Or set FETCH_QUEUE_URL. Default: {DEFAULT_URL}.",
        ),
    ):
        decorated = option(decorated)
    return decorated


def as_json(what: str) -> Callable[[Command], Command]:
    """Give a command --json."""
    return click.option("--json", "in_json", is_flag=True, help=f"Print {what} on standard output, and nothing else.")


def an_id(command: Command) -> Command:
    """Give a command the id of a job or a batch."""
    return click.argument("any_id", metavar="ID", callback=_id)(command)


def _url(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        parts = urlsplit(value.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise click.BadParameter(f"{value} is not an address such as {DEFAULT_URL} or https://example.com/api")
    if parts.username is not None or parts.query or parts.fragment:
        raise click.BadParameter("the service's address must have no user name, no ? and no #")
    return value.strip().rstrip("/")


def _token(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    value = None if value is None else value.strip()
    if value and not _TOKEN.fullmatch(value):
        raise click.BadParameter("it contains a space, or another character that no token has")  # and not what it is
    return value or None


def _id(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    found = value.strip()
    if not is_id(found):
        raise click.BadParameter(
            f"{console.plain(found)} is not an id: 32 hexadecimal digits, for a job in a batch followed by its number"
        )
    return found
