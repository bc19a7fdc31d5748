"""Which secret of a tenant signs its webhooks' events: a number in the table, no secret.

SECRET#<tenant>   the members of `jobs.webhooks.Generation`; none before it was ever renewed
"""

from __future__ import annotations

from typing import Any

from chalicelib.jobs.webhooks import Generation
from chalicelib.storage import items
from chalicelib.storage.calls import Patience
from chalicelib.storage.expressions import put
from chalicelib.storage.rows import Rows

NEVER_RENEWED = "attribute_not_exists(pk)"
SECRET_UNCHANGED = "generation = :seen"


class WebhookSecrets:
    """The generations of tenants' secrets. Raises `Unavailable` if DynamoDB does not answer."""

    def __init__(self, client: Any, name: str, *, patience: Patience | None = None) -> None:
        self._rows = Rows(client, name, patience=patience)

    def read(self, tenant: str) -> Generation:
        """Which one stands."""
        item = self._rows.get(items.secret_key(tenant))
        return Generation(tenant=tenant) if item is None else items.as_generation(item)

    def renew(self, seen: Generation, after: Generation) -> bool:
        """Let another one stand, unless that was done since it was read."""
        condition = SECRET_UNCHANGED if seen.generation else NEVER_RENEWED
        return self._rows.write([put(items.item_of(after), condition, {":seen": seen.generation})])
