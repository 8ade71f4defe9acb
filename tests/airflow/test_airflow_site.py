"""Jobs through a real Airflow: api-server, scheduler, dag-processor and triggerer as separate processes."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import psutil
import pytest
from airflow_connections import connection_to
from airflow_versions import FORGETS, ON_KILL, needs_bookmarks, needs_policies, needs_store

pytestmark = pytest.mark.timeout(180)


def test_success_with_deferral(start) -> None:
    run = start("once", "echo hello from $PWD")
    assert run.wait() == "success"
    (job,) = run.jobs()
    log = run.log()
    assert "Pausing task as DEFERRED" in log
    assert f"submitted job {job['id']} at" in log
    assert "the job is completed, exit code 0" in log  # the triggerer's word, in the task's log
    assert f"hello from {run.facility.scratch}/{run.name}" in log
    value = run.site.xcom(run.dag_id, run.run_id, "job")
    assert value["state"] == "completed"
    assert value["exit_code"] == 0
    assert run.site.xcom(run.dag_id, run.run_id, "job", key="iri_job") == value["ref"]
    assert run.facility.token not in log


def test_failure_is_explained_and_a_retry_asks_anew(start) -> None:
    run = start("retried", "if [ -e ran ]; then exit 0; fi; touch ran; echo the reason >&2; exit 3")
    assert run.wait() == "success"
    assert run.states() == ["failed", "completed"]
    log = run.log(1)
    assert "exit code 3" in log
    assert "the last lines of its stderr:\nthe reason" in log


def test_a_bad_spec_fails_once_before_anything_is_sent(start, facility) -> None:
    facility.reset_requests()
    run = start("misspelt", "true")
    assert run.wait() == "failed"
    assert run.instance()["try_number"] == 1  # of three
    assert "environment" in run.log()
    assert facility.requests() == []


@needs_store
def test_a_worker_killed_between_request_and_reply_costs_nothing(start, slow_facility, wait_until) -> None:
    """The facility takes its time to accept the job; its answer finds nobody."""
    slow_facility.reset_requests()
    run = start("retried", "sleep 1; echo once", at=slow_facility, connection="iri_slow")
    wait_until(run.remembered, 60, "the intent")
    assert run.jobs() == []
    time.sleep(0.7)  # the request is on its way
    os.kill(_process_of(run), signal.SIGKILL)
    assert run.wait() == "success"
    assert run.instance()["try_number"] == 2
    assert run.states() == ["completed"]
    assert "looking for it" in run.log(2)
    assert len(slow_facility.requests("launchJob")) == 1


def test_a_worker_killed_while_it_waits_is_followed_by_one_that_attaches(start) -> None:
    run = start("in_worker", "sleep 9; echo once")
    run.await_job(0, "active")
    run.await_reference()
    os.kill(_process_of(run), signal.SIGKILL)
    assert run.wait() == "success"
    assert run.instance()["try_number"] == 2
    assert run.states() == ["completed"]
    assert "going on with job" in run.log(2)


def test_a_worker_asked_to_end_leaves_its_job(start) -> None:
    run = start("in_worker", "sleep 8")
    run.await_job(0, "active")
    run.await_reference()
    os.kill(_process_of(run), signal.SIGTERM)
    assert run.wait() == "success"
    assert run.states() == ["completed"]
    assert "left alone: its task is running" in run.log(1)


def test_a_person_who_ends_a_running_task_or_its_run_ends_its_job(start, site) -> None:
    failed, whole = runs = [start("in_worker", "sleep 90") for _ in range(2)]
    for run in runs:
        run.await_job(0, "active")
        run.await_reference()
    site.mark(failed.dag_id, failed.run_id, "job", "failed")
    site.call("PATCH", f"/dags/{whole.dag_id}/dagRuns/{whole.run_id}", {"state": "failed"})
    for run in runs:
        run.await_job(0, "canceled")
        assert run.wait() == "failed"
        assert len(run.jobs()) == 1


def test_clearing_a_running_task_replaces_its_job(start) -> None:
    run = start("in_worker", "if [ -e ran ]; then exit 0; fi; touch ran; sleep 60")
    run.await_job(0, "active")
    run.await_reference()
    run.site.clear(run.dag_id, run.run_id, "job")
    run.await_job(1, "completed")
    assert run.wait() == "success"
    if FORGETS:
        run.await_job(0, "canceled")
    assert run.states() == ["canceled", "completed"]


def test_a_person_who_ends_a_deferred_task_or_its_run_ends_its_job(start, site) -> None:
    failed, succeeded, whole = runs = [start("once", "sleep 90; touch ran") for _ in range(3)]
    for run in runs:
        run.await_trigger()
    site.mark(failed.dag_id, failed.run_id, "job", "failed")
    site.mark(succeeded.dag_id, succeeded.run_id, "job", "success")
    site.call("PATCH", f"/dags/{whole.dag_id}/dagRuns/{whole.run_id}", {"state": "failed"})
    for run in runs:
        run.await_job(0, "canceled")
        assert len(run.jobs()) == 1
        assert not run.place("ran").exists()
    assert [run.instance()["state"] for run in runs] == ["failed", "success", "failed"]
    failed.await_log("because its task is failed")
    succeeded.await_log("because its task is success")


def test_clearing_a_deferred_task_cancels_and_asks_anew(start) -> None:
    run = start("once", "if [ -e ran ]; then exit 0; fi; touch ran; sleep 60")
    run.await_trigger()
    run.site.clear(run.dag_id, run.run_id, "job")
    run.await_job(1, "completed")
    assert run.wait() == "success"
    assert run.states() == ["canceled", "completed"]


@needs_bookmarks
def test_jobs_and_what_they_write_survive_components_that_end_or_are_killed(start, site, wait_until) -> None:
    wait = "until [ -e go$step ]; do sleep 0.1; done"
    run = start("followed", f"for step in 1 2; do echo step $step; {wait}; done; echo the end")
    run.await_trigger()
    wait_until(lambda: _bookmark(run) == {"stdout": len("step 1\n")}, 60, "the first line")
    site.stop_component("triggerer")
    run.place("go1").touch()  # it writes on while nobody looks
    site.start_component("triggerer")
    wait_until(lambda: _bookmark(run) == {"stdout": len("step 1\nstep 2\n")}, 60, "the second line")
    for component in ("triggerer", "scheduler"):
        site.kill_component(component)
    run.place("go2").touch()
    run.await_job(0, "completed")
    for component in ("triggerer", "scheduler"):
        site.start_component(component)
    assert run.wait() == "success"
    assert run.states() == ["completed"]
    log = run.log()
    assert [log.count(f"[stdout] {each}") for each in ("step 1", "step 2", "the end")] == [1, 1, 1]
    assert "the last lines of the job's stdout" not in log


def test_a_triggerer_that_slept_while_another_took_over_cancels_nothing(start, site, wait_until) -> None:
    """Airflow 3.3 calls on_kill for every trigger of such a triggerer, 3.4 does not (thread 73454)."""
    run = start("pair", "until [ -e go ]; do sleep 0.1; done")
    for index in (0, 1):
        run.await_trigger(index)

    def logs() -> list[str]:
        return [run.log(map_index=index) for index in (0, 1)]

    (supervisor,) = psutil.Process(site.keeper_pid("triggerer")).children()
    supervisor.suspend()
    site.start_component("triggerer", "triggerer-2")
    try:
        wait_until(lambda: all(log.count("the job is active") == 2 for log in logs()), 60, "the takeover")
        supervisor.resume()
        if ON_KILL:
            told = run.site.home / "triggerer.log"
            wait_until(lambda: all(_noticed(log + told.read_text()) for log in logs()), 60, "its awakening")
        run.place("go").touch()
        assert run.wait() == "success"
    finally:
        supervisor.resume()
        site.stop_component("triggerer-2")
    assert run.states() == ["completed", "completed"]


def test_execution_timeout_counts_while_deferred(start) -> None:
    run = start("limited", "sleep 60")
    assert run.wait() == "failed"
    assert run.states() == ["canceled"]
    assert "Timeout" in run.log()


@needs_policies
def test_what_a_retry_does_goes_by_the_cause(start) -> None:
    script = "test -e ran || { touch ran; sleep 60; }"
    short, escalated = start("too_short", script), start("escalated", script)
    elements = start("elements", 'test "$0" != late || { test -e came || { touch came; exit 4; }; }')
    assert short.wait() == "failed"
    assert short.instance()["try_number"] == 1  # of three
    assert "ask for more time" in short.log()
    assert "too_short.job failed (run " in short.log()  # so its callback
    assert escalated.wait() == "success", escalated.log()
    assert escalated.states() == ["failed", "completed"]
    assert [each["duration"] for each in escalated.jobs()] == [2, 120]
    assert elements.wait() == "success", elements.log()
    assert elements.states() == ["failed", "completed"]
    ran = elements.place("ran").read_text().split()
    assert sorted(ran) == sorted([elements.name, "late", "late"])
    assert elements.site.xcom(elements.dag_id, elements.run_id, "job")["exit_codes"] == [0, 0]


def test_what_else_is_waited_for_in_the_triggerer(site, facility, wait_until) -> None:
    from iri_common import Facility

    place = facility.scratch / f"sensed-{time.time_ns()}"
    place.mkdir()
    here, there = facility.sense_ports[:2]
    leased = site.trigger("leased", {"script": here, "job": there, "name": place.name})
    door = Facility(facility.base_url, token=facility.token)
    ref = door.jobs.submit({"executable": "/bin/sleep", "arguments": ["8"]})
    sensed = site.trigger("sensed", {"job": str(ref), "dir": str(place)})
    site.await_task("sensed", sensed, "arrived", "deferred", timeout=60)
    wait_until(lambda: "flag is not there" in site.log("sensed", sensed, "arrived"), 60)
    (place / "flag").write_text("here")
    assert site.wait("sensed", sensed, timeout=120) == "success"
    assert site.xcom("sensed", sensed, "arrived")["size"] == 4
    assert site.xcom("sensed", sensed, "ended")["state"] == "completed"
    assert site.wait("leased", leased, timeout=120) == "success", site.log("leased", leased, "down")
    (path,) = [each for each in facility.paths() if (each["alias"] or "").startswith(place.name)]
    assert (path["deleted"], path["left"]) == (True, False)


@needs_store
def test_a_refused_token_leaves_the_job_and_a_clear_goes_on_with_it(start, site, facility) -> None:
    token = facility.new_token()
    words = connection_to(facility, password=token)
    words["extra"] = json.dumps({**words["extra"], "job_page": "https://portal.example.org/{job}"})
    site.call("POST", "/connections", {"connection_id": "iri_rotating", **words})
    run = start("retried", "until [ -e go ]; do sleep 0.1; done", connection="iri_rotating")
    run.await_task("deferred")
    links = site.call("GET", f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/job/links")
    job_id = run.jobs()[0]["id"]
    assert links["extra_links"] == {"Job": f"https://portal.example.org/{job_id}", "Output": None}
    facility.revoke(token)
    run.await_task("failed")
    assert run.instance()["try_number"] == 1  # of three: no retry mends it
    assert "'iri_rotating'" in run.log(1)
    assert run.states() == ["active"]
    assert run.wait() == "failed"  # a clear before that may be lost on a scheduler that is about to say so
    words["password"] = facility.new_token()
    site.call("PATCH", "/connections/iri_rotating", {"connection_id": "iri_rotating", **words})
    site.clear(run.dag_id, run.run_id, "job", keep=True)
    run.place("go").touch()
    assert run.wait() == "success", run.log(run.instance()["try_number"])
    assert run.states() == ["completed"]


def test_mapped_tasks_poll_like_one(start, facility) -> None:
    facility.reset_requests()
    run = start("mapped", "")
    assert run.wait() == "failed"
    states = site_states(run)
    assert [state for name, state in sorted(states.items()) if state != "success"] == ["failed"]
    assert states["job[11]"] == "failed"
    asked = [each["operation"] for each in facility.requests()]
    assert asked.count("launchJob") == 12
    # One that looks every 0.5 s over the 10 to 30 s of this sends 20 to 60 requests, twelve 240 and more.
    # Beside the list, each job is asked for by its id once when it has left it, and by the first two alone.
    assert asked.count("getJobs") + asked.count("getJob") <= 100


def test_the_connection_form_is_served(site) -> None:
    (form,) = [
        each
        for each in site._client.get("/ui/connections/hook_meta").json()
        if each["connection_type"] == "iri"
    ]
    assert {"profile", "token_url", "resource", "poll_seconds"} <= set(form["extra_fields"])
    assert form["standard_fields"]["password"]["title"] == "Token, secret, key or password"


def test_the_test_button_works(site, facility) -> None:
    body = {"connection_id": "tried", "conn_type": "iri", "host": facility.base_url}
    answer = site.call("POST", "/connections/test", {**body, "password": facility.token})
    assert answer["status"] is True
    assert f"{facility.user} at {facility.base_url}" in answer["message"]
    answer = site.call("POST", "/connections/test", {**body, "password": "nobody"})
    assert answer["status"] is False


def test_nothing_listens_beyond_loopback(site) -> None:
    pids = set()
    for name in ("api-server", "scheduler", "dag-processor", "triggerer"):
        pids |= {each.pid for each in psutil.Process(site.keeper_pid(name)).children(recursive=True)}
    open_to = {
        each.laddr.ip
        for each in psutil.net_connections("inet")
        if each.status == psutil.CONN_LISTEN and each.pid in pids
    }
    assert open_to == {"127.0.0.1"}


def test_the_example_draws_its_picture(site, tmp_path) -> None:
    """The DAG that scientists copy, as it stands."""
    output = tmp_path / "tomography"
    run_id = site.trigger("tomography", {"output": str(output), "python": sys.executable, "parts": 2})
    assert site.wait("tomography", run_id, timeout=150) == "success"
    assert site.xcom("tomography", run_id, "look") == pytest.approx(0.042, abs=0.005)
    assert (output / "picture.png").read_bytes().startswith(b"\x89PNG")


def _noticed(said: str) -> bool:
    """Whether a triggerer knows by now that another has taken its triggers over; Airflow 3.4 tells itself."""
    return "left alone: its task is deferred" in said or "releasing them without on_kill" in said


def site_states(run) -> dict[str, str | None]:
    return run.site.task_states(run.dag_id, run.run_id)


def _bookmark(run) -> dict[str, int] | None:
    """How far what the job writes has been told."""
    told = run.site.xcom(run.dag_id, run.run_id, "job", key="iri_told") if "iri_told" in run.xcoms() else None
    return told and told["offsets"]


def _process_of(run) -> int:
    """The process that runs the task."""
    return run.instance()["pid"]
