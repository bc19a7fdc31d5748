"""Who may be told, when it is tried again, and what signs it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook as Reference

from chalicelib.jobs.addresses import PUBLIC_ONLY, AddressPolicy
from chalicelib.jobs.urls import InvalidURL
from chalicelib.jobs.webhooks import (
    MOST_TRIES,
    PAUSES,
    Event,
    EventState,
    Generation,
    Subject,
    receiver_of,
    signed_headers,
    watch_pause,
)

NOW = 1_767_225_600_000
SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000
LEASE = 75 * SECOND
KEY = b"the service's own key"
LOOPBACK = AddressPolicy(loopback_allowed=True)
NEW = Event(
    subject_id="1" * 32,
    subject=Subject.JOB,
    tenant="local",
    url="https://a.example/",
    state=EventState.PENDING,
    tries=0,
    changes=0,
    lease_until=NOW,
    next_try_at=NOW,
    payload="{}",
    made_at=NOW,
)


def after(status: int | None, *, tries: int = 1, retry_after: float | None = None) -> tuple[str, float | None]:
    """The state after a try, and the seconds until the next one."""
    event = NEW
    for _ in range(tries):
        event = event.begun(now=NOW, lease=LEASE)
    tried = event.tried(status, retry_after, now=NOW)
    assert (tried.last_status, tried.tries) == (status, tries)
    return tried.state, None if tried.next_try_at is None else (tried.next_try_at - NOW) / SECOND


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    assert after(status) == ("delivered", None)


def test_gone_ends_it() -> None:
    assert after(410) == ("ended", None)


@pytest.mark.parametrize("status", [None, 199, 300, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503, 999])
def test_anything_else_is_tried_again(status: int | None) -> None:
    """Redirects too."""
    assert after(status) == ("pending", 5)


def test_the_pauses_grow_until_it_has_failed() -> None:
    """After 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h."""
    waits = [after(500, tries=tries) for tries in range(1, MOST_TRIES + 1)]
    assert waits == [*(("pending", pause) for pause in (5, 300, 1800, 7200, 18_000, 36_000, 36_000)), ("failed", None)]


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [(0.0, 5), (4.0, 5), (60.0, 60), (36_000.0, 36_000), (1e9, 36_000), (float("inf"), 36_000)],
)
def test_retry_after_is_heeded(retry_after: float, pause: float) -> None:
    """It lengthens a pause, to ten hours at most."""
    assert after(503, retry_after=retry_after) == ("pending", pause)


def test_what_is_sent_again_is_tried_as_often_as_at_first() -> None:
    event = NEW
    for _ in range(MOST_TRIES):
        event = event.begun(now=NOW, lease=LEASE).tried(500, None, now=NOW)
    assert event.state is EventState.FAILED
    again = event.again(now=NOW + HOUR)
    assert (again.state, again.next_try_at, again.id) == (EventState.PENDING, NOW + HOUR, event.id)
    tried = again.begun(now=NOW + HOUR, lease=LEASE).tried(500, None, now=NOW + HOUR)
    assert tried.next_try_at == NOW + HOUR + PAUSES[0] * SECOND
    assert tried.tries == MOST_TRIES + 1


def test_every_change_is_counted() -> None:
    """By it a write knows whether the event is as it was read, even where all happens in one millisecond."""
    changes = [NEW, NEW.begun(now=NOW, lease=LEASE)]
    changes.append(changes[-1].tried(500, None, now=NOW))
    changes.append(changes[-1].tried(200, None, now=NOW))
    changes.append(changes[-1].again(now=NOW))
    changes.append(changes[-1].given_up())
    assert [event.changes for event in changes] == list(range(6))


def test_a_signature_is_that_of_the_standard() -> None:
    """As its own library makes it."""
    generation = Generation(tenant="local")
    headers = signed_headers("evt_1", b'{"a":1}', generation.secrets(KEY, now=NOW), now=NOW)
    reference = Reference(generation.shown(KEY))
    expected = reference.sign("evt_1", datetime.fromtimestamp(NOW / 1000, tz=UTC), '{"a":1}')
    assert headers == {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(NOW // 1000),
        "webhook-signature": expected,
    }


def test_a_secret_is_its_tenants_and_its_services() -> None:
    """Nobody else's, whoever knows how it is made; 32 bytes, of which the standard asks for 24 to 64."""
    texts = {
        Generation(tenant="a").shown(KEY),
        Generation(tenant="b").shown(KEY),
        Generation(tenant="a", generation=1).shown(KEY),
        Generation(tenant="a").shown(b"another key"),
    }
    assert len(texts) == 4
    assert {text[:6] for text in texts} == {"whsec_"}
    assert {len(base64.b64decode(text[6:])) for text in texts} == {32}


@pytest.mark.parametrize(("later", "signatures"), [(0, 2), (DAY - 1, 2), (DAY, 1)])
def test_for_a_day_the_old_secret_signs_too(later: int, signatures: int) -> None:
    """So that receivers have time to be given the new one."""
    old = Generation(tenant="a")
    new = old.next("request", now=NOW)
    signed = signed_headers("evt_1", b"{}", new.secrets(KEY, now=NOW + later), now=NOW)["webhook-signature"].split()
    assert len(signed) == signatures
    for generation, expected in ((new, True), (old, signatures == 2)):
        text = Reference(generation.shown(KEY)).sign("evt_1", datetime.fromtimestamp(NOW / 1000, tz=UTC), "{}")
        assert (text in signed) is expected


@pytest.mark.parametrize(
    ("url", "policy"),
    [
        ("https://a.example/told?x=1", PUBLIC_ONLY),
        ("HTTPS://a.example", PUBLIC_ONLY),
        ("https://a.example:8443/", LOOPBACK),
        ("http://127.0.0.1:8000/told", LOOPBACK),
        ("http://localhost:8000/", LOOPBACK),
        ("http://[::1]:8000/", LOOPBACK),
        ("https://127.0.0.1:8000/", LOOPBACK),
    ],
)
def test_who_may_be_told(url: str, policy: AddressPolicy) -> None:
    assert receiver_of(url, policy).startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("url", "policy"),
    [
        ("http://a.example/", PUBLIC_ONLY),
        ("http://a.example/", LOOPBACK),
        ("http://127.0.0.1/", PUBLIC_ONLY),
        ("https://127.0.0.1/", PUBLIC_ONLY),
        ("https://10.0.0.1/", LOOPBACK),
        ("https://169.254.169.254/", LOOPBACK),
        ("http://127.0.0.1:9001/", LOOPBACK),
        ("http://127.0.0.1.a.example/", LOOPBACK),
        ("https://user:password@a.example/", PUBLIC_ONLY),
        ("ftp://a.example/", PUBLIC_ONLY),
        ("a.example", PUBLIC_ONLY),
        ("", PUBLIC_ONLY),
        ("https://a.example/ https://b.example/", PUBLIC_ONLY),
        ("https://a.example/" + "x" * 2048, PUBLIC_ONLY),
    ],
)
def test_who_may_not_be_told(url: str, policy: AddressPolicy) -> None:
    with pytest.raises(InvalidURL):
        receiver_of(url, policy)


@pytest.mark.parametrize(
    ("age", "pause"), [(0, 5), (49, 5), (50, 5), (60, 6), (100, 10), (3600, 360), (9000, 840), (10**9, 840)]
)
def test_how_long_what_is_unfinished_is_left_alone(age: int, pause: int) -> None:
    """A tenth of its age: seconds."""
    assert watch_pause(age * SECOND) == pause * SECOND
