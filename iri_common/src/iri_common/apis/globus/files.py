"""The files of collections behind the port: names over Transfer, bytes over the collection's HTTPS."""

from __future__ import annotations

import asyncio
import posixpath
import random
import stat
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from iri_common.apis.globus.client import LABEL, GlobusClient
from iri_common.apis.globus.tasks import task_of
from iri_common.apis.globus.web import CollectionRanges
from iri_common.apis.reading import of_task
from iri_common.model.errors import (
    AmbiguousReply,
    Conflict,
    NotFound,
    NotOffered,
    PermissionDenied,
    Refused,
    TransientError,
    UsageError,
)
from iri_common.model.files import Checksum, Compression, FileEntry, FileStat, FileText
from iri_common.model.outcome import Answer, Done, FacilityTask, Pending
from iri_common.model.transfer import CollectionEnd, TaskState
from iri_common.policy.classify import Outcome
from iri_common.policy.collections import to_collection
from iri_common.policy.globus_tasks import FATAL
from iri_common.policy.retry import Action, Replay, decide

if TYPE_CHECKING:
    import globus_sdk

T = TypeVar("T")

DELETE = "globus delete"
TAIL = 256 * 1024  # bytes in which the last lines of a file are looked for
_TYPES = {"dir": "directory", "file": "file", "invalid_symlink": "symlink"}


class CollectionFiles:
    """Files of collections; a :class:`~iri_common.model.ports.FilesApi`.

    Args:
        client: The identity.
        ranges: For their bytes.
        end_of: Which collection and paths a file system's id means.
    """

    def __init__(
        self, client: GlobusClient, ranges: CollectionRanges, end_of: Callable[[str], CollectionEnd]
    ) -> None:
        self._client = client
        self._ranges = ranges
        self._end_of = end_of

    async def ls(
        self,
        resource_id: str,
        path: str,
        *,
        hidden: bool = False,
        recursive: bool = False,
        dereference: bool = False,
    ) -> Answer[Sequence[FileEntry]]:
        """What is in a directory; level by level, for Transfer has no deeper listing."""
        if recursive:
            raise NotOffered("Globus lists one directory at a time", facility=LABEL)
        collection, inner = await self._inner(resource_id, path)

        def read(transfer: globus_sdk.TransferClient) -> list[dict[str, Any]]:
            return transfer.operation_ls(collection, inner, show_hidden=hidden).data["DATA"]

        rows = await self._client.call("operationLs", read)
        return Done([_entry(each, dereference=dereference) for each in rows])

    async def stat(self, resource_id: str, path: str, *, dereference: bool = False) -> Done[FileStat]:
        """Size, mode and time; of what a link points to, for Transfer does not tell of the link itself."""
        collection, inner = await self._inner(resource_id, path)
        words = await self._client.call(
            "operationStat", lambda transfer: dict(transfer.operation_stat(collection, inner).data)
        )
        kind = {"dir": stat.S_IFDIR, "file": stat.S_IFREG}.get(str(words.get("type")), 0)
        return Done(
            FileStat(
                int(words.get("size") or 0),
                kind | _permissions(words),
                mtime=_time(words.get("last_modified")),
            )
        )

    async def mkdir(self, resource_id: str, path: str, *, parents: bool = False) -> Answer[FileEntry | None]:
        """Make a directory; with ``parents`` one that is there already is as good."""
        collection, inner = await self._inner(resource_id, path)
        if not parents:
            await self._made(collection, inner, Replay.ONCE)
            return Done(None)
        missing = [inner]
        while missing:
            try:
                await self._made(collection, missing[-1], Replay.SAFE)
            except Conflict:
                pass  # it is there
            except NotFound:
                parent = posixpath.dirname(missing[-1])
                if parent == missing[-1] or len(missing) > inner.count("/"):
                    raise
                missing.append(parent)
                continue
            missing.pop()
        return Done(None)

    async def mv(self, resource_id: str, source: str, target: str) -> Answer[FileEntry | None]:
        """Rename."""
        collection, old = await self._inner(resource_id, source)
        new = to_collection(self._end_of(resource_id), target)
        await self._client.call(
            "operationRename",
            lambda transfer: transfer.operation_rename(collection, old, new).data,
            replay=Replay.ONCE,
        )
        return Done(None)

    async def rm(self, resource_id: str, path: str) -> Answer[None]:
        """Remove a file, or a directory with all that is in it; Globus makes a task of it."""
        # A task that finds nothing to delete would only say so after a day.
        await self.stat(resource_id, path)
        collection, inner = await self._inner(resource_id, path)
        submission = await self._client.call(
            "getSubmissionId", lambda transfer: str(transfer.get_submission_id()["value"])
        )

        def submit(transfer: globus_sdk.TransferClient) -> str:
            import globus_sdk

            data = globus_sdk.DeleteData(
                endpoint=collection,
                recursive=True,
                submission_id=submission,
                label="iri-workflows rm",
                notify_on_succeeded=False,
                notify_on_failed=False,
                notify_on_inactive=False,
            )
            data.add_item(inner)
            return str(transfer.submit_delete(data)["task_id"])

        task_id = await self._client.call("submitDelete", submit)
        return Pending(task_id, DELETE, lambda _: None)

    async def download(self, resource_id: str, path: str) -> Answer[bytes]:
        """All bytes of a small file; a large one is better read in pieces."""
        return Done(await self._bytes(resource_id, path))

    async def upload(self, resource_id: str, path: str, content: bytes) -> Answer[None]:
        """Write a small file, over one that is there."""

        async def pieces():
            yield content

        return await self._patiently(lambda: self._ranges.write(resource_id, path, len(content), pieces))

    async def view(self, resource_id: str, path: str, *, size: int, offset: int = 0) -> Answer[FileText]:
        """A piece of a text."""
        if size < 1 or offset < 0:
            raise UsageError(f"view takes a size from 1 and an offset from 0, not {size} and {offset}")
        content = await self._bytes(resource_id, path, offset, offset + size)
        return Done(FileText(content.decode(errors="replace"), offset, offset + len(content)))

    async def head(
        self, resource_id: str, path: str, *, lines: int | None = None, size: int | None = None
    ) -> Answer[FileText]:
        """Its beginning: so many lines, as far as they are short, or so many bytes."""
        content = await self._bytes(resource_id, path, 0, _extent(lines, size))
        return Done(_text(content if lines is None else b"".join(content.splitlines(True)[:lines]), 0))

    async def tail(
        self, resource_id: str, path: str, *, lines: int | None = None, size: int | None = None
    ) -> Answer[FileText]:
        """Its end: so many lines, as far as they are short, or so many bytes."""
        wanted = _extent(lines, size)
        end = (await self.stat(resource_id, path)).value.size
        content = await self._bytes(resource_id, path, max(0, end - wanted), end) if end else b""
        if lines is not None:
            content = b"".join(content.splitlines(True)[-lines:])
        return Done(_text(content, end - len(content)))

    async def checksum(self, resource_id: str, path: str) -> Answer[Checksum]:
        """Not offered: Transfer compares for itself what it moves, and tells nobody a digest."""
        raise _lacks("checksum of a file")

    async def file_type(self, resource_id: str, path: str) -> Answer[str]:
        """Not offered."""
        raise _lacks("word on what kind of data a file holds")

    async def chmod(self, resource_id: str, path: str, mode: int) -> Answer[FileEntry | None]:
        """Not offered."""
        raise _lacks("change of permissions")

    async def chown(
        self, resource_id: str, path: str, *, owner: str = "", group: str = ""
    ) -> Answer[FileEntry | None]:
        """Not offered."""
        raise _lacks("change of owners")

    async def symlink(self, resource_id: str, target: str, link: str) -> Answer[FileEntry | None]:
        """Not offered."""
        raise _lacks("making of links")

    async def cp(
        self, resource_id: str, source: str, target: str, *, dereference: bool = False
    ) -> Answer[FileEntry | None]:
        """Not offered: a copy within a collection is a transfer like any other."""
        raise _lacks("copy in place; a transfer from the collection to itself does it")

    async def compress(
        self,
        resource_id: str,
        source: str,
        target: str,
        *,
        pattern: str | None = None,
        dereference: bool = False,
        compression: Compression = Compression.GZIP,
    ) -> Answer[FileEntry | None]:
        """Not offered."""
        raise _lacks("packing of archives")

    async def extract(
        self, resource_id: str, source: str, target: str, *, compression: Compression = Compression.GZIP
    ) -> Answer[FileEntry | None]:
        """Not offered."""
        raise _lacks("unpacking of archives")

    async def _inner(self, resource_id: str, path: str) -> tuple[str, str]:
        end = self._end_of(resource_id)
        inner = to_collection(end, path)
        await self._client.collection(end.collection)  # its data is part of the next token's scope
        return end.collection, inner

    async def _made(self, collection: str, path: str, replay: Replay) -> None:
        await self._client.call(
            "operationMkdir", lambda transfer: transfer.operation_mkdir(collection, path).data, replay=replay
        )

    async def _bytes(self, resource_id: str, path: str, start: int = 0, end: int | None = None) -> bytes:
        async def read() -> bytes:
            async with self._ranges.read(resource_id, path, start=start, end=end) as pieces:
                return b"".join([piece async for piece in pieces])

        return await self._patiently(read)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Again, where the bytes of a small file did not get through: twice does no harm."""
        started, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                return await work()
            except (TransientError, AmbiguousReply):
                decision = decide(
                    Outcome.AWAY,
                    Replay.SAFE,
                    attempt=attempt,
                    elapsed=time.monotonic() - started,
                    chance=random.random(),
                    limits=self._client.limits,
                )
                if decision.action is Action.STOP:
                    raise
            await asyncio.sleep(decision.delay)


class GlobusOperations:
    """What Globus works on in its own time: deletions."""

    def __init__(self, client: GlobusClient) -> None:
        self._client = client

    async def check(self, pending: Pending[T]) -> Answer[T]:
        """Look once; Done with the value, the same Pending, or the operation's error raised."""
        task_id = pending.task_id
        words = await self._client.call("getTask", lambda transfer: dict(transfer.get_task(task_id).data))
        task = task_of(words)
        if task.state is TaskState.SUCCEEDED:
            return Done(pending.read(None))
        if task.state is TaskState.FAILED or (task.healthy is False and task.code in FATAL):
            if not task.state.over:  # it would try again for a day
                await self._client.call("cancelTask", lambda transfer: transfer.cancel_task(task_id).data)
            kind = {"PERMISSION_DENIED": PermissionDenied, "FILE_NOT_FOUND": NotFound}.get(task.code, Refused)
            raise kind(
                f"{pending.operation} failed: {task.code} {task.words}".strip(),
                facility=LABEL,
                operation=pending.operation,
            )
        return pending

    def promised(self, task: FacilityTask) -> Pending[object]:
        """What an operation on files was promised to give: that it is done."""
        of_task(task, {DELETE: None})
        return Pending(task.task_id, DELETE, lambda _: None)

    async def forget(self, task_id: str) -> Done[None]:
        """Nothing to do: Globus keeps its history."""
        return Done(None)


def _entry(words: Mapping[str, Any], *, dereference: bool) -> FileEntry:
    link = words.get("link_target") or None
    size = words.get("size")
    return FileEntry(
        name=str(words["name"]),
        type="symlink" if link and not dereference else _TYPES.get(str(words.get("type")), "other"),
        size=size if isinstance(size, int) else None,
        user=str(words.get("user") or ""),
        group=str(words.get("group") or ""),
        permissions=str(words.get("permissions") or ""),
        last_modified=str(words.get("last_modified") or ""),
        link_target=link,
    )


def _permissions(words: Mapping[str, Any]) -> int:
    try:
        return int(str(words.get("permissions") or "0"), 8) & 0o7777
    except ValueError:
        return 0


def _time(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0


def _extent(lines: int | None, size: int | None) -> int:
    if (lines is None) == (size is None):
        raise UsageError("say how much of the file: either lines or size, and not both")
    return TAIL if size is None else size


def _text(content: bytes, start: int) -> FileText:
    return FileText(content.decode(errors="replace"), start, start + len(content))


def _lacks(what: str) -> NotOffered:
    return NotOffered(f"a Globus collection offers no {what}", facility=LABEL)
