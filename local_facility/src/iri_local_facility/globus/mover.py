"""Works on transfer tasks in the background: a few at a time, over faults and restarts, until they end."""

from __future__ import annotations

import threading
import time

from iri_local_facility.accounts import Accounts, User
from iri_local_facility.errors import FacilityError
from iri_local_facility.faults import Fault, Faults
from iri_local_facility.orders import TRANSFER_KINDS

from .collections import Collection, Collections
from .copying import Mismatch, Stopped, trouble_of
from .refusals import Refusal
from .tasks import Progress, Task, TaskTable, Trouble
from .work import Work

# Of one user; the others are queued.
_AT_A_TIME = 3
_RETRY = 0.5
_PAUSE = 0.05
_TAKEN = TRANSFER_KINDS | {"no_space"}


class Mover:
    """Runs tasks, each on a thread of its own that mostly waits for its turn."""

    def __init__(
        self, tasks: TaskTable, collections: Collections, accounts: Accounts, faults: Faults
    ) -> None:
        self._tasks = tasks
        self._collections = collections
        self._accounts = accounts
        self._faults = faults
        self._slots: dict[str, threading.Semaphore] = {}
        self._stops: dict[str, threading.Event] = {}
        self._threads: dict[str, threading.Thread] = {}

    def start(self) -> None:
        """Go on with what an earlier server did not get to the end of."""
        self._tasks.trim()
        self._faults.on_placed.append(self._placed)
        for task in self._tasks.unfinished():
            self.begin(task)

    def begin(self, task: Task) -> None:
        """Take up a task."""
        self._slots.setdefault(task.user, threading.Semaphore(_AT_A_TIME))
        self._stops[task.id] = threading.Event()
        # A daemon, so that a copy that hangs keeps nobody from leaving.
        thread = threading.Thread(target=self._run, args=(task.id,), name=f"globus-{task.id}", daemon=True)
        self._threads[task.id] = thread
        thread.start()

    def cancel(self, task: Task) -> bool:
        """End a task; says whether it was not over yet."""
        if task.finished:
            return False
        self._end(task, Trouble("CANCELED", "the task was canceled by its owner"))
        if (stop := self._stops.get(task.id)) is not None:
            stop.set()
        return True

    def stop(self) -> None:
        """Let go of all tasks; they are taken up again at the next start."""
        for stop in list(self._stops.values()):
            stop.set()
        for thread in list(self._threads.values()):
            thread.join(5)

    # -- orders

    def strike(self, task: Task) -> Task:
        """Let the orders have their chance at a task that was just submitted."""
        operation = "globusSubmitTransfer" if task.transfers else "globusSubmitDelete"
        met = [
            fault
            for fault in self._faults.live(_TAKEN)
            if fault.order.is_for(operation, task.user) and fault.order.is_for_job(task.id, task.label)
        ]
        return self._struck(task, met)

    def _placed(self, fault: Fault) -> None:
        """An order that names a task strikes it while it is under way."""
        if fault.order.kind in TRANSFER_KINDS and fault.order.job is not None:
            for task in self._tasks.unfinished():
                if fault.order.is_for_job(task.id, task.label):
                    self._struck(task, [fault])

    def _struck(self, task: Task, met: list[Fault]) -> Task:
        taken = [fault for fault in met if self._faults.take(fault)]
        for fault in taken:
            self._faults.strike(fault)
        if not taken:
            return task
        return self._tasks.update(task, faults=(*task.faults, *(fault.id for fault in taken)))

    def _in_force(self, task: Task) -> dict[str, Fault]:
        """The orders that strike a task now, by kind."""
        return {
            fault.order.kind: fault
            for fault in self._faults
            if fault.id in task.faults and time.time() < fault.ends
        }

    # -- one task, on its thread

    def _run(self, task_id: str) -> None:
        stop = self._stops[task_id]
        try:
            while not stop.is_set():
                task = self._tasks.get(task_id)
                if task.finished:
                    return
                if time.time() >= task.deadline:
                    self._end(task, Trouble("EXPIRED", "the deadline has passed"))
                    return
                slot = self._slots[task.user]
                if not slot.acquire(timeout=_PAUSE):
                    continue
                try:
                    pause = self._attempt(task, stop)
                finally:
                    slot.release()
                stop.wait(pause)
        except Stopped:
            pass
        finally:
            self._stops.pop(task_id, None)
            self._threads.pop(task_id, None)

    def _attempt(self, task: Task, stop: threading.Event) -> float:
        """Do what can be done now; returns how long to wait before what is left."""
        orders = self._in_force(task)
        if self._is_held_up(task, orders):
            return _PAUSE
        if task.status == "INACTIVE":
            self._tasks.note(task.id, "UNPAUSED", "unpaused", "")
            task = self._tasks.update(task, status="ACTIVE", trouble=None)
        progress = task.progress
        try:
            work = Work(self._tasks, task, self._user(task), self._known(task), stop, orders)
            progress = work.progress
            trouble = work.transfer() if task.transfers else work.delete()
        except Mismatch as wrong:
            self._end(task, trouble_of(wrong), progress)
            return 0
        except (OSError, FacilityError, Refusal) as problem:
            trouble = trouble_of(problem)
        quota = task.document.get("fail_on_quota_errors") and trouble and trouble.code == "QUOTA_EXCEEDED"
        if trouble is None or quota:
            self._end(task, trouble, progress)
            return 0
        self._hold_up(task, progress, trouble)
        return _RETRY

    def _is_held_up(self, task: Task, orders: dict[str, Fault]) -> bool:
        """Whether an order keeps a task from its work, or has just ended it."""
        if (fault := orders.get("transfer_fails")) is not None:
            self._end(task, Trouble(fault.order.code, f"ordered: {fault.id}"))
        elif (fault := orders.get("transfer_inactive")) is not None:
            if task.status != "INACTIVE":
                self._tasks.note(task.id, "PAUSED", "paused", f"ordered: {fault.id}")
                paused = Trouble("PAUSED", "paused by an administrator")
                self._tasks.update(task, status="INACTIVE", trouble=paused)
        elif (fault := orders.get("transfer_stuck")) is not None:
            if task.trouble is None:
                self._hold_up(task, task.progress, Trouble(fault.order.code, f"ordered: {fault.id}"))
        else:
            return False
        return True

    def _user(self, task: Task) -> User:
        return self._accounts.user(task.user)

    def _known(self, task: Task) -> tuple[Collection, ...]:
        return tuple(self._collections.get(collection) for collection in task.collections)

    def _hold_up(self, task: Task, progress: Progress, trouble: Trouble) -> None:
        progress.faults = task.progress.faults + 1
        if trouble != task.trouble:
            self._tasks.note(task.id, trouble.code, trouble.code.lower(), trouble.details, error=True)
        self._tasks.update(task, trouble=trouble, progress=progress)

    def _end(self, task: Task, fatal: Trouble | None, progress: Progress | None = None) -> None:
        status = "FAILED" if fatal else "SUCCEEDED"
        ended = self._tasks.update(
            task,
            status=status,
            completed=time.time(),
            trouble=None,
            fatal=fatal,
            progress=progress or task.progress,
        )
        if ended.status == status:
            code = fatal.code if fatal else "SUCCEEDED"
            self._tasks.note(task.id, code, code.lower(), fatal.details if fatal else "", error=bool(fatal))
