"""Looking for the job of a submission that may have arrived."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from iri_common.jobs.guards import GuardFiles
from iri_common.jobs.search import find_jobs, ids_before, job_ids, the_array, the_one
from iri_common.jobs.testimony import owner_of
from iri_common.model.errors import IriError, NotOffered
from iri_common.model.logfields import about
from iri_common.model.ports import Dialect
from iri_common.model.submission import Submission
from iri_common.policy.asking import Seen, outcome_of_ask

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Sighting:
    """What there is to be seen of one submission.

    Attributes:
        dialect: The facility's API.
        submission: Whose job.
        guards: Reads what guarded jobs leave; None where nothing can be read.
        label: What errors call the facility.
        unseen: Why the last look showed nothing, where it failed.
    """

    dialect: Dialect
    submission: Submission
    guards: GuardFiles | None
    label: str
    unseen: IriError | None = None

    async def look(self) -> Seen:
        """Look by name, or by ids where no names are shown; at the owner file where that shows nothing."""
        submission, dialect = self.submission, self.dialect
        seen = Seen()
        self.unseen = None
        try:
            if dialect.grades.settle == "snapshot":
                seen = Seen(ids=await job_ids(dialect.jobs, submission.resource_id))
            else:
                found, complete = await find_jobs(dialect.jobs, submission.resource_id, submission.key)
                best = (the_array if submission.array else the_one)(found)
                # Where names are not shown, only an owner file can tell; without one looking is no use.
                seen = Seen(best.job_id if best else None, offered=complete or self._owned)
        except NotOffered:
            seen = Seen(offered=self._owned)
        except IriError as error:
            self.unseen = error
            seen = Seen(failure=outcome_of_ask(error))
        return seen if seen.job_id is not None else await self._look_at_owner(seen)

    async def ids(self) -> frozenset[str] | None:
        """The ids of the jobs that are there; None where they cannot be listed now."""
        try:
            return await ids_before(self.dialect.jobs, self.submission.resource_id)
        except IriError as error:
            fields = about(facility=self.label, key=self.submission.key, error=error)
            log.info("the jobs of %s cannot be listed before the submit: %s", self.label, error, extra=fields)
            return None

    @property
    def _owned(self) -> bool:
        """Whether an owner file can tell whose the key is."""
        return self.submission.guarded and self.guards is not None

    async def _look_at_owner(self, seen: Seen) -> Seen:
        if self.guards is None or not self._owned:
            return seen
        key = self.submission.key
        try:
            owner = await owner_of(key, self.submission.resource_id, self.dialect.jobs, self.guards)
        except IriError as error:
            fields = about(facility=self.label, key=key, error=error)
            log.info("the owner file of %s cannot be read now: %s", key, error, extra=fields)
            return seen
        return replace(seen, job_id=owner, failure=None) if owner else seen
