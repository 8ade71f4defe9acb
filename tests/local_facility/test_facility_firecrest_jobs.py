"""Jobs at the FirecREST face as they are on the wire: states, refusals and what a client must survive."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from firecrest_kit import SYSTEM, Plain, error, plain

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=2, kill_grace=0.2) as running:
        yield running


@pytest.fixture(scope="module")
def pbs_place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=2, kill_grace=0.2, firecrest_scheduler="pbs") as running:
        yield running


@pytest.fixture
def raw(place: LocalFacility) -> Iterator[Plain]:
    yield from plain(place)


@pytest.fixture
def pbs(pbs_place: LocalFacility) -> Iterator[Plain]:
    yield from plain(pbs_place)


# ------------------------------------------------------------------------------------------ states


@pytest.mark.parametrize(
    ("script", "state", "code", "number"),
    [
        ("true", "COMPLETED", 0, 0),
        ("exit 3", "FAILED", 3, 0),
        ("exit 211", "FAILED", 211, 0),
        ("kill -9 $$", "FAILED", 0, signal.SIGKILL),
        ("#SBATCH -t 0:01\nsleep 60", "TIMEOUT", 0, 0),
    ],
)
def test_slurm_tells_how_a_job_ended(raw: Plain, script: str, state: str, code: int, number: int) -> None:
    status = raw.wait(raw.submitted(script))["status"]
    assert (status["state"], status["exitCode"], status["interruptSignal"]) == (state, code, number)


def test_a_job_without_its_directory_leaves_no_output(raw: Plain, place: LocalFacility) -> None:
    job = raw.submitted("true", workingDirectory=f"{place.home}/nowhere")
    status = raw.wait(job)["status"]
    assert (status["state"], status["exitCode"], status["interruptSignal"]) == ("FAILED", 0, 53)
    assert not (place.home / f"slurm-{job}.out").exists()


@pytest.mark.parametrize(
    ("kind", "state", "code", "number"),
    [
        ("node_death", "NODE_FAIL", 1, 0),
        ("out_of_memory", "OUT_OF_MEMORY", 0, 125),
        ("preempt", "PREEMPTED", 0, 0),
    ],
)
def test_what_happens_to_a_job_has_a_state_of_its_own(
    raw: Plain, place: LocalFacility, kind: str, state: str, code: int, number: int
) -> None:
    place.order(kind, job="struck")  # type: ignore[arg-type]
    status = raw.wait(raw.submitted("exec sleep 60", name="struck"))["status"]
    assert (status["state"], status["exitCode"], status["interruptSignal"]) == (state, code, number)


def test_a_waiting_job_is_as_squeue_shows_it(raw: Plain, place: LocalFacility) -> None:
    job = raw.submitted("#SBATCH --hold --nodes=2 -t 5\ntrue")
    found = raw.wait(job, "PENDING")
    assert found["status"] == {
        "state": "PENDING",
        "stateReason": "JobHeldUser",
        "exitCode": None,
        "interruptSignal": None,
    }
    assert (found["nodes"], found["allocationNodes"], found["time"]["limit"]) == ("", 2, 300)
    raw.cancel(job)
    assert raw.job(job)["status"]["state"] == f"CANCELLED by {os.getuid()}"
    assert raw.job(job)["status"]["exitCode"] == 0


def test_a_canceled_job_says_by_whom(raw: Plain) -> None:
    job = raw.submitted("exec sleep 60")
    raw.wait(job, "RUNNING")
    assert raw.cancel(job).status_code == 204
    assert raw.wait(job)["status"]["state"] == f"CANCELLED by {os.getuid()}"


def test_pbs_says_that_it_is_over_and_how_in_the_exit_code(pbs: Plain) -> None:
    ends = {script: pbs.wait(pbs.submitted(script))["status"] for script in ("true", "exit 3", "kill -9 $$")}
    assert {status["state"] for status in ends.values()} == {"F"}
    assert [status["exitCode"] for status in ends.values()] == [0, 3, 256 + signal.SIGKILL]
    job = pbs.submitted("#PBS -N named -j oe -l select=1:mpiprocs=2\nsleep 0.3; echo $PBS_JOBID >&2")
    running = pbs.wait(job, "R")
    assert (running["name"], running["status"]["exitCode"], running["time"]["end"]) == ("named", 0, None)
    pbs.wait(job)
    assert (pbs.facility.home / f"named.o{job}").read_text() == f"{job}.cluster\n"
    # Standard output and error are mixed up.
    pbs.wait(job := pbs.submitted("true", name="split"))
    written = pbs.http.get(f"/compute/{SYSTEM}/jobs/{job}/metadata").json()["jobs"][0]
    assert written["standardOutput"].endswith(f"split.e{job}")


def test_pbs_knows_no_job_that_is_unknown(pbs: Plain) -> None:
    assert "Unknown Job Id" in error(pbs.http.get(f"/compute/{SYSTEM}/jobs/9999"), 500)
    assert "Unknown Job Id" in error(pbs.cancel("9999"), 500)
    job = pbs.submitted("true")
    pbs.wait(job)
    assert "has finished" in error(pbs.cancel(job), 500)
    assert "Unknown queue" in error(pbs.submit("true", partition="nope"), 500)
    assert pbs.job(pbs.submitted("true", reservation="debug"))["partition"] == "debug"
    answer = pbs.http.put(f"/compute/{SYSTEM}/jobs/{job}/attach", json={"command": "true"})
    assert "not supported in PBS" in error(answer, 500)


# --------------------------------------------------------------------------------------- submission


def test_names_come_in_two_spellings_and_unknown_ones_are_ignored(raw: Plain, place: LocalFacility) -> None:
    script = place.home / "remote.sh"
    script.write_text("#!/bin/sh\necho from the file\n")
    body = {
        "working_directory": str(place.home),
        "script_path": str(script),
        "script": "#!/bin/sh\necho from the body\n",
        "standard_output": "spelt-%j",
        "workDir": "/nowhere",
    }
    job = raw.http.post(f"/compute/{SYSTEM}/jobs", json={"job": body}).json()["jobId"]
    assert raw.wait(job)["name"] == "remote.sh"
    assert (place.home / f"spelt-{job}").read_text() == "from the file\n"
    script.write_bytes(b"#!/bin/sh\n# \xff\n")
    job = raw.http.post(f"/compute/{SYSTEM}/jobs", json={"job": body}).json()["jobId"]
    shown = raw.http.get(f"/compute/{SYSTEM}/jobs/{job}/metadata").json()["jobs"][0]
    assert shown["script"] == "#!/bin/sh\n# \ufffd\n"


def test_fields_win_over_directives(raw: Plain) -> None:
    job = raw.submitted("#SBATCH --job-name=directive -A beamline\ntrue", name="field")
    done = raw.wait(job)
    assert (done["name"], done["account"]) == ("field", "beamline")


def test_the_environment_is_one_word_of_a_command_line(raw: Plain, place: LocalFacility) -> None:
    job = raw.submitted("echo [$A] [$B] [$C]", env={"A": "1,2", "B": "it's", "C": "3"})
    raw.wait(job)
    assert (place.home / f"slurm-{job}.out").read_text() == "[1] [it's,C=3] []\n"


@pytest.mark.parametrize(
    ("job", "status", "words"),
    [
        ({"partition": "nope"}, 500, "invalid partition specified: nope"),
        ({"account": "nope"}, 500, "Invalid account or account/partition combination"),
        ({"reservation": "nope"}, 500, "Requested reservation is invalid"),
        ({"constraints": "gpu"}, 500, "Invalid feature specification"),
        ({"script": "#!/bin/sh\n#SBATCH -N 99\n"}, 500, "Requested node configuration is not available"),
        ({"script": "#!/bin/sh\n#SBATCH --frobnicate\n"}, 500, "unrecognized option '--frobnicate'"),
        ({"script": "echo no interpreter\n"}, 500, "This does not look like a batch script"),
        ({"script": "#!/bin/sh\r\necho\r\n"}, 500, "DOS line breaks"),
        ({"script": ""}, 408, "Command execution timeout limit exceeded."),
        ({"script_path": "nothing.sh"}, 500, "Unable to open file nothing.sh: No such file or directory"),
        ({"workingDirectory": None}, 400, "'workingdirectory'"),
        ({"env": ["A=1"]}, 500, "'list' object has no attribute 'items'"),
    ],
)
def test_a_refused_submission_says_why(
    raw: Plain, place: LocalFacility, job: dict, status: int, words: str
) -> None:
    before = [each["id"] for each in place.jobs()]
    answer = raw.submit(**{"script": "#!/bin/sh\ntrue\n", **job})
    assert words in error(answer, status)
    assert [each["id"] for each in place.jobs()] == before


def test_a_validation_names_the_fields(raw: Plain) -> None:
    answer = raw.http.post(f"/compute/{SYSTEM}/jobs", json={"job": {"script": "#!/bin/sh"}})
    assert error(answer, 400)
    assert answer.json()["errorType"] == "validation"
    assert answer.json()["data"]["fields"] == [
        {"location": "body", "name": "job", "message": "Field required"}
    ]
    assert error(raw.http.get(f"/compute/{SYSTEM}/jobs?time_window="), 400)
    for job_id in ("12_1", "12.host"):
        assert error(raw.http.get(f"/compute/{SYSTEM}/jobs/{job_id}"), 400)


def test_an_error_that_was_not_expected_costs_the_connection(place: LocalFacility) -> None:
    """A client that keeps the connection finds it closed, long before an idle one is."""
    body = {"job": {"workingDirectory": "/", "script": "#!/bin/sh\n", "env": ["A=1"]}}
    bearer = {"Authorization": f"Bearer {place.token}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(urlsplit(place.url).netloc, timeout=2)
    connection.request("POST", f"/firecrest/compute/{SYSTEM}/jobs", json.dumps(body), bearer)
    answer = connection.getresponse()
    assert (answer.status, answer.headers.get("connection")) == (500, None)
    assert json.loads(answer.read())["message"]
    assert connection.sock.recv(1) == b""
    connection.close()


# ----------------------------------------------------------------------------------- finding, ending


def test_lists_are_filtered(raw: Plain, place: LocalFacility) -> None:
    mine = raw.submitted("#SBATCH -A beamline\ntrue", name="wanted")
    other = Plain(place, place.new_token("bob"))
    theirs = other.submitted("true", name="theirs", workingDirectory=str(place.root / "home" / "bob"))
    raw.wait(mine)
    other.wait(theirs)
    assert [job["jobId"] for job in raw.listed(name="wanted", time_window="1h")] == [mine]
    assert {job["account"] for job in raw.listed(account="beamline")} == {"beamline"}
    ids = {job["jobId"] for job in raw.listed()}
    assert mine in ids
    assert theirs not in ids
    assert [job["jobId"] for job in raw.listed(allusers="true", name="theirs")] == [theirs]
    assert raw.job(theirs)["user"] == "bob"
    assert raw.http.get(f"/compute/{SYSTEM}/jobs/{theirs}/metadata").json()["jobs"][0]["script"] == ""
    assert "Access/permission denied" in error(raw.cancel(theirs), 500)


def test_a_list_goes_back_as_far_as_was_asked(raw: Plain, place: LocalFacility) -> None:
    over, waits = raw.submitted("true", name="old"), raw.submitted("#SBATCH -H\ntrue", name="old")
    raw.wait(over)
    place.order("skew", seconds=-2 * 3600)
    assert [job["jobId"] for job in raw.listed(name="old", time_window="1h")] == [waits]
    assert [job["jobId"] for job in raw.listed(name="old", time_window="8h")] == [over, waits]
    assert [job["jobId"] for job in raw.listed(name="old")] == [over, waits]
    place.clear_faults()
    raw.cancel(waits)


def test_unknown_jobs_and_systems(raw: Plain) -> None:
    assert error(raw.http.get(f"/compute/{SYSTEM}/jobs/9999"), 404) == "Job not found."
    assert error(raw.http.get("/compute/other/jobs"), 404) == "System not found"
    assert "Invalid job id specified" in error(raw.cancel("9999"), 500)


def test_a_bar_in_a_name_breaks_every_list(place: LocalFacility, pbs: Plain) -> None:
    bob = Plain(place, place.new_token("bob"))
    job = bob.submitted("true", name="a|b", workingDirectory=str(place.root / "home" / "bob"))
    for path in ("", f"/{job}"):
        until = time.monotonic() + 60
        while (answer := bob.http.get(f"/compute/{SYSTEM}/jobs{path}")).status_code == 200:
            assert time.monotonic() < until
        assert error(answer, 500) == "Error executing Slurm command."
    job = pbs.submitted("true", name="a|b")
    assert pbs.wait(job)["name"] == "a|b"


# ------------------------------------------------------------------------------------------- tokens


def test_a_token_must_have_some_time_left(raw: Plain, place: LocalFacility) -> None:
    short = Plain(place, place.new_token(lifetime=20))
    answer = short.http.get("/status/systems")
    assert error(answer, 401) == "Access token expires too soon (less than 30s remaining)."
    assert answer.headers["auth-token"] == short.http.headers["authorization"].split()[1]
    over = Plain(place, place.new_token(lifetime=0))
    assert error(over.http.get("/status/systems"), 401) == "Access token expired"
    wrong = Plain(place, "nonsense").http.get("/status/systems")
    assert (error(wrong, 401), wrong.headers["auth-token"]) == ("Access token is invalid.", "nonsense")
    assert error(httpx.get(f"{place.firecrest_url}/status/systems"), 401) == "Not authenticated"
    assert httpx.get(f"{place.firecrest_url}/status/liveness", trust_env=False).status_code == 307


def test_requests_are_traced(raw: Plain) -> None:
    mine = str(uuid.uuid4())
    answer = raw.http.get("/STATUS/Systems", headers={"X-Request-ID": mine, "X-Correlation-ID": mine})
    assert answer.status_code == 200
    assert answer.headers.get_list("x-request-id") == [mine]
    assert answer.headers["x-correlation-id"] == mine
    assert answer.headers["f7t-appversion"] == "2.6.0"
    bad = raw.http.get("/status/systems", headers={"X-Request-ID": "mine"})
    assert (bad.status_code, bad.content) == (400, b"")


# ------------------------------------------------------------------------------------------- orders


def test_a_lost_reply_leaves_a_job(raw: Plain, place: LocalFacility) -> None:
    place.order("lose_reply", "firecrestSubmit", job="lost")
    with pytest.raises(httpx.RemoteProtocolError):
        raw.submitted("true", name="lost")
    assert len(raw.listed(name="lost")) == 1


def test_orders_answer_in_the_words_of_the_api(raw: Plain, place: LocalFacility) -> None:
    place.order("status", "firecrestJobs", status=503, retry_after=1)
    answer = raw.http.get(f"/compute/{SYSTEM}/jobs")
    assert error(answer, 503)
    assert answer.headers["retry-after"] == "1"
    place.order("refuse_tokens", times=1)
    assert error(raw.http.get("/status/systems"), 401) == "Access token is invalid."
    place.order("empty_list", "firecrestJobs", resource=SYSTEM)
    raw.wait(raw.submitted("true"))
    assert raw.listed() == []


def test_a_job_is_not_found_at_first(raw: Plain, place: LocalFacility) -> None:
    place.order("late", seconds=60)
    job = raw.submitted("true")
    assert error(raw.http.get(f"/compute/{SYSTEM}/jobs/{job}"), 404) == "Job not found."
    assert "Invalid job id specified" in error(raw.cancel(job), 500)
    place.clear_faults()
    assert raw.wait(job)["status"]["state"] == "COMPLETED"


def test_accounting_knows_nothing_of_a_job_at_first(raw: Plain, place: LocalFacility) -> None:
    place.order("unregistered", seconds=60)
    waits = raw.submitted("#SBATCH -H\ntrue", name="held")
    assert raw.job(waits)["name"] == "held"
    raw.cancel(waits)
    job = raw.submitted("exec sleep 60", name="mine")
    until = time.monotonic() + 60
    while (found := raw.job(job))["name"] == "mine":  # it waits still, and squeue knows it
        assert time.monotonic() < until
    assert (found["name"], found["partition"], found["workingDirectory"]) == ("allocation", "", "")
    assert (found["status"]["state"], found["group"]) == ("PENDING", "root")
    assert [each["jobId"] for each in raw.listed(name="mine")] == [job]
    raw.cancel(job)
    # For those that are over by then the name stays.
    assert raw.wait(job, f"CANCELLED by {os.getuid()}")["name"] == "allocation"
    place.clear_faults()
    assert raw.job(job)["name"] == "mine"


def test_what_is_old_shows_a_job_as_it_was(raw: Plain, place: LocalFacility) -> None:
    job = raw.submitted("exec sleep 60")
    raw.wait(job, "RUNNING")
    time.sleep(1.6)
    raw.cancel(job)
    raw.wait(job)
    place.order("stale", "firecrestJob", seconds=1.5)
    assert raw.job(job)["status"]["state"] == "RUNNING"


def test_states_can_be_ordered(raw: Plain, place: LocalFacility) -> None:
    job = raw.submitted("true")
    raw.wait(job)
    place.order("unknown_state", "firecrestJob", word="REQUEUE_FED")
    assert raw.job(job)["status"]["state"] == "REQUEUE_FED"


def test_an_order_finds_a_submission_by_the_name_in_its_script(raw: Plain) -> None:
    fault = raw.facility.order("status", "firecrestSubmit", job="in the script", status=503)
    assert raw.submit("#!/bin/sh\n#SBATCH --job-name='another'\ntrue\n").status_code == 201
    assert raw.submit("#!/bin/sh\n#SBATCH --job-name='in the script'\ntrue\n").status_code == 503
    assert [each["struck"] for each in raw.facility.faults() if each["id"] == fault] == [1]
