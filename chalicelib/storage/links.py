"""Presigned links to results: whoever has one can read the result for a while, and nothing else.

botocore signs one link, which tells where the bucket is. It takes ten times as long for one as `link`, which follows
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html. The tests hold it against botocore.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from chalicelib.storage.calls import unavailable

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

LINK_SECONDS = 60

_SAFE = "-_.~"  # besides letters and digits, in a query
_KEY = "results/any"


class Links:
    """Signs links to a bucket's objects. Raises `Unavailable` if there are no credentials."""

    def __init__(
        self, client: Any, bucket: str, *, credentials: Callable[[], ReadOnlyCredentials], clock: Callable[[], int]
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._credentials = credentials
        self._clock = clock  # milliseconds since the epoch

    def link(self, key: str, file_name: str) -> str:
        """A URL by which anybody can read an object for `LINK_SECONDS`: a download of this name, never a page."""
        with unavailable("signing a link"):
            credentials = self._credentials()
            path = f"{self._path}{quote(key, safe='/' + _SAFE)}"
        time = datetime.fromtimestamp(self._clock() // 1000, tz=UTC).strftime("%Y%m%dT%H%M%SZ")
        region = self._client.meta.region_name
        scope = f"{time[:8]}/{region}/s3/aws4_request"
        query = {
            "response-content-disposition": _attachment(file_name),
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{credentials.access_key}/{scope}",
            "X-Amz-Date": time,
            "X-Amz-Expires": str(LINK_SECONDS),
            "X-Amz-SignedHeaders": "host",
        }
        if credentials.token:
            query["X-Amz-Security-Token"] = credentials.token
        parts = [f"{name}={quote(value, safe=_SAFE)}" for name, value in query.items()]
        host = self.origin.partition("://")[2]
        request = f"GET\n{path}\n{'&'.join(sorted(parts))}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
        to_sign = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(_signing_key(credentials.secret_key, time[:8], region), to_sign.encode(), "sha256")
        return f"{self.origin}{path}?{'&'.join(parts)}&X-Amz-Signature={signature.hex()}"

    @property
    def origin(self) -> str:
        """Where the links lead: scheme, host and port."""
        scheme, _, rest = self._base.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}"

    @property
    def _path(self) -> str:
        """What the path of a link begins with."""
        return self._base.removeprefix(self.origin)

    @functools.cached_property
    def _base(self) -> str:
        with unavailable("signing a link"):
            url: str = self._client.generate_presigned_url("get_object", Params={"Bucket": self._bucket, "Key": _KEY})
        return url.partition("?")[0].removesuffix(_KEY)


@functools.lru_cache(maxsize=2)  # of today, and of yesterday
def _signing_key(secret: str | None, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _attachment(file_name: str) -> str:
    """A Content-Disposition for old and new readers: with the name in ASCII, and as it is (RFC 6266, 5)."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", file_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"
