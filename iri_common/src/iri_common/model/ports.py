"""What the upper floors may ask of a dialect, a ledger, a token source and a wire: small protocols.

A port method makes one request and translates the answer; it neither retries nor sleeps nor loops.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from iri_common.model.facility import (
    AccessEndpoint,
    Allocation,
    ApiClient,
    Capability,
    Event,
    FacilityInfo,
    Incident,
    Project,
    Resource,
    Site,
    StorageLocation,
)
from iri_common.model.files import Checksum, Compression, FileEntry, FileStat, FileText
from iri_common.model.grades import Grades
from iri_common.model.job import Accepted, JobEntry, JobStatus
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord
from iri_common.model.outcome import Done, Pending
from iri_common.model.transfer import DownloadLink, PartsUpload, TransferRequest, TransferTask

T = TypeVar("T")
Answer = Done[T] | Pending[T]


class JobsApi(Protocol):
    """Jobs at one facility."""

    async def submit(
        self, resource_id: str, spec: Mapping[str, Any], idempotency_key: str | None
    ) -> Answer[Accepted]:
        """Ask for a job once; an unreadable answer raises AmbiguousReply, it is never sent twice here."""
        ...

    def submit_request(
        self, resource_id: str, spec: Mapping[str, Any], idempotency_key: str | None
    ) -> WireRequest:
        """What ``submit`` sends, without its credential; for those who want to see it first."""
        ...

    async def status(self, resource_id: str, job_id: str) -> Done[JobStatus]:
        """Look at one job, ended ones included; state MISSING if the facility does not know it."""
        ...

    async def list(
        self, resource_id: str, *, offset: int, limit: int, historical: bool, names: bool
    ) -> Done[Sequence[JobEntry]]:
        """One page of jobs: live ones, or with ``historical`` ended ones too; with ``names`` if asked.

        An API without pages gives all of them at offset 0, and nothing, unasked, at any other.
        """
        ...

    async def output_paths(self, resource_id: str, job_id: str) -> Done[Mapping[str, str]]:
        """Where the job's "stdout" and "stderr" are, as far as the facility tells."""
        ...

    async def cancel(self, resource_id: str, job_id: str) -> Answer[None]:
        """Ask for the end of a job; it is over only when its status says so."""
        ...

    async def update(
        self, resource_id: str, job_id: str, changes: Mapping[str, Any], idempotency_key: str | None
    ) -> Done[JobStatus]:
        """Change fields of a job that has not started; which ones is the facility's choice."""
        ...


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


class OperationsApi(Protocol):
    """Operations that the facility works on in its own time."""

    async def check(self, pending: Pending[T]) -> Answer[T]:
        """Look once; Done with the value, the same Pending, or the operation's error raised."""
        ...

    async def forget(self, task_id: str) -> Done[None]:
        """Tell the facility that the result is not needed any more; not a cancel."""
        ...


class StatusApi(Protocol):
    """What a facility tells of its state, to anyone."""

    async def facility(self) -> Done[FacilityInfo]: ...
    async def sites(self) -> Done[Sequence[Site]]: ...
    async def resources(self) -> Done[Sequence[Resource]]: ...
    async def resource(self, resource_id: str) -> Done[Resource]: ...
    async def incidents(self, *, resource_id: str | None = None) -> Done[Sequence[Incident]]: ...
    async def events(
        self, *, incident_id: str | None = None, resource_id: str | None = None
    ) -> Done[Sequence[Event]]: ...


class AccountsApi(Protocol):
    """Who I am there and what I may use."""

    async def check_token(self) -> Done[str | None]:
        """Have the token judged by one request that needs it; the user's name where that tells it.

        Raises AuthError for a bad token, and NotOffered at a facility without any account service.
        """
        ...

    async def whoami(self) -> Done[str]: ...
    async def capabilities(self) -> Done[Sequence[Capability]]: ...
    async def projects(self) -> Done[Sequence[Project]]: ...
    async def project_allocations(self, project_id: str) -> Done[Sequence[Allocation]]: ...
    async def user_allocations(self, project_id: str, allocation_id: str) -> Done[Sequence[Allocation]]: ...


@runtime_checkable
class ClientsApi(Protocol):
    """Beside the accounts of an API whose clients die on a day that it tells."""

    async def clients(self) -> Done[Sequence[ApiClient]]: ...


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
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes from ``start`` up to, not including, ``end``."""
        ...

    async def write(
        self, resource_id: str, path: str, size: int, pieces: Callable[[], AsyncIterator[bytes]]
    ) -> Done[None]:
        """Write a file of so many bytes; ``pieces`` begins anew each time it is called."""
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


class Dialect(Protocol):
    """One facility API in our words. An API that it lacks raises NotOffered when asked for."""

    @property
    def name(self) -> str: ...
    @property
    def grades(self) -> Grades: ...
    @property
    def jobs(self) -> JobsApi: ...
    @property
    def files(self) -> FilesApi: ...
    @property
    def operations(self) -> OperationsApi: ...
    @property
    def status(self) -> StatusApi: ...
    @property
    def accounts(self) -> AccountsApi: ...
    @property
    def storage(self) -> StorageApi: ...
    @property
    def parts(self) -> PartsApi | None:
        """None where the API signs no links."""
        ...

    @property
    def ranges(self) -> RangesApi | None:
        """None where the API reads no ranges of bytes."""
        ...


class Ledger(Protocol):
    """Durable memory of what was asked for, shared by every process that may ask again."""

    async def read(self, key: JobKey) -> LedgerRecord | None:
        """The newest record of the key's identity, whatever its generation."""
        ...

    async def write(self, record: LedgerRecord, owner: str | None = None) -> bool:
        """Store durably: after the return, a crash of this machine does not lose it.

        With an owner it is written only while that one holds the claim; the answer is whether it was.
        """
        ...

    async def claim(self, key: JobKey, owner: str, seconds: float) -> bool:
        """Take the right to act on an identity for some time; False while somebody else holds it.

        Taken again by its owner, it counts from then on.
        """
        ...

    async def release(self, key: JobKey, owner: str) -> None:
        """Give the claim back, if it is still the owner's."""
        ...

    async def records(self) -> Sequence[LedgerRecord]:
        """The newest record of every identity."""
        ...

    async def forget(self, key: JobKey) -> None:
        """Drop an identity whose work is over and done with."""
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token.

    Attributes:
        value: The secret; never shown.
        expires_at: Seconds since the epoch; None where its source does not say.
    """

    value: str = field(repr=False)
    expires_at: float | None = None

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("a token is not pickled: hand over the name of its source instead")


class TokenSource(Protocol):
    """Where bearer tokens come from."""

    @property
    def identity(self) -> str:
        """Names the credential without telling it; equal for equal credentials."""
        ...

    @property
    def renewable(self) -> bool:
        """Whether asking again can give another token."""
        ...

    async def fetch(self, send: TokenExchange) -> Token:
        """Get a token, over the given wire if one is needed."""
        ...


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request as a wire takes it.

    Attributes:
        form: An urlencoded body; a list repeats its key.
        files: By multipart field: (file name, content).
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    params: Sequence[tuple[str, str]] = ()
    json: Any = None
    form: Mapping[str, str | Sequence[str]] | None = field(default=None, repr=False)
    files: Mapping[str, tuple[str, bytes]] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class WireReply:
    """A reply as a wire gives it; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


TokenExchange = Callable[[WireRequest], Awaitable[WireReply]]


class Transport(Protocol):
    """The wire: one request, one reply, or one of the two errors of :mod:`iri_common.policy.classify`."""

    async def send(self, request: WireRequest) -> WireReply: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ByteReply:
    """The head of a reply whose body is still on its way; header names in lower case.

    Attributes:
        pieces: The body as it comes, in pieces of at most a MiB; ReplyLost if it ends too early.
    """

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes] = field(repr=False)


class ByteWire(Protocol):
    """The wire for the bytes of files: by URL, streamed, no credential but what the caller gives.

    What any status means is the caller's affair; redirects are replies. Raises the two errors of
    :mod:`iri_common.policy.classify`, which tell nothing of a URL beyond its host.
    """

    def get(
        self, url: str, start: int = 0, end: int | None = None, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[ByteReply]:
        """Ask for the bytes from ``start`` up to, not including, ``end``.

        A status of 206 means that exactly these come; a server that reads no ranges answers 200.
        """
        ...

    async def put(
        self, url: str, size: int, pieces: AsyncIterator[bytes], headers: Mapping[str, str] | None = None
    ) -> WireReply:
        """Send so many bytes, once; the reply's body is cut after 64 KiB."""
        ...

    async def post(self, url: str, content: bytes, headers: Mapping[str, str] | None = None) -> WireReply:
        """Send a document, once; the reply's body is cut as well."""
        ...

    async def close(self) -> None: ...
