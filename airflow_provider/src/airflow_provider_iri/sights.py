"""What a sensor looks at: one look, in a worker or a triggerer, and what it found."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from airflow_provider_iri.patterns import is_pattern
from iri_common import Availability, IriError, NotFound, NotOffered

if TYPE_CHECKING:
    from iri_common import Facility, FileEntry


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

    def words(self) -> dict[str, Any]:
        """What to make it from."""
        known: Any = self
        return {each.name: getattr(self, each.name) for each in fields(known) if each.init}


class Stillness:
    """For how long looks have shown the same: to whoever looks, as facilities' clocks and ours differ."""

    def __init__(self) -> None:
        self._shown: object = None
        self._since = 0.0

    def seconds(self, shown: object) -> float:
        """For how long, with what a look shows now."""
        now = time.monotonic()
        if shown != self._shown:
            self._shown, self._since = shown, now
        return now - self._since


@dataclass(frozen=True)
class FileThere(Sight):
    """A file or directory, or files that match a pattern.

    Attributes:
        path: At the facility.
        storage: Name or id of the file system; the connection's if None.
        at_least: So many files.
        settled: For so many seconds none has come, gone or changed.
    """

    path: str
    storage: str | None = None
    at_least: int = 1
    settled: float = 0.0
    _stillness: Stillness = field(default_factory=Stillness, init=False, repr=False, compare=False)

    def look(self, facility: Facility) -> dict[str, Any] | NotYet:
        """Its size and time of change; those of each file as ``files`` for a pattern."""
        found = self._matching(facility) if is_pattern(self.path) else self._single(facility)
        still = self._stillness.seconds(found)
        if isinstance(found, NotYet) or still >= self.settled:
            return found
        return NotYet(f"{_counted(found, self.path)} there, and may still change")

    def _matching(self, facility: Facility) -> dict[str, Any] | NotYet:
        files = files_that_match(facility, self.path, self.storage)
        if len(files) < self.at_least:
            return NotYet(f"{len(files)} of {self.at_least} files are there that match {self.path}")
        return {
            "files": [
                {"path": each.name, "size": each.size, "last_modified": each.last_modified} for each in files
            ]
        }

    def _single(self, facility: Facility) -> dict[str, Any] | NotYet:
        try:
            stat = facility.files.stat(self.path, storage=self.storage, dereference=True)
        except NotFound:
            return NotYet(f"{self.path} is not there")
        return {"path": self.path, "size": stat.size, "mtime": stat.mtime}


def files_that_match(facility: Facility, pattern: str, storage: str | None) -> Sequence[FileEntry]:
    """Those of a pattern, by their names; neither directories nor links."""
    try:
        entries = facility.files.glob(pattern, storage=storage)
    except NotFound:
        return ()
    return sorted((each for each in entries if each.type in {"file", "unknown"}), key=lambda each: each.name)


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


def _counted(found: dict[str, Any], path: str) -> str:
    files = found.get("files")
    return f"{path} is" if files is None else f"{len(files)} files that match {path} are"
