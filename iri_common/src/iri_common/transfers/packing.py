"""Many small files as one archive: which go together, and what is in it."""

from __future__ import annotations

import functools
import hashlib
import io
import posixpath
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from iri_common.model.errors import ReplyError, TransferError, UsageError
from iri_common.model.transfer import Move
from iri_common.transfers import local
from iri_common.transfers.landing import Landing

_BLOCK = 512
_END = 20 * _BLOCK  # a tar ends with zeros, up to a full record
_WORTH_AN_ARCHIVE = 3  # files
_LANDING_AT_ONCE = 100  # files
_PLAIN_NAME = 100  # characters of ASCII; a longer one, or another, takes a header of its own


@dataclass(frozen=True, slots=True)
class Group:
    """Files that travel in one archive.

    Attributes:
        names: Of each, below the directory they are packed from or unpacked into, in the order of ``moves``.
        moves: The files.
    """

    names: tuple[str, ...]
    moves: tuple[Move, ...]

    @property
    def mark(self) -> str:
        """The same for the same files as they were when they were looked at."""
        told = "\0".join(
            f"{name}\0{move.size}\0{move.mtime}" for name, move in zip(self.names, self.moves, strict=True)
        )
        return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()[:16]


def root_of(paths: Sequence[str]) -> str:
    """The lowest directory above all of these files."""
    return posixpath.commonpath([posixpath.dirname(posixpath.normpath(path)) for path in paths])


def below(root: str, path: str) -> str:
    """A path's name relative to a directory above it.

    Raises:
        UsageError: if it is not above it.
    """
    path, prefix = posixpath.normpath(path), posixpath.join(root, "")
    if not path.startswith(prefix) or path == prefix:
        raise UsageError(f"{path} is not below {root}")
    return path[len(prefix) :]


def packable(moves: Sequence[Move], root: str, limit: int) -> tuple[list[Move], list[Move]]:
    """The files that fit into an archive, and those that do not."""
    small: list[Move] = []
    large: list[Move] = []
    for move in moves:
        fits = taken(below(root, move.target), move.size) <= limit - _END
        (small if fits else large).append(move)
    return small, large


def grouped(moves: Sequence[Move], root: str, limit: int) -> Iterator[Group]:
    """Packable files by their targets below ``root``, in archives of at most ``limit`` bytes."""
    names: list[str] = []
    some: list[Move] = []
    room = limit - _END
    for move in moves:
        name = below(root, move.target)
        need = taken(name, move.size)
        if need > room:
            yield Group(tuple(names), tuple(some))
            names, some, room = [], [], limit - _END
        names.append(name)
        some.append(move)
        room -= need
    if some:
        yield Group(tuple(names), tuple(some))


def taken(name: str, size: int) -> int:
    """The most bytes that a file takes in an archive."""
    length = len(name.encode(errors="surrogateescape"))
    headers = 1 if name.isascii() and length < _PLAIN_NAME else 3 + length // _BLOCK
    return _BLOCK * (headers + 1 + -(-size // _BLOCK))


def packed_now(group: Group) -> bytes:
    """The files as a tar; reads them, in a thread that may block.

    Raises:
        TransferError: if one is no longer what it was when it was looked at.
    """
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, move in zip(group.names, group.moves, strict=True):
            content, mode = local.content_and_mode_now(move.source)
            if len(content) != move.size:
                raise TransferError(
                    f"{move.source} had {move.size} bytes and has {len(content)} now; ask again when nobody "
                    "writes to it"
                )
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mtime = int(move.mtime)  # a fraction would take a header of its own
            member.mode = mode
            archive.addfile(member, io.BytesIO(content))
    return memory.getvalue()


def directories(moves: Sequence[Move], root: str, limit: int) -> tuple[dict[str, list[Move]], list[Move]]:
    """The largest directories below ``root`` that fit into an archive each, and the files in none of them.

    A directory of few files is none: an archive costs as many requests as two files.
    """
    inner: dict[str, list[Move]] = defaultdict(list)
    for move in moves:
        directory = posixpath.dirname(posixpath.normpath(move.source))
        inner[directory].append(move)
        while directory not in {root, "/", ""}:
            directory = str(posixpath.dirname(directory))
            inner[directory].append(move)
    whole: dict[str, list[Move]] = {}
    covered: set[str] = set()
    for directory in sorted(inner, key=len):  # those above come first
        if posixpath.dirname(directory) in covered:
            covered.add(directory)
        elif len(inner[directory]) >= _WORTH_AN_ARCHIVE and _fits(inner[directory], directory, limit):
            whole[directory] = inner[directory]
            covered.add(directory)
    loose = [move for move in moves if posixpath.dirname(posixpath.normpath(move.source)) not in covered]
    return whole, loose


def bundled(moves: Sequence[Move], limit: int) -> tuple[int, int]:
    """How many archives these files would come down in, and how many of them in none."""
    whole, loose = directories(moves, root_of([move.source for move in moves]), limit) if moves else ({}, [])
    return len(whole), len(loose)


def _fits(moves: Sequence[Move], directory: str, limit: int) -> bool:
    return sum(taken(move.source[len(directory) :], move.size) for move in moves) + _END <= limit


def unpacked_now(archive: bytes, directory: str, wanted: Mapping[str, Move], transfer: str) -> Sequence[str]:
    """Write those files of an archive that are wanted, each whole, and no others; gives their names.

    The archive's names decide nothing but which of the wanted files one is: no path is made of them.

    Args:
        archive: Its bytes.
        directory: What was packed; its own name may come before the names in it.
        wanted: Files by their names below it.
        transfer: Names what lies beside a target for a moment.

    Raises:
        ReplyError: if it is no archive that can be read.
        IriError: if a file cannot be written here.
    """
    top = posixpath.basename(directory)
    found: list[str] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:*") as opened, Landing(transfer) as landing:
            members = opened.getmembers()
            below = all(posixpath.normpath(each.name).split("/")[0] == top for each in members)
            for member in members:
                name = posixpath.normpath(member.name)
                name = name[len(top) + 1 :] if below else name
                if name in wanted and (content := _content(opened, member, wanted[name].size)) is not None:
                    landing.write(wanted[name], [content], _mode(opened, member))
                    found.append(name)
            landing.land()
    except (tarfile.TarError, EOFError, KeyError, ValueError, zlib.error, OSError) as error:
        raise ReplyError(f"the facility's archive of {directory} cannot be read: {error}") from None
    return found


def unpacking(path: str, wanted: Mapping[str, Move], transfer: str) -> Iterator[Sequence[Move]]:
    """Write those files of a tar of this machine that are wanted, each whole, and no others.

    It tells them some at a time, in a thread that may block, and holds no more than a piece of one.

    Args:
        path: The archive's.
        wanted: Files by their names in it.
        transfer: Names what lies beside a target for a moment.

    Raises:
        ReplyError: if it is no archive that can be read.
        IriError: if a file cannot be written here.
    """
    left = dict(wanted)
    try:
        with tarfile.open(path, mode="r:") as archive, Landing(transfer) as landing:
            while (member := archive.next()) is not None:
                archive.members = []  # pyright: ignore[reportAttributeAccessIssue] else it keeps all it saw
                name = posixpath.normpath(member.name)
                if name not in left or not member.isfile() or member.size != left[name].size:
                    continue
                if file := archive.extractfile(member):
                    pieces = iter(functools.partial(file.read, local.PIECE), b"")
                    landing.write(left.pop(name), pieces, member.mode)
                if len(landing) >= _LANDING_AT_ONCE:
                    yield landing.land()
            yield landing.land()
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ReplyError(f"what the facility packed cannot be read: {error}") from None


def _mode(archive: tarfile.TarFile, member: tarfile.TarInfo) -> int:
    """Of a hard link, what the file has that it is another name of."""
    return archive.getmember(member.linkname).mode if member.islnk() else member.mode


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, size: int) -> bytes | None:
    """Of a file as large as it was when it was listed; a hard link is another name of one before it."""
    if not (member.islnk() or (member.isfile() and member.size == size)):
        return None
    file = archive.extractfile(member)
    content = file.read() if file else b""
    return content if len(content) == size else None
