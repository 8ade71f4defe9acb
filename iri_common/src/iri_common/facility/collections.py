"""Globus for a facility and beside it: whose credential, which collection; identities open for all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from iri_common.apis.globus import (
    GlobusClient,
    GlobusCompute,
    GlobusCredential,
    GlobusDialect,
    GlobusFlows,
)
from iri_common.facility.granted import Gate, Names, nowhere_else
from iri_common.facility.loop import io_loop
from iri_common.http.bytes import HttpBytes
from iri_common.http.transport import WireSettings
from iri_common.model.compute import ComputeApi, ComputeTask
from iri_common.model.dataports import TransfersApi
from iri_common.model.errors import NotOffered, UsageError
from iri_common.model.facility import AccessEndpoint
from iri_common.model.flows import FlowRun, FlowsApi
from iri_common.model.grades import Grades
from iri_common.model.grant import Audit, Grant
from iri_common.model.outcome import Answer, Done, FacilityTask, Pending
from iri_common.model.ports import ByteWire, Dialect, OperationsApi
from iri_common.model.streamports import StreamDialect
from iri_common.model.transfer import CollectionEnd, TransferTask
from iri_common.transfers.globus_poller import TaskPoller

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GlobusSettings:
    """A facility's files as Globus sees them, and who speaks to Globus about them.

    Attributes:
        collection: The collection's id; None where the facility's storage API is to tell it.
        root: The facility's path that the collection shows under ``base``.
        base: A path within the collection.
        lend: Files, guards and journals go through the collection: True instead of the facility's own API,
            False never, None where that API has no files.
        credential: None leaves it to whoever has one for all of Globus.
        account: The account there that files belong to which Globus writes; None where that is not said.
    """

    collection: str | None = None
    root: str = "/"
    base: str = "/"
    lend: bool | None = None
    credential: GlobusCredential | None = None
    account: str | None = None

    def __post_init__(self) -> None:
        for name, path in (("root", self.root), ("base", self.base)):
            if not path.startswith("/"):
                raise UsageError(f"globus.{name} is an absolute path, not {path!r}")
        if self.lend and self.collection is None:
            raise UsageError("globus.lend needs to know the collection: name it as globus.collection")

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for settings that mean the same."""
        whose = self.credential.identity if self.credential else None
        return (self.collection, self.root, self.base, self.lend, whose)

    @property
    def end(self) -> CollectionEnd | None:
        """The collection, where it is known."""
        return CollectionEnd(self.collection, self.root, self.base) if self.collection else None


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks to Globus beside all facilities, and what for.

    Attributes:
        credential: Whose.
        grant: What it may be used for.
        audit: What is written down of that.
        profile: The section that says so; None for what a caller gives.
    """

    credential: GlobusCredential
    grant: Grant = field(default_factory=Grant)
    audit: Audit = Audit.ACTS
    profile: str | None = None

    def gate(self, service: str, names: Names = nowhere_else) -> Gate:
        """Stands before one of Globus' services.

        Args:
            service: As messages call it.
            names: What else is known by a name.
        """
        whose = {"profile": self.profile, "facility": service, "principal": self.credential.identity}
        return Gate(self.grant, self.audit, whose, names)


@dataclass(frozen=True, slots=True)
class Globus:
    """One identity at Globus, open; lives on the I/O loop.

    Attributes:
        dialect: Collections as it sees them, by their ids and with their own paths.
        wire: For bytes over their HTTPS.
        poller: Shared by all who wait for its tasks.
        flows: Runs of flows as it sees them.
        run_poller: Shared by all who wait for those.
        compute: Endpoints and their tasks as it sees them.
        compute_poller: Shared by all who wait for those.
    """

    dialect: GlobusDialect
    wire: ByteWire = field(repr=False)
    poller: TaskPoller[TransferTask] = field(repr=False)
    flows: FlowsApi = field(repr=False)
    run_poller: TaskPoller[FlowRun] = field(repr=False)
    compute: ComputeApi = field(repr=False)
    compute_poller: TaskPoller[ComputeTask] = field(repr=False)

    @property
    def transfers(self) -> TransfersApi:
        """Its tasks."""
        return self.dialect.transfers

    def showing(self, end: CollectionEnd) -> GlobusDialect:
        """One collection with a facility's paths; whatever names a file system means it."""
        return GlobusDialect(self.dialect.client, self.wire, lambda _: end)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs of flows as a poller looks at tasks."""

    flows: FlowsApi

    async def tasks(self, task_ids: Sequence[str]) -> Done[Mapping[str, FlowRun]]:
        return await self.flows.runs(task_ids)


def open_globus(credential: GlobusCredential) -> Globus:
    """The identity of this credential; made once per process. Call it on the I/O loop."""
    doors = io_loop().belongings
    # Where the SDK finds Globus it reads from these when a client is made.
    where = tuple(sorted(each for each in os.environ.items() if each[0].startswith("GLOBUS_SDK_")))
    key = ("globus", credential.identity, where)
    if key not in doors:
        wire = HttpBytes(WireSettings())
        client = GlobusClient(credential)
        dialect, flows, compute = GlobusDialect(client, wire), GlobusFlows(client), GlobusCompute(client)
        doors[key] = Globus(
            dialect,
            wire,
            TaskPoller(dialect.transfers),
            flows,
            TaskPoller(_Runs(flows)),
            compute,
            TaskPoller(compute),
        )
    globus: Globus = doors[key]
    globus.dialect.client.speak_by(credential)
    return globus


@dataclass(frozen=True, slots=True)
class Loan:
    """A collection that stands in for the files of an API, and who speaks for it."""

    end: CollectionEnd
    credential: GlobusCredential


def loan(settings: GlobusSettings | None, grades: Grades) -> Loan | None:
    """What stands in for the files of an API with these grades; None where its own are used."""
    if settings is None or settings.credential is None or settings.end is None or settings.lend is False:
        return None
    return Loan(settings.end, settings.credential) if settings.lend or not grades.readable_files else None


def announced(endpoints: Sequence[AccessEndpoint], root: str = "/") -> CollectionEnd | None:
    """The collection that a facility's storage API names for one of its resources.

    Args:
        endpoints: As told.
        root: The facility's path that it shows, for which that API has no word.
    """
    for each in endpoints:
        collection = each.details.get("endpoint_id")
        if each.protocol == "globus" and collection:
            return CollectionEnd(str(collection), root, str(each.details.get("root_path") or "/"))
    return None


class LentDialect:
    """A facility's API whose files are those of a collection.

    Args:
        api: Everything else.
        loan: The collection; what names a file system is its id.
    """

    def __init__(self, api: Dialect, loan: Loan) -> None:
        globus = open_globus(loan.credential)

        def end_of(file_system: str) -> CollectionEnd:
            if file_system != loan.end.collection:
                raise NotOffered(f"the files of {file_system} are none that the Globus collection shows")
            return loan.end

        collection = GlobusDialect(globus.dialect.client, globus.wire, end_of)
        self.name = api.name
        self.grades = lent_grades(api.grades)
        self.jobs, self.status = api.jobs, api.status
        self.accounts, self.storage = api.accounts, api.storage
        self.files, self.ranges = collection.files, collection.ranges
        self.streaming = api.streaming if isinstance(api, StreamDialect) else None
        self.parts = None
        self.operations = _Operations(api.operations, collection.operations)


def lent_grades(grades: Grades) -> Grades:
    """What changes when files go through a collection."""
    kept: Literal["follow", "end"] = "end" if grades.logs == "none" else grades.logs
    return replace(
        grades,
        files="globus",
        upload_limit=None,
        download_limit=None,
        archives=False,
        moves="call",
        logs=kept,
    )


class _Operations:
    """Each operation is asked for where it was begun."""

    def __init__(self, api: OperationsApi, globus: OperationsApi) -> None:
        self._api, self._globus = api, globus

    async def check(self, pending: Pending[T]) -> Answer[T]:
        """Look once."""
        return await self._of(pending.operation).check(pending)

    def promised(self, task: FacilityTask) -> Pending[object]:
        """What it was promised to give."""
        return self._of(task.operation).promised(task)

    async def forget(self, task_id: str) -> Done[None]:
        """The facility's own; Globus keeps its history."""
        return await self._api.forget(task_id)

    def _of(self, operation: str) -> OperationsApi:
        return self._globus if operation.startswith("globus ") else self._api
