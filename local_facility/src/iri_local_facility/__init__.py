"""A facility on a laptop: real processes behind facility APIs, for demos, tests and development.

The public API is for tests: `LocalFacility` starts a facility of one's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .testing import LocalFacility

__all__ = ["LocalFacility"]


def __getattr__(name: str) -> Any:
    """Import on first use."""
    if name == "LocalFacility":
        from .testing import LocalFacility

        return LocalFacility
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
