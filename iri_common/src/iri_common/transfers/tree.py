"""What lies at an end: one file, a tree, or what a pattern names; links and oddities judged by one rule."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from iri_common.jobs.operations import settled
from iri_common.model.errors import NotFound, UsageError
from iri_common.model.files import FileEntry
from iri_common.model.transfer import Move
from iri_common.policy import globs
from iri_common.policy.descent import Descent
from iri_common.policy.inside import inside
from iri_common.policy.unchanged import told_time
from iri_common.transfers.abreast import abreast
from iri_common.transfers.farnames import AT_ONCE, FarNames
from iri_common.transfers.local import is_aside

Links = Literal["follow", "skip"]

_HELP = 'leave such files out with links="skip"'


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree; its name is relative to the tree's top, and "" if it is the whole tree."""

    name: str
    path: str
    size: int
    mtime: float = 0.0


@dataclass(frozen=True, slots=True)
class Tree:
    """What a path names.

    Attributes:
        files: All of them.
        directories: Names of those below the top, empty ones among them.
        single: It is one file, not a directory.
        linked: Some files are links at the facility, which a copy of the tree as a whole may leave out.
        followed: Names of directories that are links, and of those to which they lead.
        skipped: Names of links that were left out.
        partial: What lies aside was left out.
    """

    files: tuple[Entry, ...]
    directories: tuple[str, ...] = ()
    single: bool = False
    linked: bool = False
    followed: tuple[tuple[str, str], ...] = ()
    skipped: tuple[str, ...] = ()
    partial: bool = False

    def settled(self) -> Tree:
        """Without what a transfer has under way there, or left when it was cut short."""
        files = tuple(each for each in self.files if not is_aside(each.name))
        directories = tuple(each for each in self.directories if not is_aside(each))
        if (len(files), len(directories)) == (len(self.files), len(self.directories)):
            return self
        return replace(self, files=files, directories=directories, partial=True)

    def moves(self, target: str) -> list[Move]:
        """Each file's way to below ``target``; a single one gets that name."""
        return [
            Move(
                each.path,
                target if self.single else inside(target, each.name),
                each.size,
                each.mtime,
                each.name or posixpath.basename(each.path),
            )
            for each in self.files
        ]


# ----------------------------------------------------------------------------------------- this machine


@dataclass(frozen=True, slots=True)
class _Directory:
    """One below the top of a tree; for a link with the name of the one that it leads to."""

    name: str
    leads_to: str = ""


@dataclass(frozen=True, slots=True)
class _Skipped:
    """A link that is left out."""

    name: str


_Found = Entry | _Directory | _Skipped
_Identity = tuple[int, int]  # of a directory, whatever the name that it is reached by


def local_tree(path: str, links: Links = "follow") -> Tree:
    """What a path of this machine names; it blocks.

    Links to files are the files they lead to, links to directories are followed where those lie in the tree.

    Raises:
        UsageError: naming what is missing, cannot be read, leads out of the tree, or is no file.
    """
    base, pattern = globs.split(path)
    if not pattern or os.path.lexists(path):
        return _local_single(path) if not os.path.isdir(path) else _gathered(_local_below(path, "", links))
    found: list[_Found] = []
    for name in _local_matches(base, pattern):
        if os.path.isdir(os.path.join(base, name)):
            found += [_Directory(name), *_local_below(base, name, links)]
        else:
            found += _local_entry(base, name, links)
    if not found:
        raise UsageError(f"nothing here is named {path}")
    return _gathered(iter(found))


def _local_matches(base: str, pattern: str) -> Iterator[str]:
    """Names that a pattern means, the topmost only: what is below a directory comes with it."""
    taken = ""
    try:
        names = sorted(_local_names(base, "", pattern))
    except OSError as error:
        raise UsageError(f"{base} cannot be read: {error.strerror}") from None
    for name in names:
        if globs.matches(pattern, name) and not (taken and name.startswith(f"{taken}/")):
            taken = name
            yield name


def _local_names(base: str, below: str, pattern: str) -> Iterator[str]:
    """All names where the pattern leads."""
    with os.scandir(os.path.join(base, below)) as entries:
        for entry in entries:
            name = posixpath.join(below, entry.name)
            yield name
            if entry.is_dir(follow_symlinks=False) and globs.reaches(pattern, name):
                yield from _local_names(base, name, pattern)


def _local_single(path: str) -> Tree:
    try:
        facts = os.stat(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(facts.st_mode):
        raise UsageError(f"{path} cannot be read: it is no regular file")
    return Tree((Entry("", path, facts.st_size, facts.st_mtime),), single=True)


def _local_below(root: str, below: str, links: Links) -> Iterator[_Found]:
    """What there is below ``root/below``."""
    return _local_walk(root, below, links, Descent(root, asked=False), ())


def _local_walk(
    root: str, below: str, links: Links, descent: Descent, above: tuple[_Identity, ...]
) -> Iterator[_Found]:
    place = os.path.join(root, below)
    try:
        with os.scandir(place) as entries:
            names = sorted(posixpath.join(below, entry.name) for entry in entries)
        above = (*above, _identity(place))
    except OSError as error:
        raise UsageError(f"{place} cannot be read: {error.strerror}") from None
    if above[-1] in above[:-1]:
        raise UsageError(f"{place} is a directory above it once more: a mount there leads round")
    kinds = {name: os.path.isdir(os.path.join(root, name)) for name in names}
    descent.below(below, [FileEntry(name, "directory" if kinds[name] else "file") for name in names])
    for name in names:
        path = os.path.join(root, name)
        if kinds[name]:
            leads_to = _led_to(path, os.path.realpath(root), above) if os.path.islink(path) else ""
            if leads_to is None and links == "follow":
                raise UsageError(f"{path} is a link that leads out of the tree, or round in it; {_HELP}")
            if leads_to is None:
                yield _Skipped(name)
                continue
            yield _Directory(name, leads_to)
            yield from _local_walk(root, name, links, descent, above)
        else:
            yield from _local_entry(root, name, links)


def _identity(path: str) -> _Identity:
    facts = os.stat(path)
    return facts.st_dev, facts.st_ino


def _led_to(link: str, root: str, above: Sequence[_Identity]) -> str | None:
    """The name of the directory in the tree that a link leads to; None if it leads out of it, or round."""
    leads_to, top = os.path.realpath(link), f"{root.rstrip('/')}/"
    try:
        leads_round = _identity(leads_to) in above
    except OSError:  # it is gone by now
        return None
    return leads_to.removeprefix(top) if leads_to.startswith(top) and not leads_round else None


def _local_entry(root: str, name: str, links: Links) -> Iterator[_Found]:
    path = os.path.join(root, name)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the name of {os.fsencode(path)!r} is no text, and facilities take only text"
        ) from None
    try:
        facts = os.stat(path)
    except OSError as error:
        if not os.path.islink(path):
            raise UsageError(f"{path} cannot be read: {error.strerror}") from None
        if links == "follow":
            raise UsageError(f"{path} is a link that leads to nothing; {_HELP}") from None
        yield _Skipped(name)
        return
    if not stat.S_ISREG(facts.st_mode):
        raise UsageError(f"{path} is no file that can be moved (a pipe, a socket or a device)")
    yield Entry(name, path, facts.st_size, facts.st_mtime)


def _gathered(found: Iterator[_Found]) -> Tree:
    files: list[Entry] = []
    directories: list[str] = []
    followed: list[tuple[str, str]] = []
    skipped: list[str] = []
    for each in found:
        match each:
            case Entry():
                files.append(each)
            case _Directory():
                directories.append(each.name)
                followed += [(each.name, each.leads_to)] if each.leads_to else []
            case _Skipped():
                skipped.append(each.name)
    return Tree(tuple(files), tuple(directories), followed=tuple(followed), skipped=tuple(skipped))


# ------------------------------------------------------------------------------------------ a facility


class FarListing(FarNames):
    """Finds what a path of a facility, or of a collection, names."""

    async def tree(self, path: str, links: Links = "follow") -> Tree:
        """What a path names there. Links are followed where they lead to a file of the tree.

        Raises:
            NotFound: if there is nothing.
            UsageError: naming a link that leads elsewhere, a directory that has no end, or what is no file.
        """
        base, pattern = globs.split(path)
        try:
            facts = await settled(
                await self._files.stat(self._id, path.rstrip("/") or "/", dereference=True), self._operations
            )
        except NotFound:
            if not pattern:
                raise
            return await self._matching(path, base, pattern, links)
        if stat.S_ISDIR(facts.mode):
            return await self._filled(_judged(path, await self.everything(path), links))
        return Tree((Entry("", path, facts.size, facts.mtime),), single=True)

    async def _matching(self, path: str, base: str, pattern: str, links: Links) -> Tree:
        entries = await self.reached(base, pattern)
        tops = {each.name for each in entries if globs.matches(pattern, each.name)}
        if not tops:
            raise NotFound(f"nothing there is named {path}")
        wanted = [each for each in entries if not tops.isdisjoint(_and_above(each.name))]
        return await self._filled(_judged(base, wanted, links))

    async def _filled(self, tree: Tree) -> Tree:
        """The tree, with the sizes that its listing did not tell."""
        sizes: dict[str, Entry] = {}

        async def look(entry: Entry) -> None:
            facts = await settled(
                await self._files.stat(self._id, entry.path, dereference=True), self._operations
            )
            sizes[entry.name] = replace(entry, size=facts.size, mtime=facts.mtime)

        await abreast([each for each in tree.files if each.size < 0], look, AT_ONCE)
        return (
            replace(tree, files=tuple(sizes.get(each.name, each) for each in tree.files)) if sizes else tree
        )


def _and_above(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition("/")[0]


def _judged(root: str, entries: Sequence[FileEntry], links: Links) -> Tree:
    """The files and directories of a listing; no name of it leads out of its directory."""
    root = root.rstrip("/") or "/"
    known = {inside(root, each.name): each for each in entries}
    files: list[Entry] = []
    directories: list[str] = []
    skipped: list[str] = []
    linked = False
    for path, each in sorted(known.items()):
        entry = each
        if each.type == "symlink":
            leads_to = known.get(
                posixpath.normpath(posixpath.join(posixpath.dirname(path), each.link_target or ""))
            )
            if leads_to is None or leads_to.type not in {"file", "unknown"}:
                if links == "skip":
                    skipped.append(each.name)
                    continue
                raise UsageError(f"{path} is a link to no file of the tree; {_HELP}")
            entry, linked = leads_to, True
        if entry.type == "directory":
            directories.append(each.name)
        elif entry.type == "other":
            raise UsageError(f"{path} is no file that can be moved (a pipe, a socket or a device)")
        else:
            size = -1 if entry.size is None else entry.size
            files.append(Entry(each.name, path, size, told_time(entry.last_modified)))
    return Tree(tuple(files), tuple(directories), linked=linked, skipped=tuple(skipped))
