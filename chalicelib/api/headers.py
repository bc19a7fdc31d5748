"""The headers that every answer has, and which web origins may read it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from chalicelib.api import parameters
from chalicelib.jobs import access
from chalicelib.jobs.access import Quota

PREFLIGHT_SECONDS = 600
NOT_THIS_MACHINE = "Stage dev answers only this machine: use http://127.0.0.1 or http://localhost."
NOT_FROM_THERE = "Stage dev takes no POST from a page of another origin, unless ALLOWED_ORIGINS names it."

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    # Browsers obey it only over TLS, which a deployed stage always uses.
    "Strict-Transport-Security": "max-age=31536000",
}

_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9.-]+))(?::[0-9]{1,5})?")


def cors(origins: frozenset[str], origin: str | None, exposed: str) -> dict[str, str]:
    """The headers that let a page of `origin` read an answer; none if that origin is not allowed."""
    if not origins:
        return {}
    if origin is None or not origins & {origin, "*"}:
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": exposed,
        "Vary": "Origin",
    }


def preflight(methods: str, sent: str) -> dict[str, str]:
    """The headers that a browser also needs before it sends a request that is not simple from an allowed origin."""
    return {
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": sent,
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }


def rate_limit(quota: Quota | None) -> dict[str, str]:
    """The tenant's quota, counted in URLs, as in draft-ietf-httpapi-ratelimit-headers; nothing without a quota."""
    if quota is None:
        return {}
    limits = access.in_order(quota.limits)
    policy = ", ".join(f'"{span}";q={limit};w={span.seconds}' for span, limit in limits)
    state = ", ".join(f'"{span}";r={quota.remaining(span)};t={span.seconds_left(quota.now)}' for span, _ in limits)
    return parameters.RATE_LIMIT_POLICY.of(policy) | parameters.RATE_LIMIT.of(state)


def bearer(authorization: str | None) -> str | None:
    """The token of an Authorization header; empty for another scheme, None without a header."""
    if authorization is None:
        return None
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def is_loopback(host: str | None) -> bool:
    """True for a Host header that names this machine. After DNS rebinding the header names the page's own site."""
    match = _HOST.fullmatch((host or "").lower())
    if match is None:
        return False
    name = match["v6"] or match["name"]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def may_change_things(origin: str | None, origins: frozenset[str]) -> bool:
    """True for an Origin header of this machine or of an allowed origin, and without one: no other page sent it."""
    return origin is None or bool(origins & {origin, "*"}) or is_loopback(urlsplit(origin).netloc)


def merged(response: Mapping[str, str | list[str]], more: Mapping[str, str]) -> dict[str, str | list[str]]:
    """An answer's headers, plus those of `more` that it does not set itself."""
    own = {name.lower() for name in response}
    return {**response, **{name: value for name, value in more.items() if name.lower() not in own}}
