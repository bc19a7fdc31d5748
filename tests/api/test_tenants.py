"""Two tenants: neither can see, read, delete, count or time what is the other's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from chalice.test import HTTPResponse

from chalicelib.jobs import ids
from tests.world import World, failure, world

URL = "https://example.com/"


class Tenant:
    """Somebody with a token."""

    def __init__(self, w: World, name: str) -> None:
        self._w = w
        self._headers = {"Authorization": f"Bearer {w.grant(name)}"}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> HTTPResponse:
        """A request of theirs."""
        return self._w.request(method, path, body, {**self._headers, **headers})

    def submit(self, url: str = URL, **headers: str) -> dict[str, Any]:
        """A job of theirs."""
        answer = self.ask("POST", "/jobs", {"url": url}, **headers)
        assert answer.status_code == 202, answer.body
        job: dict[str, Any] = answer.json_body
        return job

    def submit_batch(self, urls: list[str], **headers: str) -> dict[str, Any]:
        """A batch of theirs."""
        answer = self.ask("POST", "/batches", {"urls": urls}, **headers)
        assert answer.status_code == 202, answer.body
        batch: dict[str, Any] = answer.json_body
        return batch


@pytest.fixture
def closed() -> Iterator[World]:
    """A world that asks for tokens."""
    with world(require_tokens=1) as made:
        yield made


@pytest.fixture
def alice(closed: World) -> Tenant:
    """One of the two."""
    return Tenant(closed, "alice")


@pytest.fixture
def bob(closed: World) -> Tenant:
    """The other."""
    return Tenant(closed, "bob")


def requests_for(job: dict[str, Any], batch: dict[str, Any]) -> list[tuple[str, str]]:
    """Everything that can be asked for by an id."""
    return [
        ("GET", f"/jobs/{job['id']}"),
        ("GET", f"/jobs/{job['id']}?wait=20"),
        ("GET", f"/jobs/{job['id']}/result"),
        ("GET", f"/jobs/{batch['id']}-0"),
        ("GET", f"/batches/{batch['id']}"),
        ("GET", f"/batches/{batch['id']}/results"),
        ("DELETE", f"/jobs/{job['id']}"),
        ("DELETE", f"/jobs/{batch['id']}-0"),
        ("DELETE", f"/batches/{batch['id']}"),
    ]


@pytest.mark.parametrize("state", ["queued", "finished", "failed", "deleted"])
def test_anothers_id_is_an_unknown_one(closed: World, alice: Tenant, bob: Tenant, state: str) -> None:
    """The same answer to the byte, and the same calls behind it, so that time tells nothing either."""
    job, batch = alice.submit(), alice.submit_batch([f"{URL}1", f"{URL}2"])
    if state == "failed":
        closed.site.answers = {url: [failure()] for url in (URL, f"{URL}1", f"{URL}2")}
    if state != "queued":
        closed.run()
    if state == "deleted":
        for path in (f"/jobs/{job['id']}", f"/batches/{batch['id']}"):
            assert alice.ask("DELETE", path).status_code == 204
    bob.ask("GET", "/jobs/x")  # his token is known from here on
    before = closed.items()
    unknown = requests_for({"id": "e" * 32}, {"id": "f" * 32})
    for (method, theirs), (_, nobodys) in zip(requests_for(job, batch), unknown, strict=True):
        with closed.counted_calls() as calls:
            answer = bob.ask(method, theirs)
        with closed.counted_calls() as expected_calls:
            expected = bob.ask(method, nobodys)
        assert (answer.status_code, answer.body, answer.headers) == (404, expected.body, expected.headers)
        assert calls == expected_calls
    assert closed.items() == before
    if state == "finished":
        assert alice.ask("GET", f"/jobs/{job['id']}/result").status_code == 200


def test_anothers_row_is_not_looked_into(closed: World, alice: Tenant, bob: Tenant) -> None:
    """What is in it makes no difference: not its size by the time that reading it takes, nor a fault by a 500."""
    job, batch = alice.submit(), alice.submit_batch([URL])
    for key in (f"JOB#{job['id']}", f"JOB#{batch['id']}-0", f"BATCH#{batch['id']}"):
        row = {"pk": {"S": key}, "tenant": {"S": "alice"}, "url": {"S": URL}, "digest": {"S": "of a later version"}}
        closed.clients["dynamodb"].put_item(TableName=closed.names["TABLE_NAME"], Item=row)
    for method, path in requests_for(job, batch):
        assert bob.ask(method, path).status_code == 404
        assert alice.ask(method, path).status_code == 500


def test_the_hour_is_each_ones_own(closed: World, alice: Tenant, bob: Tenant) -> None:
    """What one has fetched is fetched for the other again, who would else learn of it by `reused` and by time."""
    first = alice.submit()
    closed.run()
    second, third = bob.submit(), alice.submit()
    closed.run()
    assert closed.site.requests[URL] == 2
    assert bob.ask("GET", f"/jobs/{second['id']}").json_body["reused"] is False
    assert alice.ask("GET", f"/jobs/{third['id']}").json_body["reused"] is True
    for job in (first, third):
        assert alice.ask("DELETE", f"/jobs/{job['id']}").status_code == 204
    assert bob.ask("GET", f"/jobs/{second['id']}/result").status_code == 200


def test_idempotency_keys_are_each_ones_own(alice: Tenant, bob: Tenant) -> None:
    """The same key of two tenants stands for two jobs, and a body of one is no conflict for the other."""
    key = {"Idempotency-Key": "k"}
    jobs = [tenant.submit(url, **key)["id"] for tenant, url in ((alice, URL), (bob, f"{URL}other"), (alice, URL))]
    assert (jobs[0] == jobs[2], jobs[0] == jobs[1]) == (True, False)
    batches = [tenant.submit_batch([URL], **key)["id"] for tenant in (alice, bob, alice)]
    assert (batches[0] == batches[2], batches[0] == batches[1]) == (True, False)


def test_several_tokens_of_a_tenant(closed: World, alice: Tenant) -> None:
    """Are one and the same to the service."""
    job = alice.submit()
    assert Tenant(closed, "alice").ask("GET", f"/jobs/{job['id']}").status_code == 200


def test_ids_cannot_be_guessed() -> None:
    """128 bits, random or the hash of a key that only its tenant has; nothing in one tells of another."""
    assert ids.RANDOM_BYTES * 8 == 128
    derived = {
        ids.derived(tenant, route, key) for tenant in "ab" for route in ("POST /jobs", "POST /batches") for key in "12"
    }
    assert len(derived) == 8
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in derived)
    # About half of the bits differ, as between random ones: what is near in tenant, route or key is not near as an id.
    distances = [(int(a, 16) ^ int(b, 16)).bit_count() for a in derived for b in derived if a < b]
    assert min(distances) > 30


def test_nothing_shown_names_the_tenant(closed: World, alice: Tenant) -> None:
    """Who needs no tenants never sees the word."""
    job, batch = alice.submit(), alice.submit_batch([URL])
    closed.run()
    for method, path in requests_for(job, batch):
        answer = alice.ask(method, path)
        assert b"alice" not in answer.body
        assert "alice" not in str(dict(answer.headers))
        assert b"tenant" not in answer.body
