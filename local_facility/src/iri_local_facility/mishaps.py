"""Orders on jobs: nodes that die, memory that ends, preemption, holds; and the moment at which each strikes.

An order strikes the jobs it names that run now. If there are none, it waits for the next one it fits: to
start, to have run for a while, or to run a certain command for the n-th time.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Protocol

from .faults import Fault, Faults
from .jobs import Job, JobTable
from .orders import JOB_KINDS
from .shims import Strike, Trap, lay, struck

HELD = "held by the facility"
_ENDINGS = {
    "node_death": "node failure",
    "out_of_memory": "out of memory",
    "preempt": "preempted",
    "requeue": "requeued",
}


class Grip(Protocol):
    """What the scheduler lends to this module."""

    jobs: JobTable

    def interrupt(self, number: int, ending: str, *, requeue: bool, grace: float | None) -> None:
        """End a running job; a ``grace`` of ``None`` gives it no notice."""
        ...

    def job_dir(self, number: int) -> Path:
        """Where the facility keeps what it needs for a job."""
        ...

    def wake(self) -> None:
        """Look at the queue again."""
        ...


class Mishaps:
    """Carries out the orders on jobs."""

    def __init__(self, faults: Faults, grip: Grip, kill_grace: float) -> None:
        self._faults = faults
        self._grip = grip
        self._kill_grace = kill_grace
        self._timers: dict[str, list[asyncio.TimerHandle]] = {}

    def start(self) -> None:
        """Attend to the orders of an earlier server, and to those to come; needs a running event loop."""
        for fault in self._faults:
            self._limit_hold(fault)
        self._faults.on_placed.append(self._placed)
        self._faults.on_cleared.append(self._cleared)

    # -- moments in the life of a job

    def holds(self, user: str, name: str) -> bool:
        """Whether a job that has just been submitted is held."""
        orders = [fault for fault in self._faults.live({"hold"}) if self._names(fault, user, None, name)]
        return any(self._strikes(fault) for fault in orders)

    def prepare(self, job: Job, path: str) -> Trap:
        """How a job is started that will be struck at a command, with ``path`` as the PATH it would have."""
        strikes: dict[str, Strike] = {}
        for fault in self._faults.live(_ENDINGS):
            command = fault.order.command
            # One strike a command: another order on the same one has the next job or attempt.
            if command and command not in strikes and self._fits(fault, job) and self._faults.take(fault):
                note = (fault.id, _ENDINGS[fault.order.kind], _requeues(fault))
                strikes[command] = Strike(command, fault.order.nth, fault.order.when == "before", note)
        return lay(strikes.values(), self._grip.job_dir(job.id), path)

    def started(self, job: Job) -> None:
        """A job runs: strike it, now or after the time that was ordered."""
        for fault in self._faults.live(_ENDINGS):
            if fault.order.command is None and self._fits(fault, job) and self._faults.take(fault):
                delay = fault.order.seconds if fault.order.kind != "preempt" else None
                timer = asyncio.get_running_loop().call_later(delay or 0.0, self._interrupt, fault, job)
                self._timers.setdefault(fault.id, []).append(timer)

    def ended(self, job: Job) -> Job:
        """A job's processes are gone: its record, with the reason that it left itself when it was struck."""
        note = struck(self._grip.job_dir(job.id))
        if note is None:
            return job
        fault_id, ending, requeue = note
        for fault in self._faults:
            if fault.id == fault_id:
                self._faults.strike(fault)
        if job.ending is not None:
            return job  # it was being ended anyhow
        return self._grip.jobs.change(job.id, ending=ending, requeue=requeue)

    # -- orders that come and go

    def _placed(self, fault: Fault) -> None:
        order = fault.order
        if order.kind == "hold":
            for job in self._grip.jobs.in_states(["new", "queued"]):
                if order.job is not None and self._fits(fault, job) and self._strikes(fault):
                    self._grip.jobs.change(job.id, state="held", message=HELD)
            self._limit_hold(fault)
        elif order.kind in _ENDINGS and order.command is None and (order.job or order.node):
            for job in self._grip.jobs.in_states(["active"]):
                if self._fits(fault, job) and self._strikes(fault, count=False):
                    self._interrupt(fault, job)

    def _limit_hold(self, fault: Fault) -> None:
        if fault.order.kind == "hold" and fault.order.lasts is not None:
            left = max(0.0, fault.ends - time.time())
            timer = asyncio.get_running_loop().call_later(left, self._release, fault)
            self._timers[fault.id] = [timer]

    def _cleared(self, fault: Fault) -> None:
        for timer in self._timers.pop(fault.id, []):
            timer.cancel()
        if fault.order.kind == "hold":
            self._release(fault)

    def _release(self, fault: Fault) -> None:
        for job in self._grip.jobs.in_states(["held"]):
            if job.message != HELD or not self._fits(fault, job):
                continue
            if job.request.hold:
                self._grip.jobs.change(job.id, message="held by user")
            else:
                self._grip.jobs.change(job.id, state="queued", message="waiting for nodes")
        self._grip.wake()

    def _interrupt(self, fault: Fault, job: Job) -> None:
        now = self._grip.jobs.get(job.id)
        if now.state != "active" or now.restarts != job.restarts:
            return  # it was quicker
        self._faults.strike(fault)
        order = fault.order
        grace = self._kill_grace if order.seconds is None else order.seconds
        self._grip.interrupt(
            job.id,
            _ENDINGS[order.kind],
            requeue=_requeues(fault),
            grace=grace if order.kind == "preempt" else None,
        )

    def _fits(self, fault: Fault, job: Job) -> bool:
        node = fault.order.node
        return self._names(fault, job.user, str(job.id), job.name) and (node is None or node in job.nodes)

    def _names(self, fault: Fault, user: str, job_id: str | None, name: str) -> bool:
        order = fault.order
        return order.user in (None, user) and order.is_for_job(job_id, name)

    def _strikes(self, fault: Fault, *, count: bool = True) -> bool:
        taken = self._faults.take(fault)
        if taken and count:
            self._faults.strike(fault)
        return taken


def _requeues(fault: Fault) -> bool:
    return fault.order.requeue or fault.order.kind == "requeue"


assert set(_ENDINGS) | {"hold"} == JOB_KINDS
