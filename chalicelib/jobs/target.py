"""What a site is asked: two URLs are the same when they make the same request on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from chalicelib.jobs import ids
from chalicelib.jobs.addresses import AddressPolicy
from chalicelib.jobs.urls import MAX_LENGTH, normal_form


@dataclass(frozen=True, slots=True)
class Target:
    """A request, without what every request has."""

    url: str  # in normal form: as it is sent
    method: str = "GET"

    @staticmethod
    def of(url: str, policy: AddressPolicy, *, longest: int = MAX_LENGTH) -> Target:
        """What a URL asks for. Raises InvalidURL for one that may not be fetched."""
        return Target(normal_form(url, policy, longest=longest))

    def key(self, tenant: str) -> str:
        """The key of the tenant's claim on it."""
        return ids.digest([tenant, self.method, self.url])

    @property
    def host(self) -> str:
        """The host that is asked, without its port."""
        return urlsplit(self.url).hostname or ""
