"""What AWS charges: the one place where prices stand, each with its unit and its source, and bills made from them.

List prices of us-east-1 in US dollars, 2026: no free tier, no volume tier, no savings plan, no tax.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

GIB = 2**30
MILLION = 1_000_000
MONTH_DAYS = 365 / 12


class Unit(StrEnum):
    """What is paid for."""

    TABLE_WRITE = "DynamoDB write unit"
    TABLE_READ = "DynamoDB read unit"
    TABLE_STORAGE = "GB-month in the table"
    TABLE_BACKUP = "GB-month of point-in-time recovery"
    QUEUE_REQUEST = "SQS request"
    BUCKET_WRITE = "S3 PUT, COPY, POST or LIST request"
    BUCKET_READ = "S3 GET request"
    BUCKET_STORAGE = "GB-month in the bucket"
    INVOCATION = "Lambda invocation"
    COMPUTE = "Lambda GB-second"
    API_REQUEST = "API Gateway REST request"
    LOG = "GB of logs taken in"
    TRANSFER = "GB sent to the Internet"


@dataclass(frozen=True, slots=True)
class Price:
    """So many dollars for so many units of a service. What is not `checked` was not looked up at its source."""

    service: str
    dollars: float
    units: int
    source: str
    checked: bool = True


_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_S3 = "https://aws.amazon.com/s3/pricing/"
_LAMBDA = "https://aws.amazon.com/lambda/pricing/"

PRICES: Mapping[Unit, Price] = {
    Unit.TABLE_WRITE: Price("DynamoDB", 0.625, MILLION, _DYNAMODB),
    Unit.TABLE_READ: Price("DynamoDB", 0.125, MILLION, _DYNAMODB),
    Unit.TABLE_STORAGE: Price("DynamoDB", 0.25, 1, _DYNAMODB, checked=False),
    Unit.TABLE_BACKUP: Price("DynamoDB", 0.20, 1, _DYNAMODB, checked=False),
    Unit.QUEUE_REQUEST: Price("SQS", 0.40, MILLION, "https://aws.amazon.com/sqs/pricing/"),
    Unit.BUCKET_WRITE: Price("S3", 5.00, MILLION, _S3),
    Unit.BUCKET_READ: Price("S3", 0.40, MILLION, _S3),
    Unit.BUCKET_STORAGE: Price("S3", 0.023, 1, _S3, checked=False),
    Unit.INVOCATION: Price("Lambda", 0.20, MILLION, _LAMBDA),
    Unit.COMPUTE: Price("Lambda", 0.0000166667, 1, _LAMBDA),
    Unit.API_REQUEST: Price("API Gateway", 3.50, MILLION, "https://aws.amazon.com/api-gateway/pricing/"),
    Unit.LOG: Price("CloudWatch Logs", 0.50, 1, "https://aws.amazon.com/cloudwatch/pricing/", checked=False),
    Unit.TRANSFER: Price("transfer", 0.09, 1, "https://aws.amazon.com/ec2/pricing/on-demand/", checked=False),
}

# Shown apart: how much is sent depends on the results, and whoever reads inside AWS pays nothing for it.
APART = frozenset({Unit.TRANSFER})


@dataclass(frozen=True, slots=True)
class Bill:
    """How much was used of what is paid for."""

    used: Mapping[Unit, float] = field(default_factory=dict)

    def __add__(self, other: Self) -> Bill:
        return Bill({unit: self.used.get(unit, 0) + other.used.get(unit, 0) for unit in {**self.used, **other.used}})

    def times(self, number: float) -> Bill:
        """The same so many times."""
        return Bill({unit: amount * number for unit, amount in self.used.items()})

    def dollars(self, *, apart: bool = False) -> float:
        """What it costs; with `apart` what is shown apart, and nothing else."""
        return sum(_dollars(unit, amount) for unit, amount in self.used.items() if (unit in APART) is apart)

    def by_service(self) -> dict[str, float]:
        """What it costs at each service; what is shown apart is left out."""
        services: dict[str, float] = defaultdict(float)
        for unit, amount in self.used.items():
            if unit not in APART:
                services[PRICES[unit].service] += _dollars(unit, amount)
        return services


def _dollars(unit: Unit, amount: float) -> float:
    price = PRICES[unit]
    return amount * price.dollars / price.units
