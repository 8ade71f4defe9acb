"""Waits in the triggerer for what Globus does: runs of flows, and transfers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_provider_iri.outages import left_until, outlasted
from airflow_provider_iri.triggers import IriTrigger

if TYPE_CHECKING:
    from airflow_provider_iri.ends import End
    from iri_common import FlowRun


class IriFlowTrigger(IriTrigger):
    """Fires once when a run of a Globus flow is over.

    All runs that a triggerer waits for are looked at together.

    Args:
        run_id: The run.
        deadline: When to give up, in seconds since the epoch; None for never.
    """

    owned = True
    what = "the run"
    known_as = "iri_flow_run"

    def __init__(self, run_id: str, deadline: float | None = None) -> None:
        super().__init__("")  # Globus is spoken to by the profiles of this machine
        self.run_id = run_id
        self.deadline = deadline

    def words(self) -> dict[str, Any]:
        """What to make this trigger from."""
        return {"run_id": self.run_id, "deadline": self.deadline}

    @property
    def about(self) -> dict[str, Any]:
        """Which run it was."""
        return {"run_id": self.run_id}

    async def come_about(self) -> dict[str, Any]:
        """Wait for the end of the run."""
        from iri_common import Flows

        flows = (await asyncio.to_thread(Flows)).aio
        await flows.wait(self.run_id, timeout=left_until(self.deadline), on_change=self._say)
        return {}

    async def end(self) -> None:
        """Cancel the run."""
        from iri_common import Flows

        await (await asyncio.to_thread(Flows)).aio.cancel(self.run_id)

    def _say(self, run: FlowRun) -> None:
        self.log.info("the run is %s%s", run.state, f": {run.words}" if run.words else "")


class IriTransferTrigger(IriTrigger):
    """Fires once when a task of Globus Transfer has moved everything.

    All tasks that a triggerer waits for are looked at together.

    Args:
        source: Where from, as :class:`~airflow_provider_iri.ends.End` has it.
        target: Where to, likewise.
        transfer: The id of the task.
        deadline: When to give up, in seconds since the epoch; None for never.
    """

    owned = True
    what = "the transfer"
    known_as = "iri_transfer"

    def __init__(
        self, source: dict[str, Any], target: dict[str, Any], transfer: str, deadline: float | None = None
    ) -> None:
        super().__init__("")  # it has two ends, each with a connection of its own or none
        self.source = source
        self.target = target
        self.transfer = transfer
        self.deadline = deadline

    def words(self) -> dict[str, Any]:
        """What to make this trigger from."""
        return {
            "source": self.source,
            "target": self.target,
            "transfer": self.transfer,
            "deadline": self.deadline,
        }

    @property
    def about(self) -> dict[str, Any]:
        """Which transfer it was."""
        return {"task": self.transfer}

    async def come_about(self) -> dict[str, Any]:
        """Wait until all has arrived; a facility that does not answer is asked again."""
        from iri_common import EntrustedTransfers

        transfers = EntrustedTransfers().aio

        async def wait(seconds: float | None) -> Any:
            ends = await self._ends()
            return await transfers.wait(*ends, self.transfer, timeout=seconds, on_change=self._say)

        done = await outlasted(wait, self.deadline, self.what, self.log)
        return {"files": done.files_done, "bytes": done.bytes_done}

    async def end(self) -> None:
        """Cancel the transfer; what has arrived stays."""
        from iri_common import EntrustedTransfers

        await EntrustedTransfers().aio.cancel(*await self._ends(), self.transfer)

    async def _ends(self) -> tuple[Any, Any]:
        from airflow_provider_iri.ends import End

        ends: list[End] = [End(**self.source), End(**self.target)]
        source, target = [await each.opened() for each in ends]
        return source, target

    def _say(self, task: Any) -> None:
        words = f" ({task.words})" if task.words else ""
        self.log.info(
            "the transfer is %s: %d files, %d bytes%s", task.state, task.files_done, task.bytes_done, words
        )
