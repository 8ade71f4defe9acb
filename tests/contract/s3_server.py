"""A real S3 server process on loopback: moto's."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUCKET = "beamline"
KEYS = {
    "AWS_ACCESS_KEY_ID": "someone",
    "AWS_SECRET_ACCESS_KEY": "very-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True)
class Store:
    """A server with one bucket.

    Attributes:
        url: Of the server.
        log: Where it writes a line for each request.
        admin: boto3's client, which looks on from the side.
    """

    url: str
    log: Path
    admin: Any

    def requests(self) -> list[str]:
        """What it was asked, as "METHOD /path?query"."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line.split('"')[1].rpartition(" ")[0] for line in lines if line.count('"') >= 2]

    def content(self, key: str) -> bytes:
        return self.admin.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def open_uploads(self) -> list[str]:
        return [each["Key"] for each in self._uploads()]

    def parts(self, key: str) -> dict[int, int]:
        """Of the uploads of a key that are open: the bytes of each part that is there."""
        ids = [each["UploadId"] for each in self._uploads() if each["Key"] == key]
        found = [self.admin.list_parts(Bucket=BUCKET, Key=key, UploadId=each) for each in ids]
        return {part["PartNumber"]: part["Size"] for each in found for part in each.get("Parts", [])}

    def empty(self) -> None:
        """Leave neither objects nor uploads of earlier tests."""
        for each in self._uploads():
            self.admin.abort_multipart_upload(Bucket=BUCKET, Key=each["Key"], UploadId=each["UploadId"])
        for each in self.admin.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            self.admin.delete_object(Bucket=BUCKET, Key=each["Key"])

    def _uploads(self) -> list[dict[str, Any]]:
        return self.admin.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[Store]:
    """Serve until the end of the block."""
    import boto3

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "s3.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(port, server, log)
        url = f"http://127.0.0.1:{port}"
        admin = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=KEYS["AWS_DEFAULT_REGION"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        admin.create_bucket(Bucket=BUCKET)
        yield Store(url, log, admin)
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"moto's server did not start: {log.read_text(errors='replace')[-2000:]}")
