from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest
from firecrest_kit import Plain

from iri_local_facility import LocalFacility


def test_start_and_end_are_noticed_at_once(alice) -> None:
    started_after, noticed_after = [], []
    for _ in range(5):
        job = alice.wait(alice.launch("/bin/true"))
        meta = job["meta_data"]
        started_after.append(meta["start_time"] - meta["submit_time"])
        noticed_after.append(meta["end_time"] - meta["start_time"])
    # The median, so that one hiccup of a busy machine does not count.
    assert sorted(started_after)[2] < 0.1
    assert sorted(noticed_after)[2] < 0.1


@pytest.mark.parametrize(
    ("script", "state", "code", "message"),
    [
        ("exit 0", "completed", 0, None),
        ("exit 3", "failed", 3, "exit code 3"),
        ("kill -9 $$", "failed", 137, "exit code 137"),
        ("kill -9 0", "failed", 137, "killed by SIGKILL"),
        ("no-such-command", "failed", 127, "exit code 127"),
    ],
)
def test_how_jobs_end(alice, script: str, state: str, code: int, message: str | None) -> None:
    status = alice.wait(alice.sh(script))
    assert (status["state"], status["exit_code"], status.get("message")) == (state, code, message)


def test_files_and_environment(alice, facility: LocalFacility, monkeypatch: pytest.MonkeyPatch) -> None:
    work = facility.home / "work"
    work.mkdir(exist_ok=True)
    (work / "in.txt").write_text("input")
    job = alice.sh(
        'cat; echo "$HOME:$SCRATCH:$IRI_JOB_ID:$MINE:$PWD"; echo oops >&2',
        directory="work",
        stdin_path="in.txt",
        stdout_path="out.txt",
        stderr_path=str(facility.scratch / "err.txt"),
        environment={"MINE": "a b"},
    )
    assert alice.wait(job)["state"] == "completed"
    expected = f"input{facility.home}:{facility.scratch}:{job}:a b:{work}\n"
    assert (work / "out.txt").read_text() == expected
    assert (facility.scratch / "err.txt").read_text() == "oops\n"


def test_default_output_file_holds_both_streams(alice, facility: LocalFacility) -> None:
    job = alice.sh("echo out; echo err >&2")
    path = alice.wait(job)["meta_data"]["stdout_path"]
    assert path == str(facility.home / f"job-{job}.out")
    assert Path(path).read_text() == "out\nerr\n"


def test_the_servers_environment_does_not_leak(alice, client_of) -> None:
    with LocalFacility(env={"PATH": "/usr/bin:/bin", "LANG": "C", "SECRET": "x"}) as other:
        client = client_of(other)
        for inherit in (True, False):
            job = client.sh("env; sleep 0", inherit_environment=inherit)
            text = Path(client.wait(job)["meta_data"]["stdout_path"]).read_text()
            assert "SECRET" not in text
            assert ("LANG=C" in text) == inherit


@pytest.mark.parametrize(
    "spec",
    [{"directory": "not/there"}, {"stdin_path": "not-there"}, {"stdout_path": "not/there.txt"}],
)
def test_what_is_not_there_fails_the_job(alice, spec: dict) -> None:
    status = alice.wait(alice.sh("true", **spec))
    assert status["state"] == "failed"
    assert "could not start" in status["message"]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"executable": None}, "no executable"),
        ({"resources": {"node_count": 9}}, "requested node configuration is not available"),
        ({"resources": {"node_count": 5}, "attributes": {"queue_name": "debug"}}, "allows 4 nodes"),
        ({"attributes": {"queue_name": "gpu"}}, "invalid queue"),
        ({"attributes": {"queue_name": "debug", "duration": 3600}}, "time limit of queue debug"),
        ({"attributes": {"account": "other"}}, "invalid account"),
        ({"attributes": {"reservation_id": "r"}}, "reservation"),
        ({"attributes": {"custom_attributes": {"hold": "perhaps"}}}, "hold"),
        ({"resources": {"process_count": 65}}, "processes per node"),
        ({"directory": "/etc"}, "Permission denied"),
        ({"stdout_path": "../bob/x"}, "Permission denied"),
        ({"arguments": ["a\0b"]}, "NUL"),
        ({"environment": {"A=B": "c"}}, "environment"),
    ],
)
def test_refused_jobs(alice, facility: LocalFacility, spec: dict, reason: str) -> None:
    before = len(facility.jobs())
    answer = alice.http.post(f"/compute/job/{alice.cluster}", json={"executable": "/bin/true", **spec})
    assert answer.status_code == 400
    assert reason in answer.json()["detail"]
    assert "invalid_params" not in answer.json()
    assert len(facility.jobs()) == before


def test_wall_time(alice) -> None:
    began = time.monotonic()
    status = alice.wait(alice.launch("/bin/sleep", "60", attributes={"duration": 1}))
    assert (status["state"], status["message"]) == ("failed", "time limit of 1 s reached")
    assert 0.9 < time.monotonic() - began < 45


def test_cancel_lets_the_job_clean_up(alice, facility: LocalFacility) -> None:
    job = alice.sh("trap 'echo bye > cleaned; exit 1' TERM; touch ready; while :; do sleep 0.05; done")
    while not (facility.home / "ready").exists():
        time.sleep(0.01)
    assert alice.cancel(job) == 204
    status = alice.wait(job)
    assert (status["state"], status["message"]) == ("canceled", "canceled by user")
    assert (facility.home / "cleaned").read_text() == "bye\n"
    assert alice.cancel(job) == 204  # it is what was asked for


def test_cancel_insists(alice, facility: LocalFacility) -> None:
    job = alice.sh("trap '' TERM; touch deaf; while :; do sleep 0.05; done")
    while not (facility.home / "deaf").exists():
        time.sleep(0.01)
    alice.cancel(job)
    assert alice.wait(job)["state"] == "canceled"


def test_nothing_of_the_group_outlives_the_job(alice, facility: LocalFacility) -> None:
    job = alice.sh("sleep 300 & echo $! > child; exit 0")
    assert alice.wait(job)["state"] == "completed"
    child = int((facility.home / "child").read_text())
    for _ in range(100):  # it was killed; on a busy machine dying takes a moment
        if not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    pytest.fail(f"{child} is still there")


def test_first_in_first_out_on_node_slots(client_of) -> None:
    with LocalFacility(nodes=2, kill_grace=0.2) as small:
        client = client_of(small)
        one = client.launch("/bin/sleep", "0.3")
        both = client.launch("/bin/true", resources={"node_count": 2})
        late = client.launch("/bin/true")  # would fit beside the first, but it is not its turn
        client.wait(one, "active")
        assert [client.status(job)["state"] for job in (both, late)] == ["queued", "queued"]
        assert client.status(both)["message"] == "waiting for nodes"
        for job in (one, both, late):
            client.wait(job)
        times = {entry["id"]: (entry["started"], entry["ended"]) for entry in small.jobs()}
        assert times[one][1] <= times[both][0] <= times[both][1] <= times[late][0]


def test_hold_update_release(alice) -> None:
    hold = {"custom_attributes": {"hold": "true"}}
    job = alice.sh("exit 0", attributes=hold)
    time.sleep(0.1)
    assert alice.status(job)["state"] == "held"
    changed = alice.update(job, name="other", attributes={"duration": 77, "queue_name": "debug"}).json()
    facts = changed["status"]["meta_data"]
    assert (facts["name"], facts["duration"], facts["queue_name"]) == ("other", 77, "debug")
    assert changed["status"]["state"] == "held"
    assert alice.update(job, arguments=["x"]).status_code == 400
    assert alice.update(job, attributes={"queue_name": "no"}).status_code == 400
    # Defaults that a generated client sends along are no changes.
    release = {"custom_attributes": {"hold": "false"}}
    answer = alice.update(job, inherit_environment=True, arguments=[], environment={}, attributes=release)
    assert answer.status_code == 200
    assert alice.wait(job)["state"] == "completed"
    assert alice.update(job, name="late").status_code == 409
    spec = alice.http.get(f"/compute/status/{alice.cluster}/{job}?include_spec=true").json()["job_spec"]
    assert (spec["name"], spec["attributes"]["duration"]) == ("other", 77)


def test_a_queued_job_can_be_held_and_changed(client_of) -> None:
    with LocalFacility(nodes=1, kill_grace=0.2) as small:
        client = client_of(small)
        first = client.launch("/bin/sleep", "30")
        second = client.launch("/bin/true")
        client.wait(second, "queued")
        held = client.update(second, attributes={"custom_attributes": {"hold": "true"}}).json()
        assert (held["status"]["state"], held["status"]["message"]) == ("held", "held by user")
        assert client.update(first, name="too-late").status_code == 409
        client.cancel(first)
        client.wait(first)
        assert client.status(second)["state"] == "held"
        client.update(second, attributes={"custom_attributes": {"hold": "false"}})
        assert client.wait(second)["state"] == "completed"
        assert client.cancel(second) == 204
        assert client.status(second)["state"] == "completed"


def test_jobs_are_private_and_belong_to_a_resource(alice, bob) -> None:
    job = alice.launch("/bin/sleep", "30")
    assert bob.http.get(f"/compute/status/{bob.cluster}/{job}").status_code == 404
    assert bob.cancel(job) == 404
    assert alice.http.get(f"/compute/status/{alice.scratch}/{job}").status_code == 404
    assert alice.http.post(f"/compute/job/{alice.scratch}", json={"executable": "x"}).status_code == 404
    for odd in ("0", "-1", "x", "9" * 40, "1.0", "²"):
        assert alice.http.get(f"/compute/status/{alice.cluster}/{odd}").status_code == 404
    assert alice.cancel(job) == 204
    alice.wait(job)


def test_lists_and_history(client_of, facility: LocalFacility) -> None:
    client = client_of(facility, facility.new_token("bob"))
    url = f"/compute/status/{client.cluster}"
    done = client.launch("/bin/true", name="done")
    client.wait(done)
    live = client.launch("/bin/true", name="live", attributes={"custom_attributes": {"hold": "true"}})

    def listed(body=None, **params) -> set[str]:
        return {job["id"] for job in client.http.post(url, json=body, params=params).json()}

    assert live in listed()
    assert done not in listed()
    assert {live, done} <= listed(historical="true")
    assert listed({"name": "done"}, historical="TRUE") >= {done}
    assert listed({"state": ["held", "queued"], "id": live}) == {live}
    assert listed({"filters": {"name": "done"}}, historical="true") == set()
    assert listed(limit=0) == set()
    assert len(client.http.post(url, params={"historical": "true", "offset": 1, "limit": 1}).json()) == 1
    assert client.http.get(f"{url}/{done}?historical=false").status_code == 404
    assert client.http.get(f"{url}/{live}?historical=false").status_code == 200
    client.cancel(live)


def test_containers_are_not_offered(alice) -> None:
    body = {"container": {"image": "x"}, "executable": "y"}
    assert alice.http.post(f"/compute/job/{alice.cluster}", json=body).status_code == 501


def test_usage_of_the_allocation_grows(alice, bob) -> None:
    project = alice.http.get("/account/projects").json()[0]["id"]

    def used(client) -> float:
        url = f"/account/projects/{project}/project_allocations"
        return client.http.get(url).json()[0]["entries"][0]["usage"]

    before = used(alice)
    bob.wait(bob.launch("/bin/sleep", "0.2", resources={"node_count": 4}))
    assert used(alice) - before >= 4 * 0.2 / 3600


def test_a_batch_script_of_another_face_is_shown_as_what_the_scheduler_made_of_it(facility, alice) -> None:
    other = Plain(facility)
    script = "#!/bin/sh\n#SBATCH --nodes=2 --time=3\nsleep 60\n"
    job = other.submit(script, name="batch", env={"COLOUR": "green"}).json()["jobId"]
    other.http.close()
    shown = alice.http.get(f"/compute/status/{alice.cluster}/{job}?include_spec=true").json()["job_spec"]
    listed = alice.http.post(f"/compute/status/{alice.cluster}?include_spec=true", json={}).json()
    alice.cancel(job)
    assert shown == next(each["job_spec"] for each in listed if each["id"] == job)
    assert (shown["name"], shown["environment"]["COLOUR"]) == ("batch", "green")
    assert (shown["resources"]["node_count"], shown["attributes"]["duration"]) == (2, 180)
