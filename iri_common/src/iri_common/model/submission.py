"""A job spec together with the words that no facility API has for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from iri_common.model.array import without_limit
from iri_common.model.errors import UsageError
from iri_common.model.key import JobKey
from iri_common.model.spec import JobSpec


@dataclass(frozen=True, slots=True)
class Submission:
    """One ask: what to run, where, and in whose name it is the same ask.

    Attributes:
        spec: The job.
        resource_id: The facility's id of the resource that shall run it.
        key: Identity and generation.
        seen_before: The engine knows that an earlier attempt with this key may have reached the facility
            (its own store holds an intent without a job id): look before sending.
        guarded: The job shall check for itself that it is not a double, and keep a journal.
        asked: The spec as the user gave it, before the door's defaults filled it.
        guard_root: Where guards are kept at the facility, an absolute path; None for the job's home.
        counted: A double shall tell by its exit code which job works; nothing else would tell there.
    """

    spec: JobSpec
    resource_id: str
    key: JobKey = field(default_factory=JobKey.random)
    seen_before: bool = False
    guarded: bool = False
    guard_root: str | None = None
    asked: JobSpec | None = None
    counted: bool = False

    @property
    def digest(self) -> str:
        """What was asked, as a digest: by the user, so that other defaults make no other ask of it."""
        return (self.asked or self.spec).digest()

    @property
    def name(self) -> str:
        """The job's name at the facility, by which it is found again."""
        return self.key.job_name(self.spec.name)

    @property
    def array(self) -> str | None:
        """The indices of its tasks, if it is an array."""
        array = self.spec.attributes.array if self.spec.attributes else None
        return without_limit(array) if array else None

    def __post_init__(self) -> None:
        if not self.resource_id:
            raise UsageError("a submission needs a resource: which machine shall run the job?")

    def wire_spec(self) -> dict[str, Any]:
        """What is sent: the spec under the name by which the job is found again, its output named too.

        Both output paths are always given: ALCF refuses a job without, and elsewhere nobody would know
        afterwards where the output went (the API does not tell it).
        """
        stem = f"{self.name}.%a" if self.array else self.name  # each task writes for itself
        output = {"stdout_path": f"{stem}.out", "stderr_path": f"{stem}.err"}
        return {**output, **self.spec.sent(), "name": self.name}
