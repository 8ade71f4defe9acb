"""What can be asked of a facility, as it runs on the I/O loop; the faces stand before these."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from iri_common.facility.doors import Door, open_door
from iri_common.facility.settings import FacilitySettings
from iri_common.jobs.operations import settled
from iri_common.jobs.output import tail
from iri_common.jobs.search import find_job
from iri_common.jobs.submit import Submitter
from iri_common.jobs.watch import OnChange
from iri_common.model.errors import IriError, JobFailed, NotOffered, UsageError, WaitTimeout
from iri_common.model.facility import (
    AccessEndpoint,
    Allocation,
    Capability,
    Event,
    FacilityInfo,
    Incident,
    Project,
    Resource,
    Site,
    StorageLocation,
)
from iri_common.model.files import Checksum, FileEntry, FileStat, FileText
from iri_common.model.job import JobResult, JobStatus
from iri_common.model.key import JobKey
from iri_common.model.ports import Answer, Ledger
from iri_common.model.ref import JobRef, origin_of
from iri_common.model.spec import JobSpec
from iri_common.model.submission import Submission
from iri_common.transfers import direct

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Service:
    """What every service knows: the door's settings and the ledger."""

    settings: FacilitySettings
    ledger: Ledger

    @property
    def door(self) -> Door:
        """The open door; only on the I/O loop."""
        return open_door(self.settings)


class JobService(Service):
    """Jobs at the facility."""

    async def submit(
        self,
        spec: JobSpec | Mapping[str, Any],
        *,
        resource: str | None = None,
        key: JobKey | None = None,
        seen_before: bool = False,
    ) -> JobRef:
        """Ask for a job; asked again with the same key, it is the same job.

        Args:
            spec: A JobSpec, or the same words as a mapping.
            resource: Name or id; the facility's default if None.
            key: Who asks. Without one, every call is an ask of its own.
            seen_before: An earlier attempt with this key may have reached the facility (the engine's own
                store says so): look for its job before sending.

        Raises:
            UsageError: for bad input, before anything is sent.
            SubmitUncertain: if a request was sent and its fate cannot be settled; keep the key.
            IriError: if the facility did not take the job.
        """
        checked = JobSpec.of(spec)
        if key is not None and not isinstance(key, JobKey):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(
                f"a key is a JobKey, as JobKey.of(...) or JobKey.parse(text) make it, not {key!r}"
            )
        where = await self.door.resource(resource or self.settings.resource, "compute")
        full = self.settings.defaults_for(where.name, where.id, resource).applied(checked)
        door = self.door
        submitter = Submitter(
            door.dialect,
            self.ledger,
            door.memory,
            origin=origin_of(self.settings.url),
            label=self.settings.label,
            profile=self.settings.profile,
        )
        return await submitter.submit(Submission(full, where.id, key or JobKey.random(), seen_before))

    async def find(
        self, key: JobKey, *, name: str | None = None, resource: str | None = None
    ) -> JobRef | None:
        """The job of a key whose id was never learned, by the name it was given; None if there is none.

        Args:
            key: Who asked.
            name: The name in its spec.
            resource: As in :meth:`submit`.

        Raises:
            NotOffered: if this facility does not show the names of its jobs.
        """
        where = await self.door.resource(resource or self.settings.resource, "compute")
        dialect = self.door.dialect
        found, conclusive = await find_job(dialect.jobs, where.id, key.job_name(name))
        if found is not None:
            origin = origin_of(self.settings.url)
            return JobRef(origin, dialect.name, where.id, key, found.job_id, profile=self.settings.profile)
        if not conclusive:
            raise NotOffered(f"{self.settings.label} does not show all jobs by name: look for {key} there")
        return None

    async def status(self, job: JobRef | str) -> JobStatus:
        """Look at a job once; state ``missing`` if the facility does not know it."""
        ref = self._ref(job)
        return (await self.door.dialect.jobs.status(ref.resource_id, _id(ref))).value

    async def wait(
        self,
        job: JobRef | str,
        *,
        timeout: float | None = None,
        on_change: OnChange | None = None,
        patient: bool = False,
    ) -> JobStatus:
        """Wait for the end of a job, over any outage of the facility, through the shared poller.

        Args:
            job: Which.
            timeout: Seconds to wait at most; the job is not touched when they are over.
            on_change: Called with each status whose state is a new one.
            patient: Wait even for a credential that has not been accepted yet; one that dies in mid-wait
                is waited for in any case.

        Raises:
            WaitTimeout: if ``timeout`` seconds were not enough.
            JobLost: if the facility forgets the job and does not find it again.
            AuthError: if the credential is refused from the start; the job runs on.
        """
        ref = self._ref(job)
        _id(ref)
        poller = self.door.poller(ref.resource_id)
        try:
            async with asyncio.timeout(timeout):
                return await poller.wait(ref, on_change, pace=self.settings.pace, patient=patient)
        except TimeoutError:
            raise WaitTimeout(f"{ref.describe()} has not ended within {timeout} s", ref=ref) from None

    async def result(
        self, job: JobRef | str, *, timeout: float | None = None, on_change: OnChange | None = None
    ) -> JobResult:
        """Wait for success.

        Raises:
            JobFailed: with exit code and the last lines of stderr, if the job ends otherwise.
        """
        ref = self._ref(job)
        status = await self.wait(ref, timeout=timeout, on_change=on_change)
        await self.require_success(ref, status)
        return JobResult(ref, status)

    async def run(
        self,
        spec: JobSpec | Mapping[str, Any],
        *,
        resource: str | None = None,
        key: JobKey | None = None,
        timeout: float | None = None,
        on_change: OnChange | None = None,
    ) -> JobResult:
        """Submit and wait for success: :meth:`submit`, then :meth:`result`."""
        ref = await self.submit(spec, resource=resource, key=key)
        return await self.result(ref, timeout=timeout, on_change=on_change)

    async def require_success(self, job: JobRef | str, status: JobStatus) -> None:
        """Raise JobFailed for a status that is not a success, telling exit code and the last of stderr."""
        if status.succeeded:
            return
        ref = self._ref(job)
        last = await self.tail(ref, "stderr")
        said = f"\nthe last lines of its stderr:\n{last.rstrip()}" if last.strip() else ""
        raise JobFailed(
            f"{ref.describe()} ended as {status.describe()}{said}",
            ref=ref,
            job_status=status,
            stderr_tail=last,
        )

    async def tail(self, job: JobRef | str, stream: str = "stdout", *, lines: int = 20) -> str:
        """The last lines of "stdout" or "stderr"; "" where the facility does not show them."""
        if stream not in {"stdout", "stderr"} or lines < 1:
            raise UsageError(f"tail reads lines of stdout or stderr, not {lines} of {stream!r}")
        ref = self._ref(job)
        try:
            file_system = (await self.door.file_system(self.settings.storage, ref.resource_id)).id
        except IriError:
            return ""
        return await tail(self.door.dialect, ref, file_system, stream, lines)

    async def cancel(self, job: JobRef | str) -> None:
        """Ask the facility to end a job; wait for it to learn when, and how, it ended."""
        ref = self._ref(job)
        await self.door.dialect.jobs.cancel(ref.resource_id, _id(ref))

    async def update(self, job: JobRef | str, changes: Mapping[str, Any]) -> JobStatus:
        """Change fields of a job that has not started, in the words of JobSpec.

        Raises:
            UsageError: for a word that no spec has, or if nothing is to be changed; nothing is sent.
        """
        ref = self._ref(job)
        # Servers drop unknown words silently, so they are refused here; only a spec needs an executable.
        words = JobSpec.of({"executable": "unchanged", **changes}).sent()
        if "executable" not in changes:
            del words["executable"]
        if not words:
            raise UsageError("an update changes at least one field")
        if "name" in words:
            words["name"] = ref.key.job_name(words["name"])  # it must be found by its key afterwards too
        return (await self.door.dialect.jobs.update(ref.resource_id, _id(ref), words, None)).value

    def _ref(self, job: JobRef | str) -> JobRef:
        ref = JobRef.parse(job) if isinstance(job, str) else job
        self.settings.require_own(ref)
        return ref


def _id(ref: JobRef) -> str:
    if not ref.job_id:
        raise UsageError(f"{ref} does not tell the job's id; submit again with its key to find it")
    return ref.job_id


class FileService(Service):
    """Files at the facility; ``storage`` names the file system where the facility has several."""

    async def put(self, source: str | Path, target: str, *, storage: str | None = None) -> str:
        """Upload one file, whole or not at all; gives its SHA-256.

        Raises:
            TooLarge: over the API's limit; nothing was sent.
            TransferError: if it did not arrive whole.
        """
        return await direct.put(self.door.dialect, await self._id(storage), Path(source), target)

    async def get(self, source: str, target: str | Path, *, storage: str | None = None) -> str:
        """Download one file, whole or not at all; gives its SHA-256."""
        return await direct.get(self.door.dialect, await self._id(storage), source, Path(target))

    async def ls(
        self, path: str, *, hidden: bool = False, recursive: bool = False, storage: str | None = None
    ) -> Sequence[FileEntry]:
        """List a directory."""
        files = self.door.dialect.files
        return await self._settled(
            await files.ls(await self._id(storage), path, hidden=hidden, recursive=recursive)
        )

    async def stat(self, path: str, *, storage: str | None = None) -> FileStat:
        """Size, mode and times of one file."""
        return await self._settled(await self.door.dialect.files.stat(await self._id(storage), path))

    async def checksum(self, path: str, *, storage: str | None = None) -> Checksum:
        """The facility's digest of one file."""
        return await self._settled(await self.door.dialect.files.checksum(await self._id(storage), path))

    async def head(
        self, path: str, *, lines: int | None = None, size: int | None = None, storage: str | None = None
    ) -> FileText:
        """The first lines, or bytes, of a text file."""
        answer = await self.door.dialect.files.head(await self._id(storage), path, lines=lines, size=size)
        return await self._settled(answer)

    async def tail(
        self, path: str, *, lines: int | None = None, size: int | None = None, storage: str | None = None
    ) -> FileText:
        """The last lines, or bytes, of a text file."""
        answer = await self.door.dialect.files.tail(await self._id(storage), path, lines=lines, size=size)
        return await self._settled(answer)

    async def mkdir(self, path: str, *, parents: bool = True, storage: str | None = None) -> None:
        """Make a directory; with ``parents`` it may exist and its parents need not."""
        await self._settled(
            await self.door.dialect.files.mkdir(await self._id(storage), path, parents=parents)
        )

    async def rm(self, path: str, *, storage: str | None = None) -> None:
        """Remove a file, or a directory with all that is in it."""
        await self._settled(await self.door.dialect.files.rm(await self._id(storage), path))

    async def mv(self, source: str, target: str, *, storage: str | None = None) -> None:
        """Rename."""
        await self._settled(await self.door.dialect.files.mv(await self._id(storage), source, target))

    async def cp(self, source: str, target: str, *, storage: str | None = None) -> None:
        """Copy within the facility."""
        await self._settled(await self.door.dialect.files.cp(await self._id(storage), source, target))

    async def chmod(self, path: str, mode: int, *, storage: str | None = None) -> None:
        """Set permissions, e.g. ``0o750``."""
        await self._settled(await self.door.dialect.files.chmod(await self._id(storage), path, mode))

    async def _id(self, storage: str | None) -> str:
        settings = self.settings
        return (await self.door.file_system(storage or settings.storage, settings.resource)).id

    async def _settled(self, answer: Answer[T]) -> T:
        return await settled(answer, self.door.dialect.operations)


class StatusService(Service):
    """What the facility tells of itself; needs no token."""

    async def facility(self) -> FacilityInfo:
        """The facility behind the door."""
        return (await self.door.dialect.status.facility()).value

    async def sites(self) -> Sequence[Site]:
        """Its places."""
        return (await self.door.dialect.status.sites()).value

    async def resources(self) -> Sequence[Resource]:
        """Everything that can be asked for, with its status now."""
        return (await self.door.dialect.status.resources()).value

    async def resource(self, resource: str | None = None) -> Resource:
        """One resource by name or id, with its status now; the default one for jobs if None."""
        known = await self.door.resource(resource or self.settings.resource, "compute")
        return (await self.door.dialect.status.resource(known.id)).value

    async def incidents(self, *, resource: str | None = None) -> Sequence[Incident]:
        """Disturbances, planned and unplanned; of one resource if named."""
        resource_id = (await self.door.resource(resource, "compute")).id if resource else None
        return (await self.door.dialect.status.incidents(resource_id=resource_id)).value

    async def events(self, *, resource: str | None = None) -> Sequence[Event]:
        """Changes of status; of one resource if named."""
        resource_id = (await self.door.resource(resource, "compute")).id if resource else None
        return (await self.door.dialect.status.events(resource_id=resource_id)).value


class AccountService(Service):
    """Who I am there and what I may use."""

    async def whoami(self) -> str:
        """Whom the token speaks for; also the cheapest check of a token."""
        return (await self.door.dialect.accounts.whoami()).value

    async def capabilities(self) -> Sequence[Capability]:
        """What allocations are counted in."""
        return (await self.door.dialect.accounts.capabilities()).value

    async def projects(self) -> Sequence[Project]:
        """Projects that jobs can be charged to."""
        return (await self.door.dialect.accounts.projects()).value

    async def allocations(self, project: str) -> Sequence[Allocation]:
        """What a project, by id, has and has used."""
        return (await self.door.dialect.accounts.project_allocations(project)).value

    async def user_allocations(self, project: str, allocation: str) -> Sequence[Allocation]:
        """What I have of a project's allocation and have used, both by id."""
        return (await self.door.dialect.accounts.user_allocations(project, allocation)).value


class StorageService(Service):
    """Where data belongs."""

    async def locations(
        self, resource: str | None = None, *, logical_name: str | None = None, project: str | None = None
    ) -> Sequence[StorageLocation]:
        """Directories that the facility recommends, as seen from a resource."""
        resource_id = (await self.door.resource(resource or self.settings.resource, "compute")).id
        answer = await self.door.dialect.storage.locations(
            resource_id, logical_name=logical_name, project=project
        )
        return answer.value

    async def access_endpoints(
        self, resource: str | None = None, *, protocol: str | None = None
    ) -> Sequence[AccessEndpoint]:
        """Ways to move data in bulk."""
        settings = self.settings
        resource_id = (await self.door.file_system(resource or settings.storage, settings.resource)).id
        return (await self.door.dialect.storage.access_endpoints(resource_id, protocol=protocol)).value
