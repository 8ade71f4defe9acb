"""What programs read: jobs and their state as JSON values."""

from __future__ import annotations

from typing import Any

from iri_common.model.credential import Principal
from iri_common.model.grades import Grades
from iri_common.model.job import JobStatus
from iri_common.model.ref import JobRef


def ref_words(ref: JobRef) -> dict[str, Any]:
    """Which job."""
    return {
        "ref": str(ref),
        "job_id": ref.job_id,
        "key": ref.key.identity,
        "generation": ref.key.generation,
        "resource_id": ref.resource_id,
        "facility": ref.profile or ref.origin,
    }


def principal_words(principal: Principal | None) -> dict[str, Any]:
    """In whose name, and whom jobs and their files belong to."""
    return {
        "principal": principal.name if principal else None,
        "owner": principal.owner if principal else None,
        "owner_because": (principal.why or None) if principal else None,
    }


def grades_words(grades: Grades) -> dict[str, str]:
    """How exactly each promise is kept for a job."""
    return {name: getattr(grades, name) for name in ("settle", "guard", "journal", "files", "logs")}


def status_words(status: JobStatus | None) -> dict[str, Any]:
    """How it stands."""
    if status is None:
        return {"state": None}
    tasks = {str(index): status_words(each) for index, each in status.tasks.items()}
    return {
        "state": str(status.reported),
        "succeeded": status.succeeded,
        "exit_code": status.exit_code,
        "message": status.message,
        "reason": str(status.reason) if status.reason else None,
        "retry_sensible": status.reason.retry_sensible if status.reason else None,
        **({"tasks": tasks} if tasks else {}),
    }
