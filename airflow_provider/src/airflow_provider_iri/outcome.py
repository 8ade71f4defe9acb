"""How a job went, in words that Airflow keeps: when, for how long, on how many nodes, and why it ended so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iri_common import JobRef, JobSpec, JobStatus


def began_at(status: JobStatus, seen: float | None = None) -> float | None:
    """When the job that ended so had begun, in seconds since the epoch.

    Args:
        status: Its end; some facilities tell the beginning with it.
        seen: When it was seen to run, by whoever waited for it.
    """
    told = status.meta.get("start_time")
    return float(told) if isinstance(told, int | float) else seen


def account_of(status: JobStatus) -> str | None:
    """What the job was charged to; some facilities tell it with the end, in Slurm's word."""
    told = status.meta.get("account")
    return told if isinstance(told, str) and told else None


def outcome(
    ref: JobRef, status: JobStatus, spec: JobSpec, submitted: float | None, began: float | None
) -> dict[str, Any]:
    """What is known of a job that ended; None for what nobody tells."""
    # The nodes of a whole array are not what one of its tasks asked for.
    nodes = None if ref.array else (spec.resources.node_count if spec.resources else None) or 1
    known = nodes is not None and began is not None and status.time is not None
    return {
        "ref": str(ref),
        "state": str(status.state),
        "exit_code": status.exit_code,
        "reason": str(status.reason) if status.reason else None,
        "submitted_at": _moment(submitted),
        "began_at": _moment(began),
        "ended_at": _moment(status.time),
        "account": account_of(status) or (spec.attributes.account if spec.attributes else None),
        "node_hours": round(nodes * max(status.time - began, 0.0) / 3600.0, 4) if known else None,
    }


def told_of(status: JobStatus, began: float | None) -> dict[str, Any]:
    """The end of a job, and its beginning as far as it was seen, as JSON values."""
    return {
        "began": began_at(status, began),
        "state": str(status.state),
        "exit_code": status.exit_code,
        "message": status.message,
        "time": status.time,
        "account": account_of(status),
        "reason": str(status.reason) if status.reason else None,
    }


def status_of(event: Mapping[str, Any]) -> JobStatus | None:
    """The status that a trigger told; an older version of it told less.

    A newer one may know more reasons, which are none here, and more states: None then, to be asked for.
    """
    from iri_common import JobReason, JobState, JobStatus

    if event["state"] not in list(JobState):
        return None
    reason, account = event.get("reason"), event.get("account")
    return JobStatus(
        JobState(event["state"]),
        event.get("exit_code"),
        event.get("message"),
        event.get("time"),
        meta={"account": account} if account else {},
        reason=JobReason(reason) if reason in list(JobReason) else None,
    )


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
