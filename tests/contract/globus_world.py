"""A facility with Globus, a beamline's collection beside it, and the core's side of both."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from iri_common.apis.globus import GlobusClient, GlobusCredential, GlobusDialect
from iri_common.auth.store import TokenStore
from iri_common.http.bytes import HttpBytes
from iri_common.http.transport import WireSettings
from iri_common.model.transfer import CollectionEnd, Move, TransferTask
from iri_common.policy.globus_tasks import TaskPace
from iri_common.policy.retry import Limits
from iri_common.transfers.globus import GlobusRoad
from iri_common.transfers.notes import FileNotes
from iri_common.transfers.trip import Trip
from iri_local_facility import LocalFacility

QUICK = TaskPace(0.1, 0.3)
HASTY = Limits(attempts=5, total=10.0, first_delay=0.05, longest_delay=0.2)


class Counted:
    """A meter that only counts."""

    def __init__(self) -> None:
        self.bytes, self.kept_bytes = 0, 0
        self.whole: list[str] = []

    async def spend(self, count: int) -> None: ...

    def moved(self, count: int, name: str = "") -> None:
        self.bytes += count

    def kept(self, count: int) -> None:
        self.kept_bytes += count

    def landed(self, move: Move, sha256: str | None = None) -> None:
        self.whole.append(move.target)


@dataclass
class World:
    """What the tests of one module share.

    Attributes:
        place: The facility; its Globus serves both collections.
        beam: The directory that the other collection shows.
        state: Where tokens and notes are kept.
    """

    place: LocalFacility
    beam: Path
    state: Path

    @property
    def here(self) -> CollectionEnd:
        return CollectionEnd(self.place.collection)

    @property
    def there(self) -> CollectionEnd:
        return CollectionEnd(self.place.collection_of("beam"))

    def own(self) -> GlobusCredential:
        """A client that speaks for itself."""
        return GlobusCredential(self.place.globus_client_id, lambda: self.place.globus_client_secret)

    def person(self) -> GlobusCredential:
        """Whoever logged in."""
        return GlobusCredential(self.place.globus_native_client_id)

    def store(self) -> TokenStore:
        return TokenStore("globus", self.place.globus_native_client_id, directory=self.state / "tokens")

    def dialect(self, credential: GlobusCredential | None = None) -> GlobusDialect:
        client = GlobusClient(credential or self.own(), store=self.store(), limits=HASTY)
        return GlobusDialect(client, HttpBytes(WireSettings()))

    def move(self, name: str, size: int = 1000, *, target: str | None = None) -> Move:
        """A file at the facility that is to go to the beamline."""
        source = self.place.home / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(b"x" * size)
        return Move(str(source), target or f"/from facility/{name}", size, name=name)

    async def carried(
        self, moves: list[Move], *, dialect: GlobusDialect | None = None, notes: str = "a", **options: object
    ) -> tuple[GlobusRoad, Counted]:
        """Carry over Globus, with notes that the next try finds."""
        dialect = dialect or self.dialect()
        road = GlobusRoad(dialect.transfers, self.here, self.there, pace=QUICK, **options)  # type: ignore[arg-type]
        meter = Counted()
        async with self.noted(notes) as kept:
            await road.carry(moves, Trip(meter, kept))
        return road, meter

    @asynccontextmanager
    async def noted(self, name: str) -> AsyncIterator[FileNotes]:
        """Notes of a transfer, which stay."""
        notes = await FileNotes.opened(name, "there", directory=self.state / "notes")
        try:
            yield notes
        finally:
            await notes.close()

    async def task(self, task_id: str) -> TransferTask:
        return (await self.dialect().transfers.tasks([task_id])).value[task_id]

    def asked(self) -> Counter[str]:
        """How often each operation was asked for."""
        return Counter(each["operation"] for each in self.place.requests())

    def submitted(self) -> list[str]:
        """The ids of all tasks that there are."""
        return [each["id"] for each in self.place.transfers()]


async def until(condition, seconds: float = 60.0) -> None:  # type: ignore[no-untyped-def]
    """Wait for something to be so."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it is of another process
            await asyncio.sleep(0.02)
