"""What users see of jobs, when orders come between them and the truth."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from .exchange import Exchange, current
from .faults import Fault, Faults
from .jobs import WAITING, Job
from .orders import SIGHT_KINDS

# What accounting calls a job that it has heard of and knows nothing about.
UNREGISTERED = "allocation"


class Sight:
    """Shows jobs to the present request: late, not at all, as they were, in words of its own."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    @property
    def clear(self) -> bool:
        """Whether everybody sees the truth."""
        exchange = current.get()
        return exchange is None or not self._orders(exchange)

    def of(self, jobs: Iterable[Job]) -> list[Job]:
        """The jobs as the present request sees them."""
        exchange = current.get()
        if exchange is None or not (orders := self._orders(exchange)):
            return list(jobs)
        seen = (self._seen(job, orders, exchange) for job in jobs)
        return [job for job in seen if job is not None]

    def acknowledged(self, job: Job) -> Job:
        """A job as the reply to a submission or an update shows it: only the clock may be off."""
        exchange = current.get()
        for fault in self._orders(exchange) if exchange else []:
            if fault.order.kind == "skew" and _concerns(fault, job):
                assert exchange is not None
                if self._faults.strikes_request(fault, exchange):
                    job = _changed(fault, job) or job
        return job

    def _orders(self, exchange: Exchange) -> list[Fault]:
        # An order whose last stroke this is stays in force to the end of the request.
        return [
            fault
            for fault in self._faults
            if fault.order.kind in SIGHT_KINDS and (fault.live or exchange.decided.get(fault.id))
        ]

    def _seen(self, job: Job, orders: list[Fault], exchange: Exchange) -> Job | None:
        shown: Job | None = job
        for fault in orders:
            if shown is None:
                return None
            if _concerns(fault, job) and self._faults.strikes_request(fault, exchange):
                shown = _changed(fault, shown)
        return shown


def _concerns(fault: Fault, job: Job) -> bool:
    order = fault.order
    if not order.is_for_job(str(job.id), job.name):
        return False
    if order.kind == "missing":
        return order.job is not None or job.submitted >= fault.placed
    if order.kind in ("late", "unregistered"):
        return job.submitted >= fault.placed and time.time() < job.submitted + (order.seconds or 0)
    return True


def _changed(fault: Fault, job: Job) -> Job | None:
    seconds = fault.order.seconds or 0.0
    match fault.order.kind:
        case "unknown_state":
            return replace(job, state=fault.order.word)
        case "stale":
            return _as_of(job, time.time() - seconds)
        case "unregistered":
            return _unregistered(job)
        case "skew":
            return replace(
                job,
                submitted=job.submitted + seconds,
                changed=job.changed + seconds,
                started=None if job.started is None else job.started + seconds,
                ended=None if job.ended is None else job.ended + seconds,
            )
        case _:
            return None


def _unregistered(job: Job) -> Job:
    """A job that runs, or ran, before accounting has it: without a name and a place, and as if it waited."""
    if job.state in WAITING:
        return job
    request = replace(job.request, directory="")
    state = "queued" if job.state == "active" else job.state
    return replace(job, name=UNREGISTERED, queue="", request=request, state=state)


def _as_of(job: Job, moment: float) -> Job | None:
    """A job as it was at a moment."""
    if job.submitted > moment:
        return None
    if job.changed <= moment:
        return job
    if job.started is None or job.started > moment:
        state, changed, started = "queued", job.submitted, None
    elif job.finished:
        state, changed, started = "active", job.started, job.started
    else:
        return job
    return replace(
        job,
        state=state,
        changed=changed,
        started=started,
        ended=None,
        ending=None,
        exit_code=None,
        message=None,
    )
