"""A job's spec as it is sent, what is told of it again, and what is refused before anything is sent."""

from __future__ import annotations

import re
import subprocess

import pytest
from firecrest_world import SYSTEM, Wire, dialect, error, job, jobs, ok, system
from hypothesis import example, given
from hypothesis import strategies as st

from iri_common.apis.firecrest.description import clean_name, described
from iri_common.apis.firecrest.wire import SystemReply
from iri_common.model.errors import AmbiguousReply, IriError, NotOffered, UsageError
from iri_common.model.job import Accepted, JobStatus
from iri_common.model.key import JobKey
from iri_common.model.outcome import Done
from iri_common.model.spec import JobSpec
from iri_common.model.state import JobState
from iri_common.model.submission import Submission
from iri_common.policy.classify import ReplyLost

SLURM = SystemReply.model_validate(SYSTEM)
PBS = SystemReply.model_validate(system(scheduler={"type": "pbs"}))
REST = SystemReply.model_validate(system(scheduler={"connectionMode": "rest"}))
HYBRID = SystemReply.model_validate(system(scheduler={"connectionMode": "hybrid"}))
KEY = JobKey.of("tests", "a job")


def sent(where=SLURM, **words):
    spec = JobSpec(**{"executable": "/bin/echo", "arguments": ["hi"], **words})
    return described(Submission(spec, "alps", KEY).wire_spec(), "/users/ana", where)


def test_needs_with_a_field_are_fields_and_all_others_directives():
    attributes = {"account": "csc02", "queue_name": "debug", "reservation_id": "r", "duration": 90}
    attributes["custom_attributes"] = {"constraint": "gpu"}
    resources = {"node_count": 2, "process_count": 8}
    told = sent(name="run", directory="/d", attributes=attributes, resources=resources, stdin_path="in")
    script = told.pop("script")
    assert told == {
        "name": KEY.job_name("run"),
        "workingDirectory": "/d",
        "standardInput": "in",
        "standardOutput": f"{KEY.job_name('run')}.out",
        "standardError": f"{KEY.job_name('run')}.err",
        "account": "csc02",
        "partition": "debug",
        "reservation": "r",
    }
    lines = script.splitlines()
    assert lines[0] == "#!/bin/sh"
    assert {"#SBATCH --nodes=2", "#SBATCH --ntasks=8", "#SBATCH --time=0:01:30"} <= set(lines)
    assert "#SBATCH --constraint=gpu" in lines
    assert not re.search(r"--(job-name|account|partition|output|chdir)", script)


def test_the_environment_is_in_the_script_with_its_commas_and_quotes():
    odd = "a,b='c' \"d\" $HOME `e`\nf"
    told = sent(executable="/bin/sh", arguments=["-c", 'printf %s "$ODD"'], environment={"ODD": odd})
    assert "env" not in told
    ran = subprocess.run(["/bin/sh"], input=told["script"], capture_output=True, text=True, check=True)
    assert ran.stdout == odd


def test_pbs_is_told_in_its_own_lines():
    script = sent(PBS, resources={"node_count": 2}, attributes={"duration": 60})["script"]
    assert "#PBS -l select=2" in script
    assert "SBATCH" not in script


@pytest.mark.parametrize("where", [REST, HYBRID])
def test_what_only_a_directive_says_is_refused_where_none_is_read(where):
    with pytest.raises(UsageError, match=r"attributes\.duration, resources\.node_count: .*mode"):
        sent(where, attributes={"duration": 60, "queue_name": "q"}, resources={"node_count": 2})
    told = sent(where, attributes={"queue_name": "q"}, environment={"A": "b"})
    assert told["partition"] == "q"
    assert "#SBATCH" not in told["script"]


def test_a_job_without_any_environment_still_has_a_home_and_a_path():
    told = sent(REST, executable="/bin/sh", arguments=["-c", 'echo "$HOME:$PATH"'])
    ran = subprocess.run(
        ["/bin/bash"], input=told["script"], env={}, capture_output=True, text=True, check=True
    )
    home, _, path = ran.stdout.strip().partition(":")
    assert home.startswith("/")
    assert "/bin" in path.split(":")


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({"directory": "/a|b"}, "directory"),
        ({"inherit_environment": False}, "inherit_environment"),
        ({"container": {"image": "x"}}, "container"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_name(words, field):
    with pytest.raises(UsageError, match=field):
        sent(**words)


async def test_what_cannot_be_said_is_not_sent():
    wire = Wire()
    with pytest.raises(UsageError):
        await dialect(wire).jobs.submit("alps", {"executable": "x", "directory": "/a|b"}, None)
    assert [each.url.rpartition("/")[2] for each in wire.requests] == ["systems"]


@pytest.mark.parametrize("end", ["/status/systems", "/userinfo"])
@pytest.mark.parametrize("answer", [error(500, "unhealthy"), ok({}), ReplyLost("cut"), ok(None, 504)])
async def test_what_cannot_be_learned_before_leaves_nothing_in_doubt(end, answer):
    wire = Wire({end: answer})
    with pytest.raises(IriError) as caught:
        await dialect(wire).jobs.submit("alps", {"executable": "x"}, None)
    assert (caught.value.outcome, wire.asked("/jobs")) == ("not sent", [])
    assert not isinstance(caught.value, AmbiguousReply)


@given(st.text(max_size=200).filter(bool))
@example("x" * 300)
@example("..." + "-" * 300)
def test_a_clean_name_is_safe_and_is_found_again(name):
    clean = clean_name(KEY.job_name(name))
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", clean)
    assert len(clean) <= 128
    assert KEY.names(clean)


def test_output_named_after_a_job_follows_its_clean_name():
    told = sent(name="a|b 'c'")
    assert told["standardOutput"] == f"{told['name']}.out"
    assert told["standardError"] == f"{told['name']}.err"
    assert sent(name="a|b", stdout_path="/o|p")["standardOutput"] == "/o|p"


@pytest.mark.parametrize("told", [{"jobId": "7"}, {"jobId": 7}, {"job_id": "7"}])
async def test_an_accepted_job_has_an_id(told):
    door = dialect(Wire({"/jobs": ok(told, 201)}))
    assert await door.jobs.submit("alps", {"executable": "x"}, None) == Done(
        Accepted("7", JobStatus(JobState.NEW), None)
    )


@pytest.mark.parametrize("told", [None, {}, {"jobId": None}, {"jobId": ""}, [], "7"])
async def test_a_success_without_an_id_may_have_worked(told):
    door = dialect(Wire({"/jobs": ok(told, 201)}))
    with pytest.raises(AmbiguousReply) as caught:
        await door.jobs.submit("alps", {"executable": "x"}, None)
    assert (caught.value.operation, caught.value.outcome) == ("post_job_submit", "unreadable")


async def test_values_of_the_environment_do_not_come_back_in_an_error():
    refusal = error(500, "Unexpected: std_err:export TOKEN=very-secret-value")
    door = dialect(Wire({"/jobs": refusal}))
    spec = {"executable": "x", "environment": {"TOKEN": "very-secret-value"}}
    with pytest.raises(AmbiguousReply) as caught:
        await door.jobs.submit("alps", spec, None)
    assert "very-secret-value" not in str(caught.value)


# ------------------------------------------------------------------------------------------- output


async def test_where_a_job_writes_is_known_to_who_asked_for_it():
    wire = Wire({"/jobs": ok({"jobId": "7"}, 201)})
    door = dialect(wire)
    spec = {"executable": "x", "directory": "/d", "stdout_path": "o", "stderr_path": "/e"}
    await door.jobs.submit("alps", spec, None)
    asked = len(wire.requests)
    assert (await door.jobs.output_paths("alps", "7")).value == {"stdout": "/d/o", "stderr": "/e"}
    assert len(wire.requests) == asked


@pytest.mark.parametrize(("kind", "crossed"), [("slurm", False), ("pbs", True)])
async def test_anybody_else_asks_the_scheduler(kind, crossed):
    told = {"jobId": "7", "standardOutput": "/d/o-%j", "standardError": "/d/e", "script": ""}
    wire = Wire({"/metadata": ok({"jobs": [told]})}, system(scheduler={"type": kind}))
    found = (await dialect(wire).jobs.output_paths("alps", "7")).value
    expected = {"stdout": "/d/o-7", "stderr": "/d/e"}
    assert found == (dict(zip(expected, reversed(expected.values()), strict=True)) if crossed else expected)


@pytest.mark.parametrize("gone", [error(404, "Job not found."), error(501, "not in rest connection mode")])
async def test_where_that_is_forgotten_the_name_of_the_job_tells(gone):
    row = job("7", "COMPLETED", name=KEY.job_name("run"))
    wire = Wire({"/metadata": gone, "/jobs/7": jobs(row)})
    found = (await dialect(wire).jobs.output_paths("alps", "7")).value
    assert found["stdout"] == f"/users/ana/{KEY.job_name('run')}.out"
    nameless = Wire({"/metadata": gone, "/jobs/7": jobs(job("7", "COMPLETED", name="allocation"))})
    assert (await dialect(nameless).jobs.output_paths("alps", "7")).value == {}


async def test_a_pattern_of_the_scheduler_is_no_path():
    wire = Wire(
        {
            "/jobs": ok({"jobId": "7"}, 201),
            "/metadata": ok({"jobs": [{"jobId": "7", "standardOutput": "(null)", "standardError": "/e-%N"}]}),
            "/jobs/7": jobs(),
        }
    )
    door = dialect(wire)
    spec = {"executable": "x", "directory": "/d", "stdout_path": "o-%N"}
    await door.jobs.submit("alps", spec, None)
    assert (await door.jobs.output_paths("alps", "7")).value == {}


async def test_a_job_is_not_changed():
    with pytest.raises(NotOffered):
        await dialect(Wire()).jobs.update("alps", "7", {}, None)
