"""Waits in the triggerer for a facility without which a transfer cannot go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_provider_iri import outages
from airflow_provider_iri.ends import End
from airflow_provider_iri.outages import left_until
from airflow_provider_iri.triggers import IriTrigger

if TYPE_CHECKING:
    from iri_common import Facility

SELDOM = 120.0  # seconds between two looks at what is said to be down


@dataclass(frozen=True, slots=True)
class Away:
    """A facility that does not answer.

    Attributes:
        why: For people.
        down: It says itself that it is.
    """

    why: str
    down: bool = False


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    found: asyncio.Task[Away | None]


_looks: MutableMapping[asyncio.AbstractEventLoop, dict[str, _Look]] = WeakKeyDictionary()
"""The last one at each facility: hundreds of tasks that an outage has met look together."""


class IriAnswerTrigger(IriTrigger):
    """Fires once when all facilities of a transfer answer, some time after one did not.

    Args:
        ends: One at each, as :class:`~airflow_provider_iri.ends.End` has it. Globus is not looked at.
        rounds: As :class:`~airflow_provider_iri.rounds.Rounds` has them.
        deadline: When to give up, in seconds since the epoch; None for never.
        kept: What the task is told again.
    """

    def __init__(
        self,
        ends: list[dict[str, Any]],
        rounds: dict[str, int],
        deadline: float | None,
        kept: dict[str, Any],
    ) -> None:
        super().__init__("")  # each end has a connection of its own, or none
        self.ends = ends
        self.rounds = rounds
        self.deadline = deadline
        self.kept = kept

    def words(self) -> dict[str, Any]:
        """What to make this trigger from."""
        return {"ends": self.ends, **self.about}

    @property
    def about(self) -> dict[str, Any]:
        """What the next round has to know."""
        return {"rounds": self.rounds, "deadline": self.deadline, "kept": self.kept}

    async def come_about(self) -> dict[str, Any]:
        """Let some time pass, then wait for an answer of each."""
        from airflow_provider_iri.rounds import Rounds

        await self._pause(Rounds(**self.rounds).pause, "the files went on")
        for each in self.ends:
            await self._answer(End(**each))
        return {}

    async def _answer(self, end: End) -> None:
        said = ""
        while (away := await look(end)) is not None:
            seconds = max(outages.PATIENCE, SELDOM) if away.down else outages.PATIENCE
            if away.why != said:
                self.log.info("%s; looking again every %g s", away.why, seconds)
                said = away.why
            await self._pause(seconds, f"{end.whom} answered again ({away.why})")

    async def _pause(self, seconds: float, what: str) -> None:
        from iri_common import WaitTimeout

        left = left_until(self.deadline)
        if left is None or left > seconds:
            await asyncio.sleep(seconds)
            return
        await asyncio.sleep(left)
        raise WaitTimeout(f"the task's execution_timeout was over before {what}; what has arrived stays")


class IriWorkTrigger(IriAnswerTrigger):
    """Fires once when a facility is done with what it does by itself for a transfer: a copy, or a job.

    Neither is ended when a person ends the task: the next one that is asked for the same goes on with it.

    Args:
        ends: As of an :class:`IriAnswerTrigger`; the facility is among them, that of the last one for a copy.
        rounds: Likewise.
        deadline: Likewise.
        kept: Likewise.
        work: ``{"ref": …}`` of the job, or the ``{"task": …}`` of :class:`iri_common.FacilityTask`.
    """

    what = "what the facility does for the transfer"

    def __init__(
        self,
        ends: list[dict[str, Any]],
        rounds: dict[str, int],
        deadline: float | None,
        kept: dict[str, Any],
        work: dict[str, Any],
    ) -> None:
        super().__init__(ends, rounds, deadline, kept)
        self.work = work

    def words(self) -> dict[str, Any]:
        """What to make this trigger from."""
        return {**super().words(), "work": self.work}

    async def come_about(self) -> dict[str, Any]:
        """Wait for its end; how it ended, the transfer finds out."""
        await outages.outlasted(self._end_within, self.deadline, self.what, self.log)
        return {}

    async def _end_within(self, seconds: float | None) -> None:
        from airflow_provider_iri.file_triggers import is_end_of
        from iri_common import FacilityTask, IriError, UsageError

        facility = await self._where()
        if (ref := self.work.get("ref")) is not None:
            await facility.aio.jobs.wait(ref, timeout=seconds)
            return
        task = FacilityTask(**self.work["task"])
        try:
            await facility.aio.files.finish(task, timeout=seconds)
        except IriError as error:
            # What only another worker can ask for again, as an upload, nobody waits for.
            if not is_end_of(task, error) and not isinstance(error, UsageError):
                raise

    async def _where(self) -> Facility:
        from iri_common import JobRef

        found = [await End(**each).facility() for each in self.ends]
        if (ref := self.work.get("ref")) is not None:
            origin = JobRef.parse(ref).origin
            found = [each for each in found if origin in each.url] or found
        return found[-1]


async def look(end: End) -> Away | None:
    """Whether its facility is away; all who ask within one's patience share one look."""
    looks = _looks.setdefault(asyncio.get_running_loop(), {})
    who, now = str(end.whom), time.monotonic()
    before = looks.get(who)
    if before is None or now - before.at >= outages.PATIENCE:
        before = looks[who] = _Look(now, asyncio.create_task(_seen(end)))
    return await asyncio.shield(before.found)


async def _seen(end: End) -> Away | None:
    from iri_common import IriError

    facility = await end.facility()
    try:
        await _ask(facility, end)
    except IriError as error:
        # Whatever else it says, it answers: a worker finds out what that means for the files.
        return Away(str(error), await _is_down(facility, end)) if error.transient else None
    return None


async def _ask(facility: Facility, end: End) -> None:
    from iri_common import NotOffered

    try:
        await facility.aio.files.stat(end.place, storage=end.file_system)
    except NotOffered:  # and so nothing was sent
        await facility.aio.status.resources()


async def _is_down(facility: Facility, end: End) -> bool:
    from iri_common import Availability, IriError

    try:
        return (await facility.aio.status.resource(end.file_system)).status is Availability.DOWN
    except IriError:
        return False
