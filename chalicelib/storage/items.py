"""How entities are kept as DynamoDB items, and read back. Numbers are integers; what is None is not stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.jobs.access import Counted, Span, Token, Usage
from chalicelib.jobs.entities import Batch, Claim, ErrorType, Fetch, FetchError, Job, Mark, Result, Status

Item = dict[str, Any]


def job_key(job_id: str) -> str:
    """The partition key of a job or of its mark."""
    return f"JOB#{job_id}"


def fetch_key(fetch_id: str) -> str:
    """The partition key of a fetch."""
    return f"FETCH#{fetch_id}"


def claim_key(url_key: str) -> str:
    """The partition key of a URL's claim."""
    return f"URL#{url_key}"


def batch_key(batch_id: str) -> str:
    """The partition key of a batch or of its mark."""
    return f"BATCH#{batch_id}"


def token_key(token_id: str) -> str:
    """The partition key of an access token."""
    return f"TOKEN#{token_id}"


def quota_key(tenant: str) -> str:
    """The partition key of a tenant's quota."""
    return f"QUOTA#{tenant}"


def encode(value: object) -> dict[str, Any]:
    """One attribute value. boto3's own serializer gives Decimals back, and every number here is an integer."""
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": str(value)}
    if isinstance(value, Mapping):
        return {"M": {name: encode(member) for name, member in value.items()}}
    raise TypeError(f"no attribute value for {type(value).__name__}")


def encode_item(values: Mapping[str, object]) -> Item:
    """An item from plain values; None is left out."""
    return {name: encode(value) for name, value in values.items() if value is not None}


def decode_item(item: Item) -> dict[str, Any]:
    """Plain values from an item."""
    return {name: _decode(value) for name, value in item.items()}


def _decode(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "N":
        return int(content)
    if kind == "M":
        return {name: _decode(member) for name, member in content.items()}
    return content


def job_item(job: Job, sweep_at: int) -> Item:
    """A job as an item."""
    return encode_item(
        {
            "pk": job_key(job.id),
            "tenant": job.tenant,
            "url": job.url,
            "url_key": job.url_key,
            "submitted_at": job.submitted_at,
            "batch_id": job.batch_id,
            "fetch_id": job.fetch_id,
            "sweep_at": sweep_at,
        }
    )


def mark_item(mark: Mark) -> Item:
    """A mark as an item: a job's key without its URL."""
    return encode_item(
        {
            "pk": job_key(mark.id),
            "tenant": mark.tenant,
            "fetch_id": mark.fetch_id,
            "url_key": mark.url_key,
            "attempts": mark.attempts or None,
            "sweep_at": mark.sweep_at,
        }
    )


def fetch_item(fetch: Fetch, sweep_at: int) -> Item:
    """A fetch as an item."""
    return encode_item(
        {
            "pk": fetch_key(fetch.id),
            "url": fetch.url,
            "url_key": fetch.url_key,
            "status": str(fetch.status),
            "jobs": fetch.jobs,
            "attempt": fetch.attempt,
            "lease_until": fetch.lease_until,
            "submitted_at": fetch.submitted_at,
            "started_at": fetch.started_at,
            "finished_at": fetch.finished_at,
            "failed_at": fetch.failed_at,
            "result": None if fetch.result is None else result_values(fetch.result),
            "error": None if fetch.error is None else error_values(fetch.error),
            "sweep_at": sweep_at,
        }
    )


def claim_item(claim: Claim, sweep_at: int) -> Item:
    """A claim as an item."""
    return encode_item(
        {
            "pk": claim_key(claim.url_key),
            "fetch_id": claim.fetch_id,
            "submitted_at": claim.submitted_at,
            "sweep_at": sweep_at,
        }
    )


def batch_item(batch: Batch, sweep_at: int) -> Item:
    """A batch as an item."""
    return encode_item(
        {
            "pk": batch_key(batch.id),
            "tenant": batch.tenant,
            "size": batch.size,
            "digest": batch.digest,
            "submitted_at": batch.submitted_at,
            "lease_until": batch.lease_until,
            "holder": batch.holder,
            "accepted": True if batch.accepted else None,
            "sweep_at": sweep_at,
        }
    )


def token_item(token: Token, sweep_at: int | None) -> Item:
    """A token as an item."""
    return encode_item(
        {
            "pk": token_key(token.id),
            "tenant": token.tenant,
            "digest": token.digest,
            "name": token.name,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "revoked_at": token.revoked_at,
            "sweep_at": sweep_at,
        }
    )


def result_values(result: Result) -> dict[str, object]:
    """A result as plain values."""
    return {
        "content_type": result.content_type,
        "size": result.size,
        "sha256": result.sha256,
        "http_status": result.http_status,
        "final_url": result.final_url,
        "headers": dict(result.headers),
        "fetched_at": result.fetched_at,
        "key": result.key,
        "text": result.text,
    }


def error_values(error: FetchError) -> dict[str, object]:
    """A fetch's error as plain values."""
    values: dict[str, object] = {"type": str(error.type), "detail": error.detail}
    if error.http_status is not None:
        values["http_status"] = error.http_status
    if error.excerpt is not None:
        values["excerpt"] = error.excerpt
    return values


def as_job(item: Item) -> Job | Mark:
    """The job of an item, or its mark."""
    v = decode_item(item)
    job_id = v["pk"].removeprefix("JOB#")
    if "url" not in v:
        return Mark(
            id=job_id,
            tenant=v["tenant"],
            sweep_at=v["sweep_at"],
            fetch_id=v.get("fetch_id"),
            url_key=v.get("url_key"),
            attempts=v.get("attempts", 0),
        )
    return Job(
        id=job_id,
        tenant=v["tenant"],
        url=v["url"],
        url_key=v["url_key"],
        submitted_at=v["submitted_at"],
        batch_id=v.get("batch_id"),
        fetch_id=v.get("fetch_id"),
    )


def as_fetch(item: Item) -> Fetch:
    """The fetch of an item."""
    v = decode_item(item)
    error = v.get("error")
    return Fetch(
        id=v["pk"].removeprefix("FETCH#"),
        url=v["url"],
        url_key=v["url_key"],
        status=Status(v["status"]),
        jobs=v["jobs"],
        attempt=v["attempt"],
        lease_until=v["lease_until"],
        submitted_at=v["submitted_at"],
        started_at=v.get("started_at"),
        finished_at=v.get("finished_at"),
        failed_at=v.get("failed_at"),
        result=Result(**v["result"]) if "result" in v else None,
        error=None if error is None else _error(error),
    )


def _error(v: Mapping[str, Any]) -> FetchError:
    return FetchError(
        type=ErrorType(v["type"]),
        detail=v["detail"],
        http_status=v.get("http_status"),
        excerpt=v.get("excerpt"),
    )


def as_claim(item: Item) -> Claim:
    """The claim of an item."""
    v = decode_item(item)
    return Claim(url_key=v["pk"].removeprefix("URL#"), fetch_id=v["fetch_id"], submitted_at=v["submitted_at"])


def as_batch(item: Item) -> Batch | Mark:
    """The batch of an item, or the mark of a deleted one."""
    v = decode_item(item)
    batch_id = v["pk"].removeprefix("BATCH#")
    if "digest" not in v:
        return Mark(id=batch_id, tenant=v["tenant"], sweep_at=v["sweep_at"])
    return Batch(
        id=batch_id,
        tenant=v["tenant"],
        size=v["size"],
        digest=v["digest"],
        submitted_at=v["submitted_at"],
        lease_until=v["lease_until"],
        holder=v.get("holder", ""),
        accepted=v.get("accepted", False),
    )


def as_token(item: Item) -> Token:
    """The token of an item."""
    v = decode_item(item)
    return Token(
        id=v["pk"].removeprefix("TOKEN#"),
        tenant=v["tenant"],
        digest=v["digest"],
        name=v["name"],
        created_at=v["created_at"],
        expires_at=v.get("expires_at"),
        revoked_at=v.get("revoked_at"),
    )


def as_usage(item: Item) -> Usage | None:
    """What a quota's item has counted; None where nothing was counted yet."""
    v = decode_item(item)
    if Span.MINUTE not in v:
        return None
    return {span: Counted(v[span], v[f"{span}_used"]) for span in Span}


def as_limits(item: Item) -> dict[Span, int]:
    """The limits of its own that a tenant has in its quota's item."""
    v = decode_item(item)
    return {span: v[f"{span}_limit"] for span in Span if f"{span}_limit" in v}
