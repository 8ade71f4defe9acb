"""Projects and allocations: what was granted, and what the jobs and files of a project have used of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from iri_local_facility.catalog import NODE_HOURS, Capability
from iri_local_facility.facility import Facility as Core

from .links import Links

_NODE_HOURS_GRANTED = 1000.0
_BYTES_GRANTED = 1e12


class Grants:
    """Writes projects and allocations of one response."""

    def __init__(self, core: Core, links: Links) -> None:
        self._core = core
        self._link = links

    def project(self, name: str) -> dict[str, Any]:
        """A project."""
        project_id = self._core.catalog.make_id("project", name)
        return {
            "id": project_id,
            "name": name,
            "description": f"Project {name}",
            "user_ids": self._core.accounts.members(name),
            "last_modified": self._core.catalog.opened,
            "self_uri": self._link(f"/account/projects/{project_id}"),
        }

    def of_project(self, project: str, capability: Capability) -> dict[str, Any]:
        """A project's allocation of a capability."""
        return {
            "id": self._core.catalog.make_id("allocation", f"{project}/{capability.name}"),
            "entries": [self._entry(project, capability, None)],
            "project_uri": self._link(f"/account/projects/{self._core.catalog.make_id('project', project)}"),
            "capability_uri": self._link(f"/account/capabilities/{capability.id}"),
        }

    def of_user(self, project: str, capability: Capability, user: str) -> dict[str, Any]:
        """A user's share: anyone of a project may use all of it."""
        make_id = self._core.catalog.make_id
        grant_id = make_id("allocation", f"{project}/{capability.name}")
        grant = f"/account/projects/{make_id('project', project)}/project_allocations/{grant_id}"
        return {
            "id": make_id("user-allocation", f"{project}/{capability.name}/{user}"),
            "user_id": user,
            "entries": [self._entry(project, capability, user)],
            "project_allocation_uri": self._link(grant),
        }

    def _entry(self, project: str, capability: Capability, user: str | None) -> dict[str, Any]:
        unit = capability.units[0]
        if unit == NODE_HOURS:
            return {"allocation": _NODE_HOURS_GRANTED, "usage": self._node_hours(project, user), "unit": unit}
        directory = self._core.settings.root / "project" / project
        return {"allocation": _BYTES_GRANTED, "usage": _space_used(directory), "unit": unit}

    def _node_hours(self, project: str, user: str | None) -> float:
        jobs = self._core.scheduler.jobs.where("account = ? AND started IS NOT NULL", project)
        return sum(job.node_hours for job in jobs if user in (None, job.user))


def _space_used(directory: Path) -> float:
    total = 0
    for top, _, names in os.walk(directory):
        for name in names:
            path = Path(top, name)
            if not path.is_symlink() and path.exists():
                total += path.stat().st_size
    return float(total)
