"""Which addresses and ports may be fetched: the verdict on the two ends of a connection, as a reason or None.

Called with a literal address when a URL is submitted, and with the address of the socket when it is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What a stage allows in addition to the public Internet, and what else it refuses."""

    loopback_allowed: bool = False  # 127.0.0.0/8 and ::1; for a stage on a developer's machine only
    forbidden_ports: frozenset[int] = frozenset({9001})  # on loopback; 9001 is Lambda's runtime API


PUBLIC_ONLY = AddressPolicy()

# The first row that contains an address decides. IANA's special-purpose registries and what they leave out: multicast,
# metadata services, withdrawn blocks. `is_global` is not used: its answers changed between versions of Python.
_IPV4: tuple[tuple[IPv4Network, str], ...] = tuple(
    (IPv4Network(block), reason)
    for block, reason in (
        ("169.254.169.254/32", "metadata"),  # EC2, Google, Azure
        ("169.254.170.2/32", "metadata"),  # ECS task credentials
        ("169.254.170.23/32", "metadata"),  # EKS Pod Identity
        ("100.100.100.200/32", "metadata"),  # Alibaba
        ("192.0.0.192/32", "metadata"),  # Oracle
        ("168.63.129.16/32", "metadata"),  # Azure WireServer, in public space
        ("0.0.0.0/8", "unspecified"),  # Linux connects 0.0.0.0 to loopback
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-nat"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),  # the relays of 6to4, withdrawn by RFC 7526
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmark"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
    )
)

# None: allowed, unless it carries an IPv4 address that is refused. Only 2000::/3 is allocated (RFC 4291, 2.4),
# so the last row also refuses the IPv4-compatible form, SIIT, NAT64 for local use (RFC 8215) and SRv6.
_IPV6: tuple[tuple[IPv6Network, str | None], ...] = tuple(
    (IPv6Network(block), reason)
    for block, reason in (
        ("fd00:ec2::254/128", "metadata"),  # EC2
        ("fd00:ec2::23/128", "metadata"),  # EKS Pod Identity
        ("fd20:ce::254/128", "metadata"),  # Google
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", None),  # IPv4-mapped
        ("64:ff9b::/96", None),  # NAT64, RFC 6052
        ("2001::/32", None),  # Teredo
        ("2001:2::/48", "benchmark"),
        ("2001::/23", "reserved"),  # protocol assignments, ORCHID
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("2000::/3", None),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),  # site-local, withdrawn by RFC 3879
        ("ff00::/8", "multicast"),
        ("::/0", "reserved"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))

# https://fetch.spec.whatwg.org/#port-blocking: a server there may take a request for its own protocol.
_BROWSERS_REFUSE = frozenset(
    (
        *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104),
        *(109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515),
        *(526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049),
        *(3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    )
)
_DATA_STORES = frozenset(
    (
        *(445, 873),  # SMB, rsync
        *(1433, 1521, 3306, 5432),  # SQL Server, Oracle, MySQL, PostgreSQL
        *(2181, 2379, 2380, 9092),  # ZooKeeper, etcd, Kafka
        *(2375, 2376, 10250, 10255),  # Docker, kubelet
        *(5672, 6379, 11211),  # AMQP, Redis, memcached
        *(5984, 7000, 9042, 9200, 9300, 27017, 27018, 27019),  # CouchDB, Cassandra, Elasticsearch, MongoDB
    )
)


def embedded(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that a translator or tunnel would take from this one.

    IPv4-mapped (RFC 4291), NAT64 (6052), 6to4 (3056), ISATAP (5214), and Teredo (4380), which carries a server and a
    client.
    """
    if address.teredo:
        return address.teredo
    if address.sixtofour:
        return (address.sixtofour,)
    low, high = int(address) & 0xFFFFFFFF, int(address) >> 32 & 0xFFFFFFFF
    isatap = high & ~0x02000000 == 0x00005EFE  # the bit says whether the IPv4 address is unique in the world
    if address.ipv4_mapped or address in _NAT64 or isatap:
        return (IPv4Address(low),)
    return ()


def refusal(address: Address, *, loopback_allowed: bool = False) -> str | None:
    """Why this address may not be fetched, in a word or two such as "private"; None if it may.

    An IPv6 address that carries an IPv4 address is refused if the carried one is: "embedded private". Where loopback is
    allowed, that is only as itself, never as a carried address.
    """
    if loopback_allowed and _is_loopback(address):
        return None
    if isinstance(address, IPv4Address):
        return next((reason for block, reason in _IPV4 if address in block), None)
    carried = next((reason for inner in embedded(address) if (reason := refusal(inner))), None)
    own = next(reason for block, reason in _IPV6 if address in block)
    return own or (f"embedded {carried}" if carried else None)


def refused_port(port: int) -> str | None:
    """Why no host may be fetched on this port; None if it may."""
    if not 1 <= port <= 65535:
        return "no such port"
    if port in _BROWSERS_REFUSE:
        return "blocked port"
    return "data-store port" if port in _DATA_STORES else None


def refused_endpoint(address: Address, port: int, *, forbidden_ports: frozenset[int]) -> str | None:
    """Why this port of this machine may never be fetched, not even if loopback may; else None."""
    return "forbidden port" if port in forbidden_ports and _is_loopback(address) else None


def verdict(address: Address, port: int, policy: AddressPolicy) -> str | None:
    """Why a connection to this address and port may not be made; None if it may."""
    return (
        refusal(address, loopback_allowed=policy.loopback_allowed)
        or refused_port(port)
        or refused_endpoint(address, port, forbidden_ports=policy.forbidden_ports)
    )


def _is_loopback(address: Address) -> bool:
    return any(address in block for block in _LOOPBACK)
