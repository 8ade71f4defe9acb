"""Waiting for transfers that a facility began on the user's behalf."""

from __future__ import annotations

import asyncio
import random

from iri_common.model.dataports import BehalfApi
from iri_common.model.errors import IriError, TransferError, WaitTimeout
from iri_common.model.transfer import TaskState, TransferTask
from iri_common.policy.globus_tasks import Sight, TaskPace, got_on


async def moved(api: BehalfApi, task_id: str, pace: TaskPace, timeout: float | None = None) -> TransferTask:
    """The task at its end, over any outage of the facility.

    Raises:
        TransferError: if it ended without success.
        WaitTimeout: if it is not over after ``timeout`` seconds; it goes on.
    """
    clock = asyncio.get_running_loop().time
    begun = changed = clock()
    before: Sight | None = None
    while True:
        try:
            sight = Sight((await api.look(task_id)).value)
        except IriError as error:
            if not error.transient:
                raise
        else:
            if sight.task.state.over:
                return _whole(sight.task)
            changed = clock() if got_on(before, sight) else changed
            before = sight
        pause = pace.delay(clock() - changed, random.random())
        if timeout is not None and clock() + pause > begun + timeout:
            raise WaitTimeout(f"transfer {task_id} is not over after {timeout:.0f} s; it goes on at Globus")
        await asyncio.sleep(pause)


def _whole(task: TransferTask) -> TransferTask:
    if task.state is TaskState.SUCCEEDED:
        return task
    words = task.words or "the facility gives no reason; app.globus.org/activity does"
    verb = "was canceled" if task.code else "failed"
    raise TransferError(f"transfer {task.task_id} of Globus {verb}: {words}")
