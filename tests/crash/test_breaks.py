"""The breaks of `make prove-breaks` break the code as it is now."""

from __future__ import annotations

from tests.crash import breaks


def test_every_break_still_finds_what_it_breaks() -> None:
    assert [broken.name for broken in breaks.every_break() if not broken.applies()] == []


def test_what_is_called_redundant_is_a_clause_of_the_protocol() -> None:
    assert set(breaks.REDUNDANT) <= {broken.name for broken in breaks.by_clause()}
