"""What the tests of roads over parts stand on: meter, notes, and a facility whose own job fetches objects."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from s3_server import BUCKET, Store

from iri_common.apis.s3 import S3Parts, s3_parts
from iri_common.http.transport import WireSettings
from iri_common.model.errors import NotFound, NotOffered
from iri_common.model.facility import AccessEndpoint
from iri_common.model.files import Checksum, FileStat
from iri_common.model.grades import Grades
from iri_common.model.outcome import Done, Pending
from iri_common.model.transfer import DownloadLink, Move, PartsUpload
from iri_common.transfers.notes import FileNotes
from iri_common.transfers.parts import PartsRoad
from iri_common.transfers.trip import Trip

PART = 5 * 1024 * 1024  # the least that S3 takes for a part that is not the last
EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


class Counts:
    """A meter that counts."""

    def __init__(self) -> None:
        self.sent = self.kept_bytes = 0
        self.sums: dict[str, str | None] = {}

    async def spend(self, count: int) -> None:
        await asyncio.sleep(0)

    def moved(self, count: int, name: str = "") -> None:
        self.sent += count

    def kept(self, count: int) -> None:
        self.kept_bytes += count

    def landed(self, move: Move, sha256: str | None = None) -> None:
        self.sums[move.target] = sha256


class Facility:
    """A dialect whose files are in a directory; as much of one as the road asks for.

    Args:
        root: Stands for ``/``; None for a facility without files.
    """

    name = "tested"

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self.grades = Grades(files="none" if root is None else "direct")
        self.files = self.operations = self
        self.jobs: dict[str, threading.Thread] = {}

    def at(self, path: str) -> Path:
        assert self.root is not None
        return self.root / path.lstrip("/")

    async def stat(self, resource_id: str, path: str, *, dereference: bool = False) -> Done[FileStat]:
        try:
            there = await asyncio.to_thread(os.stat, self.at(path))
        except FileNotFoundError:
            raise NotFound(path) from None
        return Done(FileStat(there.st_size, there.st_mode, mtime=there.st_mtime))

    async def checksum(self, resource_id: str, path: str) -> Done[Checksum]:
        content = await asyncio.to_thread(self.at(path).read_bytes)
        return Done(Checksum("SHA-256", hashlib.sha256(content).hexdigest()))

    async def mv(self, resource_id: str, source: str, target: str) -> Done[None]:
        await asyncio.to_thread(os.rename, self.at(source), self.at(target))
        return Done(None)

    async def rm(self, resource_id: str, path: str) -> Done[None]:
        await asyncio.to_thread(os.unlink, self.at(path))
        return Done(None)

    async def upload(self, resource_id: str, path: str, content: bytes) -> Done[None]:
        await asyncio.to_thread(self.at(path).write_bytes, content)
        return Done(None)

    async def check(self, pending: Pending[object]) -> Done[object] | Pending[object]:
        return pending if self.jobs[pending.task_id].is_alive() else Done(pending.read(None))


class FetchingParts:
    """Parts as FirecREST has them: links are signed once, and a job of the server's brings the object over.

    Nothing here is known of an upload after a crash, and of an empty file nothing can be made.
    """

    appears_whole = False
    why_not = ""

    def __init__(self, store: Store, signed: S3Parts, facility: Facility, *, seconds: float = 0.3) -> None:
        self._store, self._signed, self._facility, self._seconds = store, signed, facility, seconds
        self.spoil: Callable[[bytes], bytes] = lambda content: content

    async def begin(self, resource_id: str, path: str, size: int) -> Done[PartsUpload]:
        if not size:
            raise NotOffered("no upload of nothing")
        return await self._signed.begin(resource_id, path, size)

    async def again(self, resource_id: str, upload: PartsUpload) -> Done[PartsUpload]:
        raise NotOffered("links are signed once")

    async def arrived(self, resource_id: str, upload: PartsUpload) -> Done[dict[int, str]]:
        raise NotOffered("nobody can tell")

    async def abandon(self, resource_id: str, upload: PartsUpload) -> Done[None]:
        return await self._signed.abandon(resource_id, upload)

    async def clear(self, resource_id: str, path: str, since: float) -> Done[None]:
        raise NotOffered("nobody lists uploads")

    async def finish(self, resource_id: str, upload: PartsUpload, etags: Sequence[str]) -> Pending[None]:
        await self._signed.finish(resource_id, upload, etags)
        return self._job("upload", lambda: self._bring(upload.path))

    async def link(self, resource_id: str, path: str) -> Pending[DownloadLink]:
        key, admin = path.lstrip("/"), self._store.admin

        def signed(_: object) -> DownloadLink:
            where = {"Bucket": BUCKET, "Key": key}
            return DownloadLink(admin.generate_presigned_url("get_object", Params=where))

        def put() -> None:
            admin.put_object(Bucket=BUCKET, Key=key, Body=self._facility.at(path).read_bytes())

        pending = self._job("download", put)
        return Pending(pending.task_id, pending.operation, signed)

    def _job(self, operation: str, work: Callable[[], object]) -> Pending[None]:
        def run() -> None:
            time.sleep(self._seconds)
            work()

        name = f"{operation}-{len(self._facility.jobs)}"
        self._facility.jobs[name] = threading.Thread(target=run)
        self._facility.jobs[name].start()
        return Pending(name, operation, lambda _: None)

    def _bring(self, path: str) -> None:
        self._facility.at(path).write_bytes(self.spoil(self._store.content(path.lstrip("/"))))


class Counted(S3Parts):
    """Counts how often it is asked for links."""

    asked = 0

    async def again(self, resource_id, upload):
        self.asked += 1
        return await super().again(resource_id, upload)

    async def link(self, resource_id, path):
        self.asked += 1
        return await super().link(resource_id, path)


def signer(url: str, root: str = "/", **words: object) -> Counted:
    told = {"bucket": BUCKET, "region": "us-east-1", "endpoint_url": url, "root_path": root}
    made = s3_parts(AccessEndpoint("e1", "s3", "the store", told), WireSettings())
    return Counted(made._bucket, root=root, **words)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def trip(folder: Path, source: str, target: str, parallel: int = 2, meter: Counts | None = None):
    """Notes that a later try with the same ends finds."""
    notes = await FileNotes.opened(source, target, directory=folder / "notes")
    try:
        yield Trip(meter or Counts(), notes, parallel)
    finally:
        await notes.close()


async def carry(road: PartsRoad, move: Move, folder: Path, meter: Counts | None = None) -> Counts:
    """Carry one file."""
    async with trip(folder, move.source, move.target, meter=meter) as under_way:
        await road.carry([move], under_way)
        return under_way.meter  # type: ignore[return-value]


def file_of(folder: Path, size: int, name: str = "source") -> tuple[Move, bytes, str]:
    """One that is to go up, with its content and its digest."""
    content = os.urandom(size)
    (folder / name).write_bytes(content)
    target = f"/run 7/{name} ü&'+.h5"
    return Move(str(folder / name), target, size), content, hashlib.sha256(content).hexdigest()
