"""Exit codes: a closed table over every error of the project and every end of a job."""

from __future__ import annotations

import inspect

import pytest

from iri_common import JobKey, JobRef, JobState, JobStatus, UsageError
from iri_common.cli.exits import Exit, exit_of_error, exit_of_status, propagated, table
from iri_common.model import errors
from iri_common.model.compute import ComputeState, ComputeTask
from iri_common.model.flows import FlowRun, RunState
from iri_common.model.network import LeaseState, LeaseStatus, NetworkPath

REF = JobRef("host", "iri", "r", JobKey.of("k"), "42")

CODES = {
    "IriError": 1,
    "UsageError": 2,
    "ProfileError": 2,
    "SpecChanged": 2,
    "NotOffered": 2,
    "JobFailed": 3,
    "JobLost": 5,
    "AmbiguousReply": 6,
    "SubmitUncertain": 6,
    "WaitTimeout": 7,
    "AuthError": 8,
    "PermissionDenied": 9,
    "GrantExceeded": 9,
    "NotFound": 10,
    "Refused": 11,
    "Conflict": 11,
    "TooLarge": 11,
    "TransientError": 12,
    "RateLimited": 12,
    "Unreachable": 12,
    "ResourceDown": 12,
    "ReplyError": 1,
    "TransferError": 13,
    "ComputeFailed": 3,
    "FlowFailed": 3,
    "PathFailed": 3,
    "StreamLost": 3,
    "ReservationLost": 3,
}


def made(kind: type[errors.IriError]) -> errors.IriError:
    words = {
        "key": JobKey.of("k"),
        **dict.fromkeys(("profile", "asked", "allowed"), "words"),
        "ref": REF,
        "run": FlowRun("r", "f", RunState.FAILED),
        "task": ComputeTask("t", ComputeState.FAILED),
        "path": NetworkPath(REF, LeaseStatus("42", LeaseState.FAILED)),
        "job_status": JobStatus(JobState.FAILED, exit_code=9),
    }
    wanted = inspect.signature(kind.__init__).parameters
    return kind("words", **{name: value for name, value in words.items() if name in wanted})


def test_every_error_has_its_code() -> None:
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.IriError)
    }
    assert {name: int(exit_of_error(made(kind))) for name, kind in kinds.items()} == CODES


def test_an_error_that_is_not_ours_is_any_other() -> None:
    assert exit_of_error(ValueError()) is Exit.OTHER


@pytest.mark.parametrize(
    ("status", "code", "own"),
    [
        (JobStatus(JobState.COMPLETED), 0, 0),
        (JobStatus(JobState.COMPLETED, exit_code=0), 0, 0),
        (JobStatus(JobState.COMPLETED, exit_code=7), 3, 7),
        (JobStatus(JobState.FAILED), 3, 3),
        (JobStatus(JobState.FAILED, exit_code=0), 3, 3),
        (JobStatus(JobState.FAILED, exit_code=255), 3, 255),
        (JobStatus(JobState.FAILED, exit_code=256), 3, 3),
        (JobStatus(JobState.FAILED, exit_code=-9), 3, 3),
        (JobStatus(JobState.CANCELED), 4, 4),
        (JobStatus(JobState.CANCELED, exit_code=143), 4, 143),
        (JobStatus(JobState.MISSING), 3, 3),
    ],
)
def test_the_end_of_a_job_has_its_code(status: JobStatus, code: int, own: int) -> None:
    assert exit_of_status(status) == code
    assert propagated(status) == own


def test_a_failed_job_that_was_cancelled_is_told_apart() -> None:
    canceled = errors.JobFailed("x", ref=REF, job_status=JobStatus(JobState.CANCELED))
    assert exit_of_error(canceled) is Exit.JOB_CANCELED


def test_the_table_is_whole_and_its_numbers_fit_a_shell() -> None:
    lines = table().splitlines()
    assert [int(line.split()[0]) for line in lines] == [each.value for each in Exit]
    assert all(line.split(maxsplit=1)[1] == each.meaning for line, each in zip(lines, Exit, strict=True))
    assert all(0 <= each < 256 for each in Exit)
    assert exit_of_error(UsageError("x")) == 2  # what the option parser ends with, too
