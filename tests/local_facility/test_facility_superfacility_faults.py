"""Orders that strike the Superfacility face, in its own words; tasks over restarts and after their end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from superfacility_kit import Door

from iri_local_facility import LocalFacility
from iri_local_facility.processes import birth


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=2, kill_grace=0.3) as running:
        yield running


@pytest.fixture
def door(place: LocalFacility) -> Iterator[Door]:
    place.reset_requests()
    door = Door(place)
    with door.http:
        yield door
    place.clear_faults()


def jobs_named(place: LocalFacility, name: str) -> list[dict]:
    return [job for job in place.jobs() if job["name"] == name]


def await_job(place: LocalFacility, name: str) -> dict:
    deadline = time.monotonic() + 60
    while not (found := jobs_named(place, name)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found[0]


def test_a_lost_reply_leaves_a_job(place: LocalFacility, door: Door) -> None:
    place.order("lose_reply", "sfSubmitJob", job="lost")
    other = door.submit("#SBATCH --job-name=other\ntrue")
    with pytest.raises(httpx.RemoteProtocolError):
        door.post_job("#!/bin/sh\n#SBATCH --job-name=lost\nsleep 60\n")
    job = await_job(place, "lost")
    assert [row["name"] for row in door.rows("name=lost")] == ["lost"]
    entries = place.requests("sfSubmitJob")
    assert [(entry["created"], entry["status"]) for entry in entries] == [(other, 200), (job["id"], 0)]
    door.task(door.http.delete(f"/compute/jobs/perlmutter/{job['id']}"))


@pytest.mark.parametrize(
    ("operation", "ask"),
    [
        ("sfSubmitJob", lambda door: door.post_job("#!/bin/sh\n#SBATCH -J never\n")),
        ("sfGetJobs", lambda door: door.http.get("/compute/jobs/perlmutter")),
        ("sfGetJob", lambda door: door.http.get("/compute/jobs/perlmutter/1")),
        ("sfCancelJob", lambda door: door.http.delete("/compute/jobs/perlmutter/1")),
        ("sfGetTask", lambda door: door.http.get("/tasks/1")),
        ("sfLs", lambda door: door.http.get("/utilities/ls/perlmutter/x")),
        ("sfDownload", lambda door: door.http.get("/utilities/download/perlmutter//x")),
        ("sfUpload", lambda door: door.http.put("/utilities/upload/perlmutter//x", files={"file": b""})),
        ("sfCommand", lambda door: door.http.post("/utilities/command/perlmutter", data={"executable": "x"})),
        ("sfToken", lambda door: door.ask_token("")),
        ("sfGetStatus", lambda door: door.http.get("/status/perlmutter")),
        ("sfGetUser", lambda door: door.http.get("/account/")),
        ("sfStartTransfer", lambda door: door.http.post("/storage/globus/transfer")),
    ],
)
def test_each_operation_fails_on_order_in_its_own_words(place, door: Door, operation: str, ask) -> None:
    place.order("status", operation, status=503, retry_after=7)
    answer = ask(door)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"detail"}
    place.order("status", operation, status=200)
    answer = ask(door)
    assert (answer.status_code, answer.json()["status"]) == (200, "ERROR")
    assert answer.json()["error"].startswith("ordered: ")
    assert jobs_named(place, "never") == []


def test_what_is_seen_of_jobs_is_ordered(place: LocalFacility, door: Door) -> None:
    job = door.submit("sleep 60")
    place.order("unknown_state", job=job, word="STAGE_OUT", times=2)
    assert [row["state"] for row in door.rows(f"jobid={job}")] == ["STAGE_OUT"]
    assert door.record(job)["state"] == "STAGE_OUT"
    place.order("missing", job=job, times=2)
    assert door.rows(f"jobid={job}") == door.rows(f"jobid={job}", sacct=True) == []
    assert door.record(job)["state"] == "RUNNING"
    place.order("empty_list", "sfGetJobs")
    assert door.rows() == []
    place.order("late", seconds=30)
    late = door.submit("sleep 60")
    assert door.rows(f"jobid={late}") == []
    place.clear_faults()
    assert [row["jobid"] for row in door.rows()] == [job, late]
    place.order("missing", job=job)
    for number in (job, late):  # what strikes looks does not strike what is done
        task = door.task(door.http.delete(f"/compute/jobs/perlmutter/{number}"))
        assert task["result"]["status"] == "ok"


@pytest.mark.parametrize(
    ("kind", "state", "exit_code"),
    [
        ("node_death", "NODE_FAIL", "1:0"),
        ("out_of_memory", "OUT_OF_MEMORY", "0:125"),
        ("preempt", "PREEMPTED", "0:0"),
    ],
)
def test_what_happens_to_jobs_is_ordered(place, door: Door, kind: str, state: str, exit_code: str) -> None:
    place.order(kind, job="struck")
    record = door.wait(door.submit("#SBATCH --job-name=struck\nsleep 60"))
    assert (record["state"], record["exitcode"]) == (state, exit_code)


def test_the_time_limit_and_a_signal(door: Door) -> None:
    killed = door.submit("kill -9 $$")
    late = door.submit("#SBATCH --time=0:01\nsleep 60")
    assert (door.wait(killed)["state"], door.record(killed)["exitcode"]) == ("FAILED", "0:9")
    assert door.wait(late)["state"] == "TIMEOUT"


def test_holds_and_maintenance(place: LocalFacility, door: Door) -> None:
    fault = place.order("hold", job="held")
    held = door.submit("#SBATCH --job-name=held\ntrue")
    assert [row["reason"] for row in door.rows(f"jobid={held}")] == ["JobHeldAdmin"]
    place.clear_faults(fault)
    assert door.wait(held)["state"] == "COMPLETED"
    fault = place.order("maintenance", api="refuse")
    assert door.http.get("/status/perlmutter").json()["status"] == "unavailable"
    task = door.task(door.post_job("#!/bin/sh\ntrue\n"))
    assert task["result"]["error"].endswith("submission failed: the resource is down for maintenance")
    place.clear_faults(fault)
    place.order("maintenance", "sfGetJobs", api="unavailable", body="html")
    answer = door.http.get("/compute/jobs/perlmutter")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")


def test_no_space_is_left(place: LocalFacility, door: Door) -> None:
    place.order("no_space", "sfUpload")
    answer = door.http.put(f"/utilities/upload/perlmutter/{place.home}/full", files={"file": b"x"})
    assert (answer.status_code, answer.json()["error"]) == (200, "No space left on device")


def test_transfers_are_struck(place: LocalFacility, door: Door) -> None:
    (place.home / "moves").write_text("x")
    place.order("transfer_fails", job="doomed", code="NO_APPEND_FILESYSTEM")
    form = {"source_uuid": "dtn", "target_uuid": "perlmutter", "label": "doomed"}
    form |= {"source_dir": str(place.home / "moves"), "target_dir": str(place.scratch)}
    started = door.http.post("/storage/globus/transfer", data=form).json()["transfer_id"]
    deadline = time.monotonic() + 60
    while (found := door.http.get(f"/storage/globus/transfer/{started}").json())["globus_status"] == "ACTIVE":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (found["status"], found["globus_status"]) == ("OK", "FAILED")


def test_tasks_outlive_their_server_but_not_their_time() -> None:
    with LocalFacility(superfacility_delay=0.5, superfacility_retention=0.5, kill_grace=0.3) as place:
        door = Door(place)
        with door.http:
            line = {"executable": "echo $$ >new; mv new pid; sleep 60"}
            answer = door.http.post("/utilities/command/perlmutter", data=line)
            task = f"/tasks/{answer.json()['task_id']}"
            deadline = time.monotonic() + 60
            while not (place.home / "pid").exists():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            pid = int((place.home / "pid").read_text())
            assert birth(pid) is not None
            place.order("crash", "sfSubmitJob", when="after")
            with pytest.raises(httpx.RemoteProtocolError):
                door.post_job("#!/bin/sh\n#SBATCH --job-name=once\ntrue\n")
            place.restart()
            assert door.http.get(task).json()["status"] == "failed"  # it had begun
            await_job(place, "once")  # this had not, so the next server works on it
            while birth(pid) is not None or door.http.get(task).status_code != 404:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert len(jobs_named(place, "once")) == 1
