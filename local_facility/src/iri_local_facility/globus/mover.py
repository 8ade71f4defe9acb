"""Works on transfer tasks in the background: a few at a time, over faults and restarts, until they end."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from iri_local_facility.accounts import Accounts, User
from iri_local_facility.errors import FacilityError
from iri_local_facility.faults import Fault, Faults
from iri_local_facility.orders import TRANSFER_KINDS

from .collections import Collection, Collections
from .copying import Mismatch, Pair, Stopped, copy, extras, is_needed, pairs, remove, trouble_of
from .refusals import Refusal
from .tasks import Progress, Task, TaskTable, Trouble

# Of one user; the others are queued.
_AT_A_TIME = 3
_RETRY = 0.5
_PAUSE = 0.05
_TOLD_EVERY = 0.2
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
            work = _Work(self._tasks, task, self._user(task), self._known(task), stop, orders)
            progress = work.progress
            trouble = work.transfer() if task.transfers else work.delete()
        except Mismatch as wrong:
            external = any(item.get("external_checksum") for item in task.document["DATA"])
            code = "EXTERNAL_CHECKSUM_MISMATCH" if external else "VERIFY_CHECKSUM"
            self._end(task, Trouble(code, str(wrong)), progress)
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


class _Work:
    """One attempt at a task."""

    def __init__(
        self,
        tasks: TaskTable,
        task: Task,
        user: User,
        collections: tuple[Collection, ...],
        stop: threading.Event,
        orders: dict[str, Fault],
    ) -> None:
        self._tasks = tasks
        self._task = task
        self._user = user
        self._collections = collections
        self._stop = stop
        self._orders = orders
        self._options: dict[str, Any] = task.document
        arrived = tasks.files(task.id, skipped=False)
        self._arrived = {(row["source"], row["destination"]) for row in arrived}
        self._left_out = {(row["source"], row["destination"]) for row in tasks.files(task.id, skipped=True)}
        self.progress = Progress(
            files_transferred=len(arrived),
            bytes_transferred=sum(row["size"] for row in arrived),
            skipped_errors=len(self._left_out),
            seconds=task.progress.seconds,
            faults=task.progress.faults,
        )
        self._told = self._began = time.monotonic()

    def transfer(self) -> Trouble | None:
        """Bring everything that is not there yet; returns what was in the way of the rest."""
        trouble = None
        for item in self._options["DATA"]:
            for pair in self._pairs(item):
                trouble = self._bring(pair) or trouble
        if trouble is None and self._options.get("delete_destination_extra"):
            for item in self._options["DATA"]:
                for path in extras(item, self._user, *self._collections) if item.get("recursive") else ():
                    remove(path, recursive=True)
        return trouble

    def delete(self) -> Trouble | None:
        """Remove everything that is there still."""
        trouble = None
        (collection,) = self._collections
        for item in self._options["DATA"]:
            self._check()
            self.progress.files += 1
            if (item["path"], "") in self._arrived:
                continue
            try:
                real = collection.resolve(self._user, item["path"].rstrip("/"), follow=False, inner=True)
                remove(real, recursive=bool(self._options.get("recursive")))
            except FileNotFoundError as missing:
                if not self._options.get("ignore_missing"):
                    trouble = trouble_of(missing)
                    continue
            except (OSError, FacilityError) as problem:
                trouble = trouble_of(problem)
                continue
            self._tasks.moved(self._task.id, item["path"], "", 0, None)
        return trouble

    def _pairs(self, item: dict[str, Any]) -> Iterator[Pair]:
        """What an item stands for; one that is not there is left out where that was asked for."""
        try:
            yield from pairs(item, self._user, *self._collections)
        except (OSError, FacilityError) as problem:
            if not self._options.get("skip_source_errors"):
                raise
            self._leave_out(item["source_path"], item["destination_path"], trouble_of(problem))

    def _bring(self, pair: Pair) -> Trouble | None:
        self._check()
        if pair.is_directory:
            self.progress.directories += 1
            pair.destination.mkdir(parents=True, exist_ok=True)
            return None
        self.progress.files += 1
        names = (pair.source_path, pair.destination_path)
        if names in self._arrived or names in self._left_out:
            return None
        try:
            self._copy(pair)
        except (OSError, FacilityError) as problem:
            trouble = trouble_of(problem)
            if not self._options.get("skip_source_errors") or os.access(pair.source, os.R_OK):
                return trouble
            self._leave_out(*names, trouble)
        return None

    def _copy(self, pair: Pair) -> None:
        if not is_needed(pair, self._options.get("sync_level")):
            self.progress.files_skipped += 1
            return
        if "no_space" in self._orders:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), pair.destination_path)
        if (slow := self._orders.get("transfer_slow")) is not None and self._stop.wait(slow.order.seconds):
            raise Stopped
        verify = self._options.get("verify_checksum", True)
        size, checksum = copy(
            pair,
            self._task.id,
            verify=verify,
            keep_time=bool(self._options.get("preserve_timestamp")),
            on_bytes=self._count,
        )
        self._tasks.moved(self._task.id, pair.source_path, pair.destination_path, size, checksum)
        self.progress.files_transferred += 1
        self.progress.bytes_checksummed += size if verify else 0

    def _leave_out(self, source: str, destination: str, trouble: Trouble) -> None:
        if (source, destination) not in self._left_out:
            self._tasks.skipped(self._task.id, source, destination, trouble)
            self.progress.skipped_errors += 1

    def _count(self, size: int) -> None:
        self.progress.bytes_transferred += size
        self._check()

    def _check(self) -> None:
        """Stop when told to; tell how far it has come now and then."""
        if self._stop.is_set():
            raise Stopped
        now = time.monotonic()
        self.progress.seconds += now - self._began
        self._began = now
        if now - self._told >= _TOLD_EVERY:
            self._told = now
            with contextlib.suppress(Refusal):
                self._tasks.update(self._task, progress=self.progress)
