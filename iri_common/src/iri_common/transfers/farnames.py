"""Looks at what lies below a directory of a facility, in as few listings as will do."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from iri_common.jobs.operations import settled
from iri_common.model.dataports import FilesApi
from iri_common.model.errors import NotOffered, TooLarge, WaitTimeout
from iri_common.model.files import FileEntry
from iri_common.model.ports import OperationsApi
from iri_common.policy import globs
from iri_common.policy.descent import Descent
from iri_common.policy.inside import inside
from iri_common.transfers.abreast import abreast

AT_ONCE = 4  # listings
_FEW = 16  # directories that are listed one by one: of more, one listing of all costs less


class FarNames:
    """Looks at a file system of a facility, or at a collection.

    Args:
        files: Its file operations.
        operations: Tells when they are over.
        file_system: Its id.
    """

    def __init__(self, files: FilesApi, operations: OperationsApi, file_system: str) -> None:
        self._files = files
        self._operations = operations
        self._id = file_system

    async def named(self, path: str) -> Sequence[FileEntry]:
        """What a pattern means, by whole paths; nothing that is below a directory which it means."""
        base, pattern = globs.split(path)
        if not pattern:
            base, pattern = posixpath.split(path)
        entries = await self.reached(base, pattern, below=False)
        return [
            replace(each, name=inside(base, each.name))
            for each in entries
            if globs.matches(pattern, each.name)
        ]

    async def reached(self, base: str, pattern: str, *, below: bool = True) -> Sequence[FileEntry]:
        """All entries where a pattern leads, and with ``below`` what is in the directories that it means."""
        pieces, found, places = pattern.split("/"), list[FileEntry](), [""]
        for depth, piece in enumerate(pieces, 1):
            if piece == "**":
                below = True
                break
            if len(places) > _FEW:
                return await self.everything(base)
            listed: list[FileEntry] = []
            await abreast(places, lambda name, to=listed: self._listed(base, name, to), AT_ONCE)
            found += listed
            so_far = "/".join(pieces[:depth])
            directories = [each.name for each in listed if each.type == "directory"]
            places = [name for name in directories if globs.matches(so_far, name)]
        if below and len(places) > _FEW:
            return await self.everything(base)
        if below:
            await abreast(places, lambda name: self._listed(base, name, found, deep=True), AT_ONCE)
        return found

    async def _listed(self, base: str, below: str, found: list[FileEntry], *, deep: bool = False) -> None:
        place = inside(base, below) if below else base
        entries = await (self.everything(place) if deep else self._level(place))
        found += [replace(each, name=posixpath.join(below, each.name)) for each in entries]

    async def everything(self, path: str) -> Sequence[FileEntry]:
        """All entries below a directory, at once where the facility can, else level by level."""
        try:
            return await self._level(path, recursive=True)
        except (NotOffered, TooLarge, WaitTimeout):
            return await self._descend(path)

    async def _descend(self, root: str) -> Sequence[FileEntry]:
        found, left, descent = list[FileEntry](), [""], Descent(root)

        async def look(name: str) -> None:
            named: list[FileEntry] = []
            await self._listed(root, name, named)
            found.extend(named)
            left.extend(descent.below(name, named))

        while left:  # the deepest first: what leads round is found before it has led to many
            some = [left.pop() for _ in left[:AT_ONCE]]
            await abreast(some, look, AT_ONCE)
        return found

    async def _level(self, path: str, *, recursive: bool = False) -> Sequence[FileEntry]:
        answer = await self._files.ls(self._id, path, hidden=True, recursive=recursive)
        return await settled(answer, self._operations)
