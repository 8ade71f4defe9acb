"""Words for data on its way: what is moved, over which road, how far it is, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Road(StrEnum):
    """How bytes get from one end to the other."""

    WITHIN = "within"  # the facility copies for itself
    DIRECT = "direct"  # each file in one call of the facility's file service
    ARCHIVE = "archive"  # many files as one, packed or unpacked by that service
    CHUNKS = "chunks"  # parts through that service; a job joins or splits them
    PARTS = "parts"  # S3 parts over links that the facility signed
    HTTPS = "https"  # a collection's own HTTPS
    GLOBUS = "globus"  # Globus Transfer: the bytes never pass through this machine
    RELAY = "relay"  # down to this machine over one road, up again over another


class FileKind(StrEnum):
    """What a path is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Move:
    """One file to be moved.

    Attributes:
        source: Its path at the source, as that end writes paths.
        target: Its path at the target, complete with the file's name.
        size: In bytes, as seen before it is moved.
        mtime: Of the source, seconds since the epoch; 0.0 where that end does not tell.
        name: What people are shown: relative to what they asked for.
    """

    source: str
    target: str
    size: int
    mtime: float = 0.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is.

    Attributes:
        label: What is moved, for people.
        road: How.
        bytes_done: Of ``bytes_total``; parts that an earlier try had moved count as done.
        bytes_total: None while it is not known.
        files_done: Whole at the target, skipped ones among them.
        files_total: None while it is not known.
        rate: Bytes per second lately.
        seconds_left: None while nobody can say.
        current: The name of a file under way.
        finished: Nothing more comes.
    """

    label: str
    road: Road
    bytes_done: int = 0
    bytes_total: int | None = None
    files_done: int = 0
    files_total: int | None = None
    rate: float = 0.0
    seconds_left: float | None = None
    current: str = ""
    finished: bool = False


@dataclass(frozen=True, slots=True)
class TransferResult:
    """What came of a transfer; every file counted here is whole.

    Attributes:
        source: Where from, as it was asked for.
        target: Where to.
        road: How.
        files: Moved.
        bytes: Moved now; what an earlier try had moved is not counted again.
        files_skipped: Unchanged, so not moved.
        seconds: It took.
        sha256: In hex, where one single file was moved and its digest is known. What an object store, or a
            collection over HTTPS, tells no digest of has none when it has come down, unless
            ``checksum=True`` was said.
        task_id: Of Globus, where it moved them.
        deleted: Files and whole directories that a sync took away from the target.
        cautions: What there was to know before, a sentence each: jobs that may not read it.
    """

    source: str
    target: str
    road: Road
    files: int
    bytes: int
    files_skipped: int = 0
    seconds: float = 0.0
    sha256: str | None = None
    task_id: str | None = None
    deleted: int = 0
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartsUpload:
    """An S3 multipart upload that a facility opened: one signed link a part.

    Attributes:
        path: Where the file will be.
        size: Of the file, in bytes.
        part_size: Of every part but the last.
        links: One a part, in order; each is a secret while it lives.
        expires_at: Of the links, seconds since the epoch; None where that is not told.
        handle: What its API needs to finish or abandon it; kept across a crash, so no secret in it.
    """

    path: str
    size: int
    part_size: int
    links: tuple[str, ...] = field(repr=False)
    expires_at: float | None = None
    handle: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def parts(self) -> int:
        """How many; an empty file has one."""
        return max(1, -(-self.size // self.part_size))

    def size_of(self, number: int) -> int:
        """Bytes of a part; they are counted from 1."""
        return min(self.part_size, self.size - (number - 1) * self.part_size)


@dataclass(frozen=True, slots=True)
class DownloadLink:
    """A signed link to a file's bytes, which takes ranges.

    Attributes:
        url: A secret while it lives.
        size: Of the file, in bytes.
        expires_at: Of the link, seconds since the epoch.
        sha256: Of the file, in hex, where it is told.
        handle: What its API needs to tell of it.
    """

    url: str = field(repr=False)
    size: int | None = None
    expires_at: float | None = None
    sha256: str | None = None
    handle: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class CollectionEnd:
    """Files as a Globus collection shows them.

    Attributes:
        collection: Its id.
        root: The path, as this end writes paths, that the collection shows under ``base``.
        base: A path within the collection.
    """

    collection: str
    root: str = "/"
    base: str = "/"


class TaskState(StrEnum):
    """Of a Globus task; INACTIVE waits for somebody and is no end, nor is a word that we do not know."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self in {TaskState.SUCCEEDED, TaskState.FAILED}


@dataclass(frozen=True, slots=True)
class TransferTask:
    """A task of Globus Transfer as it is now (Transfer API, task document).

    Attributes:
        task_id: Its id.
        state: In Globus' words.
        code: ``nice_status`` while it lives, the fatal error's code at its end; "" for none.
        words: What Globus says to it, for people.
        healthy: ``is_ok``; None where it is not told.
        files_done, bytes_done: So far.
        faults: Since the beginning.
        skipped_errors: Files that were skipped because of an error; such a task "succeeded" with holes.
    """

    task_id: str
    state: TaskState
    code: str = ""
    words: str = ""
    healthy: bool | None = None
    files_done: int = 0
    bytes_done: int = 0
    faults: int = 0
    skipped_errors: int = 0

    @property
    def whole(self) -> bool:
        """Whether everything has arrived."""
        return self.state is TaskState.SUCCEEDED and not self.skipped_errors


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """What Globus is asked to move between two collections.

    Attributes:
        source: Collection id.
        target: Collection id.
        items: (path at the source, path at the target, whether it is a directory).
        label: Findable: it carries the key of who asks; at most 128 characters.
        sync_level: None copies always; else exists, size, mtime or checksum.
        deadline: Seconds since the epoch after which Globus gives up.
    """

    source: str
    target: str
    items: tuple[tuple[str, str, bool], ...]
    label: str
    sync_level: str | None = None
    deadline: float | None = None
