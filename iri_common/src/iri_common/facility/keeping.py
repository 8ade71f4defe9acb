"""What a user has at a facility, and keeping it in order: jobs of all keys, adopting, canceling, cleaning."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from iri_common.facility.services import Service
from iri_common.jobs.generations import newest, tag_of
from iri_common.jobs.guards import GuardFiles
from iri_common.jobs.search import find_jobs, pages
from iri_common.jobs.submit import Submitter
from iri_common.jobside.journal import Journal
from iri_common.model.errors import IriError, NotFound, NotOffered, SubmitUncertain, UsageError
from iri_common.model.facility import Resource
from iri_common.model.job import JobEntry, JobStatus
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.ref import JobRef, origin_of
from iri_common.model.state import JobState
from iri_common.model.submission import Submission

WEEK = 7 * 86400.0  # seconds


@dataclass(frozen=True, slots=True)
class MyJob:
    """A job of mine: asked for from here, or carrying one of our keys at the facility.

    Attributes:
        name: At the facility.
        tag: By which it is found there: digest of the identity, generation.
        key: Who asked; None where only the facility knows of it.
        ref: The job; None while its id is not known, and for an orphan.
        stage: How far the ask came, by the ledger.
        status: At the facility now; None where it was not seen.
        asked_at: Seconds since the epoch.
        orphan: No ledger here knows it: asked for from elsewhere, or the ledger is lost.
        job_id: The facility's id.
    """

    name: str
    tag: str
    key: JobKey | None = None
    ref: JobRef | None = None
    stage: Stage | None = None
    status: JobStatus | None = None
    asked_at: float | None = None
    orphan: bool = False
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was removed, or would be.

    Attributes:
        directories: Guard directories at the facility.
        records: How many records of the ledger.
    """

    directories: Sequence[str]
    records: int


class JobKeeping(Service):
    """Looks after jobs."""

    async def mine(self, *, resource: str | None = None) -> Sequence[MyJob]:
        """All jobs of mine that the ledger or the facility knows, whichever engine asked; newest first.

        Args:
            resource: Name or id; the facility's default if None.
        """
        where = await self._resource(resource)
        records = [each for each in await self.ledger.records() if self._is_at(each, where.id)]
        try:
            listed = await self._tagged(where.id)
        except IriError:  # the ledger alone still tells a lot
            listed = {}
        jobs = [_mine(record, listed.pop(JobRef.parse(record.ref).key.tag, None)) for record in records]
        strangers = (
            MyJob(entry.name or "", tag, status=entry.status, orphan=True, job_id=entry.job_id)
            for tag, entry in listed.items()
        )
        return [*sorted(jobs, key=lambda each: each.asked_at or 0.0, reverse=True), *strangers]

    async def adopt(self, job_id: str, *, key: JobKey, resource: str | None = None) -> JobRef:
        """Put a job that is at the facility under a key: whoever asks with this key gets it.

        Raises:
            NotFound: if the facility does not know the job.
            UsageError: if the key has another job already.
        """
        where = await self._resource(resource)
        status = (await self.door.dialect.jobs.status(where.id, job_id)).value
        if status.state is JobState.MISSING:
            raise NotFound(f"there is no job {job_id} at {self.settings.label}", facility=self.settings.label)
        record = await self.ledger.read(key)
        if record is not None and record.generation >= key.generation and record.stage.has_job:
            raise UsageError(f"{key} has a job already: {record.ref}; adopt under its next generation")
        guards = self.door.guards(where.id, self._guard_root(where), self.settings.storage)
        ref = replace(self._new_ref(where.id, key), job_id=job_id, directory=guards.known_directory(key))
        now = time.time()
        stage = Stage.ACCEPTED
        await self.ledger.write(
            LedgerRecord(key.identity, key.generation, stage, str(ref), "", now, "adopted", asked_at=now)
        )
        return ref

    async def cancel(self, job: JobRef | str | JobKey, *, resource: str | None = None) -> None:
        """Ask the facility to end a job; wait for it to learn when, and how, it ended.

        Args:
            job: Which; a key means every job that was asked for under it, also one that may still come.
            resource: Where to look for the jobs of a key.

        Raises:
            SubmitUncertain: if a job of the key may be there, and nothing can be done about it.
        """
        if isinstance(job, JobKey):
            await self._cancel_key(job, (await self._resource(resource)).id)
            return
        ref = self._ref(job)
        record = await self._record(ref.key)
        several = record is not None and record.generation == ref.key.generation and record.sends > 1
        if ref.job_id and not several:
            await self.door.dialect.jobs.cancel(ref.resource_id, ref.job_id)
        else:
            await self._cancel_key(ref.key, ref.resource_id, ref.job_id)

    async def clean(
        self, *, resource: str | None = None, older_than: float = WEEK, dry_run: bool = False
    ) -> Cleaned:
        """Remove the guards of jobs that ended long ago, and the ledger's records of them.

        A guard stays while any job of its identity lives: a late double must still find whose the key is.

        Args:
            resource: Name or id; the facility's default if None.
            older_than: Seconds since the last job of the identity began.
            dry_run: Only tell what would be removed.

        Raises:
            IriError: if the facility's live jobs cannot be seen; nothing is removed then.
        """
        where = await self._resource(resource)
        live = {tag.partition("-")[0] for tag in await self._tagged(where.id, historical=False)}
        guards = self.door.guards(where.id, self._guard_root(where), self.settings.storage)
        now = time.time()
        directories: list[str] = []
        for digest in await guards.digests():
            age = None if digest in live else await guards.age(digest, now)
            if age is not None and age >= older_than:
                path = digest if dry_run else await guards.remove(digest)
                directories += [path] if path else []
        ended = [
            each
            for each in await self.ledger.records()
            if self._is_at(each, where.id)
            and now - each.written_at >= older_than
            and not each.stage.in_doubt
            and JobKey(each.identity).digest not in live
        ]
        for record in () if dry_run else ended:
            await self.ledger.forget(JobKey(record.identity))
        return Cleaned(directories, len(ended))

    async def journal(self, job: JobRef | str) -> Journal | None:
        """What a job wrote of its beginning and end; None without a guard, or where it cannot be read."""
        ref = self._ref(job)
        return await self._guards_of(ref).journal(ref.key)

    # -- how it is done

    async def _cancel_key(self, key: JobKey, resource_id: str, job_id: str | None = None) -> None:
        guards = self._guards_of(self._new_ref(resource_id, key))
        known = await newest(key, resource_id, self.door.dialect, self.ledger, guards)
        key = JobKey(key.identity, max(key.generation, known.generation if known else 1))
        record = await self._record(key)
        guarded = self.settings.guard if record is None else record.guarded
        # First the mark, then those that are there: whichever comes later finds the key taken.
        taken = guarded and await self._taken(guards, key)
        canceled = await self._cancel_all(key, resource_id, record, job_id)
        if not canceled and not taken and record is not None and record.stage.in_doubt:
            raise SubmitUncertain(
                f"no job of {key} is to be seen, and nothing keeps one from beginning that may still come; "
                "cancel again later",
                key=key,
                facility=self.settings.label,
            )
        if record is not None and record.stage.in_doubt and taken:
            stage, state = Stage.SETTLED, str(JobState.CANCELED)
            await self.ledger.write(replace(record, stage=stage, state=state, written_at=time.time()))

    async def _taken(self, guards: GuardFiles, key: JobKey) -> bool:
        try:
            return await guards.take(key)
        except NotOffered:
            return False

    async def _cancel_all(
        self, key: JobKey, resource_id: str, record: LedgerRecord | None, job_id: str | None
    ) -> bool:
        jobs, ids = self.door.dialect.jobs, {job_id} if job_id else set[str]()
        if record is not None and (known := JobRef.parse(record.ref).job_id):
            ids.add(known)
        with contextlib.suppress(NotOffered):
            if record is not None and record.name:
                found, _ = await find_jobs(jobs, resource_id, record.name)
            else:
                found = [each for tag, each in (await self._tagged(resource_id)).items() if tag == key.tag]
            ids |= {each.job_id for each in found if not each.status.state.terminal}
        for each in sorted(ids):
            await jobs.cancel(resource_id, each)
        return bool(ids)

    async def _tagged(self, resource_id: str, *, historical: bool = True) -> dict[str, JobEntry]:
        """The jobs that carry one of our tags, by tag."""
        found: dict[str, JobEntry] = {}
        jobs = self.door.dialect.jobs
        async for entries, _ in pages(jobs, resource_id, historical=historical, names=True):
            for entry in entries:
                if tag := tag_of(entry.name):
                    found[f"{tag[0]}-{tag[1]}"] = entry
        return found

    def _is_at(self, record: LedgerRecord, resource_id: str) -> bool:
        ref = JobRef.parse(record.ref)
        return ref.origin == origin_of(self.settings.url) and ref.resource_id == resource_id

    async def _resource(self, resource: str | None) -> Resource:
        return await self.door.resource(resource or self.settings.resource, "compute")

    async def _record(self, key: JobKey) -> LedgerRecord | None:
        try:
            return await self.ledger.read(key)
        except IriError:
            return None

    def _submitter(self, submission: Submission) -> Submitter:
        settings, door = self.settings, self.door
        return Submitter(
            door.dialect,
            self.ledger,
            door.memory,
            origin=origin_of(settings.url),
            label=settings.label,
            profile=settings.profile,
            guards=door.guards(submission.resource_id, submission.guard_root, settings.storage),
        )

    def _guards_of(self, ref: JobRef) -> GuardFiles:
        root = ref.directory.rpartition("/")[0] if ref.directory else None
        return self.door.guards(
            ref.resource_id, root or self._root_for(ref.resource_id), self.settings.storage
        )

    def _guard_root(self, where: Resource) -> str | None:
        return self._root_for(where.name, where.id)

    def _root_for(self, *names: str | None) -> str | None:
        return self.settings.defaults_for(*names).guard_directory

    def _new_ref(self, resource_id: str, key: JobKey) -> JobRef:
        return JobRef(
            origin_of(self.settings.url),
            self.door.dialect.name,
            resource_id,
            key,
            profile=self.settings.profile,
        )

    def _ref(self, job: JobRef | str) -> JobRef:
        ref = JobRef.parse(job) if isinstance(job, str) else job
        self.settings.require_own(ref)
        return ref


def job_id_of(ref: JobRef) -> str:
    """The facility's id of a job.

    Raises:
        UsageError: if the reference does not tell it.
    """
    if not ref.job_id:
        raise UsageError(f"{ref} does not tell the job's id; submit again with its key to find it")
    return ref.job_id


def _mine(record: LedgerRecord, entry: JobEntry | None) -> MyJob:
    ref = JobRef.parse(record.ref)
    return MyJob(
        name=record.name or (entry.name if entry and entry.name else ""),
        tag=ref.key.tag,
        key=ref.key,
        ref=ref,
        stage=record.stage,
        status=entry.status if entry else None,
        asked_at=record.asked_at or record.written_at,
        job_id=ref.job_id or (entry.job_id if entry else None),
    )
