"""What no Slurm API has: files, places for them, and operations that take their time."""

from __future__ import annotations

from typing import Any, NoReturn

from iri_common.model.errors import NotOffered

_INSTEAD = "lend the profile a Globus collection that shows the files of this machine"


class NoFiles:
    """Every operation on files raises NotOffered."""

    def __init__(self, label: str) -> None:
        self._label = label

    async def _none(self, *_: Any, **__: Any) -> NoReturn:
        raise NotOffered(f"Slurm's API has no files; {_INSTEAD}", facility=self._label)

    ls = head = tail = view = checksum = file_type = stat = download = upload = _none
    rm = chmod = chown = mkdir = symlink = cp = mv = compress = extract = _none


class NoStorage:
    """Every question for places raises NotOffered."""

    def __init__(self, label: str) -> None:
        self._label = label

    async def _none(self, *_: Any, **__: Any) -> NoReturn:
        raise NotOffered(
            "Slurm's API does not tell where data belongs; name paths as the facility's documentation does",
            facility=self._label,
        )

    locations = access_endpoints = _none


class NoOperations:
    """Slurm answers at once, so there is never an operation to look at."""

    def __init__(self, label: str) -> None:
        self._label = label

    async def _none(self, *_: Any, **__: Any) -> NoReturn:
        raise NotOffered("Slurm's API has no operations to wait for", facility=self._label)

    check = forget = _none

    def promised(self, *_: Any, **__: Any) -> NoReturn:
        """Nothing was."""
        raise NotOffered("Slurm's API has no operations to wait for", facility=self._label)
