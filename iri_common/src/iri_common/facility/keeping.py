"""What a user has at a facility, and keeping it in order: jobs of all keys, adopting, canceling, cleaning."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from iri_common.facility.canceling import JobCanceling, job_id_of
from iri_common.jobs.search import the_one
from iri_common.jobs.submit import Submitter
from iri_common.jobs.testimony import come_between, worker_of
from iri_common.jobs.watch import OnChange
from iri_common.jobside.codes import ended_as_double
from iri_common.jobside.journal import Journal
from iri_common.jobside.reasons import GUARD_REASONS
from iri_common.model.errors import IriError, JobLost, NotFound, UsageError, WaitTimeout
from iri_common.model.grant import Verb
from iri_common.model.job import JobEntry, JobStatus
from iri_common.model.key import JobKey
from iri_common.model.ledger import LedgerRecord, Stage
from iri_common.model.ref import JobRef, origin_of
from iri_common.model.reservation import resource_reserved
from iri_common.model.state import JobState
from iri_common.model.streams import engine_of
from iri_common.model.submission import Submission
from iri_common.policy.grants import Ask
from iri_common.policy.reason import explained

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


class JobKeeping(JobCanceling):
    """Looks after jobs."""

    async def mine(self, *, resource: str | None = None, seen: bool = False) -> Sequence[MyJob]:
        """All jobs of mine that the ledger or the facility knows, whichever engine asked; newest first.

        Args:
            resource: Name or id; the facility's default if None.
            seen: The facility's list must have been seen; else the ledger alone will do.

        Raises:
            IriError: if ``seen``, and the list cannot be.
        """
        where = await self._resource(resource)
        records = [each for each in await self.ledger.records() if self._is_at(each, where.id)]
        try:
            listed = await self._tagged(where.id)
        except IriError:  # the ledger alone still tells a lot
            if seen:
                raise
            listed = {}
        jobs = [_mine(each, the_one(listed.pop(JobRef.parse(each.ref).key.tag, ()))) for each in records]
        # The ledger remembers a key's newest generation only: an earlier one is no orphan.
        known = {(key := JobKey(each.identity)).digest: key for each in records}
        others = (
            _seen(tag, entry, known.get(tag.partition("-")[0]))
            for tag, entries in listed.items()
            if (entry := the_one(entries))
        )
        return [*sorted(jobs, key=lambda each: each.asked_at or 0.0, reverse=True), *others]

    async def adopt(self, job_id: str, *, key: JobKey, resource: str | None = None) -> JobRef:
        """Put a job that is at the facility under a key: whoever asks with this key gets it.

        Raises:
            NotFound: if the facility does not know the job.
            UsageError: if the key has another job already, other than a double of the one that works.
        """
        where = await self._resource(resource)
        status = (await self.door.dialect.jobs.status(where.id, job_id)).value
        if status.state is JobState.MISSING:
            raise NotFound(f"there is no job {job_id}", facility=self.settings.label)
        record = await self.ledger.read(key)
        newer = record is not None and record.generation > key.generation
        same = record if record is not None and record.generation == key.generation else None
        if record is not None and (
            newer or (same and same.stage.has_job and not await self._is_double(same))
        ):
            raise UsageError(f"{key} has a job already: {record.ref}; adopt under its next generation")
        guards = self.door.guards(where.id, self._guard_root(where), self.settings.storage)
        own = same if same is not None and (same.stage.in_doubt or same.stage.has_job) else None
        ref = replace(self._new_ref(where.id, key), job_id=job_id, directory=guards.known_directory(key))
        if own is not None:  # it may be one of its own asks
            ref = replace(ref, once=JobRef.parse(own.ref).once)
        now = time.time()
        adopted = LedgerRecord(
            key.identity, key.generation, Stage.ACCEPTED, str(ref), "", now, "adopted", asked_at=now
        )
        if own is not None:
            adopted = replace(adopted, name=own.name, guarded=own.guarded, sends=own.sends)
        if not await self._amend(record, adopted):
            raise WaitTimeout(f"{key} is being submitted at this moment; adopt afterwards if it has no job")
        return ref

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
        if not dry_run:  # guards are the library's own, and no gate stands before them
            await self.door.gate.admit(Ask(Verb.DELETE, "jobs clean", (where.id,)))
        records = await self.ledger.records()
        kept = {JobKey(each.identity).digest for each in records if each.stage.in_doubt}
        # Machines of one facility may share a home, and so the guards in it.
        for place in {where.id, *(ref.resource_id for each in records if (ref := self._own(each)))}:
            kept |= {
                tag.partition("-")[0] for tag in await self._tagged(place, historical=False, strict=True)
            }
        guards = self.door.guards(where.id, self._guard_root(where), self.settings.storage)
        now = time.time()
        directories: list[str] = []
        for digest in await guards.digests():
            age = None if digest in kept else await guards.age(digest, now)
            if age is not None and age >= older_than:
                path = await guards.path_of(digest) if dry_run else await guards.remove(digest)
                directories += [path] if path else []
        ended = [
            each
            for each in records
            if self._is_at(each, where.id)
            and now - each.written_at >= older_than
            and each.stage is not Stage.ACCEPTED  # nobody was told its end yet
            and JobKey(each.identity).digest not in kept
        ]
        for record in () if dry_run else ended:
            await self._amend(record, None)
        return Cleaned(directories, len(ended))

    async def journal(self, job: JobRef | str, *, index: int | None = None) -> Journal | None:
        """What a job wrote of its beginning and end; None without a guard, or where it cannot be read.

        Args:
            job: Which.
            index: Of an array, the task: each writes its own.
        """
        ref = self._ref(job)
        guards = self._guards_of(ref, await self._record(ref.key))
        return await guards.journal(ref.key, index)

    # -- how it is done

    async def _polled(
        self, ref: JobRef, record: LedgerRecord | None, on_change: OnChange | None, patient: bool
    ) -> JobStatus:
        """Wait for the end of one job; one that nobody knows any more ended as it was told before."""
        limit = record.wall_time if record is not None else None
        # A facility may change its mind about who looks; a grant does not, and nobody waits for it.
        await self.door.gate.admit(Ask(Verb.LOOK, "jobs status", (ref.resource_id,)))
        poller, pace = self.door.poller(ref.resource_id), self.settings.pace
        try:
            ref = self._believed(ref, record)
            return await poller.wait(ref, on_change, pace=pace, patient=patient, limit=limit)
        except JobLost:
            settled = record is not None and record.stage is Stage.SETTLED and record.state
            if not settled or record is None or JobRef.parse(record.ref).job_id != ref.job_id:
                raise
            said = f"{record.detail}; so it was told before, the facility no longer knows the job"
            return JobStatus(JobState(record.state), message=said, raw_state="ledger")

    async def _waited(
        self, job: JobRef | str, timeout: float | None, on_change: OnChange | None, patient: bool
    ) -> tuple[JobRef, JobStatus]:
        ref = self._ref(job)
        followed = {job_id_of(ref)}
        record = await self._record(ref.key)
        told = _guarded(ref, record)
        guarded = self.settings.guard if told is None else told
        try:
            async with asyncio.timeout(timeout):
                while True:
                    status = await self._polled(ref, record, on_change, patient)
                    # Which job a number counts back from is believed only where the guard is known of.
                    counted = bool(told) and self.door.dialect.grades.counted
                    worker = await self._worker(ref, status, record, counted=counted) if guarded else None
                    if worker is None or job_id_of(worker) in followed:
                        break
                    followed.add(job_id_of(worker))
                    ref = worker
        except TimeoutError:
            raise WaitTimeout(f"{ref.describe()} has not ended within {timeout} s", ref=ref) from None
        except JobLost as lost:
            lost.principal = self.door.standing.known
            raise
        status = explained(status, GUARD_REASONS) if guarded else status
        await self._settle(ref, status)
        return ref, status

    async def _worker(
        self, ref: JobRef, status: JobStatus, record: LedgerRecord | None, *, counted: bool
    ) -> JobRef | None:
        """The job to follow, if this one ended and another one of its key does the work.

        A double ends by its guard, or is ended by somebody or something else before it begins.

        Args:
            ref: This one.
            status: Of it.
            record: Of its key, if there is one.
            counted: As a double it would have told which one works.

        Raises:
            JobLost: if it is a double, and nothing tells which other job that is.
        """
        if not status.state.terminal or status.succeeded:
            return None
        double = ended_as_double(status.exit_code, counted=counted)
        if not double and (record is None or record.sends < 2):
            return None
        told = status.exit_code if counted else None
        worker = await worker_of(ref, self.door.dialect, self._guards_of(ref, record), told)
        if worker is None and double:
            raise await self._unseen_worker(ref, status, record)
        return worker if worker is not None and worker.job_id != ref.job_id else None

    async def _unseen_worker(self, ref: JobRef, status: JobStatus, record: LedgerRecord | None) -> JobLost:
        between: tuple[str, ...] = ()
        if record is not None and record.before is not None:
            between = await come_between(ref, self.door.dialect.jobs, record.before)
        way_out = (
            f"New jobs there that may be it: {', '.join(between)}; if one is, adopt it under this key"
            if between
            else "Look for it there before you ask for the next generation"
        )
        return JobLost(
            f"{ref.describe()} ended with exit code {status.exit_code}, as the double of another job of "
            f"{ref.key} does, and that one cannot be told from here. {way_out}",
            ref=ref,
            candidates=between,
            facility=self.settings.label,
        )

    async def _settle(self, ref: JobRef, status: JobStatus) -> None:
        """Write down how it ended, where the ask is on record here; the truth is told all the same."""
        with contextlib.suppress(IriError):
            record = await self._record(ref.key)
            if record is not None and record.generation == ref.key.generation:
                state, detail = str(status.reported), status.describe()
                ended = replace(record, stage=Stage.SETTLED, ref=str(ref), detail=detail, state=state)
                await self._amend(record, replace(ended, written_at=time.time()))

    async def _is_double(self, record: LedgerRecord) -> bool:
        ref = self._own(record)
        if ref is None or not record.guarded:
            return False
        status = (await self.door.dialect.jobs.status(ref.resource_id, job_id_of(ref))).value
        return ended_as_double(status.exit_code, counted=self.door.dialect.grades.counted)

    def _is_at(self, record: LedgerRecord, resource_id: str) -> bool:
        ref = self._own(record)
        return ref is not None and ref.resource_id == resource_id

    def _own(self, record: LedgerRecord) -> JobRef | None:
        """The job of a record, if it is at this facility."""
        ref = JobRef.parse(record.ref)
        lease = engine_of(ref) is not None or resource_reserved(ref) is not None
        return ref if ref.origin == origin_of(self.settings.url) and not lease else None

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
            books=door.gate,
        )


def _guarded(ref: JobRef, record: LedgerRecord | None) -> bool | None:
    """Whether a job checks for itself that it is no double; None where nothing tells."""
    if record is not None and record.generation == ref.key.generation:
        return record.guarded
    return None if ref.once is None else not ref.once.startswith("none")


def _seen(tag: str, entry: JobEntry, identity: JobKey | None) -> MyJob:
    """A job that is at the facility and not on record."""
    key = JobKey(identity.identity, int(tag.partition("-")[2])) if identity else None
    return MyJob(entry.name or "", tag, key=key, status=entry.status, orphan=key is None, job_id=entry.job_id)


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
        job_id=entry.job_id if entry else ref.job_id,
    )
