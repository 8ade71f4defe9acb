"""A facility that answers looks at once, from prepared bytes, so that what costs is the client.

It serves both versions of the paths, knows one resource and any number of jobs that run for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .processes import end_with_parent, served

RESOURCE = "00000000-0000-4000-8000-000000000001"
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_VERSION = re.compile(r"^/api/v\d+")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def job_id(number: int) -> str:
    """The id of the n-th job."""
    return str(50_000_000 + number)


def _job(number: int) -> bytes:
    """A job as the local facility describes one that runs."""
    meta = {
        "name": f"step-{number}",
        "queue_name": "regular",
        "account": "demo",
        "node_count": 1,
        "duration": 3600,
        "submit_time": 1790000000.25,
        "start_time": 1790000001.5,
        "end_time": None,
        "stdout_path": f"/scratch/alice/job-{number}.out",
        "stderr_path": f"/scratch/alice/job-{number}.out",
    }
    status = {"state": "active", "time": 1790000001.5, "meta_data": meta}
    return json.dumps({"id": job_id(number), "status": status}).encode()


class _Facility:
    def __init__(self, jobs: int) -> None:
        self.seen: Counter[str] = Counter()
        self._rounds: list[float] = []
        self._jobs = [_job(number) for number in range(jobs)]
        self._numbers = {job_id(number): number for number in range(jobs)}
        self._pages: dict[tuple[int, int], bytes] = {}
        resource = {
            "id": RESOURCE,
            "name": "machine",
            "description": "prepared bytes",
            "last_modified": "2026-01-01T00:00:00Z",
            "current_status": "up",
            "resource_type": "urn:doe-iri:resource:compute:system",
            "supported_endpoints": ["compute"],
            "self_uri": "http://127.0.0.1/",
            "site_uri": "http://127.0.0.1/",
            "capability_uris": [],
        }
        self._resources = json.dumps([resource]).encode()

    def answer(self, method: str, target: str) -> tuple[int, bytes]:
        """Status and body."""
        parts = urlsplit(target)
        path = _VERSION.sub("", parts.path).strip("/")
        if path == "_seen":
            return 200, json.dumps(self.seen).encode()
        if path == "_rounds":
            return 200, json.dumps(self._rounds).encode()
        if path in ("compute/resources", "status/resources"):
            self.seen["resources"] += 1
            return 200, self._resources
        name = path.removeprefix(f"compute/status/{RESOURCE}")
        if method == "POST" and not name:
            query = {word: values[0] for word, values in parse_qs(parts.query).items()}
            return 200, self._page(int(query.get("offset", 0)), int(query.get("limit", 100)))
        number = self._numbers.get(name.removeprefix("/"))
        if number is None:
            self.seen["unknown"] += 1
            return 404, b'{"title": "Not Found", "status": 404}'
        self.seen.update(looks=1, told=1)
        return 200, self._jobs[number]

    def _page(self, offset: int, limit: int) -> bytes:
        if offset == 0:
            self._rounds.append(time.monotonic())
        self.seen.update(lists=1, told=max(0, min(limit, len(self._jobs) - offset)))
        page = self._pages.get((offset, limit))
        if page is None:
            page = self._pages[offset, limit] = b"[" + b",".join(self._jobs[offset : offset + limit]) + b"]"
        return page


class _Exchange(asyncio.Protocol):
    def __init__(self, facility: _Facility) -> None:
        self._facility = facility
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[: end + 2]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length.group(1)) if length else 0)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
            status, body = self._facility.answer(method, target)
            reply = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            self._transport.write(reply.encode() + b"\r\n\r\n" + body)


def _serve(pipe: Connection, jobs: int) -> None:
    async def serve() -> None:
        end_with_parent(pipe)
        facility = _Facility(jobs)
        server = await asyncio.get_running_loop().create_server(
            lambda: _Exchange(facility), "127.0.0.1", 0, backlog=1024
        )
        pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await server.serve_forever()

    asyncio.run(serve())


@dataclass(frozen=True)
class StandIn:
    """Where it is, and what it saw."""

    root: str

    def seen(self) -> Counter[str]:
        """Requests by kind (``lists``, ``looks``), and how many jobs they told of (``told``)."""
        return Counter(self._get("_seen"))

    def rounds(self) -> list[float]:
        """When each reading of the whole list began, in seconds from some moment."""
        return self._get("_rounds")

    def _get(self, path: str) -> Any:
        with _DIRECT.open(f"{self.root}/{path}", timeout=30) as answer:
            return json.load(answer)


@contextlib.contextmanager
def stand_in(jobs: int) -> Iterator[StandIn]:
    """A stand-in with so many running jobs, in a process of its own."""
    with served(_serve, jobs) as root:
        yield StandIn(root)
