"""Roads of the core before a real facility: a meter and notes that tell, jobs that really run."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from iri_common import Facility, FileLedger
from iri_common.facility import doors
from iri_common.facility.doors import open_door
from iri_common.facility.loop import run_blocking
from iri_common.facility.settings import make_settings
from iri_common.http.budget import Budget
from iri_common.jobs import operations
from iri_common.model.job import JobResult
from iri_common.model.key import JobKey
from iri_common.model.ports import Dialect
from iri_common.model.transfer import Move
from iri_common.policy.retry import Limits
from iri_common.transfers import abreast, chunks, packs
from iri_common.transfers.landed import forget_landed
from iri_common.transfers.trip import Carrier, Trip
from iri_local_facility import LocalFacility

KIB, MIB = 1024, 1024 * 1024
STRANGE = ["-rf a b", 'it\'s "$HOME" & `x` \\n', "line\nend", "*?[a]%20#", "Überführung→ß", ".hidden"]


@dataclass
class Told:
    """Meter and notes of one transfer, over all its tries."""

    transfer: str = field(default_factory=lambda: os.urandom(8).hex())
    spent: int = 0
    bytes_moved: int = 0
    bytes_kept: int = 0
    landings: dict[str, str | None] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    async def spend(self, count: int) -> None:
        self.spent += count

    def moved(self, count: int, name: str = "") -> None:
        self.bytes_moved += count

    def kept(self, count: int) -> None:
        self.bytes_kept += count

    def landed(self, move: Move, sha256: str | None = None) -> None:
        self.landings[move.target] = sha256
        forget_landed(self, move)  # what is noted of it from here on is no matter of the roads

    def get(self, name: str) -> Any:
        return self.notes.get(name)

    def put(self, name: str, value: Any) -> None:
        if value is None:
            self.notes.pop(name, None)
        else:
            self.notes[name] = value

    async def written(self) -> None:
        """It outlives nothing."""

    durable = written

    def trip(self, parallel: int = 4) -> Trip:
        return Trip(self, self, parallel)


class Roads:
    """A door to a facility, and what moves through it."""

    def __init__(self, place: LocalFacility, state: Path) -> None:
        self.place = place
        words = {"token": place.token, "poll_seconds": 0.05, "directory": str(place.scratch)}
        self.facility = Facility(place.base_url, ledger=FileLedger(state / "ledger"), **words)
        self._settings = make_settings(place.base_url, **words)
        self.scripts: list[str] = []

    def carry(
        self, made: Callable[[Dialect, str], Carrier], moves: Sequence[Move], told: Told, parallel: int = 4
    ) -> None:
        """Make a road on the I/O loop and carry over it."""

        async def work() -> None:
            door = open_door(self._settings)
            file_system = (await door.file_system(None, None)).id
            await made(door.dialect, file_system).carry(moves, told.trip(parallel))

        run_blocking(work())

    async def run_script(self, script: str, key: JobKey, output: str) -> JobResult:
        """As the facility's own jobs do it."""
        self.scripts.append(script)
        spec = {
            "executable": "/bin/sh",
            "arguments": ["-c", script],
            "stdout_path": f"{output}/job.out",
            "stderr_path": f"{output}/job.err",
            "attributes": {"duration": 60},
        }
        asked = await self.facility.aio.jobs.ask(spec, key=key)
        return await self.facility.aio.jobs.result(asked.ref)

    def counted(self) -> Counter[str]:
        """Requests that the facility saw, by operation."""
        return Counter(each["operation"] for each in self.place.requests())


def hurry(patch: pytest.MonkeyPatch) -> None:
    """The steps stay; only the pauses between them are short."""
    patch.setattr(doors, "Budget", functools.partial(Budget, per_second=500.0, burst=200))
    quick = functools.partial(operations.Patience, first=0.02, growth=1.4, longest=0.3)
    patch.setattr(operations, "Patience", quick)
    patch.setattr(chunks, "PATIENCE", quick())
    patch.setattr(packs, "PATIENCE", quick())
    patch.setattr(chunks, "_LATE_SIGHT", (0.0, 0.1))
    patch.setattr(abreast, "TRIES", Limits(attempts=3, first_delay=0.05))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tree(top: Path) -> dict[str, bytes]:
    """All files below a directory by their relative names."""
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def move_of(source: Path, target: Path, size: int | None = None) -> Move:
    """From a path here to a path there, or back; ``size`` where it cannot be looked at."""
    facts = source.stat()
    return Move(
        str(source), str(target), facts.st_size if size is None else size, facts.st_mtime, source.name
    )
