"""The types of requests' bodies: they parse and validate."""

from __future__ import annotations

from typing import Annotated

import msgspec

from chalicelib.jobs.submitted import LONGEST_REFERENCE, LONGEST_VALUE, MOST_HEADERS, NAME, REFERENCE, VALUE
from chalicelib.jobs.webhooks import LONGEST_URL

# `jobs.urls` decides what is accepted; this is for readers of the OpenAPI document.
Url = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uri", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"})]

# `jobs.submitted` decides what is accepted; this is for readers, as above.
HeaderName = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": f"^{NAME}$"})]
HeaderValue = Annotated[
    str, msgspec.Meta(extra_json_schema={"pattern": f"^{VALUE}$", "maxLength": LONGEST_VALUE, "writeOnly": True})
]
Headers = Annotated[
    dict[HeaderName, HeaderValue],
    msgspec.Meta(
        extra_json_schema={"maxProperties": MOST_HEADERS},
        description="Sent to the URL's own scheme, host and port, and to no other. Values are never shown again.",
    ),
]
Reference = Annotated[
    str,
    msgspec.Meta(
        extra_json_schema={"minLength": 1, "maxLength": LONGEST_REFERENCE, "pattern": f"^{REFERENCE}$"},
        description="What you call the URL: it is shown with the job, and means nothing to the service.",
    ),
]

# `jobs.webhooks` decides what is accepted; this is for readers, as above.
WebhookUrl = Annotated[
    str,
    msgspec.Meta(extra_json_schema={"format": "uri", "pattern": "^[Hh][Tt][Tt][Pp][Ss]://", "maxLength": LONGEST_URL}),
]


class WebhookRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who is to be told."""

    url: WebhookUrl
    each: bool = False  # of each job of a batch too, not only of the batch


ToldTo = Annotated[
    WebhookUrl | WebhookRequest,
    msgspec.Meta(description="Who is sent an event, by Standard Webhooks 1.0, when all that is submitted is finished."),
]


class JobRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The body of `POST /jobs`."""

    url: Url
    headers: Headers | None = None
    reference: Reference | None = None
    webhook: ToldTo | None = None


class BatchURL(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A URL of a batch that has headers or a reference of its own."""

    url: Url
    headers: Headers | None = None
    reference: Reference | None = None


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The body of `POST /batches`."""

    urls: Annotated[list[Url | BatchURL], msgspec.Meta(min_length=1, max_length=1000)]
    headers: Headers | None = None  # of all URLs, unless one has the same header itself
    reference: Reference | None = None  # of all URLs that have none
    webhook: ToldTo | None = None
