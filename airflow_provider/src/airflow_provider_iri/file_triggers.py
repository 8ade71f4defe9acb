"""Waits in the triggerer for what a facility does with its files in its own time."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_iri.doubts import Doubt, settled
from airflow_provider_iri.outages import outlasted
from airflow_provider_iri.triggers import IriTrigger

if TYPE_CHECKING:
    from iri_common import FacilityTask, IriError


class IriFileTrigger(IriTrigger):
    """Fires once when a facility is done with an operation on files.

    No API ends one that is under way, so nothing is ended when a person ends the task.

    Args:
        iri_conn_id: The connection.
        facility_task: What it works on, as :class:`iri_common.FacilityTask` has it.
        deadline: When to give up, in seconds since the epoch; None for never.
    """

    what = "the operation"
    tells_connection = True

    def __init__(
        self, iri_conn_id: str, facility_task: dict[str, str], deadline: float | None = None
    ) -> None:
        super().__init__(iri_conn_id)
        self.facility_task = facility_task
        self.deadline = deadline

    def words(self) -> dict[str, Any]:
        """What to make this trigger from."""
        return {**super().words(), "facility_task": self.facility_task, "deadline": self.deadline}

    @property
    def about(self) -> dict[str, Any]:
        """Which operation it was."""
        return {"facility_task": self.facility_task}

    async def come_about(self) -> dict[str, Any]:
        """Wait for its end; how it failed is told, too, as that ends the wait as well."""
        return await outlasted(self._end_within, self.deadline, self.what, self.log)

    async def _end_within(self, seconds: float | None) -> dict[str, Any]:
        from iri_common import FacilityTask, IriError

        task, facility = FacilityTask(**self.facility_task), await self.open()
        try:
            told = await facility.aio.files.finish(task, timeout=seconds)
        except IriError as error:
            if not is_end_of(task, error):
                raise
            return {"trouble": type(error).__name__, "message": str(error)}
        return {"told": asdict(told) if told else None}


class IriDoubtTrigger(IriTrigger):
    """Fires once when a copy or a move whose answer was lost is seen to be done, or nothing tells any more.

    Args:
        iri_conn_id: The connection.
        doubt: The ask, as :class:`airflow_provider_iri.doubts.Doubt` has it.
        deadline: When to give up, in seconds since the epoch; None for never.
    """

    tells_connection = True

    def __init__(self, iri_conn_id: str, doubt: dict[str, Any], deadline: float | None = None) -> None:
        super().__init__(iri_conn_id)
        self.doubt = Doubt(**doubt)
        self.deadline = deadline

    def words(self) -> dict[str, Any]:
        """What to make this trigger from."""
        return {**super().words(), "doubt": asdict(self.doubt), "deadline": self.deadline}

    async def come_about(self) -> dict[str, Any]:
        """Look until it is done."""
        await settled((await self.open()).aio, self.doubt, self.deadline, self.log)
        return {"told": None}


def is_end_of(task: FacilityTask, error: IriError) -> bool:
    """Whether it says that there is nothing to wait for: the task failed, or the facility has forgotten it.

    Else it could not be looked at, which is an operation of its own, or was not over in time.
    """
    return error.operation == task.operation
