"""Files at a facility, as they are asked for on the I/O loop; the faces stand before this."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar, Unpack

from iri_common.facility.farreach import FacilityEnd
from iri_common.facility.services import Service
from iri_common.facility.transferring import TransferService, TransferWords
from iri_common.jobs.operations import Patience, settled
from iri_common.model.errors import NotOffered, UsageError
from iri_common.model.files import Checksum, Compression, FileEntry, FileStat, FileText
from iri_common.model.outcome import Answer, FacilityTask
from iri_common.model.transfer import TransferResult
from iri_common.transfers.ends import LocalEnd
from iri_common.transfers.farnames import FarNames

T = TypeVar("T")


LIMIT = 300.0  # seconds for which a caller who says nothing else waits for what the facility does


class FileService(Service):
    """Files at the facility; ``storage`` names the file system where the facility has several.

    What grows with the data takes a ``timeout`` in seconds, None for no limit. When it is over, WaitTimeout
    says what goes on at the facility; :meth:`finish` waits for that again.
    """

    async def put(
        self,
        source: str | Path,
        target: str,
        *,
        storage: str | None = None,
        **words: Unpack[TransferWords],
    ) -> TransferResult:
        """Upload a file, a directory or what a pattern names, over whatever road there is.

        A file takes the target's name, whole or not at all. What is in a directory, or is meant by a pattern,
        comes to lie in the target. Asked for again after a crash, it goes on where it was.

        Args:
            source: On this machine.
            target: At the facility.
            storage: Name or id of the file system.
            words: See :class:`~iri_common.facility.transferring.TransferWords`.

        Raises:
            UsageError: for files that make no sense; nothing was sent.
            TooLarge: over every road's limit; says what would help.
            TransferError: if a file did not arrive whole.
        """
        return await TransferService().copy(LocalEnd(str(source)), self.at(target, storage=storage), **words)

    async def get(
        self,
        source: str,
        target: str | Path,
        *,
        storage: str | None = None,
        **words: Unpack[TransferWords],
    ) -> TransferResult:
        """Download a file, a directory or what a pattern names; like :meth:`put` the other way round."""
        return await TransferService().copy(self.at(source, storage=storage), LocalEnd(str(target)), **words)

    def at(self, path: str, *, storage: str | None = None) -> FacilityEnd:
        """The path as an end of a transfer: ``Transfers().copy(here.files.at(…), there.files.at(…))``."""
        return FacilityEnd(self.settings, self.ledger, path, storage)

    async def ls(
        self, path: str, *, hidden: bool = False, recursive: bool = False, storage: str | None = None
    ) -> Sequence[FileEntry]:
        """List a directory."""
        files = self.door.dialect.files
        return await self._settled(
            await files.ls(await self._id(storage), path, hidden=hidden, recursive=recursive)
        )

    async def glob(self, path: str, *, storage: str | None = None) -> Sequence[FileEntry]:
        """What a pattern (``*``, ``?``, ``[…]``, ``**`` for any directories) means, by whole paths.

        It lists as few directories as will do; links are listed, not followed.

        Raises:
            NotFound: if the directory that the pattern begins in is not there.
        """
        dialect = self.door.dialect
        return await FarNames(dialect.files, dialect.operations, await self._id(storage)).named(path)

    async def stat(self, path: str, *, dereference: bool = False, storage: str | None = None) -> FileStat:
        """Size, mode and times of one file; with ``dereference``, of what a link points to."""
        files = self.door.dialect.files
        return await self._settled(await files.stat(await self._id(storage), path, dereference=dereference))

    async def read(
        self, path: str, *, start: int = 0, end: int | None = None, storage: str | None = None
    ) -> bytes:
        """The bytes of a file from ``start`` up to, not including, ``end``, and no others of it.

        Raises:
            NotOffered: where the API gives files only as a whole; get it then.
        """
        ranges = self.door.dialect.ranges
        if ranges is None:
            raise NotOffered(f"{self.settings.label} gives files only as a whole; get this one")
        async with ranges.read(await self._id(storage), path, start=start, end=end) as pieces:
            return b"".join([piece async for piece in pieces])

    async def checksum(
        self, path: str, *, storage: str | None = None, timeout: float | None = LIMIT
    ) -> Checksum:
        """The facility's digest of one file."""
        return await self._settled(
            await self.door.dialect.files.checksum(await self._id(storage), path), timeout
        )

    async def head(
        self, path: str, *, lines: int | None = None, size: int | None = None, storage: str | None = None
    ) -> FileText:
        """The first lines, or bytes, of a text file."""
        answer = await self.door.dialect.files.head(await self._id(storage), path, lines=lines, size=size)
        return await self._settled(answer)

    async def tail(
        self, path: str, *, lines: int | None = None, size: int | None = None, storage: str | None = None
    ) -> FileText:
        """The last lines, or bytes, of a text file."""
        answer = await self.door.dialect.files.tail(await self._id(storage), path, lines=lines, size=size)
        return await self._settled(answer)

    async def mkdir(self, path: str, *, parents: bool = True, storage: str | None = None) -> None:
        """Make a directory; with ``parents`` it may exist and its parents need not."""
        await self._settled(
            await self.door.dialect.files.mkdir(await self._id(storage), path, parents=parents)
        )

    async def rm(self, path: str, *, storage: str | None = None, timeout: float | None = LIMIT) -> None:
        """Remove a file, or a directory with all that is in it."""
        answer = await self.door.dialect.files.rm(await self._id(storage), path)
        await self._settled(answer, timeout)

    async def mv(
        self, source: str, target: str, *, storage: str | None = None, timeout: float | None = LIMIT
    ) -> None:
        """Rename."""
        await self._settled(
            await self.door.dialect.files.mv(await self._id(storage), source, target), timeout
        )

    async def cp(
        self, source: str, target: str, *, storage: str | None = None, timeout: float | None = LIMIT
    ) -> None:
        """Copy within the facility."""
        await self._settled(
            await self.door.dialect.files.cp(await self._id(storage), source, target), timeout
        )

    async def chmod(self, path: str, mode: int, *, storage: str | None = None) -> None:
        """Set permissions, e.g. ``0o750``."""
        await self._settled(await self.door.dialect.files.chmod(await self._id(storage), path, mode))

    async def chown(self, path: str, *, owner: str = "", group: str = "", storage: str | None = None) -> None:
        """Give a file to another owner or group."""
        if not owner and not group:
            raise UsageError("say the owner or the group")
        files = self.door.dialect.files
        await self._settled(await files.chown(await self._id(storage), path, owner=owner, group=group))

    async def symlink(self, target: str, link: str, *, storage: str | None = None) -> None:
        """Make a link that leads to ``target``."""
        await self._settled(await self.door.dialect.files.symlink(await self._id(storage), target, link))

    async def file_type(self, path: str, *, storage: str | None = None) -> str:
        """What is in a file, in the words of ``file`` there."""
        return await self._settled(await self.door.dialect.files.file_type(await self._id(storage), path))

    async def compress(
        self,
        source: str,
        target: str,
        *,
        pattern: str | None = None,
        compression: Compression | str = Compression.GZIP,
        storage: str | None = None,
        timeout: float | None = LIMIT,
    ) -> None:
        """Pack a file or a directory into a tar archive there.

        Args:
            source: What.
            target: The archive.
            pattern: A regular expression; only files whose names fit it.
            compression: none, gzip, bzip2 or xz.
            storage: Where; the default file system if None.
            timeout: As for all that may take long.
        """
        dialect, how = self.door.dialect, _compression(compression)
        where = await self._id(storage)
        await self._settled(
            await dialect.files.compress(where, source, target, pattern=pattern, compression=how), timeout
        )

    async def extract(
        self,
        source: str,
        target: str,
        *,
        compression: Compression | str = Compression.GZIP,
        storage: str | None = None,
        timeout: float | None = LIMIT,
    ) -> None:
        """Unpack an archive into a directory there."""
        dialect, how = self.door.dialect, _compression(compression)
        where = await self._id(storage)
        await self._settled(await dialect.files.extract(where, source, target, compression=how), timeout)

    async def finish(self, task: FacilityTask, *, timeout: float | None = None) -> Checksum | None:
        """Wait for what the facility still worked on when an earlier wait was over, in another process maybe.

        Args:
            task: Which; the earlier wait's ``WaitTimeout.task``.
            timeout: Seconds; None for no limit.

        Returns:
            What the method would have given that asked for it.

        Raises:
            WaitTimeout: if it is still at work by then.
            TransientError: if the facility has forgotten it, and the same may be asked for again.
            AmbiguousReply: if it has forgotten it: look what came of it before that is asked for again.
            IriError: what it failed with.
        """
        operations = self.door.dialect.operations
        answer = await operations.check(operations.promised(task))
        value = await settled(answer, operations, Patience.of(timeout))
        return value if isinstance(value, Checksum) else None

    async def _id(self, storage: str | None) -> str:
        settings = self.settings
        return (await self.door.file_system(storage or settings.storage, settings.resource)).id

    async def _settled(self, answer: Answer[T], timeout: float | None = LIMIT) -> T:
        return await settled(answer, self.door.dialect.operations, Patience.of(timeout))


def _compression(word: Compression | str) -> Compression:
    try:
        return Compression(word)
    except ValueError:
        raise UsageError(f"compression is one of {', '.join(Compression)}, not {word!r}") from None
