"""What an object store's reply to a signed link means: a pure table over status and error code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Link(StrEnum):
    """What became of a request over a link."""

    FINE = "fine"
    STALE = "stale"  # the link is good no more; a fresh one may do
    PASSING = "passing"  # the store is busy, or broke down over it
    GONE = "gone"  # the object, or the upload, is not there
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class LinkVerdict:
    """The meaning of one reply.

    Attributes:
        outcome: What became of the request.
        detail: The store's words, for a person; never the link.
    """

    outcome: Link
    detail: str = ""


_BY_CODE: Mapping[str, Link] = {
    "ExpiredToken": Link.STALE,
    "TokenRefreshRequired": Link.STALE,
    "RequestTimeTooSkewed": Link.STALE,
    "RequestTimeout": Link.PASSING,
    "RequestTimeoutException": Link.PASSING,
    "InternalError": Link.PASSING,
    "ServiceUnavailable": Link.PASSING,
    "SlowDown": Link.PASSING,
    "OperationAborted": Link.PASSING,
    "IncompleteBody": Link.PASSING,
    "BadDigest": Link.PASSING,
    "XAmzContentSHA256Mismatch": Link.PASSING,
    "NoSuchKey": Link.GONE,
    "NoSuchUpload": Link.GONE,
    "NoSuchBucket": Link.GONE,
}
_BY_STATUS: Mapping[int, Link] = {
    401: Link.STALE,
    403: Link.STALE,  # "Request has expired" is an AccessDenied
    404: Link.GONE,
    408: Link.PASSING,
    410: Link.STALE,
    425: Link.PASSING,
    429: Link.PASSING,
}
# Only these two: what else such a document holds (StringToSign, the signature) is nobody's business.
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,64})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})")


def link_verdict(status: int, body: bytes) -> LinkVerdict:
    """Decide what a reply means; S3 also reports an error in the body of a 200."""
    said = body.decode(errors="replace")
    found, words = _CODE.search(said), _MESSAGE.search(said)
    code = found.group(1) if found else ""
    if 200 <= status < 300 and "<Error" not in said:
        return LinkVerdict(Link.FINE)
    outcome = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if outcome is None:
        outcome = Link.PASSING if status >= 500 or status < 300 else Link.REFUSED
    said_there = f": {code} {words.group(1) if words else ''}".rstrip() if code else ""
    return LinkVerdict(outcome, f"HTTP {status}{said_there}")
