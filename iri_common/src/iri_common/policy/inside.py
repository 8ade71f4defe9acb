"""Where a name that somebody else wrote may lead: below the directory that was chosen, and nowhere else."""

from __future__ import annotations

import posixpath

from iri_common.model.errors import TransferError


def inside(root: str, name: str) -> str:
    """The path of ``name``, from a listing or an archive, below ``root``.

    It judges names only: who writes through symbolic links has to refuse those as well.

    Raises:
        TransferError: for a name that leaves the root, means the root itself, or cannot be one.
    """
    if (
        not name
        or "\0" in name
        or name.startswith("/")
        or not set(name.split("/")).isdisjoint({"", ".", ".."})
    ):
        raise TransferError(
            f"{name!r} is no name of a file below {root}; nothing is written there. "
            "The other end's listing, or its archive, is broken or means harm"
        )
    return posixpath.join(root, name)
