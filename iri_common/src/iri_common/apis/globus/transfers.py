"""Globus Transfer's tasks behind the port."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from iri_common.apis.globus.client import GlobusClient
from iri_common.apis.globus.rules import Needs, data_access_scope
from iri_common.apis.globus.tasks import rules_of, task_of, trouble_in
from iri_common.model.errors import Conflict, NotFound, PermissionDenied, UsageError
from iri_common.model.outcome import Done
from iri_common.model.transfer import TransferRequest, TransferTask

if TYPE_CHECKING:
    import globus_sdk

MOST = 50  # tasks in one request


class GlobusTransfers:
    """Tasks of one identity."""

    def __init__(self, client: GlobusClient) -> None:
        self._client = client

    @property
    def mendable(self) -> bool:
        """Whether the credential can become another one while this process lives."""
        return self._client.credential.mendable

    def remedy(self, collections: Sequence[str]) -> str:
        """What a person does where a login or a consent for these collections is wanted."""
        return self._client.credential.remedy(Needs([data_access_scope(each) for each in collections]))

    async def new_submission(self) -> Done[str]:
        """An id under which one transfer is accepted once, however often it is sent."""
        return Done(
            await self._client.call("getSubmissionId", lambda to: str(to.get_submission_id()["value"]))
        )

    async def submit(self, request: TransferRequest, submission_id: str) -> Done[str]:
        """Ask for a transfer; a second time, under the same id, it is the same task (code Duplicate)."""
        for collection in dict.fromkeys((request.source, request.target)):
            await self._client.collection(collection)  # its data is part of the next token's scope

        def submit(transfer: globus_sdk.TransferClient) -> str:
            # Made anew each time: the SDK writes into it.
            return str(transfer.submit_transfer(_data(request, submission_id))["task_id"])

        return Done(await self._client.call("submitTransfer", submit))

    async def tasks(self, task_ids: Sequence[str]) -> Done[Mapping[str, TransferTask]]:
        """At most 50 tasks in one request; those that this identity does not see are missing.

        One that the list does not show is asked for by itself before that is said: a list may be late.
        """
        if not task_ids or len(task_ids) > MOST:
            raise UsageError(f"1 to {MOST} tasks are asked for at once, not {len(task_ids)}")
        listed = await self._listed({"task_id": list(task_ids)}, len(task_ids))
        found = {task.task_id: task for task in listed}
        for task_id in task_ids:
            if task_id not in found and (task := await self._one(task_id)) is not None:
                found[task_id] = task
        return Done(found)

    async def find(self, label: str) -> Done[Sequence[TransferTask]]:
        """The tasks of mine with this label, newest first."""
        return Done(await self._listed({"label": label}, MOST, label=label))

    async def why(self, task_id: str) -> Done[str]:
        """What a task that does not get on waits for or runs into, in Globus' words."""

        def read(transfer: globus_sdk.TransferClient) -> str:
            said = rules_of(transfer.task_pause_info(task_id).data)
            return said or trouble_in(transfer.task_event_list(task_id, limit=10).data.get("DATA") or [])

        return Done(await self._client.call("getTaskEvents", read))

    async def cancel(self, task_id: str) -> Done[None]:
        """End a task; one that is over already is fine."""
        with contextlib.suppress(Conflict):  # it is over
            await self._client.call("cancelTask", lambda to: to.cancel_task(task_id).data)
        return Done(None)

    async def _one(self, task_id: str) -> TransferTask | None:
        with contextlib.suppress(NotFound, PermissionDenied):
            return task_of(await self._client.call("getTask", lambda to: dict(to.get_task(task_id).data)))
        return None

    async def _listed(
        self, where: dict[str, Any], limit: int, label: str | None = None
    ) -> list[TransferTask]:
        def read(transfer: globus_sdk.TransferClient) -> list[dict[str, Any]]:
            # The limit is always said: the server's own is smaller than a chunk.
            return transfer.task_list(filter=where, limit=limit, orderby="request_time DESC").data["DATA"]

        rows = await self._client.call("getTaskList", read)
        # A filter on labels may also let through what only resembles it.
        return [task_of(each) for each in rows if label is None or each.get("label") == label]


def _data(request: TransferRequest, submission_id: str) -> globus_sdk.TransferData:
    import globus_sdk

    data = globus_sdk.TransferData(
        request.source,
        request.target,
        submission_id=submission_id,
        label=request.label[:128],
        verify_checksum=True,
        # Each is True where nothing is said: three e-mails a task.
        notify_on_succeeded=False,
        notify_on_failed=False,
        notify_on_inactive=False,
        fail_on_quota_errors=True,
        **_options(request),
    )
    for source, target, directory in request.items:
        data.add_item(source, target, recursive=directory)
    return data


def _options(request: TransferRequest) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if request.sync_level is not None:
        options["sync_level"] = request.sync_level
    if request.deadline is not None:
        # With its zone: one without is the server's to guess.
        at = datetime.fromtimestamp(int(request.deadline), UTC)
        options["deadline"] = at.isoformat()
    return options
