"""How far to go down in a tree: a directory may contain itself, and what a server tells may be a lie."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence

from iri_common.model.errors import UsageError
from iri_common.model.files import FileEntry
from iri_common.policy.inside import inside

DEEPEST = 128  # directories in one another; where each has a few letters, no file system knows a longer path
MOST = 100_000  # directories that are listed one by one, in hours
_ROUNDS = 8  # directories in one another that all look the same: more do not come about by chance


class Descent:
    """Listings of directories, one by one.

    A mount or a link that leads round shows the same directories for ever, under ever longer names.

    Args:
        root: Where it begins.
        asked: Each listing is a request, so that there may be no more than :data:`MOST`.
    """

    def __init__(self, root: str, *, asked: bool = True) -> None:
        self._root, self._asked = root, asked
        self._found = 0
        self._looks: dict[str, int] = {}

    def below(self, name: str, entries: Sequence[FileEntry]) -> Sequence[str]:
        """The directories to be listed next.

        Args:
            name: Of the directory that was listed, as entries are named; "" for the root.
            entries: All that is in it, named from the root on.

        Raises:
            UsageError: naming a directory at which there is no end in sight.
        """
        directories = [each.name for each in entries if each.type == "directory"]
        if not directories:
            return ()
        self._found += len(directories)
        self._looks[name] = look = _look(entries)
        path = inside(self._root, name) if name else self._root
        if sum(self._looks.get(each) == look for each in _above(name)) >= _ROUNDS:
            raise UsageError(
                f"{path} looks like {_ROUNDS} directories above it: a mount or a link there leads round; "
                "move what it leads to by itself"
            )
        if name.count("/") >= DEEPEST:
            raise UsageError(f"{path} is more than {DEEPEST} directories deep; move it by itself")
        if self._asked and self._found > MOST:
            raise UsageError(
                f"{self._root} has more than {MOST} directories, which can be listed one by one only; move "
                "them a few at a time"
            )
        return directories


def _look(entries: Sequence[FileEntry]) -> int:
    """The same for directories with the same in them, as far as a listing tells; what is below may differ."""
    return hash(
        frozenset(
            (posixpath.basename(each.name), each.type, None if each.type == "directory" else each.size)
            for each in entries
        )
    )


def _above(name: str) -> Iterator[str]:
    while name:
        name = posixpath.dirname(name)
        yield name
