"""Parts of files in an object store, and the links over which they go there."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from iri_common.apis.s3.store import Bucket
from iri_common.http.transport import WireSettings
from iri_common.model.errors import NotFound, NotOffered, TooLarge, TransientError, UsageError
from iri_common.model.facility import AccessEndpoint
from iri_common.model.outcome import Done
from iri_common.model.transfer import DownloadLink, PartsUpload

MIB = 1024 * 1024
PART_SIZE = 16 * MIB  # what is sent again after a kill is at most this; a part costs one request
MOST_PARTS = 10_000  # of one upload, by S3's rules
LARGEST = 5 * 1024 * 1024 * MIB
LINK_SECONDS = 3600.0
CLOCKS = 300.0  # seconds between our noting that an upload is opened and the time that the store gives it

_PLAIN_ETAG = re.compile(r'"?([0-9a-f]{32})"?')


class S3Parts:
    """Uploads and links in one bucket; every path is an object's key below a root.

    A file appears under its path, all of it, when its upload is finished.

    Args:
        bucket: Where the files are.
        root: The path that the bucket stands for at the facility.
        link_seconds: How long a link is good for.
    """

    appears_whole = True
    why_not = ""
    by_job = False

    def __init__(self, bucket: Bucket, *, root: str = "/", link_seconds: float = LINK_SECONDS) -> None:
        self._bucket = bucket
        self._root = root.rstrip("/")
        self._link_seconds = link_seconds

    async def begin(self, resource_id: str, path: str, size: int) -> Done[PartsUpload]:
        """Open an upload; an empty file is one empty part."""
        key = self._key(path)
        part_size = part_size_for(size)
        opened = await self._bucket.call("create_multipart_upload", Bucket=self._bucket.name, Key=key)
        handle = {"key": key, "upload": str(opened["UploadId"])}
        return await self.again(resource_id, PartsUpload(path, size, part_size, (), None, handle))

    async def again(self, resource_id: str, upload: PartsUpload) -> Done[PartsUpload]:
        """The same upload with fresh links; they are signed here, so nothing is asked."""
        words = self._words(upload)

        def sign(client: Any) -> tuple[str, ...]:
            return tuple(
                client.generate_presigned_url(
                    "upload_part", Params={**words, "PartNumber": number}, ExpiresIn=int(self._link_seconds)
                )
                for number in range(1, upload.parts + 1)
            )

        expires_at = time.time() + self._link_seconds
        links = await self._bucket.at_work("upload_part", sign)
        return Done(PartsUpload(upload.path, upload.size, upload.part_size, links, expires_at, upload.handle))

    async def arrived(self, resource_id: str, upload: PartsUpload) -> Done[Mapping[int, str]]:
        """The ETags of the parts that are there in full."""
        words = self._words(upload)

        def look(client: Any) -> list[Mapping[str, Any]]:
            pages = client.get_paginator("list_parts").paginate(**words)
            return [part for page in pages for part in page.get("Parts", ())]

        there = await self._bucket.at_work("list_parts", look)
        return Done(
            {
                part["PartNumber"]: part["ETag"]
                for part in there
                if part["Size"] == upload.size_of(part["PartNumber"])
            }
        )

    async def finish(self, resource_id: str, upload: PartsUpload, etags: Sequence[str]) -> Done[None]:
        """Make one object of the parts; done already, by a request whose answer was lost, is fine."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        try:
            await self._bucket.call(
                "complete_multipart_upload", **self._words(upload), MultipartUpload={"Parts": parts}
            )
        except (NotFound, TransientError) as error:
            if not await self._is_there(upload, etags):
                raise error from None
        return Done(None)

    async def abandon(self, resource_id: str, upload: PartsUpload) -> Done[None]:
        """Have the store forget the parts."""
        try:
            await self._bucket.call("abort_multipart_upload", **self._words(upload))
        except NotFound:
            return Done(None)
        return Done(None)

    async def clear(self, resource_id: str, path: str, since: float) -> Done[None]:
        """Have the store forget what one call of :meth:`begin` at that time opened, if nobody learned of it.

        Such an upload has no part and was opened in those minutes; any other may be somebody's who is at
        work on the same key.
        """
        key, name = self._key(path), self._bucket.name

        def look(client: Any) -> list[str]:
            pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=name, Prefix=key)
            there = [each for page in pages for each in page.get("Uploads", ()) if each["Key"] == key]
            opened = [each for each in there if abs(each["Initiated"].timestamp() - since) < CLOCKS]
            return [each["UploadId"] for each in opened if not has_parts(client, each["UploadId"])]

        def has_parts(client: Any, upload: str) -> bool:
            return bool(client.list_parts(Bucket=name, Key=key, UploadId=upload, MaxParts=1).get("Parts"))

        for upload in await self._bucket.at_work("list_multipart_uploads", look):
            handle = {"key": key, "upload": upload}
            await self.abandon(resource_id, PartsUpload(path, 0, PART_SIZE, (), None, handle))
        return Done(None)

    async def link(self, resource_id: str, path: str) -> Done[DownloadLink]:
        """A link to an object's bytes."""
        where = {"Bucket": self._bucket.name, "Key": self._key(path)}
        found = await self._bucket.call("head_object", **where, ChecksumMode="ENABLED")
        expires_at = time.time() + self._link_seconds
        url = await self._bucket.at_work(
            "get_object",
            lambda client: str(
                client.generate_presigned_url("get_object", Params=where, ExpiresIn=int(self._link_seconds))
            ),
        )
        return Done(DownloadLink(url, int(found["ContentLength"]), expires_at, _sha256_of(found)))

    async def _is_there(self, upload: PartsUpload, etags: Sequence[str]) -> bool:
        # The ETag of such an object is made of those of its parts, where these are digests.
        whole = etag_of_whole(etags)
        try:
            found = await self._bucket.call("head_object", Bucket=self._bucket.name, Key=upload.handle["key"])
        except NotFound:
            return False
        return whole is not None and str(found.get("ETag", "")).strip('"') == whole

    def _words(self, upload: PartsUpload) -> dict[str, str]:
        return {
            "Bucket": self._bucket.name,
            "Key": upload.handle["key"],
            "UploadId": upload.handle["upload"],
        }

    def _key(self, path: str) -> str:
        inside = path.startswith(f"{self._root}/")
        key = path[len(self._root) + 1 :] if inside else ""
        if not key or key.endswith("/"):
            root = self._root or "/"
            raise UsageError(f"{path!r} is no file below {root}, which is what {self._bucket.label} holds")
        return key


def s3_parts(endpoint: AccessEndpoint, wire: WireSettings) -> S3Parts:
    """Parts through an access endpoint of a storage resource.

    Raises:
        NotOffered: if it does not say which bucket it means.
    """
    told = {name: value for name, value in endpoint.details.items() if isinstance(value, str) and value}
    label = endpoint.display_name or endpoint.id
    if "bucket" not in told:
        raise NotOffered(f"the access endpoint {label} names no bucket")
    bucket = Bucket(told["bucket"], told.get("endpoint_url"), told.get("region"), label, wire)
    return S3Parts(bucket, root=told.get("root_path", "/"))


def _sha256_of(found: Mapping[str, Any]) -> str | None:
    """Of an object, where it was stored with it; that of one which came in parts is a digest of digests."""
    told = str(found.get("ChecksumSHA256") or "")
    if found.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT" or "-" in told:
        return None
    with contextlib.suppress(ValueError):
        return base64.b64decode(told, validate=True).hex() or None
    return None


def part_size_for(size: int) -> int:
    """The size of all parts but the last, in whole MiB.

    Raises:
        TooLarge: if no object may be so large.
    """
    if size > LARGEST:
        raise TooLarge(f"{size} bytes are more than the {LARGEST} that S3 takes for one object")
    return max(PART_SIZE, -(-size // (MOST_PARTS * MIB)) * MIB)


def etag_of_whole(etags: Sequence[str]) -> str | None:
    """What a store calls an object of these parts; None where its ETags are no digests."""
    digests = [_PLAIN_ETAG.fullmatch(etag) for etag in etags]
    joined = b"".join(bytes.fromhex(found.group(1)) for found in digests if found)
    if len(joined) != 16 * len(etags):
        return None
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(etags)}"
