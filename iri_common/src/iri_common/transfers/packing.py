"""Many small files as one archive: which go together, and what is in it."""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from iri_common.model.errors import TransferError, UsageError
from iri_common.model.transfer import Move
from iri_common.transfers import local

_BLOCK = 512
_END = 20 * _BLOCK  # a tar ends with zeros, up to a full record
_WORTH_AN_ARCHIVE = 3  # files
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


def directories(
    moves: Sequence[Move], root: str, limit: int, others: Sequence[Move] = ()
) -> tuple[dict[str, list[Move]], list[Move]]:
    """The largest directories below ``root`` that fit into an archive each, and the files in none of them.

    A directory of few files is none: an archive costs as many requests as two files.

    Args:
        moves: The files that are to be moved.
        root: Above them all.
        limit: Bytes of an archive.
        others: Files that lie there too, and are packed with them.
    """
    inner, beside = _by_directory(moves, root), _by_directory(others, root)
    whole: dict[str, list[Move]] = {}
    covered: set[str] = set()
    for directory in sorted(inner, key=len):  # those above come first
        if posixpath.dirname(directory) in covered:
            covered.add(directory)
        elif len(inner[directory]) >= _WORTH_AN_ARCHIVE and _fits(
            [*inner[directory], *beside.get(directory, ())], directory, limit
        ):
            whole[directory] = inner[directory]
            covered.add(directory)
    loose = [move for move in moves if posixpath.dirname(posixpath.normpath(move.source)) not in covered]
    return whole, loose


def bundled(moves: Sequence[Move], limit: int, known: Sequence[Move]) -> tuple[int, int]:
    """How many archives these of all known files would come down in, and how many of them in none."""
    if not moves:
        return 0, 0
    root = root_of([move.source for move in moves])
    whole, loose = directories(moves, root, limit, without(known, moves))
    return len(whole), len(loose)


def without(known: Sequence[Move], moves: Sequence[Move]) -> Sequence[Move]:
    """Those of the known files that are not to be moved."""
    sources = {move.source for move in moves}
    return [each for each in known if each.source not in sources]


def _by_directory(moves: Sequence[Move], root: str) -> Mapping[str, list[Move]]:
    """The files in each directory below a root, however deep."""
    inner: dict[str, list[Move]] = defaultdict(list)
    for move in moves:
        directory = posixpath.dirname(posixpath.normpath(move.source))
        inner[directory].append(move)
        while directory not in {root, "/", ""}:
            directory = str(posixpath.dirname(directory))
            inner[directory].append(move)
    return inner


def _fits(moves: Sequence[Move], directory: str, limit: int) -> bool:
    return sum(taken(move.source[len(directory) :], move.size) for move in moves) + _END <= limit
