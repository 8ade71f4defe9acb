# fsspec says nothing of its types, and its own classes do not keep to one signature:
# pyright: reportMissingTypeStubs=false, reportIncompatibleMethodOverride=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""``iri://profile/resource/path`` for pandas, xarray, Dask and whatever else opens files through fsspec.

```python
pandas.read_csv("iri://nersc//global/cfs/cdirs/m1234/runs.csv")
```

An empty resource is the profile's own file system. A file that the facility's API moves only as a whole
passes through a temporary one here: it arrives whole or not at all, as everywhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import shutil
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, cast

from iri_common.facility.catalogue import Catalogue, Info, parent, stripped, within
from iri_common.facility.faces import Transfers
from iri_common.facility.facility import Facility
from iri_common.facility.farreach import FacilityEnd
from iri_common.facility.fileobjects import FetchedFile, SentFile
from iri_common.facility.filetrouble import os_errors
from iri_common.model.errors import NotOffered, UsageError
from iri_common.model.transfer import Progress

try:
    from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
except ImportError:
    raise ImportError("iri:// paths need fsspec: install iri-common[fsspec]") from None

LISTINGS_STAY_FRESH = 15.0  # seconds; jobs write files beside us
FIRST_PIECE = 2**20  # of a file that can be read by pieces; a smaller one is done with it
_SECRETS = ("token", "proxy")
_OF_FSSPEC = ("use_listings_cache", "listings_expiry_time", "max_paths", "asynchronous", "loop")


class IriFileSystem(AbstractFileSystem):
    """Files at facilities, by ``profile/resource/path``; blocking, safe to fork.

    Listings are believed for 15 seconds, or ``listings_expiry_time``.

    Args:
        url: Where there is no profile: the API's base URL. A path begins with any name then.
        allow_job: Large files may take roads that run a short job of the user's allocation.
        words: fsspec's own, and settings that are stronger than the profile's, such as ``token``.
    """

    protocol = "iri"
    root_marker = ""
    dircache: MutableMapping[str, list[Info]]

    def __init__(self, *, url: str | None = None, allow_job: bool = False, **words: Any) -> None:
        own = {name: words.pop(name) for name in _OF_FSSPEC if name in words}
        super().__init__(**{"listings_expiry_time": LISTINGS_STAY_FRESH, **own})
        if strays := sorted(name for name, value in words.items() if not _plain(value)):
            # fsspec shares an instance among those whose words look the same: two credentials may.
            raise TypeError(
                f"storage options are plain values, and {', '.join(strays)} is none; "
                "the files of a Facility object are IriFileSystem.over(facility)"
            )
        self._secret = not words.keys().isdisjoint(_SECRETS)
        self._allow_job = allow_job
        self._only: Facility | Callable[[], Facility] | None = None
        self._catalogue = Catalogue(url, words)

    @classmethod
    def over(cls, facility: Facility | Callable[[], Facility], *, allow_job: bool = False) -> Self:
        """The files of this Facility, or of that which is opened at first use; paths begin with its name."""
        made = cls(skip_instance_cache=True, allow_job=allow_job)
        made._only = facility
        made._catalogue = Catalogue(None, {}, facility if callable(facility) else lambda: facility)
        return made

    def __reduce__(self) -> Any:
        if self._only is not None:
            return _over, (
                type(self),
                self._only,
                self._allow_job,
            )  # a Facility knows whether a secret would travel along
        self._require_no_secret("pickled")
        return super().__reduce__()

    def to_dict(self, *, include_password: bool = True) -> dict[str, Any]:
        """What ``from_dict`` makes it from again."""
        self._require_no_secret("written down")
        return super().to_dict(include_password=include_password)

    def _require_no_secret(self, how: str) -> None:
        if self._only is not None or self._secret:
            raise TypeError(
                f"this file system cannot be {how}: its token or its proxy's password would travel along. "
                "Use a profile that holds them"
            )

    # ---------------------------------------------------------------------------------------------- paths

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in cast("list[Any]", path)]
        return stripped(os.fspath(path))

    @classmethod
    def _parent(cls, path: str) -> str:
        return parent(path)

    # ------------------------------------------------------------------------------------------ to look

    def ls(self, path: str, detail: bool = True, refresh: bool = False, **_: Any) -> list[Any]:
        """List a directory; above it, the profiles there are and the file systems of each."""
        path = stripped(path)
        listed: list[Info] | None = None if refresh else self.dircache.get(path)
        if listed is None:
            with os_errors(path):
                listed = self._catalogue.listed(path)
            self.dircache[path] = listed
        return listed if detail else [each["name"] for each in listed]

    def info(self, path: str, refresh: bool = False, **_: Any) -> Info:
        """Name, size, type and mtime (seconds, None where that is not told) of what a path leads to."""
        path = stripped(path)
        listed: list[Info] = [] if refresh else self.dircache.get(parent(path), [])
        known = [each for each in listed if each["name"] == path and each["type"] != "link"]
        if known:
            return known[0]
        with os_errors(path):
            return self._catalogue.seen(path)

    def exists(self, path: str, **words: Any) -> bool:
        """Whether something is there; where nobody can tell, that is an error and no "no"."""
        try:
            self.info(path, **words)
        except FileNotFoundError:
            return False
        return True

    def modified(self, path: str) -> datetime:
        """When it was last written to."""
        return datetime.fromtimestamp(self.info(path, refresh=True)["mtime"], UTC)

    def checksum(self, path: str) -> int:
        """The facility's own digest of the bytes."""
        with os_errors(path):
            facility, storage, place = self._catalogue.at(path)
            return int(facility.files.checksum(place, storage=storage).value, 16)

    def ukey(self, path: str) -> str:
        """Another one for another version of the file."""
        now = self.info(path, refresh=True)
        return f"{now['size']}-{now['mtime']}"

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget the listings above and below a path, or all."""
        super().invalidate_cache(path)
        here = "" if path is None else stripped(path)
        for listed in list(self.dircache):
            if not here or within(here, listed) or within(listed, here):
                self.dircache.pop(listed, None)

    # ------------------------------------------------------------------------------------------ to read

    def _open(self, path: str, mode: str = "rb", autocommit: bool = True, **words: Any) -> Any:
        path = stripped(path)
        if mode == "rb":
            return self._opened(path, **words)
        if mode not in {"wb", "xb"}:
            raise NotImplementedError(f"a file at a facility is read or written whole, not opened {mode!r}")
        if mode == "xb" and self.exists(path, refresh=True):
            raise FileExistsError(path)
        with os_errors(path):
            self._catalogue.at(path)
        return SentFile(path, lambda copy: self._send(copy, path), autocommit=autocommit)

    def _opened(self, path: str, **words: Any) -> Any:
        with os_errors(path):
            facility, storage, place = self._catalogue.at(path)
            try:
                first = facility.files.read(place, end=FIRST_PIECE, storage=storage)
            except NotOffered:
                # A directory, or what a pattern names, would be fetched whole before that comes out.
                if self.info(path)["type"] == "directory":
                    raise IsADirectoryError(errno.EISDIR, "is a directory", path) from None
                return FetchedFile(path, lambda copy: self._fetch(path, copy))
        if len(first) < FIRST_PIECE:
            return FetchedFile(path, lambda copy: copy.write_bytes(first))
        return AbstractBufferedFile(self, path, **words)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **words: Any) -> bytes:
        """The bytes of a file, or some of them, counted as in a slice."""
        if (start or 0) >= 0 and end is not None and end >= 0:
            with os_errors(path), contextlib.suppress(NotOffered):
                facility, storage, place = self._catalogue.at(path)
                return facility.files.read(place, start=start or 0, end=end, storage=storage)
        return cast("bytes", super().cat_file(path, start, end, **words))

    def get_file(self, rpath: str, lpath: Any, callback: Any = None, outfile: Any = None, **_: Any) -> None:
        """Fetch one file, whole or not at all; for a directory, make one here."""
        into = outfile if outfile is not None else lpath
        if hasattr(into, "write"):
            with self._open(rpath) as file:
                shutil.copyfileobj(file, into)
            return
        if self.info(rpath)["type"] == "directory":
            Path(lpath).mkdir(parents=True, exist_ok=True)
            return
        Path(lpath).parent.mkdir(parents=True, exist_ok=True)
        with os_errors(rpath):
            self._fetch(rpath, Path(lpath), callback)

    def _fetch(self, path: str, target: Path, callback: Any = None) -> None:
        tell = _teller(callback)
        Transfers().copy(self._end(path), target, allow_job=self._allow_job, on_progress=tell)

    # ----------------------------------------------------------------------------------------- to write

    def put_file(
        self, lpath: Any, rpath: str, callback: Any = None, mode: str = "overwrite", **_: Any
    ) -> None:
        """Send one file, whole or not at all; for a directory, make one there."""
        if mode == "create" and self.exists(rpath, refresh=True):
            raise FileExistsError(rpath)
        if os.path.isdir(lpath):
            self.makedirs(rpath, exist_ok=True)
            return
        self.makedirs(parent(rpath), exist_ok=True)
        self._send(Path(lpath), stripped(rpath), callback)

    def _send(self, source: Path, path: str, callback: Any = None) -> None:
        with os_errors(path):
            tell = _teller(callback)
            Transfers().copy(source, self._end(path), allow_job=self._allow_job, on_progress=tell)
        self.invalidate_cache(path)

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        """Make a directory that is not there yet."""
        if self.exists(path, refresh=True):
            raise FileExistsError(path)
        self._make(path, parents=create_parents)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a directory and those above it."""
        if exist_ok:
            self._make(path, parents=True)
        else:
            self.mkdir(path)

    def _make(self, path: str, *, parents: bool) -> None:
        with os_errors(path):
            facility, storage, place = self._catalogue.at(path)
            facility.files.mkdir(place, parents=parents, storage=storage)
        self.invalidate_cache(path)

    def cp_file(self, path1: str, path2: str, **_: Any) -> None:
        """Copy one file; for a directory, make one."""
        if self.isdir(path1):
            self.makedirs(path2, exist_ok=True)
            return
        with os_errors(path1):
            Transfers().copy(self._end(path1), self._end(path2), allow_job=self._allow_job)
        self.invalidate_cache(path2)

    def _end(self, path: str) -> FacilityEnd:
        facility, storage, place = self._catalogue.at(path)
        return facility.files.at(place, storage=storage)

    def mv(
        self, path1: str, path2: str, recursive: bool = False, maxdepth: int | None = None, **_: Any
    ) -> None:
        """Rename; from one file system to another, copy and remove."""
        with os_errors(path1):
            facility, storage, source = self._catalogue.at(path1)
            other, other_storage, target = self._catalogue.at(path2)
            if (facility, storage) == (other, other_storage):
                facility.files.mv(source, target, storage=storage)
                self.invalidate_cache(path1)
                self.invalidate_cache(path2)
                return
        super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth)

    # ---------------------------------------------------------------------------------------- to remove

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, and with ``recursive`` directories and all that is in them; names are literal."""
        if maxdepth is not None:
            raise NotImplementedError("a facility removes a directory with all that is in it, or not at all")
        for each in self._strip_protocol(path if isinstance(path, list) else [path]):
            with os_errors(each):
                facility, storage, place = self._catalogue.at(each)
                if posixpath.normpath(place) == "/":
                    raise UsageError(f"iri://{each} is a whole file system; that is not removed")
                if not recursive and self._catalogue.seen(each, follow=False)["type"] == "directory":
                    raise IsADirectoryError(errno.EISDIR, "is a directory; recursive=True removes it", each)
                facility.files.rm(place, storage=storage)
            self.invalidate_cache(each)

    def rm_file(self, path: str) -> None:
        """Remove one file."""
        self.rm(path)

    def rmdir(self, path: str) -> None:
        """Not offered: the API has no way to remove a directory only if it is empty."""
        raise NotImplementedError("a facility removes a directory with all that is in it: rm(recursive=True)")


def _over(
    kind: type[IriFileSystem], facility: Facility | Callable[[], Facility], allow_job: bool
) -> IriFileSystem:
    return kind.over(facility, allow_job=allow_job)


def _plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_plain(each) for each in cast("Mapping[str, object]", value).values())
    return value is None or isinstance(value, str | int | float)


def _teller(callback: Any) -> Callable[[Progress], None] | None:
    """What tells a callback of fsspec how far a file is."""
    if callback is None:
        return None

    def tell(progress: Progress) -> None:
        callback.set_size(progress.bytes_total)
        callback.absolute_update(progress.bytes_done)

    return tell
