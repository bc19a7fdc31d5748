"""The verdict on addresses and ports: boundary rows of every block, carried addresses, and the policy of a stage."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.jobs.addresses import (
    PUBLIC_ONLY,
    AddressPolicy,
    embedded,
    refusal,
    refused_endpoint,
    refused_port,
    verdict,
)

LOOPBACK = AddressPolicy(loopback_allowed=True)

Row = tuple[str, str, str, tuple[str, str | None] | None, tuple[str, str | None] | None]

# first, last, reason, then the neighbours outside and what is said of them
IPV4_BLOCKS: list[Row] = [
    ("0.0.0.0", "0.255.255.255", "unspecified", None, ("1.0.0.0", None)),
    ("10.0.0.0", "10.255.255.255", "private", ("9.255.255.255", None), ("11.0.0.0", None)),
    ("100.64.0.0", "100.127.255.255", "carrier-nat", ("100.63.255.255", None), ("100.128.0.0", None)),
    ("127.0.0.0", "127.255.255.255", "loopback", ("126.255.255.255", None), ("128.0.0.0", None)),
    ("169.254.0.0", "169.254.255.255", "link-local", ("169.253.255.255", None), ("169.255.0.0", None)),
    ("172.16.0.0", "172.31.255.255", "private", ("172.15.255.255", None), ("172.32.0.0", None)),
    ("192.0.0.0", "192.0.0.255", "reserved", ("191.255.255.255", None), ("192.0.1.0", None)),
    ("192.0.2.0", "192.0.2.255", "documentation", ("192.0.1.255", None), ("192.0.3.0", None)),
    ("192.88.99.0", "192.88.99.255", "reserved", ("192.88.98.255", None), ("192.88.100.0", None)),
    ("192.168.0.0", "192.168.255.255", "private", ("192.167.255.255", None), ("192.169.0.0", None)),
    ("198.18.0.0", "198.19.255.255", "benchmark", ("198.17.255.255", None), ("198.20.0.0", None)),
    ("198.51.100.0", "198.51.100.255", "documentation", ("198.51.99.255", None), ("198.51.101.0", None)),
    ("203.0.113.0", "203.0.113.255", "documentation", ("203.0.112.255", None), ("203.0.114.0", None)),
    ("224.0.0.0", "239.255.255.255", "multicast", ("223.255.255.255", None), ("240.0.0.0", "reserved")),
    ("240.0.0.0", "255.255.255.254", "reserved", ("239.255.255.255", "multicast"), ("255.255.255.255", "broadcast")),
    (
        "169.254.169.254",
        "169.254.169.254",
        "metadata",
        ("169.254.169.253", "link-local"),
        ("169.254.169.255", "link-local"),
    ),
    ("169.254.170.2", "169.254.170.2", "metadata", ("169.254.170.1", "link-local"), ("169.254.170.3", "link-local")),
    (
        "169.254.170.23",
        "169.254.170.23",
        "metadata",
        ("169.254.170.22", "link-local"),
        ("169.254.170.24", "link-local"),
    ),
    (
        "100.100.100.200",
        "100.100.100.200",
        "metadata",
        ("100.100.100.199", "carrier-nat"),
        ("100.100.100.201", "carrier-nat"),
    ),
    ("192.0.0.192", "192.0.0.192", "metadata", ("192.0.0.191", "reserved"), ("192.0.0.193", "reserved")),
    ("168.63.129.16", "168.63.129.16", "metadata", ("168.63.129.15", None), ("168.63.129.17", None)),
]
TOP = "ffff:ffff:ffff:ffff:ffff:ffff"
IPV6_BLOCKS: list[Row] = [
    ("::", "::", "unspecified", None, ("::1", "loopback")),
    ("::1", "::1", "loopback", ("::", "unspecified"), ("::2", "reserved")),
    ("::2", "::fffe:ffff:ffff", "reserved", ("::1", "loopback"), ("::ffff:0:0", "embedded unspecified")),
    (
        "::ffff:0:0:0",
        "::ffff:0:ffff:ffff",
        "reserved",
        ("::ffff:ffff:ffff", "embedded broadcast"),
        ("::ffff:1:0:0", "reserved"),
    ),
    (
        "64:ff9b:1::",
        "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
        "reserved",
        ("64:ff9b::1:0:0", "reserved"),
        ("64:ff9b:2::", "reserved"),
    ),
    ("100::", f"1fff:ffff:{TOP}", "reserved", None, ("2000::", None)),
    (
        "2001:2::",
        "2001:2:0:ffff:ffff:ffff:ffff:ffff",
        "benchmark",
        ("2001:1::", "reserved"),
        ("2001:2:1::", "reserved"),
    ),
    ("2001:3::", f"2001:1ff:{TOP}", "reserved", ("2001:2:1::", "reserved"), ("2001:200::", None)),
    ("2001:db8::", f"2001:db8:{TOP}", "documentation", (f"2001:db7:{TOP}", None), ("2001:db9::", None)),
    (
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        "documentation",
        (f"3ffe:ffff:{TOP}", None),
        ("3fff:1000::", None),
    ),
    ("4000::", f"fbff:ffff:{TOP}", "reserved", (f"3fff:ffff:{TOP}", None), ("fc00::", "private")),
    ("fc00::", f"fdff:ffff:{TOP}", "private", (f"fbff:ffff:{TOP}", "reserved"), ("fe00::", "reserved")),
    ("fe80::", f"febf:ffff:{TOP}", "link-local", (f"fe7f:ffff:{TOP}", "reserved"), ("fec0::", "private")),
    ("fec0::", f"feff:ffff:{TOP}", "private", (f"febf:ffff:{TOP}", "link-local"), ("ff00::", "multicast")),
    ("ff00::", f"ffff:ffff:{TOP}", "multicast", (f"feff:ffff:{TOP}", "private"), None),
    ("fd00:ec2::254", "fd00:ec2::254", "metadata", ("fd00:ec2::253", "private"), ("fd00:ec2::255", "private")),
    ("fd00:ec2::23", "fd00:ec2::23", "metadata", ("fd00:ec2::22", "private"), ("fd00:ec2::24", "private")),
    ("fd20:ce::254", "fd20:ce::254", "metadata", ("fd20:ce::253", "private"), ("fd20:ce::255", "private")),
]


@pytest.mark.parametrize(("first", "last", "reason", "below", "above"), IPV4_BLOCKS + IPV6_BLOCKS)
def test_blocks(
    first: str, last: str, reason: str, below: tuple[str, str | None] | None, above: tuple[str, str | None] | None
) -> None:
    """The first and the last address of a block are refused for its reason, the neighbours are not of the block."""
    assert refusal(ip_address(first)) == reason
    assert refusal(ip_address(last)) == reason
    for neighbour, said in filter(None, (below, above)):
        assert refusal(ip_address(neighbour)) == said


@pytest.mark.parametrize(
    "address",
    [
        *("1.1.1.1", "8.8.8.8", "93.184.216.34", "192.31.196.1", "192.175.48.1", "223.255.255.255"),
        *("2000::", "2001:200::", "2606:2800:220:1:248:1893:25c8:1946", "2a00::1", "3ffe::1"),
    ],
)
def test_public_addresses(address: str) -> None:
    """What is public and given out may be fetched."""
    assert refusal(ip_address(address)) is None


CARRIERS = {
    "mapped": "::ffff:{0:x}:{1:x}",
    "NAT64": "64:ff9b::{0:x}:{1:x}",
    "6to4": "2002:{0:x}:{1:x}::1",
    "ISATAP": "2606:2800::5efe:{0:x}:{1:x}",
    "ISATAP with a public address": "2606:2800::200:5efe:{0:x}:{1:x}",
    "Teredo server": "2001:0:{0:x}:{1:x}:0:0:a247:27dd",
    "Teredo client": "2001:0:5db8:d822:0:0:{2:x}:{3:x}",
}


def carrying(carrier: str, inner: str) -> IPv6Address:
    number = int(IPv4Address(inner))
    high, low = number >> 16, number & 0xFFFF
    return IPv6Address(CARRIERS[carrier].format(high, low, high ^ 0xFFFF, low ^ 0xFFFF))


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        ("93.184.216.34", None),
        ("127.0.0.1", "embedded loopback"),
        ("10.0.0.5", "embedded private"),
        ("169.254.169.254", "embedded metadata"),
        ("100.64.0.1", "embedded carrier-nat"),
        ("0.0.0.0", "embedded unspecified"),
    ],
)
def test_carried_addresses(carrier: str, inner: str, reason: str | None) -> None:
    """An IPv6 address is no better than the IPv4 address that it carries, and no worse."""
    address = carrying(carrier, inner)
    assert IPv4Address(inner) in embedded(address)
    assert refusal(address) == reason
    assert refusal(address, loopback_allowed=True) == reason


@pytest.mark.parametrize("marked", ["5eff", "5efd", "100:5efe", "400:5efe", "202:5efe", "5efe:0"])
def test_what_only_looks_like_isatap(marked: str) -> None:
    """The IPv4 address is ISATAP's after 0:5efe or 200:5efe, and after nothing else (RFC 5214)."""
    assert refusal(IPv6Address(f"2606:2800::{marked}:7f00:1")) is None


@pytest.mark.parametrize("address", ["::93.184.216.34", "::ffff:0:93.184.216.34", "64:ff9b:1::5db8:d822"])
def test_withdrawn_carriers(address: str) -> None:
    """IPv4-compatible, SIIT and NAT64 for local use are refused whatever they carry: no site has such an address."""
    assert refusal(IPv6Address(address)) == "reserved"


def test_loopback_where_it_is_allowed() -> None:
    """Allowing loopback allows loopback and nothing else."""
    for address in ("127.0.0.0", "127.0.0.1", "127.255.255.255", "::1"):
        assert refusal(ip_address(address)) == "loopback"
        assert refusal(ip_address(address), loopback_allowed=True) is None
    for address in ("0.0.0.0", "::", "10.0.0.1", "169.254.169.254", "::127.0.0.1", "::ffff:0:127.0.0.1", "fe80::1"):
        assert refusal(ip_address(address), loopback_allowed=True) == refusal(ip_address(address)) is not None


@given(
    st.ip_addresses(v=6, network="::/3")
    | st.ip_addresses(v=6, network="4000::/2")
    | st.ip_addresses(v=6, network="8000::/1")
)
def test_ipv6_outside_what_is_given_out(address: IPv6Address) -> None:
    """Outside 2000::/3 nothing may be fetched but what carries a public IPv4 address."""
    carrier = any(address in ip_network(block) for block in ("::ffff:0:0/96", "64:ff9b::/96"))
    assert refusal(address) or carrier


@given(st.ip_addresses(v=4))
def test_no_less_than_the_standard_library(address: IPv4Address) -> None:
    """What the standard library calls private, multicast or reserved is never fetched."""
    if (
        address.is_private
        or address.is_multicast
        or address.is_reserved
        or address.is_link_local
        or address.is_loopback
    ):
        assert refusal(address)


@pytest.mark.parametrize(
    ("port", "reason"),
    [
        *((port, None) for port in (80, 443, 8000, 8080, 8443, 3000, 5000, 9000, 9001, 10081, 65535, 81, 444)),
        *((port, "no such port") for port in (-80, 0, 65536, 70000)),
        *(
            (port, "blocked port")
            for port in (1, 22, 25, 53, 79, 87, 110, 995, 2049, 4190, 6000, 6665, 6669, 6697, 10080)
        ),
        *((port, "data-store port") for port in (2375, 2376, 2379, 2380, 3306, 5432, 6379, 9200, 9300, 10250, 11211)),
        *((port, "data-store port") for port in (27017, 445, 873, 1433, 1521, 5672, 5984, 9042, 9092)),
    ],
)
def test_ports(port: int, reason: str | None) -> None:
    """Where web sites listen may be fetched; what browsers refuse and where data stores listen may not."""
    assert refused_port(port) == reason


def test_forbidden_ports_are_of_this_machine() -> None:
    """A forbidden port is refused on loopback, however it is spelt, and nowhere else."""
    forbidden = frozenset({4566, 9001})
    for address in ("127.0.0.1", "127.1.2.3", "::1"):
        assert refused_endpoint(ip_address(address), 9001, forbidden_ports=forbidden) == "forbidden port"
        assert refused_endpoint(ip_address(address), 4566, forbidden_ports=forbidden) == "forbidden port"
        assert refused_endpoint(ip_address(address), 8000, forbidden_ports=forbidden) is None
    for address in ("128.0.0.1", "8.8.8.8", "2606::1"):
        assert refused_endpoint(ip_address(address), 9001, forbidden_ports=forbidden) is None


@pytest.mark.parametrize(
    ("address", "port", "policy", "reason"),
    [
        ("8.8.8.8", 443, PUBLIC_ONLY, None),
        ("8.8.8.8", 9001, PUBLIC_ONLY, None),
        ("8.8.8.8", 6379, PUBLIC_ONLY, "data-store port"),
        ("8.8.8.8", 0, PUBLIC_ONLY, "no such port"),
        ("10.0.0.1", 443, PUBLIC_ONLY, "private"),
        ("127.0.0.1", 8000, PUBLIC_ONLY, "loopback"),
        ("127.0.0.1", 8000, LOOPBACK, None),
        ("::1", 8000, LOOPBACK, None),
        ("127.0.0.1", 9001, LOOPBACK, "forbidden port"),
        ("::1", 9001, LOOPBACK, "forbidden port"),
        ("127.0.0.1", 6379, LOOPBACK, "data-store port"),
        ("::ffff:127.0.0.1", 8000, LOOPBACK, "embedded loopback"),
        ("192.168.1.1", 80, LOOPBACK, "private"),
        ("127.0.0.1", 4566, AddressPolicy(loopback_allowed=True, forbidden_ports=frozenset({4566})), "forbidden port"),
    ],
)
def test_verdict(address: str, port: int, policy: AddressPolicy, reason: str | None) -> None:
    """One reason for a connection that may not be made, None for one that may."""
    assert verdict(ip_address(address), port, policy) == reason


def test_the_default_policy_is_the_strictest() -> None:
    """A stage that sets nothing fetches the public Internet only, and never Lambda's runtime API."""
    assert AddressPolicy() == PUBLIC_ONLY == AddressPolicy(False, frozenset({9001}))
