"""A network's door, and a path to ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from iri_common import Facility, FileLedger, PathEnd, PathIntent


def door(url: str, token: Any, folder: str, **words: Any) -> Facility:
    """To an orchestrator, with a ledger of its own."""
    ledger = FileLedger(Path(folder) / "ledger")
    return Facility(url, token=token, dialect="sense", name="net", poll_seconds=0.03, ledger=ledger, **words)


def intent(ports: list[str], name: str = "flow", mbps: int = 100) -> PathIntent:
    """A path between the first two ports."""
    return PathIntent([PathEnd(each) for each in ports[:2]], mbps=mbps, name=name)
