"""Over Globus Transfer: one task for all files, asked for once, watched, never through this machine."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from iri_common.model.dataports import TransfersApi
from iri_common.model.errors import AuthError, Conflict, IriError, TransferError
from iri_common.model.logfields import about
from iri_common.model.transfer import CollectionEnd, Move, TransferRequest, TransferTask
from iri_common.policy.collections import to_collection
from iri_common.policy.globus_tasks import Meaning, Sight, TaskPace, deadline, got_on, label_of, seen
from iri_common.transfers.globus_poller import TaskPoller
from iri_common.transfers.trip import Meter, Notes, Trip

log = logging.getLogger(__name__)

_NOTE = "globus-"  # what the names of notes of errands begin with
_ERRANDS = "globus"  # the note that lists them

_FIELDS = about(facility="Globus")

LIMIT = 3600.0  # seconds that a task may stand still because of something that a person has to do


@dataclass(frozen=True, slots=True)
class _Errand:
    """What is asked of Globus, and the name of the note that remembers it."""

    request: TransferRequest
    note: str
    size: int
    what: str


@dataclass(frozen=True, slots=True)
class _Look:
    """How a task is watched."""

    transfers: TransfersApi
    poller: TaskPoller[TransferTask]
    pace: TaskPace
    limit: float


class GlobusRoad:
    """Between two collections; a :class:`~iri_common.transfers.trip.Carrier`.

    A waiter that goes away, killed or cancelled, leaves the task to Globus: carried again, it is adopted.

    Args:
        transfers: Of the identity that asks.
        source: Where the moves' sources are.
        target: Where their targets are.
        poller: Shared by all who wait on this identity's tasks.
        tree: The two directories, where the moves are all that is in the one: they go as one item.
        sync_level: None copies always; else exists, size, mtime or checksum.
        pace: Of looking.
        limit: Seconds that a task may stand still before the wait for it is given up.
    """

    def __init__(
        self,
        transfers: TransfersApi,
        source: CollectionEnd,
        target: CollectionEnd,
        *,
        poller: TaskPoller[TransferTask] | None = None,
        tree: tuple[str, str] | None = None,
        sync_level: str | None = None,
        pace: TaskPace | None = None,
        limit: float = LIMIT,
    ) -> None:
        self.task_id: str | None = None
        self._transfers = transfers
        self._source, self._target = source, target
        self._look = _Look(transfers, poller or TaskPoller(transfers), pace or TaskPace(), limit)
        self._tree = tree
        self._sync_level = sync_level

    async def carry(self, moves: Sequence[Move], trip: Trip) -> None:
        """Have them all moved.

        Raises:
            TransferError: in Globus' words, with what to do; what it had moved stays.
            UsageError: for a path that a collection does not show.
        """
        if not moves:
            return
        errand = self._errand(moves, trip.notes.transfer)
        adopted = self._noted(trip, errand).get("task") is not None
        self.task_id = await self._asked_for(errand, trip)
        await _Watch(self._look, errand, self.task_id, trip, adopted=adopted).to_the_end()
        for move in moves:
            trip.meter.landed(move)

    async def abandon(self, moves: Sequence[Move], trip: Trip) -> None:
        """End the task of these moves, if there is one; the next try begins a new one."""
        await _ended(self._transfers, trip.notes, self._errand(moves, trip.notes.transfer).note)

    async def entrust(self, moves: Sequence[Move], transfer: str, submission: str) -> str:
        """Have them all moved, and do not wait for it; gives the task's id.

        Nothing is noted: the caller keeps the submission, under which it is one task however often it is
        asked for.

        Args:
            moves: The files.
            transfer: Names who asks, for the label.
            submission: As Globus gave it.

        Raises:
            TransferError: if another task of somebody else's moves files to the same paths.
        """
        return await self._submitted(self._errand(moves, transfer), submission)

    async def follow(
        self, task_id: str, what: str, on_change: Callable[[TransferTask], object] | None = None
    ) -> TransferTask:
        """Wait for the end of a task that was entrusted to Globus, by whatever process.

        Args:
            task_id: Its id.
            what: It moves, for people.
            on_change: Called when it has got on.

        Raises:
            TransferError: as for :meth:`carry`.
        """
        request = TransferRequest(self._source.collection, self._target.collection, (), "")
        errand = _Errand(request, _NOTE, 0, what)
        return await _Watch(self._look, errand, task_id, on_change=on_change).to_the_end()

    def _errand(self, moves: Sequence[Move], transfer: str) -> _Errand:
        pairs = [(*self._tree, True)] if self._tree else [(each.source, each.target, False) for each in moves]
        items = tuple(
            (to_collection(self._source, source), to_collection(self._target, target), directory)
            for source, target, directory in pairs
        )
        size = sum(move.size for move in moves)
        # Of sizes and times too: a source that changed after an earlier try is another errand.
        facts = [(self._source.collection, self._target.collection, items, self._sync_level)]
        facts += sorted((move.source, move.size, move.mtime) for move in moves)  # pyright: ignore[reportArgumentType]
        digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
        request = TransferRequest(
            self._source.collection,
            self._target.collection,
            items,
            label_of(transfer, digest),
            self._sync_level,
            deadline(time.time(), size),
        )
        names = f"{items[0][0]} -> {items[0][1]}"
        more = f" and {len(items) - 1} more" if len(items) > 1 else ""
        return _Errand(request, _NOTE + digest, size, f"{names}{more}")

    def _noted(self, trip: Trip, errand: _Errand) -> Mapping[str, Any]:
        return trip.notes.get(errand.note) or {}

    async def _asked_for(self, errand: _Errand, trip: Trip) -> str:
        """The task that does it, submitted now or by an earlier try."""
        noted = self._noted(trip, errand)
        if "task" in noted:
            log.info("%s: going on with task %s of Globus", errand.what, noted["task"], extra=_FIELDS)
            return str(noted["task"])
        submission = noted.get("submission")
        if submission is None:
            # What an earlier try asked for, of other files or older ones, writes to the same paths.
            await end_errands(self._transfers, trip.notes, self._look.pace, but=errand.note)
            trip.notes.put(_ERRANDS, [errand.note])
            submission = (await self._transfers.new_submission()).value
            trip.notes.put(errand.note, {"submission": submission})
            # On the disk before anything is sent: under the same id a lost answer costs nothing.
            await trip.notes.durable()
        task_id = await self._submitted(errand, str(submission))
        trip.notes.put(errand.note, {"submission": submission, "task": task_id})
        await trip.notes.durable()
        return task_id

    async def _submitted(self, errand: _Errand, submission: str) -> str:
        try:
            return (await self._transfers.submit(errand.request, submission)).value
        except Conflict as conflict:
            return await self._adopted(errand, conflict)

    async def _adopted(self, errand: _Errand, conflict: Conflict) -> str:
        """The task that has these paths; the conflict itself does not name it (archivetar#65)."""
        for task in (await self._transfers.find(errand.request.label)).value:
            if not task.state.over:
                words = "%s: adopting task %s of Globus, which is under way"
                log.info(words, errand.what, task.task_id, extra=_FIELDS)
                return task.task_id
        raise TransferError(
            f"{errand.what}: another task of Globus moves files to the same paths ({conflict.message}); "
            "wait for it or cancel it (app.globus.org/activity), then try again"
        ) from None


async def end_errands(
    transfers: TransfersApi, notes: Notes, pace: TaskPace | None = None, *, but: str = ""
) -> None:
    """End what earlier tries asked for, all but one; when this returns nothing of it is under way."""
    errands: Sequence[str] = notes.get(_ERRANDS) or ()
    poller, quickest = TaskPoller(transfers), (pace or TaskPace()).quickest
    for note in errands:
        for task_id in await _ended(transfers, notes, note) if note != but else ():
            delay = 0.0
            for _ in range(10):  # a cancel is not always done when it is answered
                task = await poller.look(task_id, delay)
                if task is None or task.state.over:
                    break
                delay = quickest


async def _ended(transfers: TransfersApi, notes: Notes, note: str) -> Sequence[str]:
    """Cancel what a note tells of and forget it; gives the tasks."""
    noted: Mapping[str, Any] = notes.get(note) or {}
    tasks = [str(noted["task"])] if "task" in noted else []
    if noted and not tasks:  # whether it was submitted is not known
        label = label_of(notes.transfer, note.removeprefix(_NOTE))
        tasks = [task.task_id for task in (await transfers.find(label)).value]
    for task_id in tasks:
        await transfers.cancel(task_id)
    notes.put(note, None)
    return tasks


class _Watch:
    """The wait for one task; without a trip nobody has noted it, and nobody counts."""

    def __init__(
        self,
        look: _Look,
        errand: _Errand,
        task_id: str,
        trip: Trip | None = None,
        *,
        adopted: bool = False,
        on_change: Callable[[TransferTask], object] | None = None,
    ) -> None:
        self._look = look
        self._errand, self._task_id, self._trip = errand, task_id, trip
        self._progress = _Counted(trip.meter, errand.size, adopted) if trip is not None else None
        self._on_change = on_change
        self._changed_at = self._now()
        self._stands_since: float | None = None
        self._told = ""

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def to_the_end(self) -> TransferTask:
        sight: Sight | None = None
        delay = 0.0
        while True:
            try:
                task = await self._look.poller.look(self._task_id, delay)
            except AuthError as error:
                if not self._look.transfers.mendable:
                    error.message += f". {self._left()}"
                    raise
                self._stands(str(error))
            except IriError as error:
                if not error.transient:
                    raise
                self._stands(str(error))
            else:
                if task is None:
                    raise await self._gone()
                before, sight = sight, seen(task, sight)
                if got_on(before, sight):
                    self._changed_at = self._now()
                    if self._on_change is not None:
                        self._on_change(task)
                if await self._over(sight):
                    return task
            delay = self._look.pace.delay(self._now() - self._changed_at, random.random())

    async def _over(self, sight: Sight) -> bool:
        task, meaning = sight.task, sight.meaning
        if self._progress is not None:
            self._progress.count(task)
        if meaning is Meaning.WHOLE:
            if self._progress is not None:
                self._progress.complete()
            return True
        if meaning is Meaning.PAUSED:
            self._stands(await self._pause(task))
        elif meaning is Meaning.GOES_ON:
            self._stands_since = None
        else:
            raise await self._failure(meaning, task)
        return False

    async def _failure(self, meaning: Meaning, task: TransferTask) -> TransferError:
        words = await self._words(task)
        if meaning is Meaning.DOOMED:
            with contextlib.suppress(IriError):  # the reason counts; the next try finds it by its label
                await self._look.transfers.cancel(self._task_id)
        await self._forget()  # the next try is another task
        if meaning is Meaning.HOLES:
            words = f"Globus left out {task.skipped_errors} because of errors ({words})"
        code = f"{task.code}: " if task.code.lower() not in words.lower() else ""
        return TransferError(f"{self._errand.what} was not moved: {code}{words} (task {self._task_id})")

    async def _gone(self) -> TransferError:
        await self._forget()
        return TransferError(
            f"{self._errand.what}: this identity sees no task {self._task_id} at Globus; it was submitted "
            "by another one, or is too old to be told of. Look at the target, then try again"
        )

    async def _forget(self) -> None:
        if self._trip is not None:
            self._trip.notes.put(self._errand.note, None)
            await self._trip.notes.durable()

    async def _pause(self, task: TransferTask) -> str:
        request = self._errand.request
        remedy = self._look.transfers.remedy(list(dict.fromkeys((request.source, request.target))))
        return f"{await self._words(task)}. If it asks for a login or a consent: {remedy}"

    async def _words(self, task: TransferTask) -> str:
        why = ""
        with contextlib.suppress(IriError):  # what is known already is told all the same
            why = (await self._look.transfers.why(self._task_id)).value
        return why or task.words or task.code or "Globus says nothing of the reason"

    def _stands(self, why: str) -> None:
        """It does not get on because of something that a person has to do: said once, waited for in bounds.

        Raises:
            TransferError: when that has lasted too long; the task is left alone.
        """
        now = self._now()
        if self._stands_since is None:
            self._stands_since = now
        if why != self._told:
            self._told = why
            words = "%s: task %s of Globus waits: %s"
            log.warning(words, self._errand.what, self._task_id, why, extra=_FIELDS)
        if now - self._stands_since >= self._look.limit:
            raise TransferError(
                f"{self._errand.what} waits for {self._look.limit:.0f} s already: {why}. {self._left()}"
            )

    def _left(self) -> str:
        task = f"Task {self._task_id} of Globus was left as it is"
        return f"{task}; the same transfer asked for again goes on with it"


class _Counted:
    """What the meter is told of a task: its bytes as they grow, and at the end those of the files."""

    def __init__(self, meter: Meter, size: int, adopted: bool) -> None:
        self._meter = meter
        self._size = size
        self._told: int | None = None if adopted else 0

    def count(self, task: TransferTask) -> None:
        """A look at it."""
        done = min(task.bytes_done, self._size)  # what was sent twice counts once
        if self._told is None:
            self._meter.kept(done)
        elif done > self._told:
            self._meter.moved(done - self._told)
        self._told = max(done, self._told or 0)

    def complete(self) -> None:
        """All of it is there."""
        if self._told is not None and self._told < self._size:
            self._meter.moved(self._size - self._told)
            self._told = self._size
