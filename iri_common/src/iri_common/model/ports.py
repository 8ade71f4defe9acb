"""What the upper floors may ask of a dialect, a ledger, a token source and a wire: small protocols.

A port method makes one request and translates the answer; it neither retries nor sleeps nor loops.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from iri_common.model.credential import Principal, SourceFacts, Term
from iri_common.model.dataports import FilesApi, PartsApi, Piece, RangesApi, StorageApi
from iri_common.model.facility import (
    Allocation,
    ApiClient,
    Capability,
    Event,
    FacilityInfo,
    Incident,
    Project,
    QueueLength,
    Resource,
    Site,
)
from iri_common.model.grades import Grades
from iri_common.model.job import Accepted, JobEntry, JobStatus
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord
from iri_common.model.outcome import Answer, Done, FacilityTask, Pending

T = TypeVar("T")


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


class OperationsApi(Protocol):
    """Operations that the facility works on in its own time."""

    async def check(self, pending: Pending[T]) -> Answer[T]:
        """Look once; Done with the value, the same Pending, or the operation's error raised."""
        ...

    async def forget(self, task_id: str) -> Done[None]:
        """Tell the facility that the result is not needed any more; not a cancel."""
        ...

    def promised(self, task: FacilityTask) -> Pending[object]:
        """What an operation on files was promised to give, in another process maybe; nothing is sent.

        Raises:
            UsageError: if no operation of this API is called so.
            NotOffered: if it answers all at once.
        """
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


@runtime_checkable
class QueueApi(Protocol):
    """Beside the status of an API that counts the jobs of all users in one request."""

    async def queue(self, resource_id: str) -> Done[QueueLength]: ...


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


@runtime_checkable
class ConcernsApi(Protocol):
    """Beside the accounts of an API that tells what its tokens may do, and until when."""

    async def concerns(self) -> Done[Sequence[str]]:
        """What a person should know of the token before it is relied on, a sentence each."""
        ...


@runtime_checkable
class TermApi(Protocol):
    """Beside the accounts of an API that tells from when to when a credential counts."""

    async def term(self, client_id: str | None) -> Done[Term]:
        """Of what the token was had with: the client of this id, or the token itself.

        Its one request has the token judged as well; raises AuthError for a bad one.
        """
        ...


@runtime_checkable
class KnownUserApi(Protocol):
    """Beside the accounts of an API whose requests name the user: a job that it shows is that one's."""

    @property
    def known_user(self) -> str | None:
        """As the profile or an earlier answer tells; nobody is asked."""
        ...


@runtime_checkable
class PrincipalApi(Protocol):
    """Beside the accounts of an API whose jobs belong to another one than the person."""

    async def principal(self) -> Done[Principal]: ...


class AttachApi(Protocol):
    """Commands beside jobs that run."""

    async def attach(self, resource_id: str, job_id: str, command: str) -> Done[None]:
        """Run a shell's command on the nodes of a job, and wait for its end; nobody reads what it writes."""
        ...


@runtime_checkable
class AttachDialect(Protocol):
    """Beside the ports of a dialect: that of an API that runs commands where a job runs."""

    @property
    def attaching(self) -> AttachApi:
        """Beside its jobs."""
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


@runtime_checkable
class KeepingSource(Protocol):
    """Beside the port of a token source that gives a token again while it counts, as one that is shared."""

    def refused(self, token: Token) -> None:
        """A facility did not take it: another one is wanted, however long it counts."""
        ...


@runtime_checkable
class TellingSource(Protocol):
    """Beside the port of a token source that knows how a person mends it."""

    def facts(self) -> SourceFacts:
        """What it tells of itself, without reading a secret."""
        ...


MOST_BYTES = 64 * 1024 * 1024  # of a reply; the longest known lists all jobs of a large machine


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request as a wire takes it.

    Attributes:
        form: An urlencoded body; a list repeats its key.
        files: By multipart field: (file name, content).
        most: Bytes of the reply's body, unpacked, that are read.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    params: Sequence[tuple[str, str]] = ()
    json: Any = None
    form: Mapping[str, str | Sequence[str]] | None = field(default=None, repr=False)
    files: Mapping[str, tuple[str, bytes]] | None = field(default=None, repr=False)
    most: int = MOST_BYTES


@dataclass(frozen=True, slots=True)
class WireReply:
    """A reply as a wire gives it; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


TokenExchange = Callable[[WireRequest], Awaitable[WireReply]]


class Transport(Protocol):
    """The wire: one request, one reply, or one of the three errors of :mod:`iri_common.policy.classify`."""

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
    pieces: AsyncIterator[Piece] = field(repr=False)


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
