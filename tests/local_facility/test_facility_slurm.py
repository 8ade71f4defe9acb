from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from slurm_kit import Daemon, bare

from iri_local_facility import LocalFacility

VERSIONS = (38, 40, 41, 42, 43, 44)
LATER = VERSIONS[1:]


@pytest.fixture(scope="module")
def slurm_facility() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=8, kill_grace=0.2) as running:
        yield running


@pytest.fixture(params=VERSIONS)
def daemon(slurm_facility: LocalFacility, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    client = Daemon(slurm_facility, request.param)
    yield client
    client.http.close()


@pytest.fixture
def first(slurm_facility: LocalFacility) -> Iterator[Daemon]:
    client = Daemon(slurm_facility, 38)
    yield client
    client.http.close()


@pytest.fixture
def newest(slurm_facility: LocalFacility) -> Iterator[Daemon]:
    client = Daemon(slurm_facility, 44)
    yield client
    client.http.close()


def test_a_job_and_what_is_told_of_it(daemon: Daemon) -> None:
    limit = 2 if daemon.plain else {"set": True, "number": 2}
    out = daemon.facility.home / f"out-{daemon.number}"
    number = daemon.submit(
        "env; echo oops >&2; exit 3", time_limit=limit, standard_output=f"{out}-%j", tasks=2
    )
    job = daemon.wait(number)
    assert bare(job["job_state"]) == "FAILED"
    assert daemon.exit(job) == (3, 0)
    assert (job["job_id"], job["name"], job["user_name"], job["partition"]) == (
        number,
        "n",
        "alice",
        "regular",
    )
    assert (bare(job["time_limit"]), bare(job["tasks"]), job["nodes"][:4]) == (2, 2, "node")
    assert bare(job["submit_time"]) <= bare(job["start_time"]) <= bare(job["end_time"]) <= time.time()
    # The environment that it asked for is what it has, beside what tells it where it is.
    lines = out.with_name(f"{out.name}-{number}").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert {"MINE=a,b c", f"SLURM_JOB_ID={number}", "SLURM_NTASKS=2", "oops"} <= set(lines)
    assert not names & {"LANG", "TERM", "SHELL", "LC_ALL", "LC_CTYPE"}
    assert next(line for line in lines if line.startswith("PATH=")).endswith(":/usr/bin:/bin")


@pytest.mark.parametrize(
    ("script", "state", "code", "signal"),
    [
        ("true", "COMPLETED", 0, 0),
        ("kill -9 $$", "FAILED", 0, 9),
        ("no-such-command", "FAILED", 127, 0),
    ],
)
def test_how_jobs_end(daemon: Daemon, script: str, state: str, code: int, signal: int) -> None:
    number = daemon.submit(script)
    job = daemon.wait(number)
    assert (bare(job["job_state"]), *daemon.exit(job)) == (state, code, signal)
    record = daemon.record(number)
    assert bare(record["state"]["current"]) == state
    if daemon.plain:  # whatever became of it
        assert record["exit_code"] == {"status": "SUCCESS", "return_code": 0}
    else:
        assert daemon.exit(record) == (code, signal)
        word = "SIGNALED" if signal else "ERROR" if code else "SUCCESS"
        assert record["exit_code"]["status"] == [word]


def test_wall_time_is_told(first: Daemon) -> None:
    job = first.wait(first.submit("exec sleep 30", time_limit="0:01"))
    assert (job["job_state"], job["state_reason"]) == ("TIMEOUT", "TimeLimit")


def test_shapes(first: Daemon, newest: Daemon) -> None:
    number = first.submit("exec sleep 30")
    old, new = first.wait(number, "RUNNING"), newest.job(number)
    assert (old["job_state"], old["exit_code"], old["array_task_id"], old["end_time"]) == (
        "RUNNING",
        0,
        None,
        old["start_time"] + 600,
    )
    assert new["job_state"] == ["RUNNING"]
    assert new["end_time"] == {"set": True, "infinite": False, "number": old["end_time"]}
    assert new["array_task_id"] == {"set": False, "infinite": False, "number": 0}
    assert new["exit_code"]["status"] == ["SUCCESS"]  # so far
    first.cancel(number)


def test_holding_changing_releasing(daemon: Daemon) -> None:
    answer = daemon.send("exec sleep 30", hold=True)
    number = answer.json()["job_id"]
    job = daemon.job(number)
    assert (bare(job["job_state"]), job["state_reason"], bare(job["priority"])) == (
        "PENDING",
        "JobHeldUser",
        0,
    )
    if daemon.plain:  # accepted, though there are errors
        assert (answer.status_code, daemon.errors(answer)) == (200, [2042])
    else:
        assert [each["description"][:22] for each in answer.json()["warnings"]] == ["Job is in held state, "]
    path = f"{daemon.ctld}/job/{number}"
    assert daemon.errors(daemon.http.post(path, json={"time_limit": 7})) == []
    assert bare(daemon.job(number)["time_limit"]) == 7
    assert daemon.errors(daemon.cancel(number, signal="TERM")) == [2020]  # it waits
    daemon.http.post(path, json={"hold": False})
    daemon.wait(number, "RUNNING")
    assert daemon.errors(daemon.http.post(path, json={"name": "x", "hold": True})) == [2073]
    assert daemon.cancel(number).status_code == 200
    assert bare(daemon.wait(number)["job_state"]) == "CANCELLED"
    again = daemon.cancel(number)
    assert (again.status_code, daemon.errors(again)) == (200, [])
    assert daemon.errors(daemon.http.post(path, json={"time_limit": 7})) == [2084]


def test_an_update_that_is_not_understood(first: Daemon, newest: Daemon) -> None:
    number = first.submit("true", hold=True)
    odd = first.http.post(f"{first.ctld}/job/{number}", json={"nonsense": 1})
    assert (odd.status_code, first.errors(odd)) == (200, [None, 9001])
    refused = newest.http.post(f"{newest.ctld}/job/{number}", json={"tasks": 2})
    assert (refused.status_code, newest.errors(refused)) == (500, [2036])
    assert newest.cancel(number).json()["status"][0]["job_id"] == {
        "set": True,
        "infinite": False,
        "number": number,
    }


@pytest.mark.parametrize("name", ["TERM", "SIGTERM", "15", "USR1"])
def test_signals_reach_the_job(newest: Daemon, name: str) -> None:
    number = newest.submit(f'trap "exit 7" TERM USR1; : >ready-{name}; while :; do sleep 0.02; done')
    while not (newest.facility.home / f"ready-{name}").exists():
        time.sleep(0.01)
    assert newest.cancel(number, signal=name).status_code == 200
    job = newest.wait(number)
    assert (job["job_state"], newest.exit(job)) == (["FAILED"], (7, 0))
    assert newest.cancel(number, signal="NONSENSE").status_code == 422


def test_bad_tokens_are_refused_in_each_version_otherwise(slurm_facility: LocalFacility) -> None:
    expired = slurm_facility.new_slurm_token(lifetime=-1)
    said = {number: Daemon(slurm_facility, number, expired) for number in VERSIONS}
    statuses = {number: client.http.get(f"{client.ctld}/jobs").status_code for number, client in said.items()}
    assert statuses == {38: 500, 40: 500, 41: 511, 42: 511, 43: 511, 44: 401}
    # The oldest sounds as if it had broken down, even when it has refused to run something.
    assert said[38].errors(said[38].http.get(f"{said[38].ctld}/jobs")) == [-1]
    assert said[38].errors(said[38].send("true")) == [5005]
    for client in said.values():
        client.http.close()


def test_who_asks(slurm_facility: LocalFacility) -> None:
    url, token = f"{slurm_facility.slurm_url}/slurm", slurm_facility.slurm_token

    def status(number: int, **headers: str) -> int:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.get(f"{url}/v0.0.{number}/ping", headers=sent, trust_env=False).status_code

    assert status(38, X_SLURM_USER_TOKEN=token) == 401
    assert status(44, X_SLURM_USER_TOKEN=token) == 200
    assert status(38, Authorization=f"Bearer {token}") == 401
    assert status(44, Authorization=f"Bearer {token}") == 200
    assert status(44, X_SLURM_USER_TOKEN=token, X_SLURM_USER_NAME="bob") == 401
    assert status(44, X_SLURM_USER_TOKEN=slurm_facility.token) == 401
    nobody = httpx.get(f"{url}/v0.0.44/ping", trust_env=False)
    assert (nobody.status_code, nobody.text) == (401, "Authentication failure")
    elsewhere = httpx.get(f"{url}/v0.0.39/ping", trust_env=False)
    assert (elsewhere.status_code, elsewhere.headers["content-type"][:10]) == (404, "text/plain")


def test_jobs_of_others_are_for_looking(slurm_facility: LocalFacility, daemon: Daemon) -> None:
    number = daemon.submit("exec sleep 30")
    bob = Daemon(slurm_facility, daemon.number, slurm_facility.new_slurm_token("bob"))
    bob.http.headers["X-SLURM-USER-NAME"] = "bob"
    assert bob.job(number)["user_name"] == "alice"
    assert number in [job["job_id"] for job in bob.http.get(f"{bob.ctld}/jobs").json()["jobs"]]
    assert bob.record(number)["user"] == "alice"
    assert bob.errors(bob.cancel(number)) == [2002]
    assert bob.errors(bob.http.post(f"{bob.ctld}/job/{number}", json={"time_limit": 3})) == [2002]
    assert daemon.state(number) in ("PENDING", "RUNNING")
    daemon.cancel(number)
    bob.http.close()


def test_unknown_jobs(daemon: Daemon) -> None:
    missing = daemon.http.get(f"{daemon.ctld}/job/4711")
    assert (missing.status_code, daemon.errors(missing)) == (500 if daemon.plain else 404, [2017])
    assert daemon.errors(daemon.cancel(4711)) == [2017]
    assert daemon.http.get(f"{daemon.ctld}/job/abc").status_code == (400 if daemon.plain else 422)
    record = daemon.http.get(f"{daemon.dbd}/job/4711")
    assert (record.status_code, record.json()["jobs"]) == (200, [])
    assert daemon.errors(record) == ([9003] if daemon.plain else [])


REFUSED: list[tuple[dict[str, Any], int]] = [
    ({"partition": "nope"}, 2000),
    ({"account": "nope"}, 2045),
    ({"nodes": "99"}, 2014),
    ({"reservation": "r"}, 2053),
    ({"constraints": "gpu"}, 2029),
    ({"qos": "nope"}, 2066),
    ({"licenses": "matlab:1"}, 2048),
    ({"current_working_directory": "/etc"}, 2002),
]


@pytest.mark.parametrize(("words", "number"), REFUSED)
def test_refused_in_slurms_numbers(
    first: Daemon, newest: Daemon, slurm_facility: LocalFacility, words: dict[str, Any], number: int
) -> None:
    before = len(slurm_facility.jobs())
    for daemon in (first, newest):
        answer = daemon.send("true", **words)
        assert (answer.status_code, daemon.errors(answer)) == (500, [number])
    assert len(slurm_facility.jobs()) == before


def test_what_the_first_version_does_not_understand(first: Daemon) -> None:
    for words in (
        {"environment": ["A=b"]},
        {"environment": {}},
        {"time_limit": {"set": True, "number": 5}},
        {"nonsense": 1},
        {"script": "inside"},
        {"tasks": "many"},
    ):
        answer = first.send("true", **words)
        assert (answer.status_code, first.errors(answer)[-1]) == (400, 9001), words
    beside = first.http.post(f"{first.ctld}/job/submit", json={"job": first.described()})
    assert (beside.status_code, first.errors(beside)) == (500, [2009])


@pytest.mark.parametrize("number", LATER)
def test_what_later_versions_do_not_understand(slurm_facility: LocalFacility, number: int) -> None:
    daemon = Daemon(slurm_facility, number)
    for words, status, error in (
        ({"environment": {"A": "b"}}, 400, 9001),
        ({"environment": []}, 500, 2127),
        ({"time_limit": [5]}, 400, 9001),
        ({"tres_per_job": "gres/gpu:1"}, 500, 2072),
    ):
        answer = daemon.send("true", **words)
        assert (answer.status_code, daemon.errors(answer)) == (status, [error]), words
    odd = daemon.send("true", nonsense=1)
    assert (odd.status_code, daemon.errors(odd)) == (200, [])
    assert "nonsense" in odd.json()["warnings"][0]["description"]
    body = {"job": daemon.described(script="#!/bin/sh\nexit 4\n", time_limit={"set": False})}
    inside = daemon.http.post(f"{daemon.ctld}/job/submit", json=body)
    assert daemon.exit(daemon.wait(inside.json()["job_id"])) == (4, 0)
    assert ("result" in inside.json()) == (number in (40, 41))
    daemon.http.close()


def test_no_json(daemon: Daemon) -> None:
    answer = daemon.http.post(f"{daemon.ctld}/job/submit", content=b'{"script": ')
    assert (answer.status_code, answer.text) == (400, "Unable to parse query.")


def test_a_script_without_an_interpreter_is_taken_and_fails(first: Daemon) -> None:
    body = {"script": "exit 5", "job": first.described()}
    number = first.http.post(f"{first.ctld}/job/submit", json=body).json()["job_id"]
    assert first.exit(first.wait(number)) == (8, 0)


def test_update_time(first: Daemon, newest: Daemon) -> None:
    first.wait(first.submit("true"))
    later = int(time.time()) + 100
    nothing = first.http.get(f"{first.ctld}/jobs", params={"update_time": later})
    assert (nothing.status_code, nothing.content) == (304, b"")
    said = newest.http.get(f"{newest.ctld}/jobs/", params={"update_time": later})
    assert (said.json()["jobs"], len(said.json()["warnings"])) == ([], 1)
    assert first.http.get(f"{first.ctld}/jobs", params={"update_time": 5}).json()["jobs"]
    assert first.http.get(f"{first.ctld}/jobs", params={"update_time": "abc"}).status_code == 400


def test_the_machine(daemon: Daemon) -> None:
    def named(what: str) -> list[dict[str, Any]]:
        return daemon.http.get(f"{daemon.ctld}/{what}").json()[what]

    assert [each["name"] for each in named("partitions")] == ["regular", "debug"]
    assert [each["name"] for each in named("nodes")] == [f"node{number}" for number in range(1, 9)]
    assert named("reservations") == []
    (ping,) = daemon.http.get(f"{daemon.ctld}/ping/").json()["pings"]
    assert ping["mode"] == "primary"
    assert daemon.http.get(f"{daemon.ctld}/diag").json()["statistics"]["jobs_submitted"] >= 0
    meta = daemon.http.get(f"{daemon.ctld}/ping").json()["meta"]
    assert ("Slurm" in meta, "slurm" in meta) == (daemon.plain, not daemon.plain)


def test_one_version_and_no_accounting() -> None:
    with LocalFacility(slurm_versions=[40], without=["slurmdb"], slurm_min_job_age=0.3) as facility:
        daemon = Daemon(facility, 40)
        listing = daemon.http.get("/openapi/v3").json()
        assert {path.split("/")[2] for path in listing["paths"]} == {"v0.0.40"}
        assert "/slurm/v0.0.40/job/submit" in listing["paths"]
        assert Daemon(facility, 44).http.get("/slurm/v0.0.44/ping").status_code == 404
        assert daemon.http.get(f"{daemon.dbd}/jobs").status_code == 404
        number = daemon.submit("sleep 1")
        assert daemon.job(number)["job_id"] == number
        deadline = time.monotonic() + 60
        # slurmctld forgets
        while daemon.errors(daemon.http.get(f"{daemon.ctld}/job/{number}")) != [2017]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert daemon.http.get(f"{daemon.ctld}/jobs").json()["jobs"] == []
        assert [job["state"] for job in facility.jobs()] == ["completed"]
        daemon.http.close()


def test_accounting_selects(daemon: Daemon) -> None:
    name = f"selected-{daemon.number}-{time.time_ns()}"
    number = daemon.submit("true", name=name, comment="kept")
    daemon.wait(number)

    def found(**query: Any) -> list[int]:
        answer = daemon.http.get(f"{daemon.dbd}/jobs", params={"job_name": name, **query})
        return [job["job_id"] for job in answer.json()["jobs"]]

    assert found() == found(start_time="now-1hour", state="COMPLETED", users="alice,bob") == [number]
    assert found(state="FAILED") == found(end_time="now-1hour") == found(account="beamline") == []
    assert found(start_time="now+1hour") == found(users="bob") == found(partition="debug") == []
    assert daemon.http.get(f"{daemon.dbd}/jobs", params={"colour": "red"}).status_code == 500
    assert daemon.job(number)["comment"] == "kept"


def test_jobs_that_wait_for_others(daemon: Daemon) -> None:
    gate = daemon.facility.home / f"gate-{time.time_ns()}"
    before = daemon.submit(f"while [ ! -e {gate} ]; do sleep 0.02; done; exit 3")
    after = {
        kind: daemon.submit("true", dependency=f"{kind}:{before}")
        for kind in ("after", "afterany", "afterok", "afternotok")
    }
    daemon.wait(after["after"])  # that it has started is enough
    waiting = daemon.wait(after["afterok"], "PENDING")
    assert (waiting["state_reason"], waiting["dependency"]) == (
        "Dependency",
        f"afterok:{before}(unfulfilled)",
    )
    gate.touch()
    for kind in ("afterany", "afternotok"):
        assert bare(daemon.wait(after[kind])["job_state"]) == "COMPLETED"
    never = daemon.job(after["afterok"])
    assert (bare(never["job_state"]), never["state_reason"]) == ("PENDING", "DependencyNeverSatisfied")
    assert bare(daemon.wait(daemon.submit("true", dependency="afterok:4711"))["job_state"]) == "COMPLETED"
    assert daemon.cancel(after["afterok"]).status_code == 200
    assert daemon.errors(daemon.send("true", dependency="aftersupper:1")) == [2038]


def test_one_of_a_name_at_a_time(newest: Daemon) -> None:
    name = f"singleton-{time.time_ns()}"
    one = newest.submit("exec sleep 30", name=name)
    two = newest.submit("true", name=name, dependency="singleton")
    newest.wait(one, "RUNNING")
    assert newest.job(two)["state_reason"] == "Dependency"
    newest.cancel(one)
    assert newest.wait(two)["job_state"] == ["COMPLETED"]
