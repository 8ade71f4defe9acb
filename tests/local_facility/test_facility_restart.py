from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from iri_local_facility import LocalFacility


def gone(pid: int, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def running_pid(facility: LocalFacility, job: str) -> int:
    return next(entry["pid"] for entry in facility.jobs() if entry["id"] == job)


def test_jobs_outlive_a_killed_server(client_of) -> None:
    with LocalFacility(nodes=8, kill_grace=0.2) as facility:
        client = client_of(facility)
        ends_while_down = client.sh("sleep 0.3; exit 5")
        ends_later = client.sh("while [ ! -e go ]; do sleep 0.05; done")
        doomed = client.launch("/bin/sleep", "60")
        lost = client.launch("/bin/sleep", "60")
        overdue = client.launch("/bin/sleep", "60", attributes={"duration": 1})
        held = client.sh("exit 0", attributes={"custom_attributes": {"hold": "true"}})
        client.wait(overdue, "active")
        url, victim = facility.url, running_pid(facility, lost)
        facility.kill()
        os.killpg(victim, signal.SIGKILL)
        time.sleep(0.5)
        facility.restart()
        assert facility.url == url
        assert client.wait(ends_while_down)["exit_code"] == 5
        assert client.status(ends_later)["state"] == "active"
        (facility.home / "go").touch()
        assert client.wait(lost)["message"] == "node failure"
        assert client.wait(overdue)["message"] == "time limit of 1 s reached"
        assert client.wait(ends_later)["exit_code"] == 0
        pid = running_pid(facility, doomed)
        client.cancel(doomed)
        assert client.wait(doomed)["state"] == "canceled"
        assert gone(pid)
        assert client.status(held)["state"] == "held"
        assert len(facility.jobs()) == 6  # nothing was started twice


def test_orderly_stop_leaves_nothing_running(tmp_path: Path, client_of) -> None:
    with LocalFacility(tmp_path / "f", kill_grace=0.3) as facility:
        client = client_of(facility)
        polite, deaf = (
            client.launch("/bin/sleep", "60"),
            client.sh("trap '' TERM; while :; do sleep 0.1; done"),
        )
        client.wait(deaf, "active")
        pids = [running_pid(facility, job) for job in (polite, deaf)]
        task = client.http.post(f"/filesystem/ls/{client.scratch}", json={"path": "."}).json()["task_id"]
        facility.restart(keep_jobs=False)
        assert all(gone(pid) for pid in pids)
        for job in (polite, deaf):
            status = client.wait(job)
            assert (status["state"], status["message"]) == (
                "canceled",
                "canceled: the facility was shut down",
            )
        assert client.http.get(f"/task/{task}").json()["status"] == "completed"
    assert (tmp_path / "f" / "home").is_dir()  # a root that was given is the giver's


def test_stop_after_a_kill_reaps_the_jobs(client_of) -> None:
    with LocalFacility() as facility:
        client = client_of(facility)
        job = client.launch("/bin/sleep", "60")
        client.wait(job, "active")
        pid = running_pid(facility, job)
        facility.kill()
        assert not gone(pid, 0.1)
        root = facility.root
    assert gone(pid)
    assert not root.exists()


def test_the_facility_dies_with_its_parent(tmp_path: Path) -> None:
    program = """
import sys, time, urllib.request, json
from iri_local_facility import LocalFacility
facility = LocalFacility(sys.argv[1], kill_grace=0.2).start()
def call(path, body=None):
    request = urllib.request.Request(facility.base_url + path, body and json.dumps(body).encode(),
        {"Authorization": "Bearer " + facility.token, "Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))
cluster = call("/compute/resources")[0]["id"]
call(f"/compute/job/{cluster}", {"executable": "/bin/sleep", "arguments": ["60"]})
while not facility.jobs()[0]["pid"]:
    time.sleep(0.01)
print(facility.pid, facility.jobs()[0]["pid"], flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "f")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
    finally:
        parent.kill()
        parent.communicate()
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    with (
        LocalFacility() as first,
        pytest.raises(RuntimeError, match="cannot serve on port"),
        LocalFacility(tmp_path, port=int(first.url.rpartition(":")[2])),
    ):
        pass


def test_interrupted_tasks_fail_in_words(tmp_path: Path) -> None:
    from iri_local_facility.accounts import User
    from iri_local_facility.paths import Areas
    from iri_local_facility.store import Store
    from iri_local_facility.tasks import Tasks

    store = Store(tmp_path / "db")
    store.insert(
        "tasks",
        id="t",
        user="u",
        resource_id="r",
        command="ls",
        args="{}",
        status="active",
        created=time.time(),
    )
    tasks = Tasks(store)
    tasks.start()
    task = tasks.get(User("u", (), Areas(tmp_path, tmp_path, {})), "t")
    assert task.status == "failed"
    assert "restarted" in json.loads(task.result)["output"]
    tasks.stop()
    store.close()
