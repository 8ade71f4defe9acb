"""What an object store's reply to a signed link means."""

from __future__ import annotations

import pytest

from iri_common.policy.links import Link, link_verdict


def error(code: str, message: str = "words") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "body", "meant"),
    [
        (200, b"", Link.FINE),
        (204, b"", Link.FINE),
        (206, b"", Link.FINE),
        (200, b"<CompleteMultipartUploadResult/>", Link.FINE),
        (200, error("InternalError"), Link.PASSING),
        (200, error("SomethingNew"), Link.PASSING),
        (200, error("NoSuchUpload"), Link.GONE),
        (301, b"", Link.REFUSED),
        (307, b"", Link.REFUSED),
        (400, error("ExpiredToken"), Link.STALE),
        (400, error("RequestTimeout"), Link.PASSING),
        (400, error("BadDigest"), Link.PASSING),
        (400, error("InvalidPart"), Link.REFUSED),
        (400, b"Only one auth mechanism allowed", Link.REFUSED),
        (401, b"", Link.STALE),
        (403, error("AccessDenied", "Request has expired"), Link.STALE),
        (403, error("RequestTimeTooSkewed"), Link.STALE),
        (403, b"<html>a gateway's page</html>", Link.STALE),
        (404, error("NoSuchKey"), Link.GONE),
        (404, b"", Link.GONE),
        (411, error("MissingContentLength"), Link.REFUSED),
        (416, error("InvalidRange"), Link.REFUSED),
        (429, b"", Link.PASSING),
        (500, b"", Link.PASSING),
        (503, error("SlowDown"), Link.PASSING),
        (599, b"\xff\xfe", Link.PASSING),
    ],
)
def test_every_reply_has_one_meaning(status: int, body: bytes, meant: Link) -> None:
    assert link_verdict(status, body).outcome is meant


def test_only_code_and_message_are_told() -> None:
    body = error("SignatureDoesNotMatch", "it differs").replace(
        b"</Error>", b"<SignatureProvided>hunter2</SignatureProvided></Error>"
    )
    assert link_verdict(403, body).detail == "HTTP 403: SignatureDoesNotMatch it differs"
    assert link_verdict(502, b"<html>hunter2</html>").detail == "HTTP 502"
