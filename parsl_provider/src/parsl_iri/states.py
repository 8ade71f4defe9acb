"""From a facility's word on a job to Parsl's word on a block."""

from __future__ import annotations

import re
from collections.abc import Callable

from parsl.jobs.states import JobState, JobStatus

from iri_common import JobState as State
from iri_common import JobStatus as Status

# Parsl counts only PENDING and RUNNING as blocks it has: HELD or UNKNOWN makes its strategy submit another
# block at every step, without bound (parsl#2851: accounts were banned for it). A held job is one that waits.
LIVE = {
    State.NEW: JobState.PENDING,
    State.QUEUED: JobState.PENDING,
    State.HELD: JobState.PENDING,
    State.ACTIVE: JobState.RUNNING,
}

# What schedulers say of a job that used up its time: Slurm "TIMEOUT", "DUE TO TIME LIMIT"; PBS "exceeded
# walltime"; LSF "TERM_RUNLIMIT". Only a message for people is searched, never a state.
_OUT_OF_TIME = re.compile(
    r"time[\s_-]?limit|wall[\s_-]?(clock[\s_-]?)?time|run[\s_-]?limit|^\W*time[\s_-]?out\W*$", re.IGNORECASE
)


def final_state(status: Status, ran_for: float | None, walltime: float) -> JobState:
    """What the end of a job means to Parsl.

    The IRI API has no state for a job that used up its time; Parsl takes FAILED for a broken machine and
    gives the executor up (parsl#2207), where TIMEOUT is the usual end of a pilot.

    Args:
        status: Terminal.
        ran_for: Seconds, where its start was seen.
        walltime: Seconds asked for.
    """
    if status.succeeded:
        return JobState.COMPLETED
    slack = min(30.0, walltime * 0.05)  # its start was seen late by one poll of the facility
    if ran_for is not None and ran_for >= walltime - slack:
        return JobState.TIMEOUT
    if status.message and _OUT_OF_TIME.search(status.message):
        return JobState.TIMEOUT
    return JobState.CANCELLED if status.state is State.CANCELED else JobState.FAILED


class FacilityJobStatus(JobStatus):
    """A block's status whose output is at the facility: it is fetched when somebody asks for it.

    Args:
        state: In Parsl's words.
        message: For a person.
        exit_code: Of the block's job, where the facility tells.
        last_lines: Gives the end of "stdout" or "stderr", or "".
    """

    def __init__(
        self,
        state: JobState,
        message: str | None = None,
        exit_code: int | None = None,
        last_lines: Callable[[str], str] | None = None,
    ) -> None:
        # No paths: Parsl would open them on this machine.
        super().__init__(state, message, exit_code)
        self._last_lines = last_lines

    def _fetched(self, stream: str) -> str | None:
        return (self._last_lines(stream) or None) if self._last_lines else None

    @property
    def stdout(self) -> str | None:
        """The end of the job's standard output, None where there is none to be had."""
        return self._fetched("stdout")

    @property
    def stderr(self) -> str | None:
        """The end of the job's standard error, None where there is none to be had."""
        return self._fetched("stderr")

    @property
    def stdout_summary(self) -> str | None:
        """As ``stdout``; Parsl puts it into its errors."""
        return self._fetched("stdout")

    @property
    def stderr_summary(self) -> str | None:
        """As ``stderr``; Parsl puts it into its errors."""
        return self._fetched("stderr")
