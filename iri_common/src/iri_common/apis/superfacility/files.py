"""Files: listed, fetched and put by the API's own operations; all else by a command on a login node."""

from __future__ import annotations

import asyncio
import base64
import binascii
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from iri_common.apis.reading import Reading, of_task, segment
from iri_common.apis.superfacility import listing
from iri_common.apis.superfacility.commands import command_line, output_of, word
from iri_common.apis.superfacility.paths import utility
from iri_common.apis.superfacility.rules import REPLAYS, TASK_SECONDS
from iri_common.apis.superfacility.wire import AcceptedReply, DirectoryReply, DownloadReply, unreadable
from iri_common.http.session import LARGE, Request, Session
from iri_common.model.errors import NotOffered, ReplyError, UsageError
from iri_common.model.files import Checksum, Compression, FileEntry, FileStat, FileText
from iri_common.model.outcome import Answer, Done, FacilityTask, Pending

T = TypeVar("T")

_TAR: dict[Compression, str] = {
    Compression.NONE: "",
    Compression.GZIP: "z",
    Compression.BZIP2: "j",
    Compression.XZ: "J",
}


class SuperfacilityFiles:
    """The utilities. A command is a task of the facility; what its second arrival does is in ``REPLAYS``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def ls(
        self,
        resource_id: str,
        path: str,
        *,
        hidden: bool = False,
        recursive: bool = False,
        dereference: bool = False,
    ) -> Answer[Sequence[FileEntry]]:
        """List a directory; the API itself neither descends nor follows links, that takes a command."""
        if recursive or dereference:
            command = listing.command(path, recursive=recursive, dereference=dereference)

            def read(reading: Reading, output: bytes) -> Sequence[FileEntry]:
                return listing.found(reading, output, path, hidden=hidden)

            return await self._run("ls", resource_id, command, read)
        reply = await self._session.send(
            Request(operation="read_directory", method="GET", path=utility("ls", resource_id, path))
        )
        entries = self._reading("read_directory").one(DirectoryReply, reply.value).entries
        return Done(listing.told(entries, hidden=hidden))

    async def head(
        self, resource_id: str, path: str, *, lines: int | None = None, size: int | None = None
    ) -> Answer[FileText]:
        """The first lines or bytes of a text."""
        return await self._run("head", resource_id, f"head {_extent(lines, size)} {word(path)}", _text)

    async def tail(
        self, resource_id: str, path: str, *, lines: int | None = None, size: int | None = None
    ) -> Answer[FileText]:
        """The last lines or bytes of a text."""
        return await self._run("tail", resource_id, f"tail {_extent(lines, size)} {word(path)}", _text)

    async def view(self, resource_id: str, path: str, *, size: int, offset: int = 0) -> Answer[FileText]:
        """A piece of a text."""
        if size < 1 or offset < 0:
            raise UsageError(f"view takes a size from 1 and an offset from 0, not {size} and {offset}")
        command = (
            f"dd if={word(path)} bs=64K iflag=skip_bytes,count_bytes,fullblock "
            f"skip={offset} count={size} status=none"
        )
        return await self._run("view", resource_id, command, _text)

    async def checksum(self, resource_id: str, path: str) -> Answer[Checksum]:
        """The SHA-256."""
        # From its input: before an odd name sha256sum would write a backslash.
        return await self._run("checksum", resource_id, f"sha256sum < {word(path)}", _checksum)

    async def file_type(self, resource_id: str, path: str) -> Answer[str]:
        """What ``file -b`` says."""
        # `file` itself takes a missing file for a success.
        command = f"stat {word(path)} >&2 && file -b {word(path)}"
        return await self._run("file", resource_id, command, _line)

    async def stat(self, resource_id: str, path: str, *, dereference: bool = False) -> Answer[FileStat]:
        """Size, mode, owner and time of one file."""
        option = "-L " if dereference else ""
        command = f"stat {option}-c '%s %f %u %g %.6Y' {word(path)}"
        return await self._run("stat", resource_id, command, _stat)

    async def download(self, resource_id: str, path: str) -> Answer[bytes]:
        """All bytes of a small file."""
        reply = await self._session.send(
            Request(
                operation="download_file",
                method="GET",
                path=utility("download", resource_id, path),
                params=(("binary", "true"),),  # as a text, what is not UTF-8 is spoiled
            )
        )
        reading = self._reading("download_file")
        content = reading.one(DownloadReply, reply.value)
        if len(content.file) < LARGE:
            return Done(_bytes(reading, content))
        # Decoding megabytes leaves the loop that every wait lives on.
        return Done(await asyncio.to_thread(_bytes, reading, content))

    async def upload(self, resource_id: str, path: str, content: bytes) -> Answer[None]:
        """Write a small file, over one that is there; its directory must exist."""
        await self._session.send(
            Request(
                operation="upload_file",
                method="PUT",
                path=utility("upload", resource_id, path),
                files={"file": ("upload", content)},  # the path decides, not this name
            )
        )
        return Done(None)

    async def rm(self, resource_id: str, path: str) -> Answer[None]:
        """Remove a file, or a directory with all that is in it."""
        return await self._run("rm", resource_id, f"rm -r {word(path)}", _nothing)

    async def chmod(self, resource_id: str, path: str, mode: int) -> Answer[FileEntry | None]:
        """Set the permission bits."""
        if not 0 <= mode <= 0o7777:
            raise UsageError(f"a mode is between 0 and 0o7777, not {mode:#o}")
        return await self._run("chmod", resource_id, f"chmod {mode:04o} {word(path)}", _changed)

    async def chown(
        self, resource_id: str, path: str, *, owner: str = "", group: str = ""
    ) -> Answer[FileEntry | None]:
        """Set owner or group, by name."""
        if not owner and not group:
            raise UsageError("chown needs an owner or a group")
        whose = shlex.quote(f"{owner}:{group}" if group else owner)
        return await self._run("chown", resource_id, f"chown -- {whose} {word(path)}", _changed)

    async def mkdir(self, resource_id: str, path: str, *, parents: bool = False) -> Answer[FileEntry | None]:
        """Make a directory; with ``parents`` one that is there already is as good."""
        command = "mkdir -p" if parents else "mkdir"
        return await self._run(command, resource_id, f"{command} {word(path)}", _changed)

    async def symlink(self, resource_id: str, target: str, link: str) -> Answer[FileEntry | None]:
        """Make ``link`` point to ``target``."""
        if not target:
            raise UsageError("a link needs a target")
        # -T: a link that is there and leads to a directory is no place to put this one in.
        command = f"ln -sT -- {shlex.quote(target)} {word(link)}"
        return await self._run("symlink", resource_id, command, _changed)

    async def cp(
        self, resource_id: str, source: str, target: str, *, dereference: bool = False
    ) -> Answer[FileEntry | None]:
        """Copy a file or a directory."""
        links = "-L" if dereference else "-P"
        command = f"cp -R {links} --preserve=mode,timestamps {word(source)} {word(target)}"
        return await self._run("cp", resource_id, command, _changed)

    async def mv(self, resource_id: str, source: str, target: str) -> Answer[FileEntry | None]:
        """Move or rename."""
        return await self._run("mv", resource_id, f"mv {word(source)} {word(target)}", _changed)

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
        """Pack a file or directory into a tar archive."""
        if pattern is not None:
            raise NotOffered(
                "tar packs at this facility, which knows no regular expressions; pack all of it",
                facility=self._session.label,
                operation="compress",
            )
        if not source:
            raise UsageError("an archive needs something to be packed")
        above, _, name = source.rstrip("/").rpartition("/")
        above = above or ("/" if source.startswith("/") else ".")
        options = f"-c{'h' if dereference else ''}{_TAR[compression]}f"
        command = f"tar {options} {word(target)} -C {word(above)} -- {shlex.quote(name or '.')}"
        return await self._run("compress", resource_id, command, _changed)

    async def extract(
        self, resource_id: str, source: str, target: str, *, compression: Compression = Compression.GZIP
    ) -> Answer[FileEntry | None]:
        """Unpack a tar archive into a directory."""
        into = word(target)
        command = f"mkdir -p {into} && tar -x{_TAR[compression]}f {word(source)} -C {into}"
        return await self._run("extract", resource_id, command, _changed)

    async def _run(
        self, operation: str, resource_id: str, command: str, read: Callable[[Reading, bytes], T]
    ) -> Pending[T]:
        return await run_command(self._session, operation, resource_id, command, read)

    def _reading(self, operation: str) -> Reading:
        return Reading(self._session.label, operation)


async def run_command(
    session: Session,
    operation: str,
    resource_id: str,
    command: str,
    read: Callable[[Reading, bytes], T],
) -> Pending[T]:
    """Have a command run on a login node.

    Args:
        session: Where to ask.
        operation: What it does, a key of ``REPLAYS``.
        resource_id: The machine.
        command: For bash, each of its words quoted.
        read: Translates what it writes.
    """
    reply = await session.send(
        Request(
            operation="run_command",
            method="POST",
            path=f"/utilities/command/{segment(resource_id, 'machine')}",
            replay=REPLAYS[operation],
            form={"executable": command_line(command)},
        )
    )
    reading = Reading(session.label, operation)
    try:
        task = reading.one(AcceptedReply, reply.value)
    except ReplyError as error:
        raise unreadable(reading, error.message) from None
    return Pending(
        task.task_id, operation, lambda result: read(reading, output_of(reading, result)), TASK_SECONDS
    )


def promised(task: FacilityTask, label: str) -> Pending[object]:
    """What an operation that may take long was promised to give; see the port of operations."""
    read = of_task(task, _LONG)
    reading = Reading(label, task.operation)
    return Pending(task.task_id, task.operation, lambda result: read(reading, output_of(reading, result)))


def _extent(lines: int | None, size: int | None) -> str:
    option, count = ("-n", lines) if size is None else ("-c", size)
    if count is None or (lines is not None and size is not None):
        raise UsageError("say how much of the file: either lines or size, and not both")
    if count < 1:
        raise UsageError(f"a piece of a file has at least one of its lines or bytes, not {count}")
    return f"{option} {count}"


def _text(reading: Reading, output: bytes) -> FileText:
    return FileText(output.decode("utf-8", "replace"))


def _line(reading: Reading, output: bytes) -> str:
    return output.decode("utf-8", "replace").rstrip("\n")


def _checksum(reading: Reading, output: bytes) -> Checksum:
    digest = _line(reading, output).partition(" ")[0]
    if len(digest) != 64:
        raise reading.unfit("what sha256sum wrote is no SHA-256")
    return Checksum("SHA-256", digest.lower())


def _stat(reading: Reading, output: bytes) -> FileStat:
    try:
        size, mode, uid, gid, mtime = _line(reading, output).split(" ")
        return FileStat(int(size), int(mode, 16), int(uid), int(gid), float(mtime))
    except ValueError:
        raise reading.unfit("what stat wrote is not what it was asked for") from None


def _bytes(reading: Reading, reply: DownloadReply) -> bytes:
    try:
        # A file that it takes for a text all the same comes as one.
        return base64.b64decode(reply.file, validate=True) if reply.is_binary else reply.file.encode()
    except (binascii.Error, ValueError) as error:
        raise reading.unfit(f"the content of the file is not base64: {error}") from None


def _nothing(reading: Reading, output: bytes) -> None:
    """It is done; what the command wrote tells nothing."""


def _changed(reading: Reading, output: bytes) -> FileEntry | None:
    return None


_LONG: Mapping[str, Callable[[Reading, bytes], object]] = {
    "rm": _nothing,
    **dict.fromkeys(("cp", "mv", "compress", "extract"), _changed),
    "checksum": _checksum,
}
