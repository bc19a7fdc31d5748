"""What the demo prints of an answer."""

from __future__ import annotations

import json

import pytest

from local_stack.demo import NotAsPromised, expect, pretty, shorten


def test_pretty_is_json_with_a_line_for_what_fits() -> None:
    """Short members stay in a line, long ones are opened."""
    value = {"a": {"b": [1, "ü"]}, "long": [{"x": "y" * 60}] * 3}
    text = pretty(value)
    assert json.loads(text) == value
    assert text.splitlines()[:3] == ["{", '  "a": {"b": [1, "ü"]},', '  "long": [']
    assert max(map(len, text.splitlines())) <= 150


def test_what_is_left_out() -> None:
    """What is null, what this is not about, and most of each job in a list; never what is false or nought."""
    job = {"id": "1", "url": "u", "status": "queued", "reused": None, "attempts": 0, "links": {"self": "/jobs/1"}}
    assert shorten(job) == {"id": "1", "url": "u", "status": "queued", "attempts": 0}
    batch = {"jobs": [{**job, "reused": False}], "rejected": [], "finished": False, "counts": {"failed": 0}}
    assert shorten(batch) == {
        "jobs": [{"id": "1", "url": "u", "status": "queued", "reused": False}],
        "finished": False,
        "counts": {"failed": 0},
    }


def test_a_broken_promise_ends_it() -> None:
    """The sentence says which."""
    expect(True, "all is well")
    with pytest.raises(NotAsPromised, match="this should be so, and is not: all is well"):
        expect(False, "all is well")
