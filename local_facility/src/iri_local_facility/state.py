"""The state of a facility on disk, for who stands beside its process: tests, and those who tidy up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .settings import Settings
from .store import Store


@contextlib.contextmanager
def state_of(root: Path) -> Iterator[tuple[Settings, Store]]:
    """Settings and store of the facility at ``root``, whether or not it runs."""
    settings = Settings(root=root)
    store = Store(settings.state / "facility.db")
    try:
        yield settings, store
    finally:
        store.close()
