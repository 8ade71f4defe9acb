"""An end of a transfer as it is reached, and this machine as one: what it offers, what lies there."""

from __future__ import annotations

import asyncio
import hashlib
import os
import posixpath
import shutil
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

from iri_common.model.errors import TransferError, UsageError
from iri_common.model.grant import Verb
from iri_common.policy.offers import HERE, Offer
from iri_common.transfers.tree import Links, Tree, local_tree

AT_ONCE = 4  # directories made, or files looked at


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

    async def around(self, name: str) -> Reach:
        """Where a file of this name goes: into a directory, as far as that is known without asking."""
        ...

    async def make(self, directories: Sequence[str]) -> None:
        """Make directories, and those above them."""
        ...

    async def is_above(self, path: str) -> bool:
        """Whether the directory is there in which a file is to lie; True where nobody can tell."""
        ...

    async def make_above(self, path: str) -> None:
        """Make that directory, and those above it, unless it is there."""
        ...

    async def digest(self, path: str) -> str | None:
        """SHA-256 of a file in hex; None where it is not told."""
        ...

    async def remove(self, paths: Sequence[str]) -> None:
        """Take files and whole directories away."""
        ...

    async def admit(self, verb: Verb, paths: Sequence[str]) -> None:
        """Raise GrantExceeded unless this may be done with all of them."""
        ...

    def carrying(
        self, verb: Verb, paths: Sequence[str], told: dict[str, Any]
    ) -> AbstractAsyncContextManager[None]:
        """Around whatever is carried from or to them, over whatever road: admitted, and written down."""
        ...


class HereReach:
    """This machine."""

    def __init__(self, path: str) -> None:
        self.path = path
        # Only a relative path has to be looked up; a relay's is made on the loop.
        whole = os.path.normpath(path) if os.path.isabs(path) else os.path.abspath(path)
        self.name = f"{socket.gethostname()}:{whole}"

    async def offer(self, *, fully: bool) -> Offer:
        """Files."""
        return HERE

    async def tree(self, links: Links) -> Tree:
        """What lies there."""
        return await asyncio.to_thread(local_tree, self.path, links)

    async def exists(self) -> bool:
        """Whether anything lies there."""
        return await asyncio.to_thread(os.path.lexists, self.path)

    async def around(self, name: str) -> Reach:
        """Where a file of this name goes: into a directory that is there, as `cp` does it."""
        if not await asyncio.to_thread(os.path.isdir, self.path):
            return self
        return HereReach(os.path.join(self.path, name))

    async def make(self, directories: Sequence[str]) -> None:
        """Make directories; none of them through a link that leads out of the target."""
        await asyncio.to_thread(_make_here, self.path, directories)

    async def is_above(self, path: str) -> bool:
        """Whether the directory is there in which a file is to lie."""
        return await asyncio.to_thread(os.path.isdir, os.path.dirname(path) or ".")

    async def make_above(self, path: str) -> None:
        """Make that directory, and those above it, unless it is there."""
        directory = os.path.dirname(path) or "."
        await asyncio.to_thread(_make_here, directory, [directory])

    async def digest(self, path: str) -> str | None:
        """SHA-256 of a file."""
        return await asyncio.to_thread(_digest_here, path)

    async def remove(self, paths: Sequence[str]) -> None:
        """Take them away; links, not what they lead to, nor what lies behind one."""
        await asyncio.to_thread(_remove_here, self.path, paths)

    async def admit(self, verb: Verb, paths: Sequence[str]) -> None:
        """Whatever the user may."""

    def carrying(
        self, verb: Verb, paths: Sequence[str], told: dict[str, Any]
    ) -> AbstractAsyncContextManager[None]:
        """Nothing is written down."""
        return nullcontext()


def require_deletable(source: Reach, target: Reach, tree: Tree) -> None:
    """Refuse a sync that would delete what nobody means.

    Raises:
        UsageError: if one end lies in the other, or the source is a pattern.
    """
    if _holds(source, target) or _holds(target, source):
        raise UsageError(f"{source.path} and {target.path} lie in one another; nothing is taken away there")
    top = f"{source.path.rstrip('/')}/"
    if not tree.single and not all(each.path.startswith(top) for each in tree.files):
        raise UsageError(
            f"{source.path} is a pattern: what else there is in {target.path} would be taken away; "
            "name a directory to delete what is not in it"
        )


def _holds(one: Reach, other: Reach) -> bool:
    """Whether the other end is the one, or lies below it."""
    return f"{other.name}/".startswith(f"{one.name.rstrip('/')}/")


async def around(source: Reach, target: Reach, tree: Tree) -> Reach:
    """The target itself, or for a single file a place in it, if it is a directory."""
    if not tree.single:
        return target
    inner = await target.around(posixpath.basename(source.path))
    if inner.name == source.name:
        raise UsageError(f"{source.path} is in {target.path} already")
    return inner


def _make_here(root: str, directories: Sequence[str]) -> None:
    top = os.path.realpath(root)
    for each in directories:
        if os.path.commonpath([top, os.path.realpath(each)]) != top:
            raise TransferError(f"{each} leads out of {root}, by a link: nothing is written there")
        try:
            os.makedirs(each, exist_ok=True)
        except OSError as error:
            raise TransferError(f"the directory {each} cannot be made: {error.strerror}") from None


def _digest_here(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _remove_here(root: str, paths: Sequence[str]) -> None:
    top = os.path.realpath(root)
    for each in map(Path, paths):
        # Behind a link it is a file of another name, which may be wanted under that.
        if os.path.realpath(each.parent) != os.path.normpath(Path(top, os.path.relpath(each.parent, root))):
            continue
        try:
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink(missing_ok=True)
        except OSError as error:
            raise TransferError(f"{each} cannot be removed: {error.strerror}") from None
