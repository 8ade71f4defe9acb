"""Places for files as they are typed: ``iri://…``, ``globus://…``, or a path with ``--facility``."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from iri_common.cli.door import open_facility
from iri_common.model.errors import UsageError
from iri_common.transfers.ends import GlobusEnd, LocalEnd, ProfileEnd, parse_end

if TYPE_CHECKING:
    from iri_common.cli.options import DoorWords
    from iri_common.facility.collected import CollectionFiles
    from iri_common.facility.faces import Files
    from iri_common.facility.facility import Facility
    from iri_common.facility.farreach import FacilityEnd

_HOW = "write iri://profile/resource/path, or an absolute path with --facility"


@dataclass(frozen=True, slots=True)
class Where:
    """A path at a facility, or in a collection that need not be one's.

    Attributes:
        files: What can be done there.
        path: Absolute.
        given: As it was typed.
        facility: Whose files they are; None for a collection's.
        words: What every call of ``files`` says beside the path: the file system, where one was named.
    """

    files: Files | CollectionFiles
    path: str
    given: str
    facility: Facility | None = None
    words: Mapping[str, Any] = field(default_factory=dict[str, Any])


def where_of(door: DoorWords, given: str) -> Where:
    """The place that is meant.

    Raises:
        UsageError: for one on this machine, or without a clear path.
    """
    match parse_end(given):
        case ProfileEnd(profile, storage, path):
            _require_no_other(door, profile, given)
            return _at(open_facility(replace(door, facility=profile)), storage, path, given)
        case LocalEnd(path) if path.startswith("/") and not given.startswith("file:"):
            return _at(open_facility(door), None, path, given)
        case GlobusEnd(collection, path):
            from iri_common.facility.collected import CollectionFiles, CollectionFileService

            _require_no_door(door, given)
            files = CollectionFiles(CollectionFileService(collection))
            return Where(files, _clear(path, given), given)
        case _:
            raise UsageError(f"{given!r} is no place at a facility; {_HOW}")


def _at(facility: Facility, storage: str | None, path: str, given: str) -> Where:
    return Where(facility.files, _clear(path, given), given, facility, {"storage": storage})


def far_end(door: DoorWords, given: str) -> str | FacilityEnd:
    """The end of a transfer that is not here.

    Raises:
        UsageError: for a path that is not absolute, or a facility beside an end that needs none.
    """
    match parse_end(given):
        case LocalEnd(path) if path.startswith("/") and not given.startswith("file:"):
            return open_facility(door).files.at(path)
        case LocalEnd():
            raise UsageError(f"{given!r} is no place at a facility; {_HOW}")
        case ProfileEnd(profile):
            _require_no_other(door, profile, given)
            return given
        case GlobusEnd():
            _require_no_door(door, given)
            return given


def _require_no_other(door: DoorWords, profile: str, given: str) -> None:
    if door.url or door.facility not in (None, profile):
        raise UsageError(f"{given} names its facility; leave away --facility and --url")


def _require_no_door(door: DoorWords, given: str) -> None:
    if door.url or door.facility:
        raise UsageError(f"{given} is at no facility; leave away --facility and --url")


def _clear(path: str, given: str) -> str:
    if ".." in path.split("/"):
        # Where ".." leads depends on symbolic links over there; a wrong guess removes a wrong tree.
        raise UsageError(f"{given}: write the path without '..'")
    return posixpath.normpath(f"/{path.lstrip('/')}")
