"""What a facility tells of files."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Compression(StrEnum):
    """How ``compress`` packs and ``extract`` unpacks."""

    NONE = "none"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One row of a listing.

    Attributes:
        name: As listed; relative to the listed directory when recursive.
        type: directory, file, symlink, other or unknown.
        size: In bytes; None where the facility gave no number.
        permissions: In the facility's own spelling ("rwxr-xr-x", "drwxr-xr-x" or octal).
        last_modified: In the facility's own spelling; the API fixes none.
    """

    name: str
    type: str = "unknown"
    size: int | None = None
    user: str = ""
    group: str = ""
    permissions: str = ""
    last_modified: str = ""
    link_target: str | None = None


@dataclass(frozen=True, slots=True)
class FileStat:
    """Numbers of one file as ``stat`` gives them: size in bytes, times in seconds since the epoch."""

    size: int
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: float = 0.0


@dataclass(frozen=True, slots=True)
class FileText:
    """A piece of a text file; not safe for binary content, servers decode with replacement."""

    content: str
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Checksum:
    """A digest in lower-case hex."""

    algorithm: str
    value: str
