"""What a watcher watches: things that happen at a facility again and again, as looks at it show them."""

from __future__ import annotations

import posixpath
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_iri.patterns import directory_of, is_pattern
from airflow_provider_iri.sights import FileThere, NotYet, ResourceUsable, files_that_match
from iri_common import Availability

if TYPE_CHECKING:
    from iri_common import Facility, Incident, MyJob

AHEAD = 366 * 86400.0
"""Seconds from now in which a maintenance may be announced: it may be over before anybody looks again."""

OTHERS_KEPT = 1000
"""So many ended jobs are remembered beside those that are listed: a list may leave one out for once."""

Seen = dict[str, dict[str, Any]]
"""What one look shows: facts by a mark that tells one occurrence from the next."""

Kept = dict[str, Any]
"""What is remembered of the looks before, by the same marks; it goes through Airflow's database as JSON."""


class Happening(ABC):
    """Something that happens again and again."""

    told_at_first: ClassVar[bool] = False
    """Whether what the very first look shows is news; else it is only what later looks are compared with."""

    @abstractmethod
    def look(self, facility: Facility) -> Seen:
        """How things are; blocks.

        Raises:
            IriError: if they cannot be looked at.
        """

    def news(self, before: Kept | None, seen: Seen, now: float) -> list[dict[str, Any]]:
        """What is to be told of a look.

        Args:
            before: What is remembered; None at the very first look.
            seen: The look.
            now: When it was, in seconds since the epoch.
        """
        if before is None:
            return list(seen.values()) if self.told_at_first else []
        return [facts for mark, facts in seen.items() if mark not in before]

    def kept(self, before: Kept | None, seen: Seen, now: float) -> Kept:
        """What is to be remembered after it."""
        return dict.fromkeys(seen, now) | {
            mark: when for mark, when in (before or {}).items() if mark in seen
        }


@dataclass(frozen=True)
class FileArrived(Happening):
    """A file is there that was not, or it has changed.

    Attributes:
        path: At the facility, or a pattern. Of files that match one, only name and size count: facilities
            spell times in a list as they like, and differently as files age.
        storage: Name or id of the file system; the connection's if None.
    """

    path: str
    storage: str | None = None

    told_at_first: ClassVar[bool] = True

    def look(self, facility: Facility) -> Seen:
        """The file, or those that match."""
        if is_pattern(self.path):
            return self._matching(facility)
        found = FileThere(self.path, self.storage).look(facility)
        return {} if isinstance(found, NotYet) else {f"{found['size']} {found['mtime']}": found}

    def _matching(self, facility: Facility) -> Seen:
        top = directory_of(self.path)
        return {
            f"{each.size} {posixpath.relpath(each.name, top)}": {"path": each.name, "size": each.size}
            for each in files_that_match(facility, self.path, self.storage)
        }


@dataclass(frozen=True)
class ResourceUp(Happening):
    """A resource that was down, or about to be, is usable.

    Attributes:
        resource: Name or id; the connection's if None.
        ahead: Seconds from then for which no maintenance is to be announced.
    """

    resource: str | None = None
    ahead: float = 0.0

    def look(self, facility: Facility) -> Seen:
        """It, if it is usable."""
        found = ResourceUsable(self.resource, self.ahead).look(facility)
        return {} if isinstance(found, NotYet) else {"usable": found}


@dataclass(frozen=True)
class MaintenanceOver(Happening):
    """An announced maintenance has ended, and the resource is not down.

    It is remembered from its announcement on, by what a facility shows of it: not every one tells of those
    that are over.

    Attributes:
        resource: Name or id; the connection's if None.
    """

    resource: str | None = None

    _usable: ClassVar[str] = "usable"

    def look(self, facility: Facility) -> Seen:
        """What is announced and what is under way; and whether the resource is usable."""
        announced = facility.status.maintenance(self.resource, within=AHEAD)
        resource = facility.status.resource(self.resource)
        name = resource.name or resource.id
        seen = {each.id: _incident(name, each) for each in announced}
        return seen if resource.status is Availability.DOWN else seen | {self._usable: {"resource": name}}

    def news(self, before: Kept | None, seen: Seen, now: float) -> list[dict[str, Any]]:
        """Those that began and are not announced any more; one that was called off before is not told."""
        return list(self._gone(before, seen, now).values()) if self._usable in seen else []

    def kept(self, before: Kept | None, seen: Seen, now: float) -> Kept:
        """What is announced; one that is over while the resource is still down is not forgotten."""
        late = {} if self._usable in seen else self._gone(before, seen, now)
        return late | {mark: facts for mark, facts in seen.items() if mark != self._usable}

    def _gone(self, before: Kept | None, seen: Seen, now: float) -> Kept:
        return {
            mark: facts
            for mark, facts in (before or {}).items()
            if mark not in seen and datetime.fromisoformat(facts["start"]).timestamp() <= now
        }


@dataclass(frozen=True)
class JobEnded(Happening):
    """A job of mine has ended, whichever engine or script submitted it.

    Attributes:
        job_name: As it was submitted.
        resource: Name or id; the connection's if None.
    """

    job_name: str
    resource: str | None = None

    def look(self, facility: Facility) -> Seen:
        """Those of its name that are over, the oldest first."""
        mine = facility.jobs.mine(resource=self.resource, seen=True)
        return {
            each.job_id: _job(each)
            for each in reversed(mine)
            if each.job_id and self._is_meant(each) and each.status and each.status.state.terminal
        }

    def kept(self, before: Kept | None, seen: Seen, now: float) -> Kept:
        """Those that are listed, and the newest of the others."""
        others = [(when, mark) for mark, when in (before or {}).items() if mark not in seen]
        return super().kept(before, seen, now) | {mark: when for when, mark in sorted(others)[-OTHERS_KEPT:]}

    def _is_meant(self, job: MyJob) -> bool:
        return job.name.removesuffix(f".{job.tag}") == self.job_name


HAPPENINGS: Mapping[str, type[Happening]] = {
    "file": FileArrived,
    "resource": ResourceUp,
    "maintenance": MaintenanceOver,
    "job": JobEnded,
}


def _incident(resource: str, incident: Incident) -> dict[str, Any]:
    return {
        "resource": resource,
        "name": incident.name,
        "start": incident.start.isoformat() if incident.start else None,
        "end": incident.end.isoformat() if incident.end else None,
    }


def _job(job: MyJob) -> dict[str, Any]:
    assert job.status is not None
    return {
        "job": str(job.ref) if job.ref else None,
        "job_id": job.job_id,
        "state": str(job.status.reported),
        "exit_code": job.status.exit_code,
    }
