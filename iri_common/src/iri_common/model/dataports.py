"""What the upper floors may ask of a dialect about data: files, their bytes, and what moves them.

As in :mod:`iri_common.model.ports`, a method makes one request and translates the answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from iri_common.model.facility import AccessEndpoint, StorageLocation
from iri_common.model.files import Checksum, Compression, FileEntry, FileStat, FileText
from iri_common.model.outcome import Answer, Done
from iri_common.model.transfer import DownloadLink, PartsUpload, TransferRequest, TransferTask

Piece = bytes | memoryview
"""Some bytes of a file as they came; nobody writes to them again."""


class FilesApi(Protocol):
    """Files at one facility. Paths are the facility's, ``resource_id`` the file system's."""

    async def ls(
        self,
        resource_id: str,
        path: str,
        *,
        hidden: bool = False,
        recursive: bool = False,
        dereference: bool = False,
    ) -> Answer[Sequence[FileEntry]]: ...
    async def head(
        self, resource_id: str, path: str, *, lines: int | None = None, size: int | None = None
    ) -> Answer[FileText]: ...
    async def tail(
        self, resource_id: str, path: str, *, lines: int | None = None, size: int | None = None
    ) -> Answer[FileText]: ...
    async def view(self, resource_id: str, path: str, *, size: int, offset: int = 0) -> Answer[FileText]: ...
    async def checksum(self, resource_id: str, path: str) -> Answer[Checksum]: ...
    async def file_type(self, resource_id: str, path: str) -> Answer[str]: ...
    async def stat(self, resource_id: str, path: str, *, dereference: bool = False) -> Answer[FileStat]: ...
    async def download(self, resource_id: str, path: str) -> Answer[bytes]: ...
    async def upload(self, resource_id: str, path: str, content: bytes) -> Answer[None]: ...
    async def rm(self, resource_id: str, path: str) -> Answer[None]: ...
    async def chmod(self, resource_id: str, path: str, mode: int) -> Answer[FileEntry | None]: ...
    async def chown(
        self, resource_id: str, path: str, *, owner: str = "", group: str = ""
    ) -> Answer[FileEntry | None]: ...
    async def mkdir(
        self, resource_id: str, path: str, *, parents: bool = False
    ) -> Answer[FileEntry | None]: ...
    async def symlink(self, resource_id: str, target: str, link: str) -> Answer[FileEntry | None]: ...
    async def cp(
        self, resource_id: str, source: str, target: str, *, dereference: bool = False
    ) -> Answer[FileEntry | None]: ...
    async def mv(self, resource_id: str, source: str, target: str) -> Answer[FileEntry | None]: ...
    async def compress(
        self,
        resource_id: str,
        source: str,
        target: str,
        *,
        pattern: str | None = None,
        dereference: bool = False,
        compression: Compression = Compression.GZIP,
    ) -> Answer[FileEntry | None]: ...
    async def extract(
        self, resource_id: str, source: str, target: str, *, compression: Compression = Compression.GZIP
    ) -> Answer[FileEntry | None]: ...


class StorageApi(Protocol):
    """Where data belongs and how it gets there in bulk."""

    async def locations(
        self, resource_id: str, *, logical_name: str | None = None, project: str | None = None
    ) -> Answer[Sequence[StorageLocation]]: ...
    async def access_endpoints(
        self, resource_id: str, *, protocol: str | None = None
    ) -> Done[Sequence[AccessEndpoint]]: ...


class PartsApi(Protocol):
    """Large files over S3 parts and links that somebody signed; the bytes go past the facility's API."""

    @property
    def appears_whole(self) -> bool:
        """Whether a file takes its path's place as a whole when it is finished, or grows there."""
        ...

    @property
    def by_job(self) -> bool:
        """Whether a job, at the user's expense, brings each file from the store to its place, or there."""
        ...

    @property
    def why_not(self) -> str:
        """Why no file goes over it after all, as far as is known, for people; "" if files do."""
        ...

    async def begin(self, resource_id: str, path: str, size: int) -> Answer[PartsUpload]:
        """Open an upload; nothing is at ``path`` before it is finished.

        Raises NotOffered where no file of this size goes over parts: an empty one at FirecREST.
        """
        ...

    async def again(self, resource_id: str, upload: PartsUpload) -> Done[PartsUpload]:
        """The same upload with fresh links, after they expired or after a crash.

        Raises NotOffered where an upload that was interrupted cannot be taken up.
        """
        ...

    async def arrived(self, resource_id: str, upload: PartsUpload) -> Done[Mapping[int, str]]:
        """The ETags of the parts that are there, by number from 1; NotOffered where nobody can tell."""
        ...

    async def finish(self, resource_id: str, upload: PartsUpload, etags: Sequence[str]) -> Answer[None]:
        """Make one file of the parts; Pending while the facility moves it into place."""
        ...

    async def abandon(self, resource_id: str, upload: PartsUpload) -> Done[None]:
        """Leave nothing of it behind, as far as that is offered."""
        ...

    async def clear(self, resource_id: str, path: str, since: float) -> Done[None]:
        """Abandon what was opened at that time for this path; NotOffered where nobody lists uploads.

        For one whose handle died with the process that opened it; those of others stay as they are.
        """
        ...

    async def link(self, resource_id: str, path: str) -> Answer[DownloadLink]:
        """A link to the file's bytes; Pending while the facility makes them ready."""
        ...


class RangesApi(Protocol):
    """Bytes of files by path, streamed and by range; nothing is held in memory as a whole."""

    def read(
        self, resource_id: str, path: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Piece]]:
        """The bytes from ``start`` up to, not including, ``end``."""
        ...

    async def write(
        self, resource_id: str, path: str, size: int, pieces: Callable[[], AsyncIterator[bytes]]
    ) -> Done[None]:
        """Write a file of so many bytes; ``pieces`` begins anew each time it is called."""
        ...


class BehalfApi(Protocol):
    """Transfers between Globus collections that a facility begins by itself, as the user it knows.

    A collection is told by its id, or by the name that the facility has for one of its own.
    """

    async def begin(self, collections: tuple[str, str], source: str, target: str, label: str) -> Done[str]:
        """Have a file put into a directory, or all of a directory into another; gives the task's id.

        The collections are those of the source and of the target. Raises Conflict if a transfer of the same
        paths is under way.
        """
        ...

    async def look(self, task_id: str) -> Done[TransferTask]:
        """A task as it is now."""
        ...


@runtime_checkable
class BehalfDialect(Protocol):
    """Beside the ports of a dialect: that of an API that begins transfers on the user's behalf."""

    @property
    def behalf(self) -> BehalfApi:
        """Its transfers."""
        ...


class TransfersApi(Protocol):
    """Transfers between collections that somebody else carries out: Globus."""

    @property
    def mendable(self) -> bool:
        """Whether a credential that is refused can become another one while this process lives."""
        ...

    def remedy(self, collections: Sequence[str]) -> str:
        """What a person does where a login or a consent for these collections is wanted."""
        ...

    async def new_submission(self) -> Done[str]:
        """An id under which one transfer is accepted once, however often it is sent."""
        ...

    async def submit(self, request: TransferRequest, submission_id: str) -> Done[str]:
        """Ask for a transfer; gives its task's id, the same one for the same submission.

        Raises Conflict if a transfer of the same paths is under way under another submission.
        """
        ...

    async def tasks(self, task_ids: Sequence[str]) -> Done[Mapping[str, TransferTask]]:
        """At most 50 tasks in one request; those that this identity does not see are missing."""
        ...

    async def find(self, label: str) -> Done[Sequence[TransferTask]]:
        """The tasks of mine with this label, newest first."""
        ...

    async def why(self, task_id: str) -> Done[str]:
        """What a task that does not get on waits for or runs into, in Globus' words; "" for nothing."""
        ...

    async def cancel(self, task_id: str) -> Done[None]:
        """End a task; one that is over already is fine."""
        ...
