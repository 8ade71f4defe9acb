"""Files of a Globus collection that need not be any facility's; as small as what Globus offers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from iri_common.facility.facing import Face, blocking, blocking_watch
from iri_common.facility.farreach import CollectionReach
from iri_common.facility.transferring import TransferService, TransferWords
from iri_common.jobs.operations import settled
from iri_common.model.errors import NotOffered
from iri_common.model.files import FileEntry, FileStat
from iri_common.model.ports import Dialect
from iri_common.model.transfer import TransferResult
from iri_common.transfers.ends import GlobusEnd, LocalEnd


class CollectionFileService:
    """Files of one collection, with the words that a facility's files have.

    Args:
        collection: Its id.
    """

    def __init__(self, collection: str) -> None:
        self._collection = collection

    async def get(self, source: str, target: str | Path, **words: Unpack[TransferWords]) -> TransferResult:
        """Download a file, a directory or what a pattern names."""
        end = GlobusEnd(self._collection, source)
        return await TransferService().copy(end, LocalEnd(str(target)), **words)

    async def ls(self, path: str, *, hidden: bool = False, recursive: bool = False) -> Sequence[FileEntry]:
        """List a directory."""
        dialect = await self._dialect(path)
        answer = await dialect.files.ls(self._collection, path, hidden=hidden, recursive=recursive)
        return await settled(answer, dialect.operations)

    async def stat(self, path: str, *, dereference: bool = False) -> FileStat:
        """Size, mode and times of one file."""
        dialect = await self._dialect(path)
        answer = await dialect.files.stat(self._collection, path, dereference=dereference)
        return await settled(answer, dialect.operations)

    async def read(self, path: str, *, start: int = 0, end: int | None = None) -> bytes:
        """The bytes of a file from ``start`` up to, not including, ``end``, over the collection's HTTPS.

        Raises:
            NotOffered: where it has none.
        """
        ranges = (await self._dialect(path)).ranges
        if ranges is None:
            raise NotOffered(f"{GlobusEnd(self._collection, path)} can only be got as a whole")
        async with ranges.read(self._collection, path, start=start, end=end) as pieces:
            return b"".join([piece async for piece in pieces])

    async def mkdir(self, path: str, *, parents: bool = True) -> None:
        """Make a directory; with ``parents`` it may exist and its parents need not."""
        dialect = await self._dialect(path)
        await settled(await dialect.files.mkdir(self._collection, path, parents=parents), dialect.operations)

    async def rm(self, path: str) -> None:
        """Remove a file, or a directory with all that is in it."""
        dialect = await self._dialect(path)
        await settled(await dialect.files.rm(self._collection, path), dialect.operations)

    async def _dialect(self, path: str) -> Dialect:
        return (await CollectionReach.opened(GlobusEnd(self._collection, path))).dialect


class CollectionFiles(Face[CollectionFileService]):
    """Files of a collection, blocking."""

    get = blocking_watch(CollectionFileService.get)
    ls = blocking(CollectionFileService.ls)
    stat = blocking(CollectionFileService.stat)
    read = blocking(CollectionFileService.read)
    mkdir = blocking(CollectionFileService.mkdir)
    rm = blocking(CollectionFileService.rm)
