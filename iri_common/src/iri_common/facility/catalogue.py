"""What lies behind ``profile/resource/path``: which facility and path are meant, and what is there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from iri_common.facility.facility import Facility
from iri_common.model.errors import NotFound, Refused, UsageError
from iri_common.model.files import FileEntry
from iri_common.policy.inside import inside

Info = dict[str, Any]  # name, size, type and mtime (seconds, None where that is not told), as fsspec has them
Place = tuple[Facility, str | None, str]  # with the file system's name, if it is named, and the path there


class Catalogue:
    """Facilities by the first part of a path.

    Args:
        url: Of the one API that is meant; without, the first part names a profile.
        words: Settings beside it, or stronger than the profile's.
        only: Opens the one that is meant, when it is needed; the first part is its name.
    """

    def __init__(
        self, url: str | None, words: Mapping[str, Any], only: Callable[[], Facility] | None = None
    ) -> None:
        self._url = url
        self._words = words
        self._opens = only
        self._open: dict[str, Facility] = {}

    @cached_property
    def _only(self) -> Facility | None:
        return self._opens() if self._opens else None

    def at(self, path: str) -> Place:
        """Where a path leads.

        Raises:
            UsageError: if it names no file system, or no profile that there is.
        """
        profile, _, rest = stripped(path).partition("/")
        resource, slash, place = rest.partition("/")
        if not resource and not slash:
            raise UsageError(f"iri://{path} names no file system; write iri://profile/resource/path")
        return self._facility(profile), resource or None, f"/{place}"

    def _facility(self, name: str) -> Facility:
        if (only := self._only) is not None:
            if name != only.name:
                raise UsageError(f"these are the files of {only.name!r}, not of {name!r}")
            return only
        if name not in self._open:
            self._open[name] = (
                Facility(self._url, name=name, **self._words)
                if self._url
                else Facility.from_profile(name, **self._words)
            )
        return self._open[name]

    def listed(self, path: str) -> list[Info]:
        """What is in a directory, or the file itself; above directories, file systems and profiles."""
        if not path:
            return [directory(each) for each in ([self._only.name] if self._only else Facility.profiles())]
        if "/" not in path:
            known = self._facility(path).status.resources()
            systems = [each for each in known if each.offers("filesystem")]
            return [directory(f"{path}/{each.name or each.id}") for each in systems]
        facility, storage, place = self.at(path)
        try:
            entries = facility.files.ls(place, hidden=True, storage=storage)
        except NotFound:
            raise
        except Refused:  # by those who list directories only
            if (seen := self.seen(path))["type"] == "directory":
                raise
            return [seen]
        # Others list a file as itself; a directory with one child of its own name looks the same.
        itself = len(entries) == 1 and os.path.basename(entries[0].name) == os.path.basename(place)
        if itself and (seen := self.seen(path))["type"] != "directory":
            return [seen]
        return [_entry(inside(path, each.name), each) for each in entries if each.name not in {".", ".."}]

    def seen(self, path: str, *, follow: bool = True) -> Info:
        """What is at a path now."""
        if path.count("/") < 2 or path.endswith("/"):  # a profile or a file system
            return directory(path)
        facility, storage, place = self.at(path)
        there = facility.files.stat(place, dereference=follow, storage=storage)
        kinds = {stat.S_IFDIR: "directory", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
        kind = kinds.get(stat.S_IFMT(there.mode), "other")
        return {"name": path, "size": there.size, "type": kind, "mtime": there.mtime, "mode": there.mode}


def stripped(path: str) -> str:
    """A path without its protocol and without slashes at its end."""
    profile, _, rest = path.removeprefix("iri::").removeprefix("iri://").partition("/")
    resource, slash, place = rest.partition("/")
    place = place.strip("/")
    if place or (slash and not resource):  # "profile//" is the root of the profile's own file system
        return f"{profile}/{resource}/{place}"
    return f"{profile}/{resource}".rstrip("/")


def parent(path: str) -> str:
    """The directory that a path is in."""
    above = stripped(path).rpartition("/")[0]
    return f"{above}/" if above.endswith("/") else above


def within(path: str, above: str) -> bool:
    """Whether a path is another or below it."""
    return f"{path}/".startswith(f"{above.rstrip('/')}/")


def directory(path: str) -> Info:
    """A directory of which no more is known."""
    return {"name": path, "size": 0, "type": "directory", "mtime": None}


def _entry(path: str, entry: FileEntry) -> Info:
    kind = {"symlink": "link", "unknown": "other"}.get(entry.type, entry.type)
    try:
        mtime = datetime.fromisoformat(entry.last_modified).timestamp()
    except ValueError:
        mtime = None
    return {"name": path, "size": entry.size, "type": kind, "mtime": mtime}
