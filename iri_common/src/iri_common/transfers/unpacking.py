"""What is taken out of an archive that the facility made: it is somebody else's, and may mean harm.

No path is made of an archive's names: they decide nothing but which of the wanted files one is. What it says
of sizes and places is believed as far as the bytes go that are there.
"""

from __future__ import annotations

import functools
import io
import posixpath
import tarfile
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager

from iri_common.model.errors import ReplyError
from iri_common.model.transfer import Move
from iri_common.policy.sizes import MIB, PACK_DOWN
from iri_common.transfers import local
from iri_common.transfers.landing import Landing

MOST = 4 * PACK_DOWN  # bytes that a small archive may become: it is held in memory
_LONGEST_READ = 2 * MIB  # bytes that are read at once of a large one
_LANDING_AT_ONCE = 100  # files
_ENDS = 8  # times that its end is read
_MOST_STREAMS = 256  # of gzip, one after the other
_GZIP = b"\x1f\x8b"


def unpacked_now(archive: bytes, directory: str, wanted: Mapping[str, Move], transfer: str) -> Sequence[str]:
    """Write those files of a small archive that are wanted, each whole, and no others; gives their names.

    Args:
        archive: Its bytes: a tar, plain or by gzip.
        directory: What was packed; its own name may come before the names in it.
        wanted: Files by their names below it.
        transfer: Names what lies beside a target for a moment.

    Raises:
        ReplyError: if it is no archive that can be read, or a larger one than it may be.
        IriError: if a file cannot be written here.
    """
    top = posixpath.basename(directory)
    left = dict(wanted)
    with _readable(f"the facility's archive of {directory}"):
        plain = _expanded(archive) if archive.startswith(_GZIP) else archive
        with _opened(io.BytesIO(plain)) as opened, Landing(transfer) as landing:
            members = list(_members(opened))
            inner = _names_below(top, members)
            files: dict[str, tarfile.TarInfo] = {}
            for name, member in zip(inner, members, strict=True):
                # A hard link is another name of a file before it.
                file = member if member.isfile() else files.get(member.linkname) if member.islnk() else None
                if file is None:
                    continue
                files[member.name] = file
                if name in left and file.size == left[name].size:
                    landing.write(left.pop(name), _pieces(opened, file), file.mode)
            landing.land()
    return [name for name in wanted if name not in left]


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
    with (
        _readable("what the facility packed"),
        open(path, "rb", buffering=0) as file,
        _opened(file) as archive,
        Landing(transfer) as landing,
    ):
        for member in _members(archive):
            name = posixpath.normpath(member.name)
            if name not in left or not member.isfile() or member.size != left[name].size:
                continue
            landing.write(left.pop(name), _pieces(archive, member), member.mode)
            if len(landing) >= _LANDING_AT_ONCE:
                yield landing.land()
        yield landing.land()


def _opened(file: io.RawIOBase | io.BytesIO) -> tarfile.TarFile:
    return tarfile.open(fileobj=_Sparing(file), mode="r:")  # pyright: ignore[reportArgumentType]


class _Sparing(io.BufferedReader):
    """A file for tarfile, which reads headers as large as they say, and for ever if they have no end."""

    _read_nothing = 0

    def read(self, size: int | None = -1) -> bytes:
        """So many bytes."""
        if size is None or not 0 <= size <= _LONGEST_READ:
            raise tarfile.ReadError("it has a header of a size that none has")
        content = super().read(size)
        self._read_nothing = 0 if content else self._read_nothing + 1
        if self._read_nothing > _ENDS:
            raise tarfile.ReadError("it ends in the middle of a header")
        return content


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """One after the other."""
    at = -1
    while (member := archive.next()) is not None:
        archive.members = []  # pyright: ignore[reportAttributeAccessIssue] else it keeps all it saw
        if (
            member.offset <= at
        ):  # by a negative size, with which older Pythons go round for ever (CVE-2025-8194)
            raise tarfile.ReadError("it leads back into itself")
        at = member.offset
        yield member


def _names_below(top: str, members: Sequence[tarfile.TarInfo]) -> Sequence[str]:
    """Their names below what was packed, whose own name may come before them all."""
    names = [posixpath.normpath(each.name) for each in members]
    below = all(name.split("/")[0] == top for name in names)
    return [name[len(top) + 1 :] if below else name for name in names]


def _pieces(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    file = archive.extractfile(member)
    assert file is not None, "it is a regular file"
    return iter(functools.partial(file.read, local.PIECE), b"")


def _expanded(archive: bytes) -> bytes:
    """What gzip made small.

    Raises:
        ReplyError: if that is too much: a few bytes can stand for all the memory there is.
    """
    content = bytearray()
    for _ in range(_MOST_STREAMS):
        unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        content += unpacker.decompress(archive, MOST + 1 - len(content))
        if len(content) > MOST:
            raise ReplyError(f"it becomes more than {MOST} bytes")
        if not unpacker.eof:
            raise EOFError("it ends in the middle")
        archive = unpacker.unused_data.lstrip(b"\0")
        if not archive:
            return bytes(content)
    raise ReplyError(f"it is made of more than {_MOST_STREAMS} streams")


_UNREADABLE = (
    tarfile.TarError,
    zlib.error,
    EOFError,
    LookupError,  # a header that is cut
    OSError,
    OverflowError,
    RecursionError,  # headers of headers
    ValueError,
)


@contextmanager
def _readable(what: str) -> Generator[None]:
    """All the ways in which Python says that an archive is none, as one."""
    try:
        yield
    except _UNREADABLE as error:
        raise ReplyError(f"{what} cannot be read: {error}") from None
    except ReplyError as error:
        raise ReplyError(f"{what} cannot be read: {error.message}") from None
