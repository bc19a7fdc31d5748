"""What benchmarks compute by DynamoDB's rules, on items whose sizes are known."""

from __future__ import annotations

import pytest

from bench.prices import MILLION, Bill, Unit
from bench.units import item_size, read_units, write_units


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"pk": {"S": "ab"}}, 4),
        ({"pk": {"S": "é"}}, 4),  # in UTF-8
        ({"n": {"N": "0"}}, 2),
        ({"n": {"N": "12"}}, 3),
        ({"n": {"N": "123"}}, 4),
        ({"n": {"N": "12000"}}, 3),  # zeros at the end are no digits of it
        ({"n": {"N": "-12"}}, 4),
        ({"yes": {"BOOL": True}}, 4),
        ({"m": {"M": {"a": {"S": "bc"}}}}, 1 + 3 + 1 + 1 + 2),
        ({"pk": {"S": "ab"}, "n": {"N": "12"}}, 7),
    ],
)
def test_the_size_of_an_item(item: dict[str, dict[str, object]], size: int) -> None:
    """Names and values, as the guide counts them."""
    assert item_size(item) == size


@pytest.mark.parametrize(
    ("size", "writes", "reads"), [(0, 1, 1), (1024, 1, 1), (1025, 2, 1), (4096, 4, 1), (4097, 5, 2)]
)
def test_units(size: int, writes: int, reads: int) -> None:
    """A write unit is 1 KiB, a read unit 4 KiB; each begun one counts."""
    assert (write_units(size), read_units(size)) == (writes, reads)


def test_a_bill() -> None:
    """Units at their prices, added and multiplied; what is sent out is shown apart."""
    bill = Bill({Unit.TABLE_WRITE: MILLION}) + Bill({Unit.TABLE_WRITE: MILLION, Unit.TRANSFER: 10})
    assert bill.dollars() == pytest.approx(1.25)
    assert bill.dollars(apart=True) == pytest.approx(0.90)
    assert bill.times(2).by_service() == {"DynamoDB": pytest.approx(2.50)}
