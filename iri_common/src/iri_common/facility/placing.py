"""What is sent for a job: to which machine, with which defaults, behind which guard."""

from __future__ import annotations

from iri_common.facility.attaching import JobAttaching
from iri_common.facility.canceling import job_id_of
from iri_common.jobside.wrap import placeable
from iri_common.model.errors import UsageError
from iri_common.model.facility import Resource
from iri_common.model.key import JobKey
from iri_common.model.spec import After, JobSpec
from iri_common.model.submission import Submission


class JobPlacing(JobAttaching):
    """Makes submissions of specs."""

    async def _where(self, resource: str | None) -> Resource:
        """The resource, its status no older than a fresh look would tell if it is said to be down."""
        return await self.door.resource_now(resource or self.settings.resource, "compute")

    async def _submission(
        self,
        spec: JobSpec,
        where: Resource,
        resource: str | None,
        key: JobKey,
        seen_before: bool,
        guard: bool | None,
    ) -> Submission:
        defaults = self.settings.defaults_for(where.name, where.id, resource)
        spec = self._with_ids(spec, where)
        full = defaults.applied(spec)
        if guard and full.container and defaults.guard_directory is None:
            raise UsageError(
                "a guard inside a container needs guard_directory: an absolute path at the facility that "
                "is there already, for it is mounted into the container"
            )
        wanted = self.settings.guard if guard is None else guard
        # Nobody but the user knows whether an image has a shell.
        fits = placeable(full.sent(), container_has_shell=bool(guard))
        guarded = wanted and fits and self.door.dialect.grades.guard == "lock"
        root, counted = defaults.guard_directory, self.door.dialect.grades.counted
        made = Submission(full, where.id, key, seen_before, guarded, root, spec, counted)
        await self.door.gate.admit_job(made, where)
        return made

    def _with_ids(self, spec: JobSpec, where: Resource) -> JobSpec:
        """The spec with the ids of the jobs that it waits for, in the place of references.

        Raises:
            UsageError: for a job of another machine, or whose id is not known yet.
        """
        attributes = spec.attributes
        if attributes is None or not attributes.after:
            return spec
        ids = {how: tuple(self._id_here(each, where) for each in jobs) for how, jobs in attributes.after}
        return spec.model_copy(update={"attributes": attributes.model_copy(update={"after": After(**ids)})})

    def _id_here(self, job: str, where: Resource) -> str:
        if "://" not in job:
            return job
        ref = self._ref(job)
        if ref.resource_id != where.id:
            raise UsageError(
                f"a job at {where.name} cannot be told to wait for {ref.describe()}, which is at "
                f"{ref.resource_id}: wait for it, and submit this one then"
            )
        return job_id_of(ref)
