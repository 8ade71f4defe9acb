"""Run in transfer jobs, by its path: carries a file to or from the object store. Needs nothing but Python.

courier.py exists URL
courier.py fetch URL FILE PART_SIZE
courier.py send FILE PART_SIZE COMPLETE_URL PART_URL …
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_DOCUMENT = (
    '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{}</CompleteMultipartUpload>'
)
_PART = '<Part><PartNumber>{}</PartNumber><ETag>"{}"</ETag></Part>'
# What a job ends with, as its log and its exit code tell.
_NOT_COMPLETED = 70


def exists(url: str) -> int:
    """Whether the object is there."""
    try:
        _ask("HEAD", url).close()
    except OSError:
        return 1
    return 0


def fetch(url: str, file: str, part_size: str) -> int:
    """Write an object to a file, one range after the other."""
    size, start, total = int(part_size), 0, 1
    if os.path.isfile(file):
        os.unlink(file)
    while start < total:
        with _ask("GET", url, headers={"Range": f"bytes={start}-{start + size - 1}"}) as answer:
            total = int(answer.headers.get("Content-Range", "").rpartition("/")[2] or 0)
            with open(file, "ab") as target:
                start += target.write(answer.read())
    print(f"Received {start} bytes")
    return 0


def send(file: str, part_size: str, complete: str, *urls: str) -> int:
    """Put a file in parts, and have the store join them."""
    parts = []
    with open(file, "rb") as source:
        for number, url in enumerate(urls, 1):
            with _ask("PUT", url, source.read(int(part_size))) as answer:
                parts.append(_PART.format(number, answer.headers["ETag"].strip('"')))
    try:
        _ask("POST", complete, _DOCUMENT.format("".join(parts)).encode()).close()
    except urllib.error.HTTPError:
        return _NOT_COMPLETED
    return 0


def _ask(method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None):
    request = urllib.request.Request(url, body, {"Content-Type": "", **(headers or {})}, method=method)
    return _direct.open(request, timeout=60)


if __name__ == "__main__":
    sys.exit({"exists": exists, "fetch": fetch, "send": send}[sys.argv[1]](*sys.argv[2:]))
