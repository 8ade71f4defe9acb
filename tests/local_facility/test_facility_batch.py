"""Batch scripts and the words of Slurm and PBS, which three faces share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from iri_local_facility import LocalFacility, batch
from iri_local_facility.accounts import User
from iri_local_facility.batch.directives import directives
from iri_local_facility.errors import Rejected
from iri_local_facility.jobs import Job, JobRequest
from iri_local_facility.paths import Areas
from iri_local_facility.settings import Settings

SETTINGS = Settings(root=Path("/facility"), nodes=4)
HOME = Path("/facility/home/alice")
ALICE = User("alice", ("demo",), Areas(HOME, Path("/facility/scratch/alice"), {}))
JOB = Job(
    id=7,
    resource_id="",
    user="alice",
    account="demo",
    queue="regular",
    name="fit",
    node_count=2,
    duration=60,
    request=JobRequest(executable="/bin/sh", directory=str(HOME), script="#!/bin/sh\n", process_count=4),
    document={},
    state="active",
    message=None,
    exit_code=None,
    ending=None,
    submitted=1.0,
    started=2.0,
    ended=None,
    changed=2.0,
    pid=1,
    birth=None,
    nodes=["node1", "node2"],
    restarts=0,
    requeue=False,
)


def asked(script: str, **fields: Any) -> JobRequest:
    return batch.batch_request(SETTINGS, ALICE, script, **fields)


# --------------------------------------------------------------------------------------- directives


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("-J fit", {"name": "fit"}),
        ("-Jfit -N2 -n 8", {"name": "fit", "node_count": 2, "process_count": 8}),
        ("--job-name='two words'  # said so", {"name": "two words"}),
        ("--nodes 2-4", {"node_count": 2}),
        ("--ntasks-per-node=3", {"processes_per_node": 3}),
        ("-p debug -A demo", {"queue": "debug", "account": "demo"}),
        ("-o out -e err -i in -D /d", {"stdout": "out", "stderr": "err", "stdin": "in", "directory": "/d"}),
        ("--mem=4G --exclusive --mail-user=a@b", {}),
        ("--hold", {"hold": True}),
        ("--export=NONE", {"environment": {}, "inherit_environment": False}),
        ("--export=ALL,A=1", {"environment": {"A": "1"}, "inherit_environment": True}),
        ("-t 5", {"duration": 300}),
        ("-t 1:30", {"duration": 90}),
        ("-t 1:00:05", {"duration": 3605}),
        ("-t 1-2", {"duration": 26 * 3600}),
        ("-t 1-2:30", {"duration": 26 * 3600 + 1800}),
        ("-t 1-2:30:15", {"duration": 26 * 3600 + 1815}),
        ("-t UNLIMITED", {}),
        ("--array=0-3", {"array": "0-3"}),
    ],
)
def test_slurm_directives(line: str, fields: dict[str, Any]) -> None:
    assert directives(f"#!/bin/sh\n#SBATCH {line}\n", "slurm") == fields


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("-N fit -q debug -P demo", {"name": "fit", "queue": "debug", "account": "demo"}),
        ("-l walltime=1:00:05", {"duration": 3605}),
        ("-l select=2:ncpus=4:mpiprocs=4", {"node_count": 2, "process_count": 8}),
        ("-l nodes=2:ppn=3", {"node_count": 2, "process_count": 6}),
        ("-l walltime=90 -l mem=4gb", {"duration": 90}),
        ("-o host:/d/out -e logs/", {"stdout": "/d/out", "stderr": "logs/%x.e%j"}),
        ("-j oe -V -M a@b -r n", {"joined": "oe"}),
        ("-v A=1,B", {"environment": {"A": "1"}}),
        ("-h -W depend=afterok:1", {"hold": True, "dependency": "depend=afterok:1"}),
    ],
)
def test_pbs_directives(line: str, fields: dict[str, Any]) -> None:
    assert directives(f"#!/bin/sh\n#PBS {line}\n", "pbs") == fields


def test_directives_end_at_the_first_command() -> None:
    script = "#!/bin/sh\n\n# words\n#SBATCH -J one\n  \n#SBATCHX -J no\n#PBS -N no\necho\n#SBATCH -J two\n"
    assert directives(script, "slurm") == {"name": "one"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--frobnicate", "unrecognized option"),
        ("-y", "unrecognized option"),
        ("loose", "unrecognized option"),
        ("-J", "option requires an argument"),
        ("-N many", "Invalid numeric value"),
        ("-N 0", "Invalid numeric value"),
        ("-t soon", "Invalid --time specification"),
        ("-J 'open", "unmatched quote"),
    ],
)
def test_what_sbatch_refuses_by_itself(line: str, words: str) -> None:
    with pytest.raises(batch.BadScript, match=words):
        directives(f"#SBATCH {line}\n", "slurm")


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("A=1,B=2", {"A": "1", "B": "2"}),
        ("A=1,2,B=3", {"A": "1", "B": "3"}),
        ('A="1,2",B=3', {"A": '"1,2"', "B": "3"}),
        ("A=it's,B=2", {"A": "it's,B=2"}),
    ],
)
def test_exports_are_separated_by_commas_outside_quotes(text: str, environment: dict[str, str]) -> None:
    assert batch.exported(text)["environment"] == environment


# ---------------------------------------------------------------------------------------- requests


def test_a_script_runs_with_its_interpreter() -> None:
    request = asked("#!/usr/bin/env python3 -u\n#SBATCH -N 2 --ntasks-per-node 2\n")
    assert (request.executable, request.arguments) == ("/usr/bin/env", ["python3 -u"])
    assert (request.name, request.stdout, request.stderr) == ("sbatch", "slurm-%j.out", None)
    assert (request.node_count, request.process_count) == (2, 4)


def test_fields_win_and_directives_may_not_count() -> None:
    script = "#!/bin/sh\n#SBATCH -J directive -p debug\n"
    assert (asked(script, name="field").name, asked(script, name=None).queue) == ("field", "debug")
    assert asked(script, read_directives=False).name == "sbatch"


def test_pbs_joins_streams() -> None:
    request = asked("#!/bin/sh\n#PBS -j oe\n", scheduler="pbs")
    assert request.stderr == request.stdout == "%x.o%j"
    assert asked("#!/bin/sh\n#PBS -j eo -e err\n", scheduler="pbs").stdout == "err"
    assert asked("#!/bin/sh\n#PBS -j n\n", scheduler="pbs").stderr == "%x.e%j"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"queue": "nope"}, "Invalid partition name specified"),
        ({"account": "nope"}, "Invalid account or account/partition combination specified"),
        ({"node_count": 5}, "Requested node configuration is not available"),
        ({"queue": "debug", "node_count": 3}, "Node count specification invalid"),
        ({"queue": "debug", "duration": 3600}, "Requested time limit is invalid"),
        ({"array": "3-1"}, "Invalid job array specification"),
        ({"array": "0-1001"}, "Invalid job array specification"),
        ({"dependency": "afterok:1?afterany:2"}, "Job dependency problem"),
        ({"constraint": "gpu"}, "Invalid feature specification"),
        ({"qos": "premium"}, "Invalid qos specification"),
    ],
)
def test_what_slurm_refuses(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(Rejected, match=words):
        asked("#!/bin/sh\n", **fields)


def test_the_words_that_every_node_and_user_has() -> None:
    assert asked("#!/bin/sh\n", constraint=batch.FEATURE, qos=batch.QOS)


@pytest.mark.parametrize("script", ["", "echo\n", "#!/bin/sh\r\necho\r\n"])
def test_what_is_no_script(script: str) -> None:
    with pytest.raises(batch.BadScript):
        batch.check_script(script)


# ------------------------------------------------------------------------------------------ running


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("slurm-%j.out", "slurm-7.out"),
        ("%x-%4j-%u-%N-%%", "fit-0007-alice-node1-%"),
        ("as\\%j", "as%j"),
    ],
)
def test_patterns_in_paths(path: str, real: str) -> None:
    assert batch.expand(path, JOB) == real


def test_what_the_schedulers_tell_a_job() -> None:
    told = batch.environment(JOB)
    assert told["SLURM_JOB_ID"] == "7"
    assert told["SLURM_JOB_NODELIST"] == "node[1-2]"
    assert told["SLURM_NTASKS"] == "4"
    assert "SLURM_RESTART_COUNT" not in told
    assert batch.environment(replace(JOB, restarts=2))["SLURM_RESTART_COUNT"] == "2"
    pbs = replace(JOB, request=replace(JOB.request, scheduler="pbs"))
    assert batch.environment(pbs)["PBS_JOBID"] == "7.cluster"
    assert batch.environment(replace(JOB, request=JobRequest("/bin/sh"))) == {}


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([], ""),
        (["node3"], "node3"),
        (["node1", "node2", "node3"], "node[1-3]"),
        (["node1", "node3", "node4", "node9"], "node[1,3-4,9]"),
    ],
)
def test_lists_of_nodes(nodes: list[str], text: str) -> None:
    assert batch.node_list(nodes) == text


# ------------------------------------------------------------------------------------------- states


@pytest.mark.parametrize(
    ("facts", "slurm", "pbs"),
    [
        ({"state": "new"}, ("PENDING", 0, 0), ("Q", None)),
        ({"state": "held"}, ("PENDING", 0, 0), ("H", None)),
        ({"state": "active"}, ("RUNNING", 0, 0), ("R", None)),
        ({"state": "active", "ending": "canceled"}, ("COMPLETING", 0, 0), ("E", None)),
        ({"state": "completed", "exit_code": 0}, ("COMPLETED", 0, 0), ("F", 0)),
        ({"state": "failed", "exit_code": 3}, ("FAILED", 3, 0), ("F", 3)),
        ({"state": "failed", "exit_code": 137}, ("FAILED", 0, 9), ("F", 265)),
        ({"state": "failed", "exit_code": 211}, ("FAILED", 211, 0), ("F", 211)),
        ({"state": "failed", "message": "could not start: x"}, ("FAILED", 0, 53), ("F", -1)),
        ({"state": "failed", "exit_code": 143, "ending": "time limit"}, ("TIMEOUT", 0, 0), ("F", -29)),
        ({"state": "failed", "message": "node failure"}, ("NODE_FAIL", 1, 0), ("F", -1)),
        ({"state": "failed", "ending": "out of memory"}, ("OUT_OF_MEMORY", 0, 125), ("F", -27)),
        ({"state": "failed", "ending": "preempted"}, ("PREEMPTED", 0, 0), ("F", 271)),
        ({"state": "BOOTING"}, ("BOOTING", 0, 0), ("BOOTING", None)),
    ],
)
def test_states(facts: dict[str, Any], slurm: tuple[str, int, int], pbs: tuple[str, int | None]) -> None:
    job = replace(JOB, **facts)
    status = batch.slurm_status(job)
    assert (status.state, status.exit_code, status.signal) == slurm
    assert (batch.pbs_status(job).state, batch.pbs_status(job).exit_status) == pbs


def test_a_canceled_job_says_who_did_it() -> None:
    canceled = replace(JOB, state="canceled", ending="canceled")
    assert batch.slurm_status(canceled).state.startswith("CANCELLED by ")
    assert batch.slurm_status(replace(canceled, ending="shutdown")).state == "CANCELLED by 0"
    assert batch.pbs_status(canceled).exit_status == 271
    assert batch.pbs_status(replace(canceled, started=None)).exit_status is None


@pytest.mark.parametrize(
    ("message", "restarts", "reason"),
    [
        ("waiting for nodes", 0, "Resources"),
        ("held by user", 0, "JobHeldUser"),
        ("held by the facility", 0, "JobHeldAdmin"),
        ("waiting for the end of maintenance", 0, "ReqNodeNotAvail,_Reserved_for_maintenance"),
        ("requeued: preempted", 1, "BeginTime"),
    ],
)
def test_why_a_job_waits(message: str, restarts: int, reason: str) -> None:
    state = "held" if message.startswith("held") else "queued"
    waiting = replace(JOB, state=state, message=message, restarts=restarts)
    assert batch.slurm_status(waiting).reason == reason


# ------------------------------------------------------------------------------------------- orders


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(kill_grace=0.2) as running:
        yield running


@pytest.mark.parametrize("command", ["ln", "echo"])
def test_a_script_meets_an_order_at_a_command(place: LocalFacility, command: str) -> None:
    """In the script and in the shells that it starts, by PATH, by ``command -p`` and as a built-in."""
    script = (
        "#!/bin/sh\n"
        "command -p ln -s a first; echo one >out\n"
        "exec /bin/sh -c 'command -p ln -s b second; echo two >>out; sleep 60'\n"
    )
    folder = place.home / command
    folder.mkdir()
    place.order("requeue", job=command, command=command, nth=2, when="after")
    body = {"job": {"workingDirectory": str(folder), "name": command, "script": script}}
    url = f"{place.firecrest_url}/compute/cluster/jobs"
    bearer = {"Authorization": f"Bearer {place.token}"}
    httpx.post(url, json=body, headers=bearer, trust_env=False).raise_for_status()
    until = time.monotonic() + 60
    while len(attempts := place.jobs()[-1]["attempts"]) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert attempts[0]["message"] == "requeued"
    # Both commands ran before: the order was met in the shell that the script starts.
    assert (folder / "second").is_symlink()
