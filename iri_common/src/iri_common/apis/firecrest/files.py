"""Files: what is done at once, and what a job of the facility does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from iri_common.apis.filewords import checksum_of, content_of, extent, stat_of
from iri_common.apis.firecrest import excerpts, paths
from iri_common.apis.firecrest.operations import begun
from iri_common.apis.firecrest.ownjobs import OwnJob
from iri_common.apis.firecrest.rules import FILE_REPLAYS
from iri_common.apis.firecrest.states import file_type
from iri_common.apis.firecrest.systems import Systems
from iri_common.apis.firecrest.wire import FileReply, OutputReply
from iri_common.apis.reading import Reading, kind, segment
from iri_common.http.session import Reply, Request, Session
from iri_common.model.errors import ReplyError, TooLarge, TransientError, UsageError
from iri_common.model.files import Checksum, Compression, FileEntry, FileStat, FileText
from iri_common.model.outcome import Done, Pending
from iri_common.policy.retry import Limits, Replay

T = TypeVar("T")
Verb = Literal["GET", "POST", "PUT", "DELETE"]
_Read = Callable[[Reading, object], T]


class FirecrestFiles:
    """The filesystem service. What a second arrival does is in :data:`rules.FILE_REPLAYS`."""

    def __init__(self, session: Session, systems: Systems) -> None:
        self._session = session
        self._systems = systems

    async def ls(
        self,
        resource_id: str,
        path: str,
        *,
        hidden: bool = False,
        recursive: bool = False,
        dereference: bool = False,
    ) -> Done[Sequence[FileEntry]]:
        """List a directory."""
        options = {"showHidden": hidden, "recursive": recursive, "dereference": dereference}
        return await self._get("ops/ls", resource_id, path, options, _entries)

    async def head(
        self, resource_id: str, path: str, *, lines: int | None = None, size: int | None = None
    ) -> Done[FileText]:
        """The first lines or bytes of a text."""
        return await self._get("ops/head", resource_id, path, extent(lines, size), content_of)

    async def tail(
        self, resource_id: str, path: str, *, lines: int | None = None, size: int | None = None
    ) -> Done[FileText]:
        """The last lines or bytes of a text."""
        return await self._get("ops/tail", resource_id, path, extent(lines, size), content_of)

    async def view(self, resource_id: str, path: str, *, size: int, offset: int = 0) -> Done[FileText]:
        """Exactly these bytes of a text.

        Where something that is no text lies before or within them, the whole file is fetched to count its
        bytes; what is too large for that is counted as Latin-1 would have it.
        """
        if size < 1 or offset < 0:
            raise UsageError(f"view takes a size from 1 and an offset from 0, not {size} and {offset}")
        block, begin = excerpts.block_around(offset, size)
        extent = {"size": block, "offset": begin}
        text = (await self._get("ops/view", resource_id, path, extent, _text)).value
        piece = excerpts.cut_out(text, begin, offset, size)
        if piece is None:
            try:
                content = (await self.download(resource_id, path)).value
                piece = content[offset : offset + size].decode("utf-8", "replace")
            except TooLarge:
                piece = excerpts.cut_out(text, begin, offset, size, guess=True) or ""
        return Done(FileText(piece))

    async def checksum(self, resource_id: str, path: str) -> Done[Checksum]:
        """The digest that the facility computes, SHA-256 by the API."""
        return await self._get("ops/checksum", resource_id, path, {}, checksum_of)

    async def file_type(self, resource_id: str, path: str) -> Done[str]:
        """What ``file -b`` says."""
        return await self._get("ops/file", resource_id, path, {}, _text)

    async def stat(self, resource_id: str, path: str, *, dereference: bool = False) -> Done[FileStat]:
        """Size, mode, owner and time of one file."""
        return await self._get("ops/stat", resource_id, path, {"dereference": dereference}, stat_of)

    async def download(self, resource_id: str, path: str) -> Done[bytes]:
        """All bytes of a small file."""
        operation = "ops/download"
        reply = await self._session.send(
            Request(
                operation=operation,
                method="GET",
                path=_url(operation, resource_id),
                params=(("path", paths.plain(path, operation)),),
                raw=True,
            )
        )
        return Done(reply.value)

    async def upload(self, resource_id: str, path: str, content: bytes) -> Done[None]:
        """Write a small file, over one that is there; its directory must exist."""
        operation = "ops/upload"
        directory, name = paths.split(path, operation)
        request = Request(
            operation=operation,
            method="POST",
            path=_url(operation, resource_id),
            replay=FILE_REPLAYS[operation],
            params=(("path", directory),),
            files={"file": (name, content)},
            limits=None if content else Limits(attempts=1),
        )
        try:
            await self._session.send(request)
        except TransientError as error:
            # Of nothing, `base64 -d` waits for input until its time is up; the empty file is there by then.
            if content or error.status != 408 or (await self.stat(resource_id, path)).value.size:
                raise
        return Done(None)

    async def rm(self, resource_id: str, path: str) -> Done[None]:
        """Remove a file, or a directory with all that is in it."""
        request = Request(
            operation="ops/rm",
            method="DELETE",
            path=_url("ops/rm", resource_id),
            replay=FILE_REPLAYS["ops/rm"],
            params=(("path", paths.plain(path, "ops/rm")),),
        )
        await self._session.send(request)
        return Done(None)

    async def chmod(self, resource_id: str, path: str, mode: int) -> Done[FileEntry | None]:
        """Set the permission bits."""
        if not 0 <= mode <= 0o7777:
            raise UsageError(f"a mode is between 0 and 0o7777, not {mode:#o}")
        return await self._change("ops/chmod", resource_id, path, {"mode": f"{mode:03o}"}, verb="PUT")

    async def chown(
        self, resource_id: str, path: str, *, owner: str = "", group: str = ""
    ) -> Done[FileEntry | None]:
        """Set owner or group, by name."""
        if not owner and not group:
            raise UsageError("chown needs an owner or a group")
        return await self._change(
            "ops/chown", resource_id, path, {"owner": owner, "group": group}, verb="PUT"
        )

    async def mkdir(self, resource_id: str, path: str, *, parents: bool = False) -> Done[FileEntry | None]:
        """Make a directory; with ``parents`` one that is there already is as good."""
        replay = Replay.SAFE if parents else None
        return await self._change("ops/mkdir", resource_id, path, {"parent": parents}, replay=replay)

    async def symlink(self, resource_id: str, target: str, link: str) -> Done[FileEntry | None]:
        """Make ``link`` point to ``target``."""
        body = {"linkPath": paths.plain(link, "ops/symlink")}
        return await self._change("ops/symlink", resource_id, target, body)

    async def cp(
        self, resource_id: str, source: str, target: str, *, dereference: bool = False
    ) -> Pending[FileEntry | None]:
        """Copy a file or a directory: a job of the facility."""
        return await self._transfer("transfer/cp", resource_id, source, target, dereference=dereference)

    async def mv(self, resource_id: str, source: str, target: str) -> Pending[FileEntry | None]:
        """Move or rename: a job of the facility."""
        return await self._transfer("transfer/mv", resource_id, source, target)

    async def compress(
        self,
        resource_id: str,
        source: str,
        target: str,
        *,
        pattern: str | None = None,
        dereference: bool = False,
        compression: Compression = Compression.GZIP,
    ) -> Done[FileEntry | None]:
        """Pack a file or directory into an archive; ``pattern`` is a regular expression on paths in it."""
        body: dict[str, Any] = {
            "targetPath": paths.plain(target, "ops/compress"),
            "dereference": dereference,
            "compression": compression.value,
        }
        if pattern is not None:
            if compression is not Compression.GZIP:
                raise UsageError("FirecREST packs what a pattern chooses with gzip, and with nothing else")
            paths.require_pattern(source, pattern)
            body["matchPattern"] = pattern
        return await self._change("ops/compress", resource_id, source, body)

    async def extract(
        self, resource_id: str, source: str, target: str, *, compression: Compression = Compression.GZIP
    ) -> Done[FileEntry | None]:
        """Unpack an archive into a directory."""
        body = {"targetPath": paths.plain(target, "ops/extract"), "compression": compression.value}
        return await self._change("ops/extract", resource_id, source, body)

    async def _get(
        self, operation: str, resource_id: str, path: str, options: Mapping[str, bool | int], read: _Read[T]
    ) -> Done[T]:
        words = {
            "path": paths.plain(path, operation),
            **{name: _word(each) for name, each in options.items()},
        }
        reply = await self._session.send(
            Request(
                operation=operation,
                method="GET",
                path=_url(operation, resource_id),
                params=tuple(words.items()),
            )
        )
        reading = Reading(self._session.label, operation)
        return Done(read(reading, reading.one(OutputReply, reply.value).output))

    async def _change(
        self,
        operation: str,
        resource_id: str,
        path: str,
        body: Mapping[str, Any],
        *,
        verb: Verb = "POST",
        replay: Replay | None = None,
    ) -> Done[FileEntry | None]:
        reply = await self._session.send(
            Request(
                operation=operation,
                method=verb,
                path=_url(operation, resource_id),
                replay=replay or FILE_REPLAYS[operation],
                json={"path": paths.plain(path, operation), **body},
            )
        )
        return Done(_changed(Reading(self._session.label, operation), reply.value))

    async def _transfer(
        self, operation: str, resource_id: str, source: str, target: str, *, dereference: bool = False
    ) -> Pending[FileEntry | None]:
        source, target = paths.absolute(source, operation), paths.absolute(target, operation)
        account = await self._systems.account(resource_id)
        reading = Reading(self._session.label, operation)
        if not paths.harmless(source, target):
            system, directory = await self._systems.of(resource_id), await self._systems.work(resource_id)
            own = OwnJob.of(operation, source, target, dereference=dereference)
            path = f"/compute/{segment(resource_id, 'system')}/jobs"
            reply = await self._post(operation, path, {"job": own.described(system, directory, account)})
            return own.begun(reading, resource_id, directory, reply.value, lambda: None)
        body: dict[str, Any] = {"path": source, "targetPath": target}
        body |= {"dereference": True} if dereference else {}
        body |= {"account": account} if account else {}
        reply = await self._post(operation, _url(operation, resource_id), body)
        return begun(reading, resource_id, reply.value, lambda: None)

    async def _post(self, operation: str, path: str, body: Mapping[str, Any]) -> Reply:
        return await self._session.send(
            Request(operation=operation, method="POST", path=path, replay=FILE_REPLAYS[operation], json=body)
        )


def _url(operation: str, resource_id: str) -> str:
    return f"/filesystem/{segment(resource_id, 'system')}/{operation}"


def _word(value: bool | int) -> str:
    # Only true and false are booleans of a query, so Python's True is not one.
    return str(value).lower()


def _entry(reply: FileReply) -> FileEntry:
    return FileEntry(
        name=paths.listed(reply.name),
        type=file_type(reply.type),
        size=reply.size,
        user=reply.user,
        group=reply.group,
        permissions=reply.permissions,
        last_modified=reply.last_modified,
        link_target=paths.listed(reply.link_target) if reply.link_target else None,
    )


def _entries(reading: Reading, output: object) -> Sequence[FileEntry]:
    return [_entry(each) for each in reading.many(FileReply, [] if output is None else output)]


def _text(reading: Reading, output: object) -> str:
    if not isinstance(output, str):
        raise reading.unfit(f"a text was expected, not {kind(output)}")
    return output


def _changed(reading: Reading, value: object) -> FileEntry | None:
    # The change is made, whatever else is told of it: an entry that cannot be read is no failure.
    try:
        output = reading.one(OutputReply, {} if value is None else value).output
        return None if output is None else _entry(reading.one(FileReply, output))
    except ReplyError:
        return None
