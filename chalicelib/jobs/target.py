"""What a site is asked: two URLs are the same when they make the same request on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from chalicelib.jobs import ids
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.submitted import NO_HEADERS, RequestHeaders
from chalicelib.jobs.urls import MAX_LENGTH, normal_form


@dataclass(frozen=True, slots=True)
class Target:
    """A request, without what every request has."""

    url: str  # in normal form: as it is sent
    method: str = "GET"
    headers: RequestHeaders = NO_HEADERS  # those of the client

    @staticmethod
    def of(
        url: str, policy: AddressPolicy, *, headers: RequestHeaders = NO_HEADERS, longest: int = MAX_LENGTH
    ) -> Target:
        """What a URL asks for. Raises InvalidURL for one that may not be fetched."""
        return Target(normal_form(url, policy, longest=longest), headers=headers)

    def key(self, tenant: str, secret: bytes) -> str:
        """The key of the tenant's claim on it. Without the `secret` nobody can check a guess of a header."""
        parts = [tenant, self.method, self.url]
        return ids.keyed_digest(secret, [*parts, *self.headers.parts()]) if self.headers else ids.digest(parts)

    def host_key(self, tenant: str) -> str:
        """The key of the host's pace for a tenant."""
        return f"{tenant}/{self.host}"

    @property
    def origin(self) -> str:
        """The scheme and the host, of which each has a robots.txt of its own."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def host(self) -> str:
        """The host that is asked, with its port unless that is its scheme's own: http and https are one host."""
        return host_of(self.url)


def host_of(url: str) -> str:
    """The host of a URL in normal form, which has neither a user's name nor a default port."""
    return urlsplit(url).netloc
