"""How a job stands and ended, out of words, numbers and wait statuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iri_common.apis.slurm.states import OF_THE_PROGRAM, job_state
from iri_common.apis.slurm.wire import JobReply, field, number, text, texts
from iri_common.model.job import JobStatus
from iri_common.model.reason import JobReason
from iri_common.model.state import JobState
from iri_common.policy.reason import explained

_MOST_SIGNALS = 64
_NOT_STARTED = 53  # Slurm's own, where a signal's number would be: shown by sacct as 0:53
_LAUNCH = "JobLaunchFailure"


def status_of(job: JobReply) -> JobStatus:
    """The status of a job in our words."""
    words, reason = job.words, job.reason
    code, signal = ending(job.exit_code)
    own = bool(OF_THE_PROGRAM.intersection(words))
    if own and signal == _NOT_STARTED:
        return _not_started(job)
    if own and signal and reason == _LAUNCH:
        reason = ""  # Slurm's word for any end by a signal, the program's own among them
    state = job_state(words, reason)
    exit_code = None
    if own and state.terminal:
        exit_code = 128 + signal if signal and signal <= _MOST_SIGNALS else code
        if state is JobState.FAILED and exit_code == 0:
            exit_code = None  # seen on record of 22.05 for a job that ended with 3
    told = [reason, text(job.state_description)]
    if exit_code is not None and signal:
        told.append(f"ended by signal {signal}")
    return explained(
        JobStatus(
            state=state,
            exit_code=exit_code,
            message=", ".join(dict.fromkeys(each for each in told if each)) or None,
            time=_noted(job, state),
            raw_state="+".join(words) or None,
            meta=_meta(job, reason),
        )
    )


def ending(value: object) -> tuple[int | None, int | None]:
    """Exit code and signal: of a raw wait status (v0.0.38), or of an object that has both."""
    if not isinstance(value, dict):
        raw = number(value)
        if raw is None or not 0 <= raw <= 0xFFFF:
            return None, None
        signal = raw & 0x7F
        return (None, signal) if signal else (raw >> 8, None)
    if {"PENDING", "INVALID"}.intersection(texts(field(value, "status"))):  # pyright: ignore[reportUnknownArgumentType]
        return None, None
    inner = field(value, "signal")  # pyright: ignore[reportUnknownArgumentType]
    signal = number(field(inner, "id")) or number(field(inner, "signal_id"))
    return (None, signal) if signal else (number(field(value, "return_code")), None)  # pyright: ignore[reportUnknownArgumentType]


def _not_started(job: JobReply) -> JobStatus:
    return JobStatus(
        JobState.FAILED,
        message="Slurm could not start it (0:53): mostly its directory or output file cannot be opened there",
        time=_noted(job, JobState.FAILED),
        raw_state="+".join(job.words),
        meta=_meta(job, ""),
        reason=JobReason.UNKNOWN,  # not the node's fault, as Slurm's reason has it
    )


def _noted(job: JobReply, state: JobState) -> float | None:
    """When the state began; Slurm predicts the times that are still to come."""
    if state.terminal:
        when = number(job.end_time) or number(field(job.time, "end"))
    elif state is JobState.ACTIVE:
        when = number(job.start_time) or number(field(job.time, "start"))
    else:
        when = number(job.submit_time) or number(field(job.time, "submission"))
    return float(when) if when else None


def _meta(job: JobReply, reason: str) -> Mapping[str, Any]:
    told = {"state_reason": reason, "nodes": text(job.nodes), "restart_cnt": number(job.restart_cnt)}
    return {name: value for name, value in told.items() if value}
