"""The object store that large files pass through: multipart uploads, and URLs that are permission enough."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit

from iri_local_facility.settings import Settings

# How long URLs are good for, in seconds.
TTL = 7 * 24 * 3600
# Of one multipart upload.
MOST_PARTS = 10_000
_ALGORITHM = "AWS4-HMAC-SHA256"
# Without proxies: an environment that has one configured must not send loopback through it.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Objects:
    """A bucket that a user's files pass through."""

    url: str
    bucket: str
    region: str
    key_id: str
    secret: str

    def prepare(self) -> None:
        """Make the bucket, if it is not there.

        Raises:
            OSError: The store refuses, or there is none.
        """
        body = b""
        if self.region != "us-east-1":
            body = (
                '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                f"<LocationConstraint>{self.region}</LocationConstraint></CreateBucketConfiguration>"
            ).encode()
        try:
            self._ask("PUT", self.presigned("PUT"), body)
        except urllib.error.HTTPError as refused:
            if refused.code != 409:  # it is there already
                raise

    def begin(self, name: str) -> str:
        """Begin a multipart upload; returns its id.

        Raises:
            OSError: The store refuses, or there is none.
        """
        answer = self._ask("POST", self.presigned("POST", name, uploads=""), b"")
        found = re.search("<UploadId>(.*?)</UploadId>", answer)
        if found is None:
            raise OSError("the object store began no upload")
        return found[1]

    def parts(self, name: str, upload: str, count: int) -> list[str]:
        """URLs to put the parts to."""
        return [
            self.presigned("PUT", name, uploadId=upload, partNumber=str(number))
            for number in range(1, count + 1)
        ]

    def presigned(self, method: str, name: str = "", **query: str) -> str:
        """A URL for one thing that may be done with an object, or with the bucket (Signature Version 4)."""
        now = datetime.now(UTC)
        day, moment = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{day}/{self.region}/s3/aws4_request"
        place = urlsplit(self.url)
        path = f"{place.path.rstrip('/')}/{quote(self.bucket)}" + (f"/{quote(name)}" if name else "")
        asked = {
            **query,
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self.key_id}/{scope}",
            "X-Amz-Date": moment,
            "X-Amz-Expires": str(TTL),
            "X-Amz-SignedHeaders": "host",
        }
        line = urlencode(sorted(asked.items()), quote_via=quote, safe="-_.~")
        request = "\n".join([method, path, line, f"host:{place.netloc}\n", "host", "UNSIGNED-PAYLOAD"])
        signed = "\n".join([_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()])
        signature = hmac.new(self._key(day), signed.encode(), hashlib.sha256).hexdigest()
        return f"{place.scheme}://{place.netloc}{path}?{line}&X-Amz-Signature={signature}"

    def _key(self, day: str) -> bytes:
        key = f"AWS4{self.secret}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key

    def _ask(self, method: str, url: str, body: bytes) -> str:
        request = urllib.request.Request(url, body, {"Content-Type": ""}, method=method)
        with _direct.open(request, timeout=30) as answer:
            return answer.read().decode(errors="replace")


def objects_of(settings: Settings, user: str) -> Objects | None:
    """The bucket of a user in the announced store, which takes its keys from the environment as others do."""
    if settings.s3 is None:
        return None
    url, _, region = settings.s3
    key_id = os.environ.get("AWS_ACCESS_KEY_ID", "local")
    return Objects(url, user, region, key_id, os.environ.get("AWS_SECRET_ACCESS_KEY", "local"))
