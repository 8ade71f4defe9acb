"""Transfers between Globus collections that the facility begins by itself, as the user."""

from __future__ import annotations

from iri_common.apis.globus.answers import state_of
from iri_common.apis.reading import Reading, segment
from iri_common.apis.superfacility.rules import REPLAYS
from iri_common.apis.superfacility.wire import TransferBegunReply, TransferReply, unreadable
from iri_common.http.session import Request, Session
from iri_common.model.errors import ReplyError
from iri_common.model.outcome import Done
from iri_common.model.transfer import TaskState, TransferTask

_CANCELED = "CANCELED"  # no word of Globus': this API's own for a task that was ended by somebody


class SuperfacilityTransfers:
    """``/storage/globus``, for clients that were ticked for Globus."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def begin(self, collections: tuple[str, str], source: str, target: str, label: str) -> Done[str]:
        """Have it moved. The API has no key for it, and no list to find it in."""
        form = {
            "source_uuid": collections[0],
            "target_uuid": collections[1],
            "source_dir": source,
            "target_dir": target,
            "label": label,
        }
        reply = await self._session.send(
            Request(
                operation="start_transfer",
                method="POST",
                path="/storage/globus/transfer",
                replay=REPLAYS["start_transfer"],
                form=form,
            )
        )
        reading = Reading(self._session.label, "start_transfer")
        try:
            return Done(reading.one(TransferBegunReply, reply.value).transfer_id)
        except ReplyError as error:
            raise unreadable(reading, error.message) from None

    async def look(self, task_id: str) -> Done[TransferTask]:
        """Look at one; just after its begin no state is told, and a word that we do not know ends no wait."""
        path = f"/storage/globus/transfer/{segment(task_id, 'transfer')}"
        reply = await self._session.send(Request(operation="read_transfer", method="GET", path=path))
        told = Reading(self._session.label, "read_transfer").one(TransferReply, reply.value)
        word = told.globus_status or str(TaskState.ACTIVE)
        state = TaskState.FAILED if word == _CANCELED else state_of(TaskState, word, "a transfer")
        code = word if word == _CANCELED else ""
        return Done(
            TransferTask(task_id, state, code, told.reason or "", bytes_done=told.bytes_transferred or 0)
        )
