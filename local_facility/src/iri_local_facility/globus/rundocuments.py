"""Runs as documents of the Flows API."""

from __future__ import annotations

from typing import Any

from iri_local_facility.facility import Facility

from .runtable import Run
from .tasks import moment


def run_document(core: Facility, run: Run) -> dict[str, Any]:
    """A run."""
    owner = f"urn:globus:auth:identity:{core.globus.grants.identity(run.user)}"
    about = {name: value for name, value in run.document.items() if name != "title"}
    return {
        "run_id": run.id,
        "action_id": run.id,
        "flow_id": run.flow,
        "flow_title": run.document["title"],
        "status": run.status,
        "display_status": run.status,
        "details": run.details,
        "label": run.label,
        "start_time": moment(run.started),
        "completion_time": moment(run.completed),
        "run_owner": owner,
        "created_by": owner,
        "user_role": "run_owner",
        **about,
    }
