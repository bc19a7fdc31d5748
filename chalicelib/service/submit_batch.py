"""Submitting many URLs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from chalicelib.jobs import ids
from chalicelib.jobs.access import Access
from chalicelib.jobs.submitted import SubmittedURL
from chalicelib.jobs.webhooks import Webhook
from chalicelib.service.errors import NoValidURL
from chalicelib.service.service import Service
from chalicelib.service.storing import AcceptedBatch, Given, store_batch
from chalicelib.service.submission import Submission

SCOPE = "POST /batches"  # of idempotency keys: ids are derived from it, so it never changes


def submit_batch(
    service: Service,
    access: Access,
    urls: Sequence[SubmittedURL],
    key: str | None,
    webhook: Webhook | None = None,
) -> AcceptedBatch:
    """Accept the valid URLs; the same again, with the same key, headers, references and webhook, gives the same batch.

    Raises NoValidURL; KeyGone, KeyReused and InProgress; and QuotaExceeded.
    """
    submission = Submission(service, access, key, webhook)
    given = Given.of(submission, enumerate(urls))
    if not given.valid:
        raise NoValidURL(given.rejected)
    batch = submission.batch(SCOPE, size=len(given.valid), digest=_digest(urls, service.secret, webhook))
    standing = service.table.batch(batch.id) if submission.may_be_counted else None
    return store_batch(submission, batch, given, standing)


def _digest(urls: Sequence[SubmittedURL], secret: bytes, webhook: Webhook | None) -> str:
    """Different for each list and webhook; by itself it lets nobody check a guess of a header."""
    told = [] if webhook is None else [json.dumps({"webhook": webhook.url, "each": webhook.each})]
    if not any(each.headers or each.reference for each in urls):
        given = [each.url for each in urls]
        return ids.digest([ids.digest(given), *told] if told else given)
    parts = [json.dumps([each.url, each.reference, *each.headers.parts()]) for each in urls]
    return ids.keyed_digest(secret, [*parts, *told])
