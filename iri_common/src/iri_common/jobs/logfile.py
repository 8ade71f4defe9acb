"""One file of output at a facility: how long it is, and pieces of it as whole characters."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Sequence
from typing import TypeVar

from iri_common.jobs.operations import Patience, settled
from iri_common.model.errors import NotFound, NotOffered, Refused
from iri_common.model.files import FileEntry
from iri_common.model.outcome import Answer
from iri_common.model.ports import Dialect
from iri_common.policy.following import Doubt, Piece, cut_of, decoded, measured

T = TypeVar("T")

WINDOW = 2 * 1024 * 1024  # bytes asked for at once
NARROWEST = 4096
WIDER_AFTER = 8  # windows that were granted; after each wider one that was not, four times as many
AT_ONCE = 64 * 1024  # bytes: measuring more leaves the loop


class LogFile:
    """Reads a file that grows, through whatever the API has for it.

    Args:
        dialect: With its files.
        file_system: The facility's id of the resource whose file it is.
        path: At the facility.
        patience: With one operation.
    """

    def __init__(
        self, dialect: Dialect, file_system: str, path: str, patience: Patience | None = None
    ) -> None:
        self.path = path
        self._dialect = dialect
        self._file_system = file_system
        self._patience = patience or Patience(total=60.0)
        self._window = self._widest = min(WINDOW, dialect.grades.download_limit or WINDOW)
        self._granted, self._wider_after = 0, WIDER_AFTER
        self._stats = True
        self._listed = path  # what is listed where nothing tells a file's length

    async def size(self) -> int:
        """Its length in bytes.

        Raises:
            NotFound: while it is not there.
            NotOffered: if this facility tells no lengths.
        """
        if self._stats:
            try:
                files = self._dialect.files
                answer = await files.stat(self._file_system, self.path, dereference=True)
                return (await self._settled(answer)).size
            except NotOffered:
                self._stats = False
        return await self._listed_size()

    async def piece(self, start: int, end: int, *, last: bool) -> Piece:
        """Whole characters from ``start``, as far as one request leads to ``end``.

        Args:
            start: Where a character begins.
            end: No byte from here on is read.
            last: Nothing comes after ``end``: a character that is cut there is told as it is.
        """
        while True:
            size = min(end - start, self._window)
            try:
                piece = await self._read(start, size, last=last and start + size == end)
            except Refused as refused:
                # "Too large", in one of the ways to say it: sites have limits of their own.
                if isinstance(refused, NotFound) or not self._narrower():
                    raise
            else:
                if piece is not None:
                    self._widen(size)
                    return piece

    async def view(self, start: int, size: int) -> str:
        """So many bytes, decoded by the facility."""
        answer = await self._dialect.files.view(self._file_system, self.path, size=size, offset=start)
        return (await self._settled(answer)).content

    async def _read(self, start: int, size: int, *, last: bool) -> Piece | None:
        """One window; None if a narrower one should be tried."""
        ranges = self._dialect.ranges
        if ranges is not None:
            async with ranges.read(self._file_system, self.path, start=start, end=start + size) as pieces:
                content = b"".join([each async for each in pieces])
            return decoded(content, last=last and len(content) == size)
        text = await self.view(start, size)
        if size > AT_ONCE:
            found = await asyncio.to_thread(measured, text, size, last=last)
        else:
            found = measured(text, size, last=last)
        if found is Doubt.LONG:
            raise NotOffered(f"more comes of {self.path} than the bytes that are asked for", operation="view")
        if found is Doubt.CUT:
            cut = await self._cut(start + size)
            return Piece(text[:-1], size - cut, cut)
        short = found is Doubt.SHORT or found.size + found.held < size
        if short and await self.size() < start + size:
            return Piece("", 0)  # it was truncated in between; what was read is of another time
        if found is Doubt.SHORT:
            return None if self._narrower() else Piece(text, size)
        return found

    async def _cut(self, end: int) -> int:
        three = await self.view(end - 3, 3)
        cut = cut_of(three)
        if cut is None:
            cut = cut_of(three, await self.view(end - 2, 2))
        return cut or 1

    def _narrower(self) -> bool:
        if self._window <= NARROWEST:
            return False
        self._window = max(NARROWEST, self._window // 2)
        if self._granted < 0:
            self._wider_after *= 4
        self._granted = 0
        return True

    def _widen(self, granted: int) -> None:
        """A refusal may have had another reason than the size; whether it had is tried ever more rarely."""
        if granted < self._window or self._window == self._widest:
            return
        self._granted = max(0, self._granted) + 1
        if self._granted >= self._wider_after:
            self._window = min(self._widest, self._window * 2)
            self._granted = -1  # the next one tells whether that was too much

    async def _listed_size(self) -> int:
        try:
            entries = await self._ls()
        except Refused as refused:
            if isinstance(refused, NotFound) or self._listed != self.path:
                raise
            self._listed = posixpath.dirname(self.path)  # Globus, for one, lists directories only
            entries = await self._ls()
        name = posixpath.basename(self.path)
        found = next((each for each in entries if posixpath.basename(each.name) == name), None)
        if found is None and self._listed != self.path:
            raise NotFound(f"{self.path} is not there")
        if found is None or found.size is None:
            raise NotOffered(f"nothing here tells how long {self.path} is", operation="stat")
        return found.size

    async def _ls(self) -> Sequence[FileEntry]:
        files = self._dialect.files
        return await self._settled(
            await files.ls(self._file_system, self._listed, hidden=True, dereference=True)
        )

    async def _settled(self, answer: Answer[T]) -> T:
        return await settled(answer, self._dialect.operations, self._patience)
