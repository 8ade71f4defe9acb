"""Jobs as a user of a facility asks for them, on the I/O loop; the faces stand before this."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from iri_common.facility.canceling import job_id_of
from iri_common.facility.failing import JobFailing
from iri_common.facility.preview import Preview, credential_of, masked, preview
from iri_common.facility.settings import on_outage_of, seconds_of
from iri_common.jobs.generations import Newest, newest, newest_anywhere
from iri_common.jobs.guards import GuardFiles
from iri_common.jobs.outages import Gate
from iri_common.jobs.search import find_jobs, the_one
from iri_common.jobs.watch import OnChange
from iri_common.model.errors import (
    NotFound,
    NotOffered,
    UsageError,
)
from iri_common.model.facility import Resource
from iri_common.model.job import JobResult, JobStatus
from iri_common.model.key import JobKey
from iri_common.model.ref import JobRef
from iri_common.model.spec import JobSpec
from iri_common.policy.arrays import accounted
from iri_common.policy.generation import GenerationStep, generation_step
from iri_common.policy.outage import OnOutage

# What goes into the guard's own command line; sent by itself it would take the guard's place.
_BEHIND_THE_GUARD = frozenset({"executable", "arguments", "pre_launch", "post_launch"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A job that was asked for by who asks.

    Attributes:
        ref: The job.
        step: What became of the ask: a first submit, a job of before that was adopted, a next generation.
    """

    ref: JobRef
    step: GenerationStep


class JobService(JobFailing):
    """Jobs at the facility."""

    async def submit(
        self,
        spec: JobSpec | Mapping[str, Any],
        *,
        resource: str | None = None,
        key: JobKey | None = None,
        seen_before: bool = False,
        guard: bool | None = None,
        on_outage: OnOutage | str | None = None,
        outage_limit: float | None = None,
    ) -> JobRef:
        """Ask for a job; asked again with the same key, it is the same job.

        Args:
            spec: A JobSpec, or the same words as a mapping.
            resource: Name or id; the facility's default if None.
            key: Who asks. Without one, every call is an ask of its own.
            seen_before: An earlier attempt with this key may have reached the facility (the engine's own
                store says so): look for its job before sending.
            guard: Whether the job checks for itself that it is no double; as configured if None. A job in a
                container does only if this is true, which says that its image has a POSIX shell.
            on_outage: "wait" until the resource and its API are up, "fail" at once, or "try" anyway.
            outage_limit: Seconds that "wait" waits at most.

        Raises:
            UsageError: for bad input, before anything is sent.
            ResourceDown: if the resource stays down.
            SubmitUncertain: if a request was sent and its fate cannot be settled; keep the key.
            IriError: if the facility did not take the job.
        """
        checked, key = _checked(spec, key)
        gate = self._gate(guard, on_outage, outage_limit)
        return await self._sent(gate, guard, checked, key, resource, seen_before)

    async def ask(
        self,
        spec: JobSpec | Mapping[str, Any],
        *,
        key: JobKey,
        resource: str | None = None,
        again: bool = False,
        before: Callable[[], Awaitable[object]] | None = None,
        guard: bool | None = None,
        on_outage: OnOutage | str | None = None,
        outage_limit: float | None = None,
    ) -> Asked:
        """Ask in somebody's name, and find out which generation that is.

        The newest one is read from the ledger, or found again at the facility by the names of its jobs and
        by their guards. A job that lives, succeeded, or whose end nobody was told is adopted; one that is
        known to have failed is followed by the next generation; a changed spec or ``again`` replaces it.

        Args:
            spec: As in :meth:`submit`.
            key: Who asks; its generation is the least one.
            resource: As in :meth:`submit`.
            again: Have it done afresh, whatever there is.
            before: Awaited on the I/O loop when a job is going to be submitted, not when one is adopted:
                here its inputs can be put in place without a running job losing its own.
            guard: As in :meth:`submit`.
            on_outage: As in :meth:`submit`.
            outage_limit: As in :meth:`submit`.
        """
        checked, key = _checked(spec, key)
        gate = self._gate(guard, on_outage, outage_limit)
        where = await gate.opened(lambda: self._where(resource))
        template = await self._submission(checked, where, resource, key, False, guard)
        submitter = self._submitter(template)
        known = await gate.passed(
            lambda: newest(key, where.id, self.door.dialect, self.ledger, submitter.guards)
        )
        there = where.id if resource is None else resource
        step, now, over = _next(known, key, template.digest, again=again)
        if step is GenerationStep.REPLACE and not over:
            with contextlib.suppress(NotOffered, NotFound):  # what is long forgotten runs no more
                place = await self._resource(await self._place_of(now) or where.id)
                await self._cancel_key(now, place, since=now.generation)  # no newer one: another may ask too
        if before is not None and step is not GenerationStep.ATTACH:
            await before()
        if step in {GenerationStep.REPLACE, GenerationStep.RAISE}:
            return Asked(await self._sent(gate, guard, checked, now.next(), there), step)
        lost = step is GenerationStep.ATTACH and await self.ledger.read(key) is None
        return Asked(await self._sent(gate, guard, checked, now, there, lost), step)

    async def preview(
        self,
        spec: JobSpec | Mapping[str, Any],
        *,
        resource: str | None = None,
        key: JobKey | None = None,
        guard: bool | None = None,
    ) -> Preview:
        """What :meth:`submit` would send; nothing is sent but the public question for resources.

        Values of the environment and credentials are masked.
        """
        checked, key = _checked(spec, key)
        where = await self._where(resource)
        submission = masked(await self._submission(checked, where, resource, key, False, guard))
        request = self._submitter(submission).request(submission)
        return preview(submission, request, credential_of(self.settings))

    async def find(self, key: JobKey, *, resource: str | None = None) -> JobRef | None:
        """The job of a key whose id was never learned, by the key in its name; None if there is none.

        Args:
            key: Who asked.
            resource: As in :meth:`submit`.

        Raises:
            NotOffered: if this facility does not show the names of its jobs.
        """
        where = await self._where(resource)
        dialect = self.door.dialect
        found, conclusive = await find_jobs(dialect.jobs, where.id, key)
        best = the_one(found)
        if best is not None:
            return self._new_ref(where.id, key).with_job(best.job_id)
        if not conclusive:
            raise NotOffered(f"{self.settings.label} does not show all jobs by name: look for {key} there")
        return None

    async def begun(self, key: JobKey, *, resource: str | None = None) -> bool:
        """Whether this generation of a key, or a later one, was ever begun here, as far as anything tells.

        Args:
            key: Who asked.
            resource: As in :meth:`submit`.

        Raises:
            IriError: if it is not on record and the facility cannot be looked at, or shows no names.
        """
        where = await self._where(resource)
        if known := await newest(key, where.id, self.door.dialect, self.ledger, self._guards(where)):
            return known.generation >= key.generation
        return await self.find(key, resource=resource) is not None

    async def newest(self, key: JobKey, *, resource: str | None = None) -> Newest | None:
        """What was asked for last in the name of a key, whatever its generation; None if nothing was.

        For an engine that has forgotten it: this home and the facility are asked, as the last one may have
        been asked for from another home.

        Args:
            key: Who asked.
            resource: As in :meth:`submit`.

        Raises:
            NotOffered: if nothing is known, and this facility does not show the names of its jobs.
            IriError: if the facility cannot be looked at.
        """
        where = await self._where(resource)
        known = await newest_anywhere(key, where.id, self.door.dialect, self.ledger, self._guards(where))
        if known is None:
            await self.find(key, resource=resource)  # which tells whether that means anything
        if known is None or known.ref is not None or known.job_id is None:
            return known
        asked = JobKey(key.identity, known.generation)
        return replace(known, ref=self._new_ref(where.id, asked).with_job(known.job_id))

    async def status(self, job: JobRef | str) -> JobStatus:
        """Look at a job once; state ``missing`` if the facility does not know it, or not all of its tasks."""
        ref = self._ref(job)
        status = (await self.door.dialect.jobs.status(ref.resource_id, job_id_of(ref))).value
        return status if ref.array is None else accounted(status, ref.array)

    async def wait(
        self,
        job: JobRef | str,
        *,
        timeout: float | None = None,
        on_change: OnChange | None = None,
        patient: bool = False,
    ) -> JobStatus:
        """Wait for the end of a job, over any outage of the facility, through the shared poller.

        A job that ended as the double of another is followed to that one; one that the facility forgot is
        judged by its own journal.

        Args:
            job: Which.
            timeout: Seconds to wait at most; the job is not touched when they are over.
            on_change: Called with each status whose state is a new one.
            patient: Wait even for a credential that has not been accepted yet. One that dies in mid-wait is
                waited for in any case, if it can be renewed at all: a plain token is given up.

        Raises:
            WaitTimeout: if ``timeout`` seconds were not enough.
            JobLost: if the facility forgets the job, and nothing tells how it ended.
            AuthError: if the credential was never accepted; the job runs on.
        """
        return (await self._waited(job, timeout, on_change, patient))[1]

    async def result(
        self,
        job: JobRef | str,
        *,
        timeout: float | None = None,
        on_change: OnChange | None = None,
        patient: bool = False,
    ) -> JobResult:
        """Wait for success.

        Raises:
            JobFailed: with exit code and the last lines of stderr, if the job ends otherwise.
        """
        async with self.door.standing.learned_beside():
            ref, status = await self._waited(job, timeout, on_change, patient)
        return await self.require_success(ref, status)

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
        if "array" in words.get("attributes", {}):
            raise UsageError("the tasks of a job that was asked for cannot be changed; ask for another")
        if not words:
            raise UsageError("an update changes at least one field")
        record = await self._record(ref.key)
        guarded = record.guarded if record is not None else self.settings.guard
        if guarded and (wrapped := sorted(_BEHIND_THE_GUARD & set(words))):
            raise UsageError(
                f"{', '.join(wrapped)} cannot be changed in a job that is guarded against doubles; "
                "cancel it, and ask for its next generation"
            )
        if "name" in words:
            words["name"] = ref.key.job_name(words["name"])  # it must be found by its key afterwards too
        return (await self.door.dialect.jobs.update(ref.resource_id, job_id_of(ref), words, None)).value

    # -- how it is done

    def _guards(self, where: Resource) -> GuardFiles | None:
        return self.door.guards(where.id, self._guard_root(where), self.settings.storage)

    async def _sent(
        self,
        gate: Gate,
        guard: bool | None,
        spec: JobSpec,
        key: JobKey,
        resource: str | None,
        seen_before: bool = False,
    ) -> JobRef:
        where = await gate.opened(lambda: self._where(resource))
        submission = await self._submission(spec, where, resource, key, seen_before, guard)
        gate.guarded = submission.guarded
        attributes, submitter = submission.spec.attributes, self._submitter(submission)
        await self.door.warn(where, attributes)
        ref = await gate.passed(lambda: submitter.submit(submission))
        self.door.queues.asked(ref, attributes.queue_name if attributes else None)
        return ref

    def _gate(self, guard: bool | None, on_outage: OnOutage | str | None, outage_limit: float | None) -> Gate:
        """Stands before a submit; what the caller does not say is as configured."""
        settings = self.settings
        return Gate(
            settings.label,
            settings.on_outage if on_outage is None else on_outage_of(on_outage),
            settings.outage_limit if outage_limit is None else seconds_of("outage_limit", outage_limit),
            reached=self.door.reached,
            guarded=settings.guard if guard is None else guard,
        )


def _next(
    known: Newest | None, key: JobKey, spec_digest: str, *, again: bool
) -> tuple[GenerationStep, JobKey, bool]:
    """What an ask does, about which generation, and whether the job of that one is known to be over."""
    if known is None or known.generation < key.generation:
        return GenerationStep.SUBMIT, key, True
    step = generation_step(known.facts(spec_digest, again=again))
    return step, JobKey(key.identity, known.generation), known.reported is not None


def _checked(spec: JobSpec | Mapping[str, Any], key: JobKey | None) -> tuple[JobSpec, JobKey]:
    checked = JobSpec.of(spec)
    if key is not None and not isinstance(key, JobKey):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"a key is a JobKey, as JobKey.of(...) or JobKey.parse(text) make it, not {key!r}")
    return checked, key or JobKey.random()
