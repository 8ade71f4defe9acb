"""Was a task ended by a person, or only its process by the infrastructure?"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iri_common import Facility, JobKey, JobRef

log = logging.getLogger(__name__)

STILL_WANTED = frozenset({"deferred", "up_for_retry", "up_for_reschedule"})
"""States in which the task will ask for its job again: whoever stops its trigger does not mean the job."""

HELD_BY_A_WORKER = STILL_WANTED | {"scheduled", "queued", "running"}
"""The same for a task whose worker is being stopped: one of these is a shutdown, or the next try."""

TASK_ENDED = "__airflow_user_action__"
"""What Airflow 3.3 says when it cancels a trigger whose task is over, or another triggerer's."""


def task_state(ti: Any) -> str | None:
    """The state that Airflow has for a task instance now; None for none, as right after a clear.

    It blocks, and it may be called in any process that has Airflow's supervisor behind it.

    Raises:
        Exception: whatever keeps Airflow from telling; then nothing is to be concluded.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    return states.get(ti.run_id, {}).get(name_of(ti))


def name_of(ti: Any) -> str:
    """By which Airflow tells the state of a task instance."""
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}_{ti.map_index}"


NOT_LIVE = "not a live attempt"
"""What Airflow 3.4 answers a try that another one has followed."""


def has_another(ti: Any, key: str, mine: str) -> bool:
    """Whether a task that waits has another try by now, which has named another one than this in an XCom.

    Airflow 3.4 forgets at a clear what a task remembers: its next try asks anew at once, and may wait by the
    time that anybody asks for the task's state.

    Args:
        ti: The task instance.
        key: Of the XCom.
        mine: What it named when this was asked for.

    Raises:
        Exception: whatever keeps Airflow from telling.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError
    from airflow.sdk.execution_time.xcom import XCom

    try:
        named = XCom.get_one(
            key=key, dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=ti.map_index
        )
    except AirflowRuntimeError as error:
        if NOT_LIVE in str(error):
            return True
        raise
    return named is not None and named != mine


def require_wanted(ti: Any, done: str, end: Callable[[], object] | None = None) -> None:
    """Go on with a task, unless a person has ended it meanwhile.

    Its worker learns of that seconds later. If it defers before, Airflow refuses, and calls nobody.

    Args:
        ti: The task instance.
        done: What is done about that, in words.
        end: Does it.

    Raises:
        AirflowFailException: if a person has; nobody waits for this try any more.
    """
    from airflow.sdk.exceptions import AirflowFailException

    try:
        state = task_state(ti)
    except Exception as error:
        log.warning("the state of the task is not told (%s): going on", error)
        return
    if state in HELD_BY_A_WORKER:
        return
    if end is not None:
        end()
    raise AirflowFailException(f"{done}, because the task is {state or 'cleared'}")


class JobKiller(threading.Thread):
    """Cancels a job from a signal handler if its task was ended by a person.

    A thread of its own, because the handler may have interrupted its own process in the middle of a message
    to Airflow's supervisor, whose lock the main thread then holds: asking from there would wait for ever.

    Args:
        ti: The task instance.
        facility: Where the job is; open already.
        job: The job, or the key under which it is being asked for: that of one that comes later is taken.
    """

    def __init__(self, ti: Any, facility: Facility, job: JobRef | JobKey) -> None:
        from iri_common import JobRef

        super().__init__(name="iri-kill", daemon=True)
        self._ti = ti
        self._facility = facility
        self._job = job
        self._what = job.describe() if isinstance(job, JobRef) else f"the job of {job}"
        self._may_act = threading.Lock()
        self._looked = threading.Event()

    def run(self) -> None:
        """Look, and act on it."""
        try:
            state = task_state(self._ti)
        except Exception as error:
            log.warning("%s is left alone: the state of its task is not told (%s)", self._what, error)
            return
        finally:
            self._looked.set()
        if state in HELD_BY_A_WORKER:
            log.info("%s is left alone: its task is %s", self._what, state)
        elif self._may_act.acquire(blocking=False):
            self._cancel(state)

    def finish(self, seconds: float) -> None:
        """Give it so long to decide, and as long again to act; after that it does nothing more."""
        if self._looked.wait(seconds):
            self.join(seconds)
        else:
            self._may_act.acquire(blocking=False)  # too late: whoever decides by now leaves the job alone

    def _cancel(self, state: str | None) -> None:
        try:
            self._facility.jobs.cancel(self._job)
        except Exception as error:
            log.warning("%s could not be cancelled: %s", self._what, error)
        else:
            log.info("cancelled %s, because its task is %s", self._what, state or "cleared")
