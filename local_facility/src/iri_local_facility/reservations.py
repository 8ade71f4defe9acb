"""Nodes that are kept for some people for a while: whose jobs name them run there, and no others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .accounts import User
from .errors import Conflict, Missing, Rejected
from .jobs import Job, JobRequest
from .store import Store

DELETED = "held: its reservation was deleted"
AHEAD = "waiting for its reservation"


@dataclass(frozen=True)
class Wanted:
    """A reservation that is asked for.

    Attributes:
        start: From when, in seconds since the epoch; ``end`` likewise.
        users: Who may use it, beside the members of ``accounts``.
    """

    name: str
    count: int
    start: float
    end: float
    users: Sequence[str] = ()
    accounts: Sequence[str] = ()
    queue: str = "regular"
    flags: Sequence[str] = ()


@dataclass(frozen=True)
class Reservation(Wanted):
    """One that was granted, with the names of its nodes."""

    nodes: Sequence[str] = ()

    def overlaps(self, start: float, end: float) -> bool:
        """Whether it is about that time."""
        return self.start < end and start < self.end


class Reservations:
    """All of them, over the store."""

    def __init__(self, store: Store, node_names: Sequence[str]) -> None:
        self._store = store
        self._nodes = node_names

    def live(self) -> list[Reservation]:
        """Those whose time is not over, oldest first."""
        there = 'deleted IS NULL AND "end" > ? ORDER BY number'
        rows = self._store.rows(f"SELECT document FROM reservations WHERE {there}", time.time())
        return [Reservation(**json.loads(row["document"])) for row in rows]

    def find(self, name: str) -> Reservation | None:
        """The one of that name."""
        return next((each for each in self.live() if each.name == name), None)

    def ever(self) -> list[dict[str, Any]]:
        """Every one that there ever was, and whether it is still there."""
        now = time.time()
        return [
            {**json.loads(row["document"]), "deleted": row["deleted"] is not None, "over": row["end"] <= now}
            for row in self._store.rows('SELECT document, deleted, "end" FROM reservations ORDER BY number')
        ]

    def add(self, wanted: Wanted, running: Iterable[Job]) -> Reservation:
        """Keep nodes on which nothing else is reserved, and no job runs, at that time.

        Raises:
            Rejected: In Slurm's words: there are none, or not so many.
        """
        if self.find(wanted.name) is not None:
            raise Rejected("Duplicate reservation name")
        if wanted.count > len(self._nodes):
            raise Rejected("Requested node configuration is not available")
        kept = self._kept(wanted.start, wanted.end)
        busy = {node for job in running if _ends(job) > wanted.start for node in job.nodes}
        nodes = [node for node in self._nodes if node not in kept | busy][: wanted.count]
        if len(nodes) < wanted.count:
            raise Rejected("Requested nodes are busy")
        granted = Reservation(**{**vars(wanted), "nodes": nodes})
        self._store.insert(
            "reservations", name=granted.name, document=json.dumps(vars(granted)), end=granted.end
        )
        return granted

    def remove(self, name: str, running: Iterable[Job]) -> None:
        """Give its nodes back.

        Raises:
            Missing: There is none of that name.
            Conflict: Jobs run there.
        """
        if self.find(name) is None:
            raise Missing("Requested reservation is invalid")
        if any(job.request.reservation == name for job in running):
            raise Conflict("Requested reservation is in use")
        self._store.run(
            "UPDATE reservations SET deleted = ? WHERE name = ? AND deleted IS NULL", time.time(), name
        )

    # -- what they mean to jobs

    def check(self, user: User, request: JobRequest) -> None:
        """Refuse a job that names what is not there, or not for it.

        Raises:
            Rejected: In Slurm's words.
        """
        if request.reservation is None:
            return
        found = self.find(request.reservation)
        if found is None:
            raise Rejected("Requested reservation is invalid")
        if user.name not in found.users and request.account not in found.accounts:
            raise Rejected("Access denied to requested reservation")

    def lanes(self) -> Iterator[str | None]:
        """The queues that do not wait for one another: for each reservation, and for what is not kept."""
        yield from (each.name for each in self.live())
        yield None

    def begun(self, name: str) -> bool:
        """Whether its time has come."""
        found = self.find(name)
        return found is not None and found.start <= time.time()

    def open_to(self, job: Job, free: Sequence[str]) -> list[str]:
        """The nodes among those without work that a job could have now for as long as it may run."""
        now = time.time()
        ends = now + job.duration
        if job.request.reservation is None:
            kept = self._kept(now, ends)
            return [node for node in free if node not in kept]
        found = self.find(job.request.reservation)
        return [node for node in free if node in found.nodes] if found and ends <= found.end else []

    def _kept(self, start: float, end: float) -> set[str]:
        return {node for each in self.live() if each.overlaps(start, end) for node in each.nodes}


def _ends(job: Job) -> float:
    return (job.started or time.time()) + job.duration
