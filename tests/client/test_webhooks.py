"""Events: asking for them, the secret that signs them, and whether one that came is real."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fetch_queue import FetchQueue, InvalidEvent, verify
from fetch_queue.client import body

from chalicelib.jobs.webhooks import Generation, signed_headers
from tests.client.conftest import Ran
from tests.client.fake import LOST, Service

Command = Callable[..., Ran]
URL, HOOK = "https://example.com/a", "https://told.example/"
NOW = 1_800_000_000
KEY = b"the service's own key"
EVENT = b'{"type":"job.finished","data":{"url":"https://example.com/\xc3\xbc"}}'
OLD = Generation(tenant="local")
NEW = OLD.next("request", now=NOW * 1000)


def signed(generation: Generation = OLD) -> dict[str, str]:
    """The headers of an event, as the service makes them."""
    secrets = generation.secrets(KEY, now=NOW * 1000)
    return dict(signed_headers("evt_1", EVENT, secrets, now=NOW * 1000))


@pytest.mark.parametrize("text", [EVENT, EVENT.decode()])
def test_an_event_is_real(text: bytes | str) -> None:
    """Whatever the case of its headers."""
    headers = {name.title(): value for name, value in signed().items()}
    assert verify(text, headers, OLD.shown(KEY), now=NOW) == json.loads(EVENT)


def test_while_a_secret_changes_both_are_good() -> None:
    for generation in (OLD, NEW):
        assert verify(EVENT, signed(NEW), generation.shown(KEY), now=NOW)


@pytest.mark.parametrize(
    ("body", "changes", "now"),
    [
        (EVENT.replace(b"job", b"jab"), {}, NOW),
        (EVENT, {"webhook-id": "evt_2"}, NOW),
        (EVENT, {"webhook-timestamp": str(NOW + 1)}, NOW),
        (EVENT, {"webhook-timestamp": "now"}, NOW),
        (EVENT, {"webhook-signature": "v1,"}, NOW),
        (EVENT, {"webhook-signature": "v1a,AAAA v2 , v1,***"}, NOW),
        (EVENT, {"webhook-signature": ""}, NOW),
        (EVENT, {"webhook-id": ""}, NOW),
        (EVENT, {}, NOW + 301),
        (EVENT, {}, NOW - 301),
    ],
)
def test_what_is_not(body: bytes, changes: dict[str, str], now: int) -> None:
    """Changed, signed by another, or old: an event that somebody has kept is no event."""
    with pytest.raises(InvalidEvent):
        verify(body, {**signed(), **changes}, OLD.shown(KEY), now=now)


def test_another_secret_does_not_do() -> None:
    with pytest.raises(InvalidEvent):
        verify(EVENT, signed(), Generation(tenant="other").shown(KEY), now=NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_***"])
def test_what_is_no_secret(secret: str) -> None:
    """A mistake of the program's, not of whoever sent the event."""
    with pytest.raises(ValueError, match="secret"):
        verify(EVENT, signed(), secret, now=NOW)


def test_a_webhook_is_submitted(service: Service, queue: FetchQueue) -> None:
    """With a batch; who gives none sends what was always sent."""
    queue.submit([URL], webhook={"url": HOOK, "each": True})
    (seen,) = [seen for seen in service.seen if seen.method == "POST"]
    assert json.loads(seen.body) == {"urls": [URL], "webhook": {"url": HOOK, "each": True}}
    assert body([URL]) == b'{"urls":["https://example.com/a"]}'


def test_the_command_line(service: Service, command: Command) -> None:
    """--webhook with submit; the secret on standard output, and another one."""
    assert command("submit", URL, "--webhook", HOOK).code == 0
    bodies: list[Any] = [json.loads(seen.body) for seen in service.seen if seen.method == "POST"]
    assert bodies == [{"urls": [URL], "webhook": HOOK}]
    old, new = command("webhook-secret"), command("webhook-secret", "--renew")
    assert (old.code, new.code) == (0, 0)
    assert old.out.startswith("whsec_")
    assert old.out != new.out == command("webhook-secret").out
    assert json.loads(command("webhook-secret", "--json").out) == {"secret": new.out.strip()}


def test_a_renewal_is_made_once(service: Service, command: Command) -> None:
    """If its answer is lost, it is sent again with its key: another one would end the secret that receivers have."""
    service.fail("POST /webhook-secret", LOST)
    ran = command("webhook-secret", "--renew")
    assert (ran.code, service.asked("POST", "/webhook-secret")) == (0, 2)
    assert len(service.renewals) == 1
