"""Slurm's words, numbers and wait statuses, in the shapes of all versions."""

from __future__ import annotations

import pytest

from iri_common.apis.slurm.exits import ending, status_of
from iri_common.apis.slurm.states import BASES, availability, job_state
from iri_common.apis.slurm.wire import JobReply, moment, number
from iri_common.model.facility import Availability
from iri_common.model.reason import JobReason
from iri_common.model.state import JobState


def seen(**fields):
    return status_of(JobReply.model_validate({"job_id": 1, **fields}))


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (["PENDING"], "queued"),
        (["RUNNING"], "active"),
        (["SUSPENDED"], "active"),
        (["COMPLETED"], "completed"),
        (["CANCELLED"], "canceled"),
        (["FAILED"], "failed"),
        (["TIMEOUT"], "failed"),
        (["PREEMPTED"], "failed"),
        (["RUNNING", "COMPLETING"], "active"),
        (["COMPLETED", "COMPLETING"], "active"),
        (["CANCELLED", "COMPLETING"], "active"),
        (["COMPLETING"], "active"),
        (["RUNNING", "CONFIGURING"], "queued"),
        (["COMPLETED", "CONFIGURING"], "completed"),
        (["PENDING", "REQUEUE_HOLD"], "held"),
        (["FAILED", "REQUEUED"], "queued"),
        (["FAILED", "LAUNCH_FAILED"], "failed"),
        (["COMPLETED", "REVOKED"], "unknown"),
        (["RUNNING", "NEW_FLAG"], "active"),
        (["COMPLETED", "NEW_FLAG"], "unknown"),
        (["completed"], "unknown"),
        (["CANCELLED by 5"], "unknown"),
        (["MOSTLY_DEAD"], "unknown"),
        ([], "unknown"),
    ],
)
def test_states(words, state):
    assert job_state(words, "") == state
    assert seen(job_state=words).state == state
    assert seen(state={"current": words, "reason": "None"}).state == state


@pytest.mark.parametrize("word", BASES)
def test_a_text_is_a_list_of_one(word):
    assert seen(job_state=word).state is job_state([word], "")


@pytest.mark.parametrize("reason", ["JobHeldUser", "JobHeldAdmin"])
def test_a_job_that_is_held(reason):
    status = seen(job_state="PENDING", state_reason=reason, exit_code=0)
    assert (status.state, status.reason, status.exit_code) == (JobState.HELD, JobReason.HELD, None)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0, (0, None)),
        (768, (3, None)),
        (15, (None, 15)),
        (0x8B, (None, 11)),  # with a core
        (4021, (None, 53)),
        (2**32 - 2, (None, None)),
        (-1, (None, None)),
        (None, (None, None)),
        (True, (None, None)),
        ("768", (3, None)),
        ({"status": ["SUCCESS"], "return_code": {"set": True, "number": 0}}, (0, None)),
        ({"status": ["ERROR"], "return_code": {"set": True, "infinite": False, "number": 3}}, (3, None)),
        ({"status": "ERROR", "return_code": 3}, (3, None)),
        (
            {
                "status": ["SIGNALED"],
                "return_code": {"set": False, "number": 0},
                "signal": {"id": {"set": True, "number": 9}},
            },
            (None, 9),
        ),
        ({"status": ["SIGNALED"], "return_code": 0, "signal": {"signal_id": 9}}, (None, 9)),
        ({"status": ["PENDING"], "return_code": {"set": False, "number": 0}}, (None, None)),
        ({"status": ["SUCCESS"], "return_code": {"number": "0"}}, (0, None)),
        ({"return_code": [], "signal": 9}, (None, None)),
    ],
)
def test_endings(value, told):
    assert ending(value) == told


UNSAID = {"status": "SUCCESS", "return_code": 0}  # so 22.05 has it on record of a job that ended with 3


@pytest.mark.parametrize(
    ("words", "why", "ended", "code", "reason"),
    [
        ("FAILED", "NonZeroExitCode", 768, 3, JobReason.EXIT_CODE),
        ("FAILED", "JobLaunchFailure", 15, 143, JobReason.EXIT_CODE),
        ("FAILED", "JobLaunchFailure", 4021, None, JobReason.UNKNOWN),
        ("FAILED", "None", UNSAID, None, JobReason.UNKNOWN),
        ("TIMEOUT", "TimeLimit", 9, None, JobReason.TIME_LIMIT),
        ("CANCELLED", "None", 1792, None, JobReason.CANCELED),
        (["OUT_OF_MEMORY"], "None", 125, None, JobReason.MEMORY),
        (["NODE_FAIL"], "NodeDown", 1, None, JobReason.NODE),
    ],
)
def test_how_jobs_end(words, why, ended, code, reason):
    status = seen(job_state=words, state_reason=why, exit_code=ended)
    assert (status.exit_code, status.reason, status.succeeded) == (code, reason, False)


def test_times_are_of_the_state():
    times = {"submit_time": {"set": True, "number": "10"}, "start_time": 20, "end_time": {"number": 30}}
    assert [seen(job_state=word, **times).time for word in ("PENDING", "RUNNING", "FAILED")] == [10, 20, 30]
    assert seen(state={"current": ["FAILED"]}, time={"end": "30"}).time == 30
    assert seen(job_state="PENDING", submit_time=0).time is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (5, 5),
        ("5", 5),
        ({"set": True, "number": "1741827600"}, 1741827600),
        ({"set": False, "number": 5}, None),
        ({"infinite": True, "set": True, "number": 5}, None),
        ({"number": 5}, 5),
        (5.0, None),
        ("\u0665", None),
        ("5" * 30, None),
        (10**30, None),
        (None, None),
        ([5], None),
    ],
)
def test_numbers(value, told):
    assert number(value) == told


def test_moments():
    assert moment(0) is None
    assert moment(2**62) is None
    assert moment("1700000000").timestamp() == 1700000000


def test_partitions():
    assert availability(["UP"]) is Availability.UP
    assert availability(["UP", "DRAIN"]) is Availability.DOWN
    assert availability(["SIDEWAYS"]) is Availability.UNKNOWN
    assert availability([]) is Availability.UNKNOWN
