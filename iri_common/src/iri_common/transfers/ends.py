"""Where data comes from and goes to, as people write it.

``/data/run7`` and ``file:///data/run7`` are on this machine, ``iri://<profile>/<file system>/<path>`` is at a
facility (``iri://nersc//global/u1`` in its default file system), ``globus://<collection id>/<path>`` is in a
collection. The path is an absolute one without its first slash and taken as it stands: a percent sign means
itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import PurePath

from iri_common.model.errors import UsageError


@dataclass(frozen=True, slots=True)
class LocalEnd:
    """A path of this machine."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class ProfileEnd:
    """A path at the facility of a profile; ``storage`` names the file system, None its default."""

    profile: str
    storage: str | None
    path: str

    def __str__(self) -> str:
        return f"iri://{self.profile}/{self.storage or ''}{self.path}"


@dataclass(frozen=True, slots=True)
class GlobusEnd:
    """A path in a Globus collection."""

    collection: str
    path: str

    def __str__(self) -> str:
        return f"globus://{self.collection}{self.path}"


End = LocalEnd | ProfileEnd | GlobusEnd


def parse_end(text: str | os.PathLike[str]) -> End:
    """The end that somebody wrote; a path object is always one of this machine.

    Raises:
        UsageError: saying how it is written.
    """
    if not os.fspath(text) or "\0" in os.fspath(text):
        raise UsageError(f"{text!r} is no path")
    if isinstance(text, PurePath) or not isinstance(text, str):
        return LocalEnd(os.fspath(text))
    scheme, separator, rest = text.partition("://")
    if not separator or not scheme.isalnum():
        return LocalEnd(text)
    match scheme.lower():
        case "file":
            return _local(text, rest)
        case "iri":
            return _at_profile(text, rest)
        case "globus":
            return _in_collection(text, rest)
        case _:
            raise UsageError(f"{text}: data moves between paths, iri:// and globus://, not {scheme}://")


def _local(text: str, rest: str) -> LocalEnd:
    host, slash, path = rest.partition("/")
    if not slash or host not in {"", "localhost"}:
        raise UsageError(f"{text}: a file of this machine is written file:///path")
    return LocalEnd(f"/{path}")


def _at_profile(text: str, rest: str) -> ProfileEnd:
    profile, _, rest = rest.partition("/")
    storage, slash, path = rest.partition("/")
    if not profile or not slash:
        raise UsageError(
            f"{text}: write iri://<profile>/<file system>/<path>, or iri://<profile>//<path> for the "
            "default one"
        )
    return ProfileEnd(profile, storage or None, f"/{path.lstrip('/')}")


def _in_collection(text: str, rest: str) -> GlobusEnd:
    collection, slash, path = rest.partition("/")
    if not collection or not slash:
        raise UsageError(f"{text}: write globus://<collection id>/<path>")
    return GlobusEnd(collection.lower(), f"/{path}")
