"""``/storage/globus``: the facility's Globus, asked on the user's behalf."""

from __future__ import annotations

import time
import uuid
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form

from iri_local_facility.accounts import User
from iri_local_facility.errors import FacilityError, Rejected
from iri_local_facility.facility import Facility
from iri_local_facility.globus.collections import Collection
from iri_local_facility.globus.refusals import Refusal
from iri_local_facility.globus.tasks import Task, moment

from .access import user_of

# Names that stand for the facility's own collection; NERSC has one more, for its tapes.
_OWN = {"dtn", "perlmutter"}
_DEADLINE = 24 * 3600.0


def make_router(core: Facility) -> APIRouter:
    """The routes."""
    router = APIRouter()
    caller = Depends(user_of(core, "globus"))

    @router.post("/storage/globus/transfer", operation_id="sfStartTransfer")
    async def start(
        source_uuid: Annotated[str, Form()],
        target_uuid: Annotated[str, Form()],
        source_dir: Annotated[str, Form()],
        target_dir: Annotated[str, Form()],
        label: Annotated[str, Form()] = "",
        user: User = caller,
    ) -> dict[str, Any]:
        try:
            source, target = _collection(core, source_uuid), _collection(core, target_uuid)
            top, place = source.resolve(user, source_dir), target.resolve(user, target_dir)
            if place.is_relative_to(top):
                raise Rejected(f"{target_dir} is within {source_dir}")
        except Refusal as refused:
            return {"transfer_id": "", "status": "ERROR", "reason": refused.message}
        except FacilityError as refused:
            return {"transfer_id": "", "status": "ERROR", "reason": str(refused)}
        document = {
            "DATA_TYPE": "transfer",
            "label": label,
            "source_endpoint": source.id,
            "destination_endpoint": target.id,
            "sync_level": None,
            "DATA": [_item(source_dir, target_dir, top.is_dir())],
        }
        tasks, mover = core.globus.tasks, core.globus.mover
        submission = str(uuid.uuid4())
        task = mover.strike(tasks.add(user.name, submission, document, time.time() + _DEADLINE))
        mover.begin(task)
        return {"transfer_id": task.id, "status": "OK", "reason": None}

    @router.get("/storage/globus/transfer/{transfer_id}", operation_id="sfGetTransfer")
    async def transfer(transfer_id: str, user: User = caller) -> dict[str, Any]:
        try:
            task = core.globus.tasks.get(transfer_id, user.name)
        except Refusal as refused:
            return {"status": "ERROR", "reason": refused.message}
        return {"status": "OK", "reason": None, **_shown(task)}

    return router


def _item(source: str, target: str, recursive: bool) -> dict[str, Any]:
    """A directory is copied as the target, a file into it."""
    if not recursive:
        target = f"{target.rstrip('/')}/{PurePosixPath(source).name}"
    return {"source_path": source, "destination_path": target, "recursive": recursive}


def _collection(core: Facility, name: str) -> Collection:
    return core.globus.collections.own if name in _OWN else core.globus.collections.get(name)


def _shown(task: Task) -> dict[str, Any]:
    canceled = task.fatal is not None and task.fatal.code == "CANCELED"
    progress = task.progress
    return {
        "globus_status": "CANCELED" if canceled else task.status,
        "bytes_transferred": progress.bytes_transferred,
        "completion_time": moment(task.completed),
        "effective_bytes_per_second": int(progress.bytes_transferred / (progress.seconds or 1)),
    }
