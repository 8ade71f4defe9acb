"""Places for files as they are typed: ``iri://profile/resource/path``, or a path with ``--facility``."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from iri_common.cli.door import open_facility
from iri_common.model.errors import UsageError
from iri_common.transfers.ends import LocalEnd, ProfileEnd, parse_end

if TYPE_CHECKING:
    from iri_common.cli.options import DoorWords
    from iri_common.facility.facility import Facility
    from iri_common.facility.farreach import FacilityEnd

_HOW = "write iri://profile/resource/path, or an absolute path with --facility"


@dataclass(frozen=True, slots=True)
class Where:
    """A path at a facility.

    Attributes:
        facility: Which one.
        storage: Name of the file system, where one was named.
        path: Absolute.
        given: As it was typed.
    """

    facility: Facility
    storage: str | None
    path: str
    given: str


def where_of(door: DoorWords, given: str) -> Where:
    """The place that is meant.

    Raises:
        UsageError: for one that is at no facility, or has no clear path there.
    """
    match parse_end(given):
        case ProfileEnd(profile, storage, path):
            _require_no_other(door, profile, given)
            return Where(open_facility(replace(door, facility=profile)), storage, _clear(path, given), given)
        case LocalEnd(path) if path.startswith("/") and not given.startswith("file:"):
            return Where(open_facility(door), None, _clear(path, given), given)
        case _:
            raise UsageError(f"{given!r} is no place at a facility; {_HOW}")


def far_end(door: DoorWords, given: str) -> str | FacilityEnd:
    """The end of a transfer that is not here.

    Raises:
        UsageError: for a path that is not absolute, or a facility that is named twice.
    """
    match parse_end(given):
        case LocalEnd(path) if path.startswith("/") and not given.startswith("file:"):
            return open_facility(door).files.at(path)
        case LocalEnd():
            raise UsageError(f"{given!r} is no place at a facility; {_HOW}")
        case ProfileEnd(profile):
            _require_no_other(door, profile, given)
            return given
        case _:
            return given


def _require_no_other(door: DoorWords, profile: str, given: str) -> None:
    if door.url or door.facility not in (None, profile):
        raise UsageError(f"{given} names its facility; leave away --facility and --url")


def _clear(path: str, given: str) -> str:
    if ".." in path.split("/"):
        # Where ".." leads depends on symbolic links over there; a wrong guess removes a wrong tree.
        raise UsageError(f"{given}: write the path without '..'")
    return posixpath.normpath(f"/{path.lstrip('/')}")
