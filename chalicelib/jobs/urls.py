"""The normal form of a URL: two URLs have one normal form exactly when they make the same request on the wire.

The runner sends the normal form, so what is compared is what is sent. What can be refused without the network is
refused here.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from chalicelib.jobs.addresses import PUBLIC_ONLY, AddressPolicy, refused_port, verdict
from chalicelib.jobs.errors import FetchQueueError

MAX_LENGTH: Final = 8192  # characters, as given and as sent

_BYTE_ORDER_MARK: Final = "\ufeff"  # not part of a URL: the first line of a saved list may begin with it
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_DAMAGED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AFTER_SCHEME = re.compile(r"//([^/?#]*)([^?#]*)(?:\?([^#]*))?")  # RFC 3986, appendix B
_WEB = re.compile("https?://", re.IGNORECASE)
_BETWEEN = re.compile(r"(?<![ \t\r\n,;|])([ \t\r\n,;|]+)https?://", re.IGNORECASE)  # the URLs of a list
_SCHEME_FORGOTTEN = re.compile(r"(?://)?((?:[\w-]+\.)+[\w-]+|localhost)(?::[0-9]*)?(?:[/?#].*)?")
# RFC 3986: pchar, "/" and "?" stay as they are; the rest is escaped. A path holds no raw "?", so one set does for both.
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})|[^A-Za-z0-9._~!$&'()*+,;=:@/?-]")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")  # "_" and a hyphen at an edge are not allowed (RFC 952), but sites use them
_LONGEST_LABEL: Final = 63  # RFC 1035, 2.3.4
_JOINERS: Final = "\u200c\u200d"
_ENDS_IN_NUMBER = re.compile(
    r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)"
)  # https://url.spec.whatwg.org/#ends-in-a-number-checker
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]+")


class InvalidURL(FetchQueueError):
    """The URL cannot be fetched as it is; the text tells the person who submitted it what is wrong and what to do."""


def normal_form(url: str, policy: AddressPolicy = PUBLIC_ONLY, *, longest: int = MAX_LENGTH) -> str:
    """The one spelling of all URLs that make this request: RFC 3986, 6.2.2 and 6.2.3, with UTS 46 for the host.

    Case of scheme and host, default port, empty path, dot segments, spelling of percent-escapes, empty query and
    fragment make no difference. Order of the query, `www.`, a trailing slash and the case of a path do. A `%` that
    does not start an escape stands for itself. Raises InvalidURL, also for an address or port that `policy` refuses and
    for a URL of more than `longest` characters.
    """
    url = url.removeprefix(_BYTE_ORDER_MARK)
    _check_text(url, longest)
    scheme, rest = _split_scheme(url, policy)
    match = _AFTER_SCHEME.match(rest)
    if not match:
        hint = _did_you_mean(f"{scheme}://" + rest.replace("\\", "/").lstrip("/"), policy)
        raise InvalidURL(f"two slashes must follow {scheme}:{hint}")
    authority, path, query = match[1], match[2], match[3]
    host, port = _split_authority(authority, scheme)
    shown_port = "" if port == _DEFAULT_PORTS[scheme] else f":{port}"
    shown_query = f"?{_escaped(query)}" if query else ""
    normal = f"{scheme}://{_host(host, port, policy)}{shown_port}{without_dots(_escaped(path))}{shown_query}"
    if len(normal) > longest:
        raise InvalidURL(f"a URL has at most {longest} characters; this one has {len(normal)} once percent-encoded")
    return normal


def check_single(url: str) -> None:
    """Raise InvalidURL for a line of several URLs, which, taken as one URL, would have a path that nobody meant.

    Not for the target of a redirect: what looks like several URLs there is one URL that the site has built.
    """
    if not _WEB.match(url.removeprefix(_BYTE_ORDER_MARK)):
        return  # it is not even one URL
    query = f"{url}?".index("?")
    for match in _BETWEEN.finditer(url):
        between = match[1]
        if match.start() > query and between == between.strip():
            continue  # a comma in a query is more often part of the site's own list
        raise InvalidURL(
            f"the line contains two URLs, separated by {_named(between)}; send several URLs to POST /batches, each as "
            "its own string (within a single URL, percent-encode the second)"
        )


def _named(between: str) -> str:
    """What separates two URLs, in words."""
    names = {" ": "a space", ",": "a comma", ";": "a semicolon", "|": "a bar"}
    rarest = min(between)  # a control character before a space, a space before a comma
    return names.get(rarest, f"U+{ord(rarest):04X}")


def _check_text(url: str, longest: int) -> None:
    """Refuse what is not a URL whatever its parts are; parsers drop or change such characters, each in its own way."""
    if not url:
        raise InvalidURL("the URL is empty; give one such as https://example.com/")
    if len(url) > longest:
        raise InvalidURL(f"a URL has at most {longest} characters; this one has {len(url)}")
    if damaged := _DAMAGED.search(url):
        code, place = f"U+{ord(damaged[0]):04X}", f"at character {damaged.start() + 1}"
        if damaged[0] >= "\ud800":
            raise InvalidURL(f"the URL contains {code} {place}: its text was damaged on the way; send it as UTF-8")
        raise InvalidURL(f"the URL contains a control character, {code}, {place}; remove it")
    if url != url.strip():
        raise InvalidURL("the URL begins or ends with a space; remove it")


def _split_scheme(url: str, policy: AddressPolicy) -> tuple[str, str]:
    if forgotten := _SCHEME_FORGOTTEN.fullmatch(url):
        likely = "http" if forgotten[1] == "localhost" or forgotten[1].startswith("127.") else "https"
        hint = _did_you_mean(f"{likely}://{url.removeprefix('//')}", policy)
        raise InvalidURL(f"a URL must begin with http:// or https://{hint}")
    match = _SCHEME.match(url)
    if not match:
        raise InvalidURL("a URL must begin with http:// or https://; give the whole URL, such as https://example.com/")
    scheme = match[1].lower()
    if scheme not in _DEFAULT_PORTS:
        raise InvalidURL(f"the scheme must be http or https, not {scheme[:20]}")
    return scheme, url[match.end() :]


def _did_you_mean(url: str, policy: AddressPolicy) -> str:
    """The end of a sentence that offers `url`, or nothing if that could not be fetched either."""
    try:
        offer = normal_form(url, policy)
    except InvalidURL:
        return ""
    return f"; did you mean {offer}?" if len(offer) <= 200 else ""


def _split_authority(authority: str, scheme: str) -> tuple[str, int]:
    """The host as written and the port."""
    if "\\" in authority:
        raise InvalidURL("there is a backslash in or before the host, which only / can end; replace it with /")
    if "@" in authority:
        raise InvalidURL("remove the user name and password before the @: they would be stored and shown")
    if " " in authority:
        raise InvalidURL("remove the space in the host or port")
    host, bracket, rest = authority.partition("]")
    if bracket:
        host, colon, port = host + bracket, rest[:1], rest[1:]
        if colon not in ("", ":"):
            raise InvalidURL("only a port can follow the address in square brackets")
    else:
        host, _, port = authority.partition(":")
        if ":" in port:
            raise InvalidURL(
                "the host contains two colons; an IPv6 address needs square brackets: http://[2001:db8::1]/"
            )
    if not host:
        raise InvalidURL("the URL has no host; give one, such as https://example.com/")
    return host, _port(port) if port else _DEFAULT_PORTS[scheme]


def _port(text: str) -> int:
    digits = text.lstrip("0")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and int(digits) <= 65535):
        raise InvalidURL(f"a port is a number from 1 to 65535, not {text[:20]}")
    if reason := refused_port(int(digits)):
        raise InvalidURL(f"port {digits} is not allowed ({reason}); only ports that web sites listen on are")
    return int(digits)


def _host(text: str, port: int, policy: AddressPolicy) -> str:
    """The host in its normal form, and allowed, as far as that can be known without the network."""
    address: IPv4Address | IPv6Address | None = None
    if text.startswith("["):
        address = _ipv6(text)
        # str() gives an IPv4-mapped address in another form from Python 3.13 on; keys are made from this text.
        mapped = f"::ffff:{int(address) >> 16 & 0xFFFF:x}:{int(address) & 0xFFFF:x}"
        host = f"[{mapped if address.ipv4_mapped else address}]"
    else:
        host = _name(text)
        if _ENDS_IN_NUMBER.fullmatch(host):
            address = _ipv4(host)
            host = str(address)
        elif host == "localhost" or host.endswith(".localhost"):  # RFC 6761, 6.3
            address = IPv4Address("127.0.0.1")
    if address and (reason := verdict(address, port, policy)):
        raise InvalidURL(f"this address may not be fetched ({reason}); give one that is public on the Internet")
    return host


def _ipv6(text: str) -> IPv6Address:
    if "%" in text:
        raise InvalidURL(
            "remove the zone (everything from %) from the IPv6 address: it has a meaning on one machine only"
        )
    try:
        return IPv6Address(text[1:-1])
    except ValueError:
        raise InvalidURL("the text in square brackets is not an IPv6 address") from None


def _ipv4(host: str) -> IPv4Address:
    """The address as the resolver's inet_aton reads it: one to four parts, each decimal or hexadecimal.

    Not octal: some programs read 010.0.0.1 as 8.0.0.1, others as 10.0.0.1.
    """
    parts = host.split(".")
    if any(part[0] == "0" and part[1:2].isdigit() for part in parts):
        raise InvalidURL("remove the leading zeros from the IPv4 address: some programs read them as octal")
    if len(parts) <= 4 and all(_NUMBER.fullmatch(part) for part in parts):
        *first, last = (int(part, 0) for part in parts)
        if max(first, default=0) < 256 and last < 256 ** (4 - len(first)):
            return IPv4Address(sum(n << 24 - 8 * place for place, n in enumerate(first)) + last)
    raise InvalidURL(
        "a host that ends in a number must be an IPv4 address, and this is not one; write it like 198.51.100.7"
    )


def _name(text: str) -> str:
    """The host name in lower case and ASCII, without the root's dot: requests leaves that out of Host and SNI."""
    if "%" in text:
        raise InvalidURL("the host contains a percent-escape; write the host itself")
    name = (text.lower() if text.isascii() else _mapped(text)).removesuffix(".")
    if len(name) > 253:
        raise InvalidURL(f"a host name has at most 253 characters; this one has {len(name)}")
    for label in name.split("."):
        if not label:
            raise InvalidURL("the host has an empty part: it begins with a dot or has two dots in a row")
        if len(label) > _LONGEST_LABEL:
            raise _too_long(label)
        if not _LABEL.fullmatch(label):
            raise InvalidURL(
                "the host contains a character that no host name can have; letters, digits, - and _ are allowed"
            )
        if label.startswith("xn--") and not _is_punycode(label[4:]):
            raise InvalidURL(f"the part {label} of the host is not a valid international name")
    return name


def _mapped(text: str) -> str:
    """UTS 46 as browsers apply it (https://url.spec.whatwg.org/#concept-domain-to-ascii): whatever it maps is accepted.

    IDNA 2008 allows fewer characters: no emoji, though sites use them. The caller must check what a label then
    contains: mapping can produce any ASCII character.
    """
    import idna  # its tables cost 10 ms, and few hosts need them

    try:
        labels = idna.uts46_remap(text, std3_rules=False).split(".")
        for label in labels:
            idna.check_initial_combiner(label)
            idna.check_bidi(label)
            misjoined = any(char in _JOINERS and not idna.valid_contextj(label, at) for at, char in enumerate(label))
            if misjoined or (label.startswith("xn--") and not label.isascii()):
                raise idna.IDNAError
    except ValueError:  # as IDNAError is, and what idna raises about a neighbouring character without a name in Unicode
        raise InvalidURL("the host is not a valid international name; if it is in use, give its xn-- form") from None
    return ".".join(label if label.isascii() else f"xn--{_punycode(label)}" for label in labels)


def _punycode(label: str) -> str:
    if len(label) > _LONGEST_LABEL:  # encoding would only make it longer, and takes long
        raise _too_long(label)
    return label.encode("punycode").decode()


def _too_long(label: str) -> InvalidURL:
    return InvalidURL(f"a part of a host name has at most {_LONGEST_LABEL} characters; one here has {len(label)}")


def _is_punycode(text: str) -> bool:
    try:
        decoded = text.encode().decode("punycode")
        return not decoded.isascii() and decoded.encode("punycode").decode() == text
    except ValueError:
        return False


def _escaped(text: str) -> str:
    """RFC 3986, 6.2.2: unreserved characters as themselves, what is not a URL character as escaped UTF-8."""

    def spelling(match: re.Match[str]) -> str:
        if not match[1]:
            return "".join(f"%{byte:02X}" for byte in match[0].encode())
        character = chr(int(match[1], 16))
        return character if _UNRESERVED.fullmatch(character) else match[0].upper()

    return _ESCAPE.sub(spelling, text)


def without_dots(path: str) -> str:
    """RFC 3986, 5.2.4, after escapes are normalized: `%2e%2e` is a dot segment too."""
    segments = path.split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
