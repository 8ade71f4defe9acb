"""Files: every operation is a task of the facility; here it is begun, and its result is read."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from iri_common.apis.filewords import checksum_of, content_of, extent, stat_of
from iri_common.apis.iri import unwrap
from iri_common.apis.iri.quirks import PLAIN, Site
from iri_common.apis.iri.rules import FILE_REPLAYS
from iri_common.apis.iri.states import file_type
from iri_common.apis.iri.versions import Version
from iri_common.apis.iri.wire import FileReply, TaskSubmitReply
from iri_common.apis.reading import Reading, kind, of_task, segment
from iri_common.http.session import Request, Session
from iri_common.model.errors import ReplyError, UsageError
from iri_common.model.files import Checksum, Compression, FileEntry, FileStat, FileText
from iri_common.model.outcome import Answer, Done, FacilityTask, Pending
from iri_common.policy.retry import Replay

T = TypeVar("T")
_Read = Callable[[Reading, object], T]


class IriFiles:
    """The filesystem service. What a second arrival does is in :data:`rules.FILE_REPLAYS`."""

    def __init__(self, session: Session, version: Version, site: Site = PLAIN) -> None:
        self._session = session
        self._version = version
        self._site = site

    async def ls(
        self,
        resource_id: str,
        path: str,
        *,
        hidden: bool = False,
        recursive: bool = False,
        dereference: bool = False,
    ) -> Answer[Sequence[FileEntry]]:
        """List a directory."""
        body = {"path": path, "showHidden": hidden, "recursive": recursive, "dereference": dereference}
        return await self._ask("ls", resource_id, body, _entries)

    async def head(
        self, resource_id: str, path: str, *, lines: int | None = None, size: int | None = None
    ) -> Answer[FileText]:
        """The first lines or bytes of a text."""
        return await self._ask("head", resource_id, {"path": path, **extent(lines, size)}, _content)

    async def tail(
        self, resource_id: str, path: str, *, lines: int | None = None, size: int | None = None
    ) -> Answer[FileText]:
        """The last lines or bytes of a text."""
        return await self._ask("tail", resource_id, {"path": path, **extent(lines, size)}, _content)

    async def view(self, resource_id: str, path: str, *, size: int, offset: int = 0) -> Answer[FileText]:
        """A piece of a text. The size is always sent: the API's default of 0 gives an empty success."""
        if size < 1 or offset < 0:
            raise UsageError(f"view takes a size from 1 and an offset from 0, not {size} and {offset}")
        body = {"path": path, "size": size, "offset": offset}
        return await self._ask("view", resource_id, body, _content)

    async def checksum(self, resource_id: str, path: str) -> Answer[Checksum]:
        """The digest that the facility computes, SHA-256 by the API."""
        return await self._ask("checksum", resource_id, {"path": path}, _checksum)

    async def file_type(self, resource_id: str, path: str) -> Answer[str]:
        """What ``file -b`` says."""
        return await self._ask("file", resource_id, {"path": path}, _text)

    async def stat(self, resource_id: str, path: str, *, dereference: bool = False) -> Answer[FileStat]:
        """Size, mode, owner and time of one file."""
        return await self._ask("stat", resource_id, {"path": path, "dereference": dereference}, _stat)

    async def download(self, resource_id: str, path: str) -> Answer[bytes]:
        """All bytes of a small file."""
        return await self._ask("download", resource_id, {"path": path}, _bytes)

    async def upload(self, resource_id: str, path: str, content: bytes) -> Answer[None]:
        """Write a small file, over one that is there; its directory must exist."""
        # The name in the multipart part is not the target, so it carries nothing that needs quoting.
        return await self._ask(
            "upload",
            resource_id,
            {"path": path},
            _nothing,
            files={"file": ("content", content)},
        )

    async def rm(self, resource_id: str, path: str) -> Answer[None]:
        """Remove a file, or a directory with all that is in it."""
        return await self._ask("rm", resource_id, {"path": path}, _nothing)

    async def chmod(self, resource_id: str, path: str, mode: int) -> Answer[FileEntry | None]:
        """Set the permission bits."""
        if not 0 <= mode <= 0o7777:
            raise UsageError(f"a mode is between 0 and 0o7777, not {mode:#o}")
        return await self._ask("chmod", resource_id, {"path": path, "mode": f"{mode:03o}"}, _changed)

    async def chown(
        self, resource_id: str, path: str, *, owner: str = "", group: str = ""
    ) -> Answer[FileEntry | None]:
        """Set owner or group, by name."""
        if not owner and not group:
            raise UsageError("chown needs an owner or a group")
        body = {"path": path, "owner": owner, "group": group}
        return await self._ask("chown", resource_id, body, _changed)

    async def mkdir(self, resource_id: str, path: str, *, parents: bool = False) -> Answer[FileEntry | None]:
        """Make a directory; with ``parents`` one that is there already is as good."""
        replay = Replay.SAFE if parents else None
        return await self._ask(
            "mkdir", resource_id, {"path": path, "parent": parents}, _changed, replay=replay
        )

    async def symlink(self, resource_id: str, target: str, link: str) -> Answer[FileEntry | None]:
        """Make ``link`` point to ``target``."""
        return await self._ask("symlink", resource_id, {"path": target, "link_path": link}, _changed)

    async def cp(
        self, resource_id: str, source: str, target: str, *, dereference: bool = False
    ) -> Answer[FileEntry | None]:
        """Copy a file or a directory."""
        body = {"path": source, "target_path": target, "dereference": dereference}
        return await self._ask("cp", resource_id, body, _changed)

    async def mv(self, resource_id: str, source: str, target: str) -> Answer[FileEntry | None]:
        """Move or rename."""
        return await self._ask("mv", resource_id, {"path": source, "target_path": target}, _changed)

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
        """Pack a file or directory into an archive; ``pattern`` is a regular expression on names."""
        body: dict[str, Any] = {
            "path": source,
            "target_path": target,
            "dereference": dereference,
            "compression": self._version.compressions[compression],
        }
        if pattern is not None:
            body["match_pattern"] = pattern
        return await self._ask("compress", resource_id, body, _changed)

    async def extract(
        self, resource_id: str, source: str, target: str, *, compression: Compression = Compression.GZIP
    ) -> Answer[FileEntry | None]:
        """Unpack an archive into a directory."""
        body = {"path": source, "target_path": target, "compression": self._version.compressions[compression]}
        return await self._ask("extract", resource_id, body, _changed)

    async def _ask(
        self,
        operation: str,
        resource_id: str,
        body: Mapping[str, Any],
        read: _Read[T],
        *,
        replay: Replay | None = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> Answer[T]:
        for name in ("path", "target_path", "link_path"):
            if name in body and not body[name]:
                raise UsageError(f"{operation} needs a path; an empty one would be the facility's to guess")
        self._site.require("filesystem", operation, self._session.label)
        replay = replay or FILE_REPLAYS[operation]
        method = self._version.verbs.get(operation, "POST")
        # An upload names its path in the query; in the form it is refused.
        in_query = bool(files) or method in {"GET", "DELETE"}
        reply = await self._session.send(
            Request(
                operation=operation,
                method=method,
                path=f"/filesystem/{operation}/{segment(resource_id, 'resource')}",
                replay=replay,
                params=tuple((name, _word(value)) for name, value in body.items()) if in_query else (),
                json=None if in_query else body,
                files=files,
            )
        )
        reading = Reading(self._session.label, operation)
        return _begun(reading, reply.value, read, replay)


def promised(task: FacilityTask, label: str) -> Pending[object]:
    """What an operation that may take long was promised to give; see the port of operations."""
    read = of_task(task, _LONG)
    reading = Reading(label, task.operation)
    return Pending(task.task_id, task.operation, lambda result: read(reading, result))


def _begun(reading: Reading, value: object, read: _Read[T], replay: Replay) -> Answer[T]:
    fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    try:
        if fields.get("task_id") is not None:
            task = reading.one(TaskSubmitReply, fields)
            return Pending(task.task_id, reading.operation, lambda result: read(reading, result))
        if "output" in fields or isinstance(value, (list, str)):
            at_once = cast("object", value)
            return Done(read(reading, at_once))
        raise reading.unfit("it names no task and gives no output")
    except ReplyError as error:
        if replay is Replay.SAFE:
            raise
        raise reading.ambiguous(error.message) from None


def _word(value: object) -> str:
    # Only true and false are booleans of a query, so Python's True is not one.
    return str(value).lower() if isinstance(value, bool) else str(value)


def _entry(reply: FileReply) -> FileEntry:
    return FileEntry(
        name=reply.name,
        type=file_type(reply.type),
        size=reply.size,
        user=reply.user,
        group=reply.group,
        permissions=reply.permissions,
        last_modified=reply.last_modified,
        link_target=reply.link_target or None,
    )


def _entries(reading: Reading, result: object) -> Sequence[FileEntry]:
    return [_entry(each) for each in reading.many(FileReply, unwrap.structure(result))]


def _content(reading: Reading, result: object) -> FileText:
    return content_of(reading, unwrap.structure(result))


def _checksum(reading: Reading, result: object) -> Checksum:
    return checksum_of(reading, unwrap.structure(result))


def _stat(reading: Reading, result: object) -> FileStat:
    return stat_of(reading, unwrap.structure(result))


def _text(reading: Reading, result: object) -> str:
    value = unwrap.text(result)
    if not isinstance(value, str):
        raise reading.unfit(f"a text was expected, not {kind(value)}")
    return value


def _bytes(reading: Reading, result: object) -> bytes:
    try:
        return base64.b64decode(_text(reading, result), validate=True)
    except (binascii.Error, ValueError) as error:
        # No falling back to the plain text: "test" is both, and a wrong guess is a wrong file.
        raise reading.unfit(f"the content of the file is not base64: {error}") from None


def _nothing(reading: Reading, result: object) -> None:
    """The operation is over; its message is for people at the facility."""


def _changed(reading: Reading, result: object) -> FileEntry | None:
    # The change is made, whatever else is told of it: an entry that cannot be read is no failure.
    try:
        return _entry(reading.one(FileReply, unwrap.structure(result)))
    except ReplyError:
        return None


_LONG: Mapping[str, _Read[object]] = {
    "rm": _nothing,
    **dict.fromkeys(("cp", "mv", "compress", "extract"), _changed),
    "checksum": _checksum,
}
