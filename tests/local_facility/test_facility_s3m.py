from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from iri_local_facility import LocalFacility

V43, V44 = "/slurm/open/v0.0.43/cluster", "/slurm/open/v0.0.44/cluster"
STREAMING = "/olcf/open/v1alpha/streaming"


@pytest.fixture(scope="module")
def s3m_facility() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=8, kill_grace=0.2) as running:
        yield running


def client_of(facility: LocalFacility, header: str) -> httpx.Client:
    headers = {"Authorization": header}
    return httpx.Client(base_url=facility.s3m_url, headers=headers, trust_env=False, timeout=10)


@pytest.fixture
def mesh(s3m_facility: LocalFacility) -> Iterator[httpx.Client]:
    with client_of(s3m_facility, s3m_facility.s3m_token) as client:
        yield client


def described(facility: LocalFacility, script: str, **words: Any) -> dict[str, Any]:
    return {
        "name": "my-job",
        "account": "DEMO",
        "script": f"#!/bin/bash\n{script}\n",
        "environment": ["PATH=/usr/bin:/bin"],
        "current_working_directory": str(facility.home),
        "time_limit": {"number": 5, "set": True},
        **words,
    }


@pytest.fixture
def submit(mesh: httpx.Client, s3m_facility: LocalFacility) -> Any:
    def send(script: str, **words: Any) -> httpx.Response:
        return mesh.post(f"{V43}/job/submit", json={"job": described(s3m_facility, script, **words)})

    return send


def record(mesh: httpx.Client, number: int) -> dict[str, Any]:
    (found,) = mesh.get(f"{V43}/job/{number}").json()["jobs"]
    return found


def wait(mesh: httpx.Client, number: int, *states: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (state := record(mesh, number)["state"]["current"][0]) not in (
        states or ("COMPLETED", "FAILED", "CANCELLED")
    ):
        assert time.monotonic() < deadline, state
        time.sleep(0.01)
    return record(mesh, number)


def test_a_job_in_two_shapes(mesh: httpx.Client, submit: Any, s3m_facility: LocalFacility) -> None:
    out = s3m_facility.home / "s3m-out"
    number = submit("echo hello; exit 4", standard_output=f"{out}-%j").json()["job_id"]
    recorded = wait(mesh, number)
    assert recorded["state"] == {"current": ["FAILED"], "reason": "NonZeroExitCode"}
    assert recorded["exit_code"]["return_code"] == {"set": True, "number": 4}
    assert (recorded["user"], recorded["account"]) == ("demo_auser", "DEMO")
    assert (recorded["stdout"], recorded["stdout_expanded"]) == (f"{out}-%j", f"{out}-{number}")
    assert out.with_name(f"s3m-out-{number}").read_text() == "hello\n"
    # Whole numbers of 64 bits are strings, others are numbers.
    assert isinstance(recorded["time"]["start"], str)
    assert isinstance(recorded["time"]["elapsed"], int)
    (listed,) = [job for job in mesh.get(f"{V44}/jobs").json()["jobs"] if job["job_id"] == number]
    assert (listed["job_state"], listed["user_name"]) == (["FAILED"], "demo_auser")
    assert listed["start_time"] == {"set": True, "number": recorded["time"]["start"]}
    assert listed["node_count"] == {"set": True, "number": 1}
    assert "job_state" not in recorded


def test_the_newer_place_of_the_script(mesh: httpx.Client, s3m_facility: LocalFacility) -> None:
    job = described(s3m_facility, "")
    script = job.pop("script") + "exit 6\n"
    answer = mesh.post(f"{V44}/job/submit", json={"script": script, "jobs": [job]})
    assert wait(mesh, answer.json()["job_id"])["exit_code"]["return_code"]["number"] == 6
    both = mesh.post(f"{V44}/job/submit", json={"script": script, "jobs": [job], "job": job})
    older = mesh.post(f"{V43}/job/submit", json={"script": script, "jobs": [job]})
    assert (both.status_code, older.status_code) == (400, 400)


@pytest.mark.parametrize(
    "words", [{"array": "0-2"}, {"dependency": "afterok:1"}, {"hold": True}, {"tres_per_job": "gres/gpu:1"}]
)
def test_fields_that_the_gateway_does_not_know(submit: Any, words: dict[str, Any]) -> None:
    answer = submit("true", **words)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert f'"{next(iter(words))}"' in answer.json()["message"]


@pytest.mark.parametrize(
    ("words", "number"), [({"partition": "nope"}, 2000), ({"environment": []}, 2127), ({"qos": "nope"}, 2066)]
)
def test_errors_of_slurm_in_a_success(
    submit: Any, s3m_facility: LocalFacility, words: dict[str, Any], number: int
) -> None:
    before = len(s3m_facility.jobs())
    answer = submit("true", **words)
    assert (answer.status_code, answer.json()["errors"][0]["error_number"]) == (200, number)
    assert "job_id" not in answer.json()
    assert len(s3m_facility.jobs()) == before


def test_unknown_jobs_and_places(mesh: httpx.Client) -> None:
    missing = mesh.get(f"{V43}/job/4711").json()
    assert (missing["jobs"], missing["errors"][0]["error_number"]) == ([], 2017)
    for name in ("abc", "0", "1_2", "1234567890"):
        assert mesh.get(f"{V43}/job/{name}").status_code == 400
    for path in ("/slurm/open/v0.0.42/cluster/ping", "/slurm/open/v0.0.43/frontier/ping"):
        answer = mesh.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, 5)


def test_cancel_asks_politely(mesh: httpx.Client, submit: Any, s3m_facility: LocalFacility) -> None:
    number = submit("trap '' TERM; : >stubborn; while :; do sleep 0.05; done").json()["job_id"]
    while not (s3m_facility.home / "stubborn").exists():
        time.sleep(0.01)
    answer = mesh.delete(f"{V43}/job/{number}").json()
    assert (answer["status"][0]["error"]["code"], answer["errors"]) == (0, [])
    time.sleep(0.3)
    assert record(mesh, number)["state"]["current"] == ["RUNNING"]
    mesh.delete(f"{V43}/job/{number}", params={"signal": "SIGKILL"})
    assert wait(mesh, number)["state"]["current"] == ["CANCELLED"]
    gentle = submit("exec sleep 30").json()["job_id"]
    wait(mesh, gentle, "RUNNING")
    time.sleep(0.2)
    mesh.delete(f"{V43}/job/{gentle}")
    ended = wait(mesh, gentle)
    assert (ended["state"]["current"], ended["exit_code"]["signal"]["name"]) == (["FAILED"], "TERM")


def test_introspection(mesh: httpx.Client, s3m_facility: LocalFacility) -> None:
    said = mesh.get("/olcf/v1/token/ctls/introspect").json()["token"]
    assert (said["username"], said["project"]) == ("demo_auser", "DEMO")
    assert said["permissions"] == ["compute-ace", "data-streaming"]
    assert said["plannedExpiration"].endswith("Z")
    assert "oneTimeToken" not in said  # false is not written
    assert "delayDate" not in said
    full = mesh.get("/olcf/v1/token/ctls/introspect", params={"grpcPermissions": "true"}).json()["token"]
    assert full["grpcPermissions"]


def test_tokens(s3m_facility: LocalFacility) -> None:
    def jobs(header: str) -> httpx.Response:
        with client_of(s3m_facility, header) as client:
            return client.get(f"{V43}/jobs")

    assert jobs(f"Bearer {s3m_facility.s3m_token}").status_code == 200
    assert (jobs("").status_code, jobs("").text) == (401, "Jwt is missing")
    for header, words in (
        (s3m_facility.token, "Jwt verification fails"),
        (s3m_facility.new_s3m_token(starts_in=60), "Jwt not yet valid"),
    ):
        assert (jobs(header).status_code, jobs(header).text) == (401, words)
    old = jobs(s3m_facility.new_s3m_token(lifetime=-1))
    assert (old.status_code, old.json()["code"]) == (401, 16)
    once = s3m_facility.new_s3m_token(one_time=True)
    assert (jobs(once).status_code, jobs(once).status_code) == (200, 401)
    mute = jobs(s3m_facility.new_s3m_token(permissions=["data-streaming"]))
    assert (mute.status_code, mute.json()["code"]) == (403, 7)


def test_what_a_token_may(s3m_facility: LocalFacility, submit: Any) -> None:
    number = submit("true").json()["job_id"]
    job = {"job": described(s3m_facility, "true")}
    with client_of(s3m_facility, s3m_facility.new_s3m_token(permissions=["compute-ace-readonly"])) as reader:
        assert reader.get(f"{V43}/job/{number}").json()["jobs"]
        assert reader.post(f"{V43}/job/submit", json=job).status_code == 403
        assert reader.delete(f"{V43}/job/{number}").status_code == 403
    with client_of(s3m_facility, s3m_facility.new_s3m_token("beamline")) as other:
        assert other.get(f"{V43}/job/{number}").json()["jobs"] == []
        assert other.get(f"{V43}/jobs").json()["jobs"] == []
        assert other.post(f"{V43}/job/submit", json=job).status_code == 403


def test_a_token_revokes_itself(s3m_facility: LocalFacility) -> None:
    with client_of(s3m_facility, s3m_facility.new_s3m_token()) as client:
        assert client.delete("/olcf/v1/token/ctls/revoke").json() == {}
        assert client.get("/olcf/v1/token/ctls/introspect").status_code == 401


def test_status_for_everybody(s3m_facility: LocalFacility) -> None:
    def ask(path: str) -> Any:
        url = f"{s3m_facility.s3m_url}/olcf/v1alpha/status{path}"
        return httpx.get(url, trust_env=False).json()

    assert [each["name"] for each in ask("")["resources"]] == ["cluster", "scratch"]
    assert ask("/cluster")["status"] == "OPERATIONAL"
    assert ask("/frontier")["code"] == 5
    fault = s3m_facility.order("maintenance", starts_in=3600, seconds=60)
    (ahead,) = ask("/downtimes/upcoming")["downtimes"]
    assert (ahead["resourceName"], ahead["status"]) == ("cluster", "UNAVAILABLE")
    assert ask("/cluster")["upcomingDowntimes"] == [ahead]
    assert ask("/downtimes")["downtimes"] == []
    s3m_facility.clear_faults(fault)
    assert "upcomingDowntimes" not in ask("/cluster")
    incident = s3m_facility.incident(resource="cluster", name="Flood")
    (now,) = ask("/downtimes")["downtimes"]
    assert (now["description"], now["attributes"]["scheduled"]) == ("Flood", False)
    assert ask("/cluster")["status"] == "UNAVAILABLE"
    s3m_facility.order("maintenance", starts_in=11 * 86400)  # too far ahead
    assert ask("/downtimes/upcoming")["downtimes"] == []
    s3m_facility.clear_faults()
    s3m_facility.resolve_incident(incident["id"])


@pytest.mark.parametrize(("engine", "kind"), [("rabbitmq", "general"), ("redis", "valkey-general")])
def test_streaming_clusters(mesh: httpx.Client, engine: str, kind: str) -> None:
    offered = {each["engine"]: each for each in mesh.get(f"{STREAMING}/list_backends").json()["backends"]}
    assert offered[engine]["kind"] == kind
    wanted = {"kind": kind, "name": "mycluster", "resourceSettings": {"cpus": 4}}
    told = mesh.post(f"{STREAMING}/{engine}/provision_cluster", json=wanted).json()
    url = told["amqpsUrl" if engine == "rabbitmq" else "url"]
    assert told["username"] in url
    assert told["password"] in url
    (listed,) = mesh.get(f"{STREAMING}/{engine}/list_clusters").json()["clusters"]
    one = mesh.get(f"{STREAMING}/{engine}/cluster/mycluster")
    assert one.json()["cluster"]["resourceSettings"]["cpus"] == 4
    assert told["password"] not in one.text  # told once
    assert 604790 < listed["lifetime"]["secondsRemaining"] <= 604800
    assert mesh.post(f"{STREAMING}/{engine}/provision_cluster", json=wanted).status_code == 409
    extended = mesh.post(f"{STREAMING}/{engine}/extend/mycluster").json()["lifetime"]
    assert extended["extendedAt"] > extended["provisionedAt"]
    assert mesh.delete(f"{STREAMING}/{engine}/cluster/mycluster").json() == {"success": True}
    assert mesh.get(f"{STREAMING}/{engine}/cluster/mycluster").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "x" * 41},
        {"name": "Upper"},
        {"kind": "huge"},
        {"resourceSettings": {"cpus": 99}},
        {"name": None},
    ],
)
def test_streaming_clusters_that_cannot_be(mesh: httpx.Client, wrong: dict[str, Any]) -> None:
    body = {"kind": "general", "name": "fine", **wrong}
    assert mesh.post(f"{STREAMING}/rabbitmq/provision_cluster", json=body).status_code == 400
    assert mesh.get(f"{STREAMING}/kafka/list_clusters").status_code == 404
