"""The fetcher beside curl, on random answers."""

from __future__ import annotations

import pytest

from tests.depth import depth
from tests.runner.beside_curl import compare, version


@pytest.mark.skipif(not version(), reason="curl is not installed, and nothing else says what it would store")
def test_nothing_is_stored_that_curl_does_not_store() -> None:
    """But by the decisions that docs/fetching.md names; `python -m tests.runner.beside_curl` compares more."""
    answers = depth(100, 1000)
    result = compare(answers, seed=2)
    print(version(), result.counts)
    assert not result.unexplained, "\n".join(result.unexplained)
    assert result.compared > answers * 6 // 10, result.counts
