"""What the exit codes of a guard say about a job, in the words of all reasons."""

from __future__ import annotations

from collections.abc import Mapping

from iri_common.jobside.codes import GuardCode
from iri_common.model.reason import JobReason

# Only for jobs that have a guard: any other program may end with such a number for reasons of its own.
GUARD_REASONS: Mapping[int, JobReason] = {
    GuardCode.DOUBLE: JobReason.DOUBLE,
    GuardCode.NO_DIRECTORY: JobReason.NO_DIRECTORY,
    GuardCode.NO_SPACE: JobReason.NO_SPACE,
    GuardCode.CANCELED: JobReason.CANCELED,
    GuardCode.FAILED: JobReason.GUARD,
    GuardCode.KEPT_CODE: JobReason.EXIT_CODE,
}
