"""What keeping and ending jobs have in common, and the ends that a person asks for."""

from __future__ import annotations

import asyncio
import logging
import posixpath
import time
from dataclasses import replace

from iri_common.facility.granted import speak_for
from iri_common.facility.services import Service
from iri_common.jobs.generations import newest, tag_of
from iri_common.jobs.guards import GuardFiles
from iri_common.jobs.ledger import claim_owner
from iri_common.jobs.operations import settled
from iri_common.jobs.search import pages
from iri_common.model.array import indices_of, task_id
from iri_common.model.errors import IriError, NotOffered, Refused, SubmitUncertain, UsageError
from iri_common.model.facility import Resource
from iri_common.model.grant import Verb
from iri_common.model.job import JobEntry
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.logfields import about
from iri_common.model.ref import JobRef, origin_of
from iri_common.model.state import JobState
from iri_common.policy.grants import Ask

log = logging.getLogger(__name__)

BRIEFLY = 60.0  # seconds of a claim that is held for one look and one write
_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0)  # seconds between tries for it: who submits holds one for as long


class JobCanceling(Service):
    """Ends jobs."""

    async def cancel(self, job: JobRef | str | JobKey, *, resource: str | None = None) -> None:
        """Ask the facility to end a job; wait for it to learn when, and how, it ended.

        Args:
            job: Which; a key means every job of its identity from its generation on, also one that may
                still come.
            resource: Where to look for the jobs of a key that is not on record.

        Raises:
            SubmitUncertain: if a job of the key may be there, and nothing can be done about it.
        """
        if isinstance(job, JobKey):
            speak_for(job)
            where = await self._resource(await self._place_of(job) or resource)
            guards = self.door.guards(where.id, self._guard_root(where), self.settings.storage)
            known = await newest(job, where.id, self.door.dialect, self.ledger, guards)
            last = max(job.generation, known.generation if known else 1)
            await self._cancel_key(JobKey(job.identity, last), where, since=job.generation)
            return
        ref = self._ref(job)
        speak_for(ref.key)
        record = await self._record(ref.key)
        several = record is not None and record.generation == ref.key.generation and record.sends > 1
        if ref.job_id and not several:
            dialect = self.door.dialect
            await settled(await dialect.jobs.cancel(ref.resource_id, ref.job_id), dialect.operations)
        else:
            where = await self._resource(ref.resource_id)
            await self._cancel_key(ref.key, where, since=ref.key.generation, job_id=ref.job_id)

    # -- how it is done

    async def _cancel_key(
        self, key: JobKey, where: Resource, *, since: int, job_id: str | None = None
    ) -> None:
        # The mark is a file of the library's own, which no gate stands before.
        await self.door.gate.admit(Ask(Verb.CANCEL, "jobs cancel", (where.id,)))
        record = await self._record(key)
        if record is not None and record.generation != key.generation:
            record = None
        told = JobRef.parse(record.ref).directory if record is not None else None
        root = told.rpartition("/")[0] if told else self._guard_root(where)
        guards = self.door.guards(where.id, root, self.settings.storage)
        guarded = self.settings.guard if record is None else record.guarded
        # First the mark, then those that are there: whichever comes later finds the key taken.
        taken = guarded and await self._taken(guards, key)
        canceled = await self._cancel_all(key, where.id, record, since, job_id)
        if not canceled and not taken and record is not None and record.stage.in_doubt:
            raise SubmitUncertain(
                f"no job of {key} is to be seen, and nothing keeps one from beginning that may still come; "
                "cancel again later",
                key=key,
                facility=self.settings.label,
            )
        if record is not None and record.stage.in_doubt and taken:
            stage, state = Stage.SETTLED, str(JobState.CANCELED)
            await self._amend(record, replace(record, stage=stage, state=state, written_at=time.time()))

    async def _taken(self, guards: GuardFiles, key: JobKey) -> bool:
        try:
            return await guards.take(key)
        except NotOffered:
            return False
        except IriError as error:  # what runs is canceled all the same
            fields = about(facility=self.settings.label, key=key, error=error)
            log.warning("%s cannot be kept from beginning later: %s", key, error, extra=fields)
            return False

    async def _cancel_all(
        self, key: JobKey, resource_id: str, record: LedgerRecord | None, since: int, job_id: str | None
    ) -> bool:
        """Cancel each job that is known or seen, whatever becomes of the others; False if there is none."""
        ids, trouble = {job_id} if job_id else set[str](), None
        if (
            record is not None
            and record.stage is not Stage.SETTLED
            and (known := self._ref(record.ref).job_id)
        ):
            ids.add(known)
        try:
            for tag, entries in (await self._tagged(resource_id, historical=False)).items():
                digest, _, generation = tag.partition("-")
                if digest == key.digest and since <= int(generation) <= key.generation:
                    ids |= {each.job_id for each in entries if not each.status.state.terminal}
        except NotOffered:
            pass
        except IriError as error:
            trouble = error
        for each in sorted(ids):
            try:
                await self._end(resource_id, each)
            except IriError as error:
                trouble = error
        if trouble is not None:
            raise trouble
        return bool(ids)

    async def _end(self, resource_id: str, job_id: str) -> None:
        jobs, operations = self.door.dialect.jobs, self.door.dialect.operations
        try:
            await settled(await jobs.cancel(resource_id, job_id), operations)
        except Refused:  # some facilities refuse it for a job that has ended
            if not (await jobs.status(resource_id, job_id)).value.state.terminal:
                raise

    async def _place_of(self, key: JobKey) -> str | None:
        """The resource that a key is on record at: ids of jobs mean something only there.

        Raises:
            UsageError: if that is at another facility.
        """
        record = await self._record(key)
        return self._ref(record.ref).resource_id if record is not None else None

    async def _tagged(
        self, resource_id: str, *, historical: bool = True, strict: bool = False
    ) -> dict[str, list[JobEntry]]:
        """The jobs that carry one of our tags, by tag; a double has that of another.

        Raises:
            NotOffered: if ``strict``, and jobs may be there that the list does not show by name.
        """
        found: dict[str, list[JobEntry]] = {}
        names, last = list[str | None](), False
        jobs = self.door.dialect.jobs
        async for entries, last in pages(jobs, resource_id, historical=historical, names=True):  # noqa: B007
            names += (entry.name for entry in entries)
            for entry in entries:
                if tag := tag_of(entry.name):
                    found.setdefault(f"{tag[0]}-{tag[1]}", []).append(entry)
        if strict and (not last or (names and not any(names))):
            raise NotOffered(f"{self.settings.label} does not show all jobs by name")
        return found

    async def _resource(self, resource: str | None) -> Resource:
        return await self.door.resource(resource or self.settings.resource, "compute")

    async def _amend(self, seen: LedgerRecord | None, now: LedgerRecord | None) -> bool:
        """Put a record (None: nothing) in the place of the one that was seen, under a claim.

        Returns:
            False if somebody else acts on the key, or has written something new: theirs is nearer the truth.
        """
        record = now or seen
        if record is None:
            return True
        key, owner = JobKey(record.identity), claim_owner()
        try:
            for pause in _PAUSES:
                if await self.ledger.claim(key, owner, BRIEFLY):
                    break
                await asyncio.sleep(pause)
            else:
                return False
            if await self.ledger.read(key) != seen:
                return False
            if now is not None:
                return await self.ledger.write(now, owner)
            await self.ledger.forget(key)
            return True
        finally:
            await self.ledger.release(key, owner)

    async def _record(self, key: JobKey) -> LedgerRecord | None:
        try:
            return await self.ledger.read(key)
        except IriError:
            return None

    def _guards_of(self, ref: JobRef, record: LedgerRecord | None = None) -> GuardFiles:
        directory = self._believed(ref, record).directory
        root = directory.rpartition("/")[0] if directory else None
        return self.door.guards(ref.resource_id, root, self.settings.storage)

    def _believed(self, ref: JobRef, record: LedgerRecord | None) -> JobRef:
        """A reference whose directory is one of ours: its text may be anybody's, and name any other."""
        noted = JobRef.parse(record.ref) if record is not None else ref
        here = (noted.origin, noted.resource_id) == (ref.origin, ref.resource_id)
        known = noted.directory if here and record is not None else None
        if ref.directory and ref.directory in {known, *self.settings.guard_directories(ref.key)}:
            return ref
        root = self._root_for(ref.resource_id)
        return replace(ref, directory=known or (posixpath.join(root, ref.key.digest) if root else None))

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


def task_of(ref: JobRef, index: int | None) -> JobRef:
    """The reference of one task of an array; without an index the job itself.

    Raises:
        UsageError: if there is no such task.
    """
    if index is None:
        return ref
    if ref.array is not None and index not in indices_of(ref.array):
        raise UsageError(f"{ref.describe()} has the tasks {ref.array}, and none of index {index}")
    return ref.with_job(task_id(job_id_of(ref), index))


def job_id_of(ref: JobRef) -> str:
    """The facility's id of a job.

    Raises:
        UsageError: if the reference does not tell it.
    """
    if not ref.job_id:
        raise UsageError(f"{ref} does not tell the job's id; submit again with its key to find it")
    return ref.job_id
