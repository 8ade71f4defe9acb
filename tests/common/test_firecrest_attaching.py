"""Commands beside a job: what is sent, what the answers mean, and where nothing is sent."""

from __future__ import annotations

import shlex

import pytest
from firecrest_world import Wire, dialect, error, raw, system

from iri_common import Facility, JobKey, JobRef
from iri_common.model.errors import (
    AmbiguousReply,
    Conflict,
    NotFound,
    NotOffered,
    PermissionDenied,
    RateLimited,
    Refused,
    TransientError,
    UsageError,
)
from iri_common.policy.classify import ReplyLost

DONE = raw(b"", status=204)
ODD = "echo 'a' \"$HOME\" | tee b\nc"


async def test_a_command_is_one_word_of_a_shell():
    wire = Wire({"/attach": DONE})
    await dialect(wire).attaching.attach("alps", "7", ODD)
    (request,) = wire.asked("/attach")
    assert (request.method, request.url) == ("PUT", "http://door.example/f7t/compute/alps/jobs/7/attach")
    assert shlex.split(request.json["command"]) == ["/bin/sh", "-c", ODD]


def failed(words):
    return error(500, f"Remote process failed with exit status:1 and error message:{words}")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (failed("sh: not found"), Refused),
        (failed("srun: error: Unable to confirm allocation for job 7: Invalid job id specified"), NotFound),
        (failed("srun: error: Job/step already completing or completed"), Conflict),
        (failed("srun: error: Access/permission denied"), PermissionDenied),
        (error(408, "Command execution timeout"), AmbiguousReply),
        (error(500, "Remote process failed with exit status:124 and error message:"), AmbiguousReply),
        (failed("srun: error: Unable to contact slurm controller"), AmbiguousReply),
        (ReplyLost("cut"), AmbiguousReply),
        (error(503, "Cluster alps is unhealthy"), TransientError),
        (error(424, "Unable to open a new SSH channel."), RateLimited),
    ],
)
async def test_what_became_of_the_command_is_in_the_words(reply, kind):
    with pytest.raises(kind):
        await dialect(Wire({"/attach": reply})).attaching.attach("alps", "7", "false")


async def test_what_may_have_begun_is_not_begun_again():
    wire = Wire({"/attach": [ReplyLost("cut"), DONE]})
    with pytest.raises(AmbiguousReply):
        await dialect(wire).attaching.attach("alps", "7", "true")
    assert len(wire.asked("/attach")) == 1


@pytest.mark.parametrize(
    "change", [{"connectionMode": "rest"}, {"connectionMode": "hybrid"}, {"type": "pbs"}]
)
async def test_nothing_is_sent_where_nothing_would_be_done(change):
    wire = Wire({"/attach": DONE}, system(scheduler=change))
    with pytest.raises(NotOffered, match="have the job look"):
        await dialect(wire).attaching.attach("alps", "7", "true")
    assert not wire.asked("/attach")


@pytest.mark.parametrize(
    ("job", "command"), [("7_1", "true"), ("7.batch", "true"), ("", "true"), ("7", "a\0b")]
)
async def test_what_cannot_be_asked_for_is_not_sent(job, command):
    wire = Wire({"/attach": DONE})
    with pytest.raises(UsageError):
        await dialect(wire).attaching.attach("alps", job, command)
    assert not wire.asked("/attach")


def test_no_other_api_has_it():
    facility = Facility("http://127.0.0.1:9/api/v2")
    ref = JobRef("127.0.0.1:9", "iri", "r", JobKey.of("k"), "7")
    with pytest.raises(NotOffered, match="no commands beside a job"):
        facility.jobs.attach(ref, "true")
    with pytest.raises(UsageError, match="command"):
        facility.jobs.attach(ref, " ")
