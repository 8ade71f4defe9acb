"""Tasks that run jobs: each under two names, ``run_job`` for plain flows and ``arun_job`` for async ones."""

from __future__ import annotations

import posixpath
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from prefect.cache_policies import NO_CACHE
from prefect.tasks import task

from iri_common import Facility, JobFailed, JobRef, JobResult, JobSpec, JobStatus
from prefect_iri.block import IriFacility
from prefect_iri.logs import run_logger
from prefect_iri.runs import Ask, Run, current_run
from prefect_iri.store import anote, asettle, note, settle
from prefect_iri.turns import Steps, Turn, note_end, note_job, take_turn


def _spec_name(parameters: dict[str, Any]) -> str:
    """What the task run is called in the UI; must not fail, bad specs are refused by the task itself."""
    spec = parameters.get("spec")
    words = spec if isinstance(spec, Mapping) else {}
    name = getattr(spec, "name", None) or words.get("name")
    executable = getattr(spec, "executable", None) or words.get("executable")
    return str(name or posixpath.basename(str(executable or "")) or "job")


def _job_name(parameters: dict[str, Any]) -> str:
    job = parameters.get("job")
    return f"wait for {job.describe()}" if isinstance(job, JobRef) else "wait for a job"


# The key of a job is the cache: it holds across crashes and hosts, and tells a failure from a crash.
_SUBMITS: dict[str, Any] = {"task_run_name": _spec_name, "cache_policy": NO_CACHE}
_WAITS: dict[str, Any] = {"task_run_name": _job_name, "cache_policy": NO_CACHE}


@task(name="run-job", **_SUBMITS)
def run_job(
    facility: IriFacility | str,
    spec: JobSpec | Mapping[str, Any],
    *,
    resource: str | None = None,
    call: str | None = None,
    timeout: float | None = None,
) -> JobResult:
    """Run a job and wait for its success; asked for once in a flow run, it runs once.

    A retry of this task, and of the flow run, attaches to the job; after a failure that a task run was
    told, it runs a new one. Cancelling the flow run, or interrupting it, leaves the job alone.

    Args:
        facility: A block, or the name of a saved one.
        spec: What to run: a JobSpec, or the same words as a mapping.
        resource: Name or id; the block's default if None.
        call: A name for this call. Two calls of the same name in a flow run are one job. Calls without a
            name are told apart by what they ask for; equal ones are counted.
        timeout: Seconds to wait at most; the job is left alone when they are over.

    Raises:
        UsageError: for bad input, before anything is sent.
        JobFailed: with exit code and the last lines of stderr.
        WaitTimeout: if ``timeout`` seconds were not enough.
        IriError: for what else a facility may answer; each says what to do.
    """
    door = _door(facility)
    return _follow(door, _submit(door, JobSpec.of(spec), resource, call), timeout)


@task(name="arun-job", **_SUBMITS)
async def arun_job(
    facility: IriFacility | str,
    spec: JobSpec | Mapping[str, Any],
    *,
    resource: str | None = None,
    call: str | None = None,
    timeout: float | None = None,
) -> JobResult:
    """:func:`run_job` for async flows."""
    door = await _adoor(facility)
    return await _afollow(door, await _asubmit(door, JobSpec.of(spec), resource, call), timeout)


@task(name="submit-job", **_SUBMITS)
def submit_job(
    facility: IriFacility | str,
    spec: JobSpec | Mapping[str, Any],
    *,
    resource: str | None = None,
    call: str | None = None,
) -> JobRef:
    """Submit a job and do not wait for it: hand the reference to :func:`wait_for_job`.

    Takes what :func:`run_job` takes, and keeps the same promise.
    """
    return _submit(_door(facility), JobSpec.of(spec), resource, call)


@task(name="asubmit-job", **_SUBMITS)
async def asubmit_job(
    facility: IriFacility | str,
    spec: JobSpec | Mapping[str, Any],
    *,
    resource: str | None = None,
    call: str | None = None,
) -> JobRef:
    """:func:`submit_job` for async flows."""
    return await _asubmit(await _adoor(facility), JobSpec.of(spec), resource, call)


@task(name="wait-for-job", **_WAITS)
def wait_for_job(
    facility: IriFacility | str, job: JobRef | str, *, timeout: float | None = None
) -> JobResult:
    """Wait for the success of a job that :func:`submit_job`, or anybody else, submitted.

    Args:
        facility: A block of the facility that has the job, or the name of a saved one.
        job: Its reference.
        timeout: Seconds to wait at most; the job is left alone when they are over.

    Raises:
        JobFailed: with exit code and the last lines of stderr.
        WaitTimeout: if ``timeout`` seconds were not enough.
    """
    return _follow(_door(facility), _ref(job), timeout)


@task(name="await-for-job", **_WAITS)
async def await_for_job(
    facility: IriFacility | str, job: JobRef | str, *, timeout: float | None = None
) -> JobResult:
    """:func:`wait_for_job` for async flows."""
    return await _afollow(await _adoor(facility), _ref(job), timeout)


def _door(facility: IriFacility | str) -> Facility:
    block = IriFacility.load(facility, _sync=True) if isinstance(facility, str) else facility
    return block.facility()


async def _adoor(facility: IriFacility | str) -> Facility:
    block = await IriFacility.aload(facility) if isinstance(facility, str) else facility
    return block.facility()


def _ref(job: JobRef | str) -> JobRef:
    return JobRef.parse(job) if isinstance(job, str) else job


def _submit(door: Facility, spec: JobSpec, resource: str | None, call: str | None) -> JobRef:
    ask = Ask.of(door, spec, resource, call)
    run = current_run(ask)
    turn = settle(run.kind, take_turn(run, ask)) if run else Turn()
    ref = turn.ref or door.jobs.submit(spec, resource=resource, key=turn.key, seen_before=turn.seen_before)
    for steps in _taken(run, turn, ref):
        note(ref, steps)
    return ref


async def _asubmit(door: Facility, spec: JobSpec, resource: str | None, call: str | None) -> JobRef:
    ask = Ask.of(door, spec, resource, call)
    run = current_run(ask)
    turn = await asettle(run.kind, take_turn(run, ask)) if run else Turn()
    ref = turn.ref or await door.aio.jobs.submit(
        spec, resource=resource, key=turn.key, seen_before=turn.seen_before
    )
    for steps in _taken(run, turn, ref):
        await anote(ref, steps)
    return ref


def _taken(run: Run | None, turn: Turn, ref: JobRef) -> list[Steps[None]]:
    """Tell of the job in the log; give what is to be noted about it."""
    run_logger().info("%s %s: %s", "attached to" if turn.ref else "submitted", ref.describe(), ref)
    return [note_job(ref)] if run and not turn.ref else []


def _follow(door: Facility, ref: JobRef, timeout: float | None) -> JobResult:
    try:
        with _watched(ref) as on_change:
            return door.jobs.result(ref, timeout=timeout, on_change=on_change)
    except JobFailed as failure:
        note(ref, note_end(failure))
        raise


async def _afollow(door: Facility, ref: JobRef, timeout: float | None) -> JobResult:
    try:
        with _watched(ref) as on_change:
            return await door.aio.jobs.result(ref, timeout=timeout, on_change=on_change)
    except JobFailed as failure:
        await anote(ref, note_end(failure))
        raise


@contextmanager
def _watched(ref: JobRef) -> Generator[Any]:
    """Writes into the run's log what becomes of the job while it is waited for."""
    log = run_logger()

    def on_change(status: JobStatus) -> None:
        log.info("%s: %s", ref.describe(), status.describe())

    try:
        yield on_change
    except JobFailed as failure:
        # Prefect shows an exception that will be retried as one escaped line, without its stderr readable.
        log.error("%s", failure)
        raise
    except Exception:
        raise
    except BaseException:  # Ctrl-C, SIGTERM, a cancelled asyncio task
        log.warning("nobody waits for %s any more; it was left alone: %s", ref.describe(), ref)
        raise
