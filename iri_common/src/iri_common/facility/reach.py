"""The two ends of a transfer as they are reached: what each offers, what lies there, what is made there."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from iri_common.facility.collections import announced
from iri_common.facility.doors import Door, open_door
from iri_common.facility.settings import FacilitySettings
from iri_common.model.errors import IriError, NotFound, TransferError, UsageError
from iri_common.model.facility import Resource
from iri_common.model.ports import Ledger, PartsApi
from iri_common.model.ref import origin_of
from iri_common.model.transfer import CollectionEnd
from iri_common.policy.offers import HERE, Offer, Parts
from iri_common.transfers.abreast import abreast
from iri_common.transfers.far import FarEnd
from iri_common.transfers.tree import FarListing, Links, Tree, local_tree

AT_ONCE = 4  # directories made, or files looked at


@dataclass(frozen=True, slots=True)
class FacilityEnd:
    """A path at the facility behind some settings; made by ``facility.files.at(path)``."""

    settings: FacilitySettings
    ledger: Ledger
    path: str
    storage: str | None = None

    def __str__(self) -> str:
        return f"iri://{self.settings.label}/{self.storage or self.settings.storage or ''}{self.path}"


class Reach(Protocol):
    """One end, open."""

    @property
    def path(self) -> str:
        """As that end writes it."""
        ...

    @property
    def name(self) -> str:
        """Names the place and the path; equal for equal ones only."""
        ...

    async def offer(self, *, fully: bool) -> Offer:
        """What it offers; ``fully`` asks for what has to be asked for."""
        ...

    async def tree(self, links: Links) -> Tree:
        """What lies there."""
        ...

    async def exists(self) -> bool:
        """Whether anything lies there."""
        ...

    async def make(self, directories: Sequence[str]) -> None:
        """Make directories, and those above them."""
        ...

    async def digest(self, path: str) -> str | None:
        """SHA-256 of a file in hex; None where it is not told."""
        ...

    async def remove(self, paths: Sequence[str]) -> None:
        """Take files and whole directories away."""
        ...


class HereReach:
    """This machine."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = f"{socket.gethostname()}:{os.path.abspath(path)}"

    async def offer(self, *, fully: bool) -> Offer:
        """Files."""
        return HERE

    async def tree(self, links: Links) -> Tree:
        """What lies there."""
        return await asyncio.to_thread(local_tree, self.path, links)

    async def exists(self) -> bool:
        """Whether anything lies there."""
        return await asyncio.to_thread(os.path.lexists, self.path)

    async def make(self, directories: Sequence[str]) -> None:
        """Make directories; none of them through a link that leads out of the target."""
        await asyncio.to_thread(_make_here, self.path, directories)

    async def digest(self, path: str) -> str | None:
        """SHA-256 of a file."""
        return await asyncio.to_thread(_digest_here, path)

    async def remove(self, paths: Sequence[str]) -> None:
        """Take them away; links, not what they lead to."""
        await asyncio.to_thread(_remove_here, paths)


class FacilityReach:
    """A file system of a facility; only on the I/O loop."""

    def __init__(self, end: FacilityEnd, door: Door, storage: Resource) -> None:
        self.path = end.path
        self.settings = end.settings
        self.ledger = end.ledger
        self.door = door
        self.file_system = storage.id
        self.name = f"{origin_of(end.settings.url)}/{storage.id}:{end.path}"
        self.collection: CollectionEnd | None = None
        self.parts: PartsApi | None = door.dialect.parts
        readable = storage.offers("filesystem") and door.dialect.grades.readable_files
        self._direct = readable and door.dialect.grades.files == "direct"
        self._listing = FarListing(door.dialect.files, door.dialect.operations, storage.id)
        self._far = FarEnd(door.dialect, storage.id) if readable else None

    @classmethod
    async def opened(cls, end: FacilityEnd) -> FacilityReach:
        """Find out which file system is meant."""
        door, settings = open_door(end.settings), end.settings
        storage = await door.file_system(end.storage or settings.storage, settings.resource)
        return cls(end, door, storage)

    async def offer(self, *, fully: bool) -> Offer:
        """What its API has, and with ``fully`` what its access endpoints add."""
        if fully:
            await self._read_endpoints()
        grades, loopback = self.door.dialect.grades, _is_loopback(self.settings.url)
        computes = any(each.offers("compute") for each in await self.door.resources())
        return Offer(
            "facility",
            self.settings.label,
            place=f"{origin_of(self.settings.url)}/{self.file_system}",
            files=self._direct,
            upload_limit=grades.upload_limit,
            download_limit=grades.download_limit,
            checksum=self._direct,
            rename=self._far is not None,
            archives=self._direct and grades.archives,
            jobs=self._direct and computes,
            queue_wait=1.0 if loopback else 60.0,
            parts=Parts(whole=self.parts.appears_whole) if self.parts is not None else None,
            https=self.door.dialect.ranges is not None,
            collection=self.collection.collection if self.collection is not None else None,
        )

    async def tree(self, links: Links) -> Tree:
        """What lies there."""
        return await self._listing.tree(self.path, links)

    async def exists(self) -> bool:
        """Whether anything lies there."""
        return self._far is None or await self._far.is_directory(self.path.rstrip("/") or "/") is not None

    async def make(self, directories: Sequence[str]) -> None:
        """Make directories, several at once."""
        if self._far is not None:
            await abreast(directories, self._far.make_directory, AT_ONCE)

    async def digest(self, path: str) -> str | None:
        """SHA-256 of a file as the facility computes it."""
        return await self._far.digest(path) if self._far is not None else None

    async def remove(self, paths: Sequence[str]) -> None:
        """Take them away."""
        far = self._far
        if far is None:
            raise UsageError(f"the API of {self.settings.label} removes no files")

        async def remove(path: str) -> None:
            with contextlib.suppress(NotFound):
                await far.over(await far.files.rm(far.id, path))

        await abreast(paths, remove, AT_ONCE)

    async def _read_endpoints(self) -> None:
        """What the facility tells of Globus and S3; one that tells nothing has neither."""
        with contextlib.suppress(IriError):
            told = (await self.door.dialect.storage.access_endpoints(self.file_system)).value
            self.collection = self.collection or announced(told)


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in {"127.0.0.1", "::1", "localhost"}


def _make_here(root: str, directories: Sequence[str]) -> None:
    top = os.path.realpath(root)
    for each in directories:
        try:
            os.makedirs(each, exist_ok=True)
        except OSError as error:
            raise TransferError(f"the directory {each} cannot be made: {error.strerror}") from None
        if os.path.commonpath([top, os.path.realpath(each)]) != top:
            raise TransferError(f"{each} leads out of {root}, by a link: nothing is written there")


def _digest_here(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _remove_here(paths: Sequence[str]) -> None:
    for each in map(Path, paths):
        try:
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink(missing_ok=True)
        except OSError as error:
            raise TransferError(f"{each} cannot be removed: {error.strerror}") from None
