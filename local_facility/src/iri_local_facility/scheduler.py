"""The scheduler: queues, nodes, first in first out, wall time, hold, cancel, requeue.

Everything here runs on the event loop of the server, so there are no locks; one thread per running job blocks
until the job's process ends and then calls back. Nothing polls.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import handover, processes
from .accounts import Accounts, User
from .admission import Admission
from .arrays import LIMITED, limited, tasks_of
from .batch import make_tools
from .dependencies import DEPENDENT, NEVER, waits
from .endings import verdict
from .errors import Conflict, FacilityError, Missing
from .exchange import note_created
from .faults import Faults
from .jobs import FINISHED, WAITING, Job, JobRequest, JobTable
from .launch import launch
from .maintenance import Maintenance
from .mishaps import HELD, Mishaps
from .reservations import AHEAD, DELETED, Reservation, Reservations, Wanted
from .settings import Settings
from .sight import Sight
from .store import Store


class Scheduler:
    """Runs the jobs of one compute resource."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        accounts: Accounts,
        resource_id: str,
        faults: Faults,
        maintenance: Maintenance,
    ) -> None:
        self.settings = settings
        self.jobs = JobTable(store)
        self.resource_id = resource_id
        self.reservations = Reservations(store, settings.node_names)
        self._accounts = accounts
        self._admission = Admission(settings)
        self._maintenance = maintenance
        self._mishaps = Mishaps(faults, self, settings.kill_grace)
        self._sight = Sight(faults)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._ended: dict[int, asyncio.Event] = {}
        self._stopping = False

    # -- what users ask for

    async def submit(self, user: User, request: JobRequest, document: dict[str, Any]) -> Job:
        """Accept a job or refuse it; it starts as soon as nodes are free."""
        admitted = self._admission.admit(user, request)
        if self.settings.submit_delay:
            await asyncio.sleep(self.settings.submit_delay)
        self._maintenance.check_submission()
        self.reservations.check(user, admitted)
        held = "held by user" if admitted.hold else None
        if self._mishaps.holds(user.name, admitted.name or ""):
            held = HELD
        add = self.jobs.add
        if admitted.array is not None:
            add = functools.partial(self.jobs.add_array, tasks_of(admitted.array)[0])
        job = add(
            resource_id=self.resource_id,
            user=user.name,
            account=admitted.account,
            queue=admitted.queue,
            name=admitted.name,
            node_count=admitted.node_count,
            duration=admitted.duration,
            request=admitted,
            document=document,
            state="held" if held else "new",
            message=held,
        )
        note_created(job.id)
        self.wake()
        return self._sight.acknowledged(job)

    def update(self, user: User, number: int, changes: dict[str, Any], document: dict[str, Any]) -> Job:
        """Change a job that has not started: its name, duration, queue or hold."""
        job = self._real(user, number)
        if job.state not in WAITING:
            raise Conflict(f"Job {number} is {job.state}: only jobs that have not started can be changed")
        request = self._admission.admit(user, dataclasses.replace(job.request, **changes))
        state, message = job.state, job.message
        if "hold" in changes and message != HELD:
            state = "held" if request.hold else ("new" if job.state == "held" else job.state)
            message = "held by user" if request.hold else None
        job = self.jobs.change(
            number,
            request=request,
            document=document,
            name=request.name,
            queue=request.queue,
            duration=request.duration,
            state=state,
            message=message,
        )
        self.wake()
        return self._sight.acknowledged(job)

    def cancel(self, user: User, number: int) -> Job:
        """End a job or a whole array: at once if it waits, otherwise as soon as its processes are gone."""
        job = self._real(user, number)
        for each in self.jobs.tasks(number) or [job]:
            if each.state in WAITING:
                self._finish(each.id, "canceled", "canceled by user", None)
                self.wake()
            elif not each.finished:
                self._end(each, "canceled")
        return self.jobs.get(number)

    def send_signal(self, user: User, number: int, sent: signal.Signals) -> None:
        """Send a signal to a running job, which makes of it what it will."""
        job = self._real(user, number)
        if job.state == "active" and job.pid is not None:
            handover.send(self.job_dir(number), job.pid, sent)

    def reserve(self, wanted: Wanted) -> Reservation:
        """Keep nodes for some people from a moment on."""
        self._look_again_at(granted := self.reservations.add(wanted, self.jobs.in_states(["active"])))
        return granted

    def unreserve(self, name: str) -> None:
        """Give nodes back; the jobs that wait for them are held."""
        self.reservations.remove(name, self.jobs.in_states(["active"]))
        self._bereave(name)

    def _bereave(self, name: str) -> None:
        """A reservation may be gone: nothing will start the jobs that wait for it."""
        if self.reservations.find(name) is None:
            for job in self.jobs.in_states(["new", "queued"]):
                if job.request.reservation == name:
                    self.jobs.change(job.id, state="held", message=DELETED)
        self.wake()

    def jobs_of(self, user: User, *, finished: bool) -> list[Job]:
        """A user's jobs as the present request sees them, oldest first: those not finished, or all."""
        # What is finished may be seen as running still, so a troubled sight looks at all jobs.
        states = (*WAITING, "active", *(FINISHED if finished or not self._sight.clear else ()))
        marks = ", ".join("?" * len(states))
        condition = f"user = ? AND resource_id = ? AND state IN ({marks}) ORDER BY id"
        seen = self._sight.of(self.jobs.where(condition, user.name, self.resource_id, *states))
        return [job for job in seen if finished or not job.finished]

    def job_of(self, user: User, number: int) -> Job:
        """A user's job as the present request sees it; those of others are none of their business.

        Raises:
            Missing: There is none of that number.
        """
        found = self.jobs.where(
            "id = ? AND user = ? AND resource_id = ?", number, user.name, self.resource_id
        )
        if not (seen := self._sight.of(found)):
            raise Missing(f"Job {number} not found")
        return seen[0]

    def all_of(self, user: User, number: int) -> list[Job]:
        """A job as the present request sees it; of an array, all of its tasks.

        Raises:
            Missing: There is none of that number.
        """
        if not (tasks := self.jobs.tasks(number)):
            return [self.job_of(user, number)]
        found = self._sight.of([task for task in tasks if task.user == user.name])
        if not found:
            raise Missing(f"Job {number} not found")
        return found

    def _real(self, user: User, number: int) -> Job:
        """A job that the user can see, as it is."""
        return self.jobs.get(self.job_of(user, number).id)

    # -- life of the scheduler

    def start(self) -> None:
        """Take over the jobs of an earlier server, then start what can start."""
        self._loop = asyncio.get_running_loop()
        make_tools(self.settings.tools)
        for job in self.jobs.in_states(["active"]):
            self._adopt(job)
        self._mishaps.start()
        for reservation in self.reservations.live():
            self._look_again_at(reservation)
        self.wake()

    async def stop(self) -> None:
        """End every running job and leave no process behind; waiting jobs stay for the next start."""
        self._stopping = True
        running = self.jobs.in_states(["active"])
        for job in running:
            self._end(job, "shutdown")
        for job in running:
            if job.id in self._ended:
                await self._ended[job.id].wait()

    # -- starting

    def wake(self) -> None:
        """Look at the queue again, soon."""
        if self._loop and not self._stopping:
            self._loop.call_soon(self._pass)

    def _pass(self) -> None:
        """Start jobs in order of submission while nodes are free."""
        for job in self.jobs.in_states(["new"]):
            self.jobs.change(job.id, state="queued", message="waiting for nodes")
        taken = self.jobs.nodes_in_use(self.resource_id)
        free = [node for node in self.settings.node_names if node not in taken]
        for lane in self.reservations.lanes():
            self._fill(lane, free)

    def _fill(self, lane: str | None, free: list[str]) -> None:
        """Start the jobs of one reservation, or those of none; nodes that are given away leave the list."""
        ready = functools.partial(self._ready, lane)
        while free and not self._stopping:
            job = self.jobs.next_waiting(self.resource_id, ready)
            nodes = self.reservations.open_to(job, free) if job is not None else []
            if job is None or job.node_count > len(nodes):
                return
            if self._maintenance.keeps_back(job.duration):
                self.jobs.change(job.id, message="waiting for the end of maintenance")
                return
            if self._start(job, nodes[: job.node_count]):
                free[:] = [node for node in free if node not in nodes[: job.node_count]]

    def _look_again_at(self, reservation: Reservation) -> None:
        """When it begins and when it ends, other jobs can start."""
        if self._loop is not None:
            self._loop.call_later(max(0.0, reservation.start - time.time()), self.wake)
            self._loop.call_later(max(0.0, reservation.end - time.time()), self._bereave, reservation.name)

    def _ready(self, lane: str | None, job: Job) -> bool:
        """Whether a job of this lane need not wait for others; its record says whether it does."""
        if job.request.reservation != lane:
            return False
        waiting = waits(job, self.jobs) or limited(job, self.jobs)
        if waiting is None and lane is not None and not self.reservations.begun(lane):
            waiting = AHEAD
        if job.message in (DEPENDENT, NEVER, LIMITED, AHEAD) or waiting:
            self.jobs.change(job.id, message=waiting or "waiting for nodes")
        return waiting is None

    def _start(self, job: Job, nodes: list[str]) -> bool:
        # Recorded as active before the process exists: a server that dies here never starts the job twice.
        job = self.jobs.change(job.id, state="active", message=None, started=time.time(), nodes=nodes)
        self.jobs.begin_attempt(job)
        try:
            trap = self._mishaps.prepare(job, self._search_path(job))
            user = self._accounts.user(job.user)
            process = launch(job, user, self.job_dir(job.id), trap, self.settings.slurm)
        except (OSError, ValueError, FacilityError, subprocess.SubprocessError) as problem:
            self._finish(job.id, "failed", f"could not start: {problem}", None)
            return False
        job = self.jobs.change(job.id, pid=process.pid, birth=processes.birth(process.pid))
        self._watch(job, lambda: processes.wait_child(process))
        self._mishaps.started(job)
        return True

    def _search_path(self, job: Job) -> str:
        path = os.environ.get("PATH", os.defpath)
        return path if job.request.script is None else f"{self.settings.tools}:{path}"

    def job_dir(self, number: int) -> Path:
        """Where the facility keeps a job's script, pid and exit status."""
        return self.settings.state / "jobs" / str(number)

    # -- running and ending

    def _adopt(self, job: Job) -> None:
        """A job that an earlier server started: watch it if it still runs, else learn how it ended."""
        pid = job.pid or processes.recorded_pid(self.job_dir(job.id))
        born = processes.birth(pid) if pid else None
        if pid and born and (job.birth or born) == born:
            job = self.jobs.change(job.id, pid=pid, birth=born)
            self._watch(job, lambda: processes.wait_adopted(pid, born))
            if job.ending:
                self._end(job, job.ending)
        else:
            self._settle(job.id, None)

    def _watch(self, job: Job, wait: Callable[[], int | None]) -> None:
        loop = self._loop
        assert loop is not None
        self._ended[job.id] = asyncio.Event()
        remaining = (job.started or time.time()) + job.duration - time.time()
        self._timers[job.id] = loop.call_later(max(0.0, remaining), self._end, job, "time limit")

        def watch() -> None:
            code = wait()
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._settle, job.id, code)

        threading.Thread(target=watch, name=f"job-{job.id}", daemon=True).start()

    def _end(self, job: Job, reason: str) -> None:
        """Ask a running job to go, and insist after the grace period."""
        if (current := self.jobs.get(job.id)).state != "active" or job.pid is None:
            return
        if current.ending is None or (current.requeue and reason == "canceled"):
            self.jobs.change(job.id, ending=reason, requeue=False)
        self._terminate(job.id, job.pid, self.settings.kill_grace)

    def interrupt(self, number: int, ending: str, *, requeue: bool, grace: float | None) -> None:
        """End a running job because something happened to it; without ``grace``, without notice."""
        job = self.jobs.get(number)
        if job.state != "active" or job.pid is None:
            return
        self.jobs.change(number, ending=job.ending or ending, requeue=requeue and job.ending is None)
        if grace is None:
            handover.send(self.job_dir(number), job.pid, signal.SIGKILL)
        else:
            self._terminate(number, job.pid, grace)

    def _terminate(self, number: int, pid: int, grace: float) -> None:
        place = self.job_dir(number)
        handover.send(place, pid, signal.SIGTERM)
        if (timer := self._timers.pop(number, None)) is not None:
            timer.cancel()
        assert self._loop is not None
        self._timers[number] = self._loop.call_later(grace, handover.send, place, pid, signal.SIGKILL)

    def _settle(self, number: int, code: int | None) -> None:
        """The process is gone: decide what became of the job."""
        if (timer := self._timers.pop(number, None)) is not None:
            timer.cancel()
        job = self._mishaps.ended(self.jobs.get(number))
        ended = time.time()
        if code is None and (written := processes.recorded_exit(self.job_dir(number))) is not None:
            code, ended = written[0], max(written[1], job.started or 0.0)
        state, message = verdict(job, code)
        if message == "node failure":
            code = None  # nobody was left to see one
        if code is not None and code < 0:
            code = 128 - code  # as shells report a death by signal
        if job.requeue:
            self.jobs.end_attempt(job, ended, message, code)
            self._put_back(job)
        else:
            self._finish(number, state, message, code, ended)
        if (event := self._ended.pop(number, None)) is not None:
            event.set()
        self.wake()

    def _put_back(self, job: Job) -> None:
        """To the queue again, under the same id."""
        # What the last attempt wrote down must not be taken for the next one's.
        for name in ("pid", "exit"):
            (self.job_dir(job.id) / name).unlink(missing_ok=True)
        self.jobs.change(
            job.id,
            state="queued",
            message=f"requeued: {job.ending}",
            restarts=job.restarts + 1,
            started=None,
            pid=None,
            birth=None,
            ending=None,
            requeue=False,
        )

    def _finish(
        self, number: int, state: str, message: str | None, code: int | None, ended: float | None = None
    ) -> Job:
        assert state in FINISHED
        when = ended or time.time()
        self.jobs.end_attempt(self.jobs.get(number), when, message, code)
        return self.jobs.change(
            number, state=state, message=message, exit_code=code, ended=when, changed=when
        )


def reap(settings: Settings, store: Store) -> None:
    """Kill what a killed server left running; for when no server will come back to adopt it."""
    for job in JobTable(store).in_states(["active"]):
        pid = job.pid or processes.recorded_pid(settings.state / "jobs" / str(job.id))
        if pid and pid != os.getpid() and (born := processes.birth(pid)) and (job.birth or born) == born:
            handover.send(settings.state / "jobs" / str(job.id), pid, signal.SIGKILL)
