"""A table of jobs among the artifacts of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from prefect.artifacts import acreate_table_artifact, create_table_artifact

from iri_common import Facility, IriError, JobFailed, JobResult, JobStatus, UsageError
from prefect_iri.block import IriFacility

Ended = JobResult | JobFailed
_TITLE = "Jobs at the facility"


def job_table(
    results: Iterable[Ended],
    *,
    facility: IriFacility | None = None,
    key: str = "iri-jobs",
    description: str = _TITLE,
) -> UUID:
    """Leave a table of jobs behind: name, job, owner, resource, state, exit code, seconds, reference.

    Args:
        results: What :func:`prefect_iri.run_job` gave, or the JobFailed that it raised; for a mapped task
            ``[future.result(raise_on_failure=False) for future in futures]``.
        facility: To show resources by their name; without it by their id.
        key: Of the artifact: lower-case letters, numbers and dashes. Each table under the same key is a
            new version of it.
        description: Markdown above the table.

    Returns:
        The artifact's id.
    """
    rows = _rows(results, _names(facility.facility()) if facility else {})
    # In an event loop Prefect would hand back a coroutine that nobody awaits.
    return create_table_artifact(table=rows, key=key, description=description, _sync=True)  # pyright: ignore[reportCallIssue, reportReturnType]


async def ajob_table(
    results: Iterable[Ended],
    *,
    facility: IriFacility | None = None,
    key: str = "iri-jobs",
    description: str = _TITLE,
) -> UUID:
    """:func:`job_table` for async flows."""
    rows = _rows(results, await _anames(facility.facility()) if facility else {})
    return await acreate_table_artifact(table=rows, key=key, description=description)


def _names(door: Facility) -> Mapping[str, str]:
    try:
        return {each.id: each.name or each.id for each in door.status.resources()}
    except IriError:  # a table with ids is better than none
        return {}


async def _anames(door: Facility) -> Mapping[str, str]:
    try:
        return {each.id: each.name or each.id for each in await door.aio.status.resources()}
    except IriError:
        return {}


def _rows(results: Iterable[Ended], names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [_row(each, names) for each in results]


def _row(ended: Ended, names: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(ended, JobResult | JobFailed):
        raise UsageError(
            f"a table of jobs is made of JobResult and JobFailed, not of {type(ended).__name__}: {ended}"
        )
    ref, status = ended.ref, ended.status if isinstance(ended, JobResult) else ended.job_status
    # The facility knows the job under the user's name with the key's tag behind it.
    name = str(status.meta.get("name") or "").removesuffix(f".{ref.key.tag}")
    return {
        "name": name,
        "job": ref.job_id or "",
        "owner": _owner(ended),
        "resource": names.get(ref.resource_id, ref.resource_id),
        "state": str(status.state),
        "exit code": "" if status.exit_code is None else status.exit_code,
        "seconds": _seconds(status),
        "ref": str(ref),
    }


def _owner(ended: Ended) -> str:
    """Whom it belonged to, where anybody has told that."""
    return (ended.principal.owner or "") if ended.principal else ""


def _seconds(status: JobStatus) -> float | str:
    """How long it ran, where the facility tells; its clock, not ours."""
    began, ended = status.meta.get("start_time"), status.meta.get("end_time")
    if isinstance(began, int | float) and isinstance(ended, int | float):
        return round(ended - began, 1)
    return ""
