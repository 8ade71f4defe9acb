"""Orders strike slurmrestd and S3M as they strike the IRI API, and what they say is in those APIs' words."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from slurm_kit import Daemon, bare

from iri_local_facility import LocalFacility
from iri_local_facility.jobs import Job, JobRequest
from iri_local_facility.slurm.values import end_of
from iri_local_facility.slurm.versions import VERSIONS


@pytest.fixture(scope="module")
def slurm_facility() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=8, kill_grace=0.2) as running:
        yield running


@pytest.fixture(autouse=True)
def no_orders(slurm_facility: LocalFacility) -> Iterator[None]:
    yield
    slurm_facility.clear_faults()


@pytest.fixture(params=(38, 43))
def daemon(slurm_facility: LocalFacility, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    client = Daemon(slurm_facility, request.param)
    yield client
    client.http.close()


@pytest.fixture
def mesh(slurm_facility: LocalFacility) -> Iterator[httpx.Client]:
    headers = {"Authorization": slurm_facility.s3m_token}
    with httpx.Client(base_url=slurm_facility.s3m_url, headers=headers, trust_env=False) as client:
        yield client


def test_a_lost_reply_to_a_submission(daemon: Daemon, slurm_facility: LocalFacility) -> None:
    name = f"lost-{time.time_ns()}"
    fault = slurm_facility.order("lose_reply", "slurmSubmit", job=name)
    daemon.submit("true", name="another")
    with pytest.raises(httpx.TransportError):
        daemon.send("true", name=name)
    assert [job["name"] for job in slurm_facility.jobs()].count(name) == 1
    seen = slurm_facility.requests("slurmSubmit")[-1]
    assert (seen["status"], seen["acted"], seen["faults"], seen["user"]) == (0, True, [fault], "alice")


def test_refusals_are_slurms(daemon: Daemon, slurm_facility: LocalFacility) -> None:
    slurm_facility.order("status", "slurmJobs", status=503)
    answer = daemon.http.get(f"{daemon.ctld}/jobs")
    assert (answer.status_code, daemon.errors(answer)) == (503, [1802])
    assert answer.headers["content-type"] == "application/json"
    assert ("warnings" in answer.json()) == (not daemon.plain)
    slurm_facility.order("status", "slurmJobs", status=502, body="html")
    assert daemon.http.get(f"{daemon.ctld}/jobs").text.startswith("<!DOCTYPE html>")


def test_refusals_are_the_meshs(mesh: httpx.Client, slurm_facility: LocalFacility) -> None:
    slurm_facility.order("status", "s3mJobs", status=503)
    answer = mesh.get("/slurm/open/v0.0.43/cluster/jobs")
    assert (answer.status_code, answer.json()["code"], answer.json()["details"]) == (503, 14, [])
    slurm_facility.order("refuse_tokens", "s3mJobs", times=1)
    assert mesh.get("/slurm/open/v0.0.43/cluster/jobs").text == "Jwt verification fails"


def test_good_tokens_refused(daemon: Daemon, slurm_facility: LocalFacility) -> None:
    slurm_facility.order("refuse_tokens", "slurmPing", times=1)
    assert daemon.http.get(f"{daemon.ctld}/ping").status_code == (500 if daemon.plain else 511)
    assert daemon.http.get(f"{daemon.ctld}/ping").status_code == 200


def test_what_is_seen_of_a_job(daemon: Daemon, slurm_facility: LocalFacility) -> None:
    number = daemon.submit("exec sleep 30")
    daemon.wait(number, "RUNNING")
    fault = slurm_facility.order("unknown_state", job=str(number), word="MEDITATING")
    assert daemon.job(number)["job_state"] == ("MEDITATING" if daemon.plain else ["MEDITATING"])
    assert bare(daemon.record(number)["state"]["current"]) == "MEDITATING"
    slurm_facility.clear_faults(fault)
    slurm_facility.order("missing", job=str(number))
    assert daemon.errors(daemon.http.get(f"{daemon.ctld}/job/{number}")) == [2017]
    assert number not in [job["job_id"] for job in daemon.http.get(f"{daemon.ctld}/jobs").json()["jobs"]]
    slurm_facility.clear_faults()
    slurm_facility.order("node_death", job=str(number))
    job = daemon.wait(number)
    assert (bare(job["job_state"]), job["state_reason"]) == ("NODE_FAIL", "NodeDown")


def test_an_order_at_a_command(daemon: Daemon, slurm_facility: LocalFacility) -> None:
    slurm_facility.order("node_death", "slurmSubmit", command="ln", nth=2, requeue=True)
    number = daemon.submit("ln -sf a b; ln -sf c d; echo $SLURM_RESTART_COUNT >restarts")
    job = daemon.wait(number)
    assert (bare(job["job_state"]), job["restart_cnt"]) == ("COMPLETED", 1)
    assert (slurm_facility.home / "restarts").read_text() == "1\n"


def test_maintenance_refuses_submissions(
    daemon: Daemon, mesh: httpx.Client, slurm_facility: LocalFacility
) -> None:
    slurm_facility.order("maintenance", api="refuse")
    assert daemon.errors(daemon.send("true")) == [2105]
    (downtime,) = mesh.get("/olcf/v1alpha/status/downtimes").json()["downtimes"]
    assert (downtime["resourceName"], downtime["attributes"]["scheduled"]) == ("cluster", True)
    states = [bare(each["state"]).upper() for each in daemon.http.get(f"{daemon.ctld}/nodes").json()["nodes"]]
    assert set(states) == {"DOWN"}


def test_a_job_outlives_the_server(slurm_facility: LocalFacility, daemon: Daemon) -> None:
    number = daemon.submit("sleep 0.5; exit 4")
    daemon.wait(number, "RUNNING")
    slurm_facility.kill()
    slurm_facility.restart()
    assert daemon.exit(daemon.wait(number)) == (4, 0)


@pytest.mark.parametrize(
    ("ending", "requeue", "state"),
    [
        ("canceled", False, "CANCELLED"),
        ("time limit", False, "TIMEOUT"),
        ("node failure", False, "NODE_FAIL"),
        ("out of memory", False, "OUT_OF_MEMORY"),
        ("preempted", False, "PREEMPTED"),
        ("node failure", True, "PENDING"),
    ],
)
def test_a_job_on_its_way_out_is_shown_as_what_it_will_have_been(ending, requeue, state) -> None:
    moments = {"submitted": 1.0, "started": 2.0, "ended": None, "changed": 2.0}
    whose = {"resource_id": "r", "user": "u", "account": "a", "queue": "q", "name": "n", "nodes": ["n1"]}
    job = Job(
        id=7,
        node_count=1,
        duration=60,
        request=JobRequest("/bin/true"),
        document={},
        state="active",
        message=None,
        exit_code=None,
        ending=ending,
        pid=1,
        birth=None,
        restarts=0,
        requeue=requeue,
        **whose,
        **moments,
    )
    end = end_of(VERSIONS["v0.0.43"], job)
    assert (end.state, end.completing) == (state, True)
