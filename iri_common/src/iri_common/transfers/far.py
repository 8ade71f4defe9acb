"""The facility's end of a road: what is awaited here is over, and what is not whole is an error."""

from __future__ import annotations

import asyncio
import posixpath
import stat
from collections.abc import Sequence
from typing import TypeVar

from iri_common.jobs.operations import Patience, settled
from iri_common.model.errors import (
    AmbiguousReply,
    IriError,
    NotFound,
    NotOffered,
    TransferError,
    UsageError,
)
from iri_common.model.files import FileEntry
from iri_common.model.outcome import Answer, FacilityTask
from iri_common.model.ports import Dialect
from iri_common.transfers.abreast import tried

T = TypeVar("T")

_LONGEST_GOODBYE = 5.0  # seconds that a cancelled transfer takes to clear away what it has begun


class FarEnd:
    """One file system of a facility.

    Args:
        dialect: Of its API.
        file_system: Its id there.
        checksum: Compare SHA-256 where the API tells it; else, and without, sizes are compared.
    """

    def __init__(self, dialect: Dialect, file_system: str, *, checksum: bool = True) -> None:
        if dialect.grades.files == "none":
            raise NotOffered(f"the {dialect.name} API of this facility moves no files")
        self.files = dialect.files
        self.id = file_system
        self.grades = dialect.grades
        self._operations = dialect.operations
        self._checksum = checksum

    async def over(self, answer: Answer[T], patience: Patience | None = None) -> T:
        """The value, when the facility has done it."""
        return await settled(answer, self._operations, patience)

    async def finish(self, task: FacilityTask, patience: Patience | None = None) -> None:
        """Return when the facility is done with what an earlier try has asked for.

        Raises:
            IriError: of the task's own operation if that has failed or is forgotten; else of the look at it.
        """
        await self.over(await self._operations.check(self._operations.promised(task)), patience)

    async def listing(self, path: str, *, recursive: bool = False) -> Sequence[FileEntry]:
        """All entries of a directory, hidden ones too; links are what they lead to."""
        answer = await self.files.ls(self.id, path, hidden=True, recursive=recursive, dereference=True)
        return await self.over(answer)

    async def is_directory(self, path: str) -> bool | None:
        """None if there is nothing."""
        try:
            there = await self.over(await self.files.stat(self.id, path, dereference=True))
        except NotFound:
            return None
        return stat.S_ISDIR(there.mode)

    async def size(self, path: str) -> int:
        """Of a file, in bytes."""
        return (await self.over(await self.files.stat(self.id, path, dereference=True))).size

    async def require_no_directory(self, target: str) -> None:
        """Raise UsageError if the target cannot be the name of a file.

        A rename onto a directory succeeds: it puts the file inside, under the name it had until then.
        """
        require_file_name(target)
        try:
            there = await self.is_directory(target)
        except NotOffered:
            return  # nothing tells, and most targets are none
        if there:
            raise a_directory(target)

    async def digest(self, path: str) -> str | None:
        """The SHA-256 in hex; None if it is not wished for, or the facility has no SHA-256."""
        if not self._checksum:
            return None
        try:
            there = await self.over(await self.files.checksum(self.id, path))
        except NotOffered:
            self._checksum = False
            return None
        if there.algorithm.upper().replace("-", "") != "SHA256":
            self._checksum = False  # another algorithm says nothing about ours
            return None
        return there.value.lower()

    async def require_whole(self, path: str, size: int, digest: str, what: str) -> None:
        """Raise TransferError if the file there is not this one, as far as the facility can tell."""
        try:
            difference = await self._difference(path, size, digest)
        except NotOffered:
            return
        if difference:
            raise TransferError(f"{what} did not arrive whole: {difference}; try again")

    async def described(self, path: str) -> str | int:
        """The digest of a file, or its size where there is no digest to be had."""
        return await self.digest(path) or await self.size(path)

    async def _difference(self, path: str, size: int, digest: str) -> str:
        there = await self.digest(path)
        if there is not None:
            return "" if there == digest else f"SHA-256 {there} there, {digest} here"
        count = await self.size(path)
        return "" if count == size else f"{count} bytes there, {size} here"

    async def rename(self, aside: str, target: str, size: int, digest: str) -> None:
        """Give what lies aside the target's name.

        A rename whose answer was lost may have happened, and a second one finds no source: what is at the
        target decides, and that nothing is aside any more, for a file of before may have the same size.
        """

        async def once() -> None:
            try:
                await self.over(await self.files.mv(self.id, aside, target))
            except (AmbiguousReply, NotFound) as error:
                if not await self._is_there(target, size, digest) or await self._is_left(aside):
                    raise error from None

        await tried(once)

    async def _is_there(self, target: str, size: int, digest: str) -> bool:
        try:
            return not await self._difference(target, size, digest)
        except (NotFound, NotOffered):
            return False

    async def _is_left(self, aside: str) -> bool:
        try:
            return await self.is_directory(aside) is not None
        except NotOffered:
            return False

    async def remove(self, path: str) -> None:
        """Take something away as far as that goes; never raises for it."""
        try:
            await self.over(await self.files.rm(self.id, path))
        except IriError:
            return  # what led here, or came of it, is what is to be told

    async def remove_in_leaving(self, path: str) -> None:
        """As :meth:`remove`, for a transfer that failed or was cancelled: it does not linger."""
        try:
            async with asyncio.timeout(_LONGEST_GOODBYE):
                await self.remove(path)
        except TimeoutError:
            return

    async def make_directory(self, path: str) -> None:
        """Make it, and what is above it, if need be."""
        await tried(lambda: self._make(path))

    async def _make(self, path: str) -> None:
        await self.over(await self.files.mkdir(self.id, path, parents=True))


def require_file_name(target: str) -> None:
    """Raise UsageError for a path that can only be a directory's."""
    if not posixpath.basename(target):
        raise a_directory(target)


def a_directory(target: str) -> UsageError:
    """The error for a target that is one."""
    return UsageError(
        f"{target!r} is a directory; end it with a slash to put the file inside, or say its name too"
    )
