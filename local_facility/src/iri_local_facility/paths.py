"""Confinement: which real path a user's path means, and whether it is theirs.

User-visible paths are real absolute paths below the facility's root, because jobs are real processes and see
real paths. Every path is resolved first (``..`` and symbolic links) and judged afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import Denied, Rejected


@dataclass(frozen=True)
class Areas:
    """The directories a user may touch; their paths are already resolved."""

    home: Path
    scratch: Path
    projects: Mapping[str, Path]

    @property
    def tops(self) -> tuple[Path, ...]:
        """The top directory of every area."""
        return (self.home, self.scratch, *self.projects.values())

    def resolve(self, path: str, *, follow: bool = True, base: Path | None = None) -> Path:
        """The real path that a user's path means.

        Args:
            path: Absolute, or relative to ``base``.
            follow: Whether a symbolic link in the last place stands for its target or for itself.
            base: Where relative paths start; the home directory by default.

        Raises:
            Rejected: Not a path at all.
            Denied: Outside the user's areas.
        """
        if not path or "\0" in path:
            raise Rejected(f"{path!r} is not a path")
        try:
            real = _real(os.path.join(base or self.home, path), follow)
        except (ValueError, OSError) as bad:
            raise Rejected(f"{path!r} is not a path: {bad}") from None
        if not any(real.is_relative_to(top) for top in self.tops):
            raise Denied(f"{path}: Permission denied")
        return real

    def resolve_inner(self, path: str, *, follow: bool = False) -> Path:
        """Like `resolve`, for changes that no area's top directory survives (remove, move, chmod)."""
        real = self.resolve(path, follow=follow)
        if real in self.tops:
            raise Denied(f"{path}: Operation not permitted on the top of an area")
        return real

    def contains(self, path: Path) -> bool:
        """Whether a path, once resolved, is the user's."""
        real = _real(str(path), follow=True)
        return any(real.is_relative_to(top) for top in self.tops)


def _real(path: str, follow: bool) -> Path:
    head, tail = os.path.split(path.rstrip("/") or "/")
    # "x/.." and "x/." have no last place of their own: only full resolution gives them a meaning.
    if follow or tail in ("", ".", ".."):
        return Path(os.path.realpath(path))
    return Path(os.path.realpath(head), tail)
