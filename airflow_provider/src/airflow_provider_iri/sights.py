"""What a sensor looks at: one look, in a worker or a triggerer, and what it found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from iri_common import Availability, IriError, NotFound, NotOffered

if TYPE_CHECKING:
    from iri_common import Facility


@dataclass(frozen=True, slots=True)
class NotYet:
    """It is not so yet, and why, for a log."""

    why: str


class Sight(ABC):
    """Something at a facility that may become as it is waited for."""

    @abstractmethod
    def look(self, facility: Facility) -> dict[str, Any] | NotYet:
        """What is to be told of it; blocks.

        Raises:
            IriError: if it cannot be looked at.
        """

    def patiently(self, facility: Facility) -> dict[str, Any] | NotYet:
        """Like :meth:`look`, but an outage is no error."""
        try:
            return self.look(facility)
        except IriError as error:
            if not error.transient:
                raise
            return NotYet(str(error))


@dataclass(frozen=True)
class FileThere(Sight):
    """A file or directory.

    Attributes:
        path: At the facility.
        storage: Name or id of the file system; the connection's if None.
    """

    path: str
    storage: str | None = None

    def look(self, facility: Facility) -> dict[str, Any] | NotYet:
        """Its size and time of change."""
        try:
            stat = facility.files.stat(self.path, storage=self.storage, dereference=True)
        except NotFound:
            return NotYet(f"{self.path} is not there")
        return {"path": self.path, "size": stat.size, "mtime": stat.mtime}


@dataclass(frozen=True)
class ResourceUsable(Sight):
    """A resource that is not down, and is not announced to be.

    Attributes:
        resource: Name or id; the connection's if None.
        ahead: Seconds from now for which no maintenance is to be announced.
    """

    resource: str | None = None
    ahead: float = 0.0

    def look(self, facility: Facility) -> dict[str, Any] | NotYet:
        """Its name and status."""
        resource = facility.status.resource(self.resource)
        name = resource.name or resource.id
        if resource.status is Availability.DOWN:
            return NotYet(f"{name} is down")
        try:
            away = facility.status.maintenance(self.resource, within=self.ahead)
        except NotOffered:
            away = ()  # then its status has to do
        if away:
            begin, end = away[0].start, away[0].end or "an unknown time"
            return NotYet(f"{name} is announced to be away from {begin} to {end}")
        return {"resource": name, "status": str(resource.status)}


SIGHTS: Mapping[str, type[Sight]] = {"file": FileThere, "resource": ResourceUsable}
