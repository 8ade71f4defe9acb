"""The life of a job over the tries of a task, against a real facility, without Airflow's processes."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow_versions import needs_store
from doors import DOORS
from job_tasks import job, jobs, operator, sent

from airflow_provider_iri import IriHook
from airflow_provider_iri.record import STORE_KEY
from iri_common import UsageError


class Crash(BaseException):
    """The worker is gone."""


# -- the plain way --------------------------------------------------------------------------------------


@pytest.mark.parametrize("deferrable", [True, False])
def test_success(demo, task, deferrable: bool, caplog) -> None:
    words = job("echo out; echo err >&2")
    result = task.execute(operator(words, deferrable=deferrable))
    (ran,) = jobs(demo, words)
    assert ran["state"] == "completed"
    assert result["state"] == "completed"
    assert result["exit_code"] == 0
    assert task.ti.xcoms["iri_job"] == result["ref"]
    assert f"job={ran['id']}" in result["ref"]
    assert task.noted(reported="completed")
    assert demo.token not in repr((task.store, task.ti.xcoms))


def test_the_result_tells_whose_job_it_was_where_that_is_known(demo, task) -> None:
    IriHook("iri_default").facility.accounts.principal()
    assert task.execute(operator(job("true")))["owner"] == demo.user


@pytest.mark.parametrize("deferrable", [True, False])
def test_failure_tells_exit_code_and_the_end_of_stderr(demo, task, deferrable: bool) -> None:
    words = job("seq 1 100 >&2; echo the reason >&2; exit 3")
    with pytest.raises(AirflowException, match=r"exit code 3(.|\n)*\n100\nthe reason") as caught:
        task.execute(operator(words, deferrable=deferrable))
    assert not isinstance(caught.value, AirflowFailException)
    assert "\n50\n" not in str(caught.value)
    assert task.noted(reported="failed")


@pytest.mark.parametrize("name", ["superfacility", "firecrest", "slurm"])
def test_success_through_another_api(demo, task, connect, tmp_path, monkeypatch, name: str) -> None:
    for variable, value in DOORS[name].variables(demo, tmp_path).items():
        monkeypatch.setenv(variable, value)
    connect("iri_test", {"conn_type": "iri", "extra": {"profile": "place"}})
    words = job()
    result = task.execute(operator(words, iri_conn_id="iri_test"))
    assert result["state"] == "completed"
    assert f"/{name}/" in result["ref"]
    assert [each["id"] in result["ref"] for each in jobs(demo, words)] == [True]


def test_a_job_spec_is_taken_as_well(demo, task) -> None:
    from iri_common import JobSpec

    assert task.execute(operator(JobSpec.of(job())))["state"] == "completed"


def test_without_a_state_store_every_try_asks_anew(demo, task) -> None:
    task.store = None
    words = job()
    for _ in range(2):
        task.execute(operator(words))
    assert len(jobs(demo, words)) == 2


# -- bad input fails once, clearly, before anything is sent ---------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"executible": "/bin/true"}, "no such field"),
        ({"executable": ""}, "executable"),
        ({"executable": "x", "attributes": {"duration": -1}}, "duration"),
        ({"executable": "x", "attributes": {"walltime": 10}}, "no such field .known here: account"),
        ({"executable": "x", "resources": {"node_count": 0}}, "node_count"),
        ("/bin/true", "not by str"),
    ],
)
def test_a_typo_fails_the_parsing_of_the_dag(words: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        operator(words)


def test_what_a_template_hides_fails_the_task_for_good(demo, task) -> None:
    bad = operator({"executable": "{{ params.x }}"})
    bad.job = {"executable": ""}  # as rendered
    with pytest.raises(AirflowFailException, match="executable"):
        task.execute(bad)
    assert sent(demo) == []
    assert not task.store


def test_an_unknown_profile_fails_the_task_for_good(demo, task, connect, monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_DESK_URL", demo.base_url)
    connect("iri_test", {"conn_type": "iri", "extra": {"profile": "dusk"}})
    with pytest.raises(AirflowFailException, match=r"'dusk'.*profiles that exist: desk"):
        task.execute(operator(job(), iri_conn_id="iri_test"))
    assert sent(demo) == []


def test_an_array_is_refused_where_there_are_none(demo, task) -> None:
    with pytest.raises(AirflowFailException, match=r"no word for array.*under a key of its own"):
        task.execute(operator(job(attributes={"array": "0-3"})))
    assert "launchJob" not in sent(demo)


@pytest.mark.parametrize("deferrable", [True, False])
def test_an_array_is_one_job(demo, task, connect, deferrable: bool) -> None:
    door = {"conn_type": "iri", "host": demo.firecrest_url, "password": demo.token}
    connect("iri_test", {**door, "extra": {"dialect": "firecrest", "directory": str(demo.scratch)}})
    words = job("echo why $SLURM_ARRAY_TASK_ID >&2; exit $SLURM_ARRAY_TASK_ID", attributes={"array": "0-1"})
    with pytest.raises(AirflowException, match=r"1 of 2 tasks failed, the first is 1(.|\n)*why 1"):
        task.execute(operator(words, iri_conn_id="iri_test", deferrable=deferrable))
    assert len(jobs(demo, words)) == 2


def test_an_unknown_resource_names_those_there_are(demo, task) -> None:
    with pytest.raises(AirflowFailException, match=r"no resource 'perlmutter'.*cluster"):
        task.execute(operator(job(), resource="perlmutter"))
    assert set(sent(demo)) <= {"getResources"}


def test_a_refused_token_tells_whose_and_what_to_do(demo, task, connect) -> None:
    connect("iri_test", {"conn_type": "iri", "host": demo.base_url, "password": "nobody"})
    with pytest.raises(AirflowFailException, match="'iri_test'") as caught:
        task.execute(operator(job(), iri_conn_id="iri_test"))
    assert "token" in str(caught.value)
    assert "nobody" not in str(caught.value)


def test_what_the_facility_refuses_is_not_tried_again(demo, task) -> None:
    with pytest.raises(AirflowFailException, match="astronomy"):
        task.execute(operator(job(attributes={"account": "astronomy"})))


def test_an_unreachable_facility_is_worth_a_retry(task, connect) -> None:
    import socket

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        connect("iri_test", {"conn_type": "iri", "host": f"http://127.0.0.1:{port}/api/v2", "password": "x"})
        with pytest.raises(AirflowException, match=f"127.0.0.1:{port}") as caught:
            task.execute(operator(job(), iri_conn_id="iri_test"))
    assert not isinstance(caught.value, AirflowFailException)


# -- retries and clears ---------------------------------------------------------------------------------


@needs_store
def test_a_retry_goes_on_with_a_job_that_runs(demo, task) -> None:
    words = job("sleep 2")
    with pytest.raises(TaskDeferred):
        task.begin(operator(words))
    assert task.execute(operator(words))["state"] == "completed"
    assert len(jobs(demo, words)) == 1


@needs_store
def test_a_retry_gets_the_result_of_a_job_that_ended_meanwhile(demo, task, wait_until) -> None:
    words = job("echo done")
    with pytest.raises(TaskDeferred):
        task.begin(operator(words))
    wait_until(lambda: jobs(demo, words)[0]["state"] == "completed")
    assert task.begin(operator(words))["state"] == "completed"  # and does not defer for it
    assert len(jobs(demo, words)) == 1


@needs_store
def test_a_retry_after_a_failure_asks_anew(demo, task) -> None:
    words = job("exit 1")
    for _ in range(2):
        with pytest.raises(AirflowException, match="exit code 1"):
            task.execute(operator(words))
    first, second = jobs(demo, words)
    assert (first["name"][-2:], second["name"][-2:]) == ("-1", "-2")


@needs_store
def test_a_retry_finds_the_job_whose_id_was_never_stored(demo, task) -> None:
    words = job("sleep 2")

    def crash(key: str, value: str) -> None:
        raise Crash

    task.ti.xcom_push, push = crash, task.ti.xcom_push
    with pytest.raises(Crash):
        task.begin(operator(words))
    task.ti.xcom_push = push
    task.store[STORE_KEY]["ref"] = None  # the crash came a moment earlier
    assert task.execute(operator(words))["state"] == "completed"
    assert len(jobs(demo, words)) == 1


@needs_store
def test_a_retry_on_another_host_finds_it_too(demo, task, monkeypatch, tmp_path) -> None:
    """Nothing but the intent in Airflow's store tells that a request may have been sent."""
    words = job("sleep 2")
    with pytest.raises(TaskDeferred):
        task.begin(operator(words))
    task.store[STORE_KEY]["ref"] = None
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert task.execute(operator(words))["state"] == "completed"
    assert len(jobs(demo, words)) == 1


@needs_store
def test_a_clear_cancels_the_old_job_and_asks_anew(demo, task) -> None:
    words = job("sleep 60")
    with pytest.raises(TaskDeferred):
        task.begin(operator(words))
    task.ti.max_tries += 1  # which is what tells a clear from a retry
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(words))
    first, second = jobs(demo, words)
    assert first["state"] == "canceled"
    assert first["ended"] <= second["submitted"]  # the two may write to the same files
    assert f"job={second['id']}" in deferred.value.trigger.ref
    with pytest.raises(AirflowTaskTimeout):
        task.execute(operator(words, execution_timeout=timedelta(seconds=0.1)))
    assert len(jobs(demo, words)) == 2  # a further retry went on with the second


@needs_store
def test_a_clear_cancels_a_job_whose_id_was_never_stored(demo, task, monkeypatch, tmp_path) -> None:
    words = job("sleep 60")
    with pytest.raises(TaskDeferred):
        task.begin(operator(words))
    task.store[STORE_KEY]["ref"] = None
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    task.ti.max_tries += 1
    result = task.execute(operator(words | {"arguments": ["-c", "true"]}))
    first, second = jobs(demo, words)
    assert first["state"] == "canceled"
    assert f"job={second['id']}" in result["ref"]


def test_a_cleared_success_runs_again(demo, task) -> None:
    words = job()
    task.execute(operator(words))
    task.ti.max_tries += 1
    task.execute(operator(words))
    assert [each["state"] for each in jobs(demo, words)] == ["completed", "completed"]


@needs_store
def test_another_spec_replaces_the_job(demo, task) -> None:
    """A mapped task's index can come to mean another input."""
    words = job("sleep 60")
    with pytest.raises(TaskDeferred):
        task.begin(operator(words))
    task.execute(operator(words | {"arguments": ["-c", "true"]}))
    assert [each["state"] for each in jobs(demo, words)] == ["canceled", "completed"]


def test_a_job_cancelled_before_the_try_began_is_asked_for_again(demo, task, wait_until) -> None:
    """A task that is cleared while a worker holds it: its job is cancelled, max_tries stays."""
    from airflow_provider_iri import IriHook

    words = job("sleep 60")
    with pytest.raises(TaskDeferred):
        task.begin(operator(words))
    IriHook().facility.jobs.cancel(task.ti.xcoms["iri_job"])
    wait_until(lambda: jobs(demo, words)[0]["state"] == "canceled")
    with pytest.raises(TaskDeferred):
        task.begin(operator(words))
    first, second = jobs(demo, words)
    IriHook().facility.jobs.cancel(task.ti.xcoms["iri_job"])
    assert first["id"] != second["id"]


def test_a_new_run_of_the_same_name_is_another_ask(demo, task) -> None:
    """A run that was deleted and made again, or another deployment's, has the same ids."""
    words = job()
    first = task.execute(operator(words))
    task.forget()
    assert task.execute(operator(words))["ref"] != first["ref"]


# -- troubles on the way --------------------------------------------------------------------------------


@needs_store
def test_a_credential_that_ends_leaves_the_job_and_a_clear_goes_on_with_it(demo, task, connect) -> None:
    words = job("sleep 4; echo still there")
    token = demo.new_token()
    connection = {"conn_type": "iri", "host": demo.base_url, "extra": {"poll_seconds": 0.5}}
    connect("iri_test", connection | {"password": token})
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(words, iri_conn_id="iri_test"))
    demo.revoke(token)
    with pytest.raises(AirflowFailException, match="'iri_test'"):
        task.resume(operator(words, iri_conn_id="iri_test"), deferred.value)
    assert jobs(demo, words)[0]["state"] == "active"
    connect("iri_test", connection | {"password": demo.new_token()})
    task.ti.max_tries += 1
    assert task.execute(operator(words, iri_conn_id="iri_test"))["state"] == "completed"
    assert len(jobs(demo, words)) == 1


def test_an_outage_of_the_facility_fails_no_job(task, connect, tmp_path) -> None:
    from iri_local_facility import LocalFacility

    with LocalFacility(kill_grace=0.5) as fragile:
        connect(
            "iri_test",
            {
                "conn_type": "iri",
                "host": fragile.base_url,
                "password": fragile.token,
                "extra": {"poll_seconds": 0.3},
            },
        )
        words = job("sleep 3")
        with pytest.raises(TaskDeferred) as deferred:
            task.begin(operator(words, iri_conn_id="iri_test"))
        fragile.kill()
        back = threading.Timer(2.0, fragile.restart)
        back.start()
        result = task.resume(operator(words, iri_conn_id="iri_test"), deferred.value)
        back.join()
        assert result["state"] == "completed"
        assert len(fragile.jobs()) == 1


def test_execution_timeout_counts_while_deferred_and_cancels(demo, task) -> None:
    words = job("sleep 60")
    limited = operator(words, execution_timeout=timedelta(seconds=1))
    with pytest.raises(AirflowTaskTimeout):
        task.execute(limited)
    assert jobs(demo, words)[0]["state"] == "canceled"
    with pytest.raises(AirflowTaskTimeout):  # a retry gets a job of its own
        task.execute(limited)
    assert [each["state"] for each in jobs(demo, words)] == ["canceled", "canceled"]


def test_execution_timeout_counts_in_a_worker_and_cancels(demo, task) -> None:
    from airflow.sdk.execution_time.timeout import timeout

    words = job("sleep 60")
    worker = operator(words, deferrable=False)
    with pytest.raises(AirflowTaskTimeout), timeout(2):
        task.begin(worker)
    worker.on_kill()  # as Airflow does after that; there is nothing left to kill
    assert [each["state"] for each in jobs(demo, words)] == ["canceled"]
    assert task.noted(reported="canceled")


@needs_store
def test_a_credential_that_ends_between_two_tries_leaves_the_job_too(demo, task, connect) -> None:
    words = job("sleep 3")
    token = demo.new_token()
    connection = {"conn_type": "iri", "host": demo.base_url, "extra": {"poll_seconds": 0.5}}
    connect("iri_test", connection | {"password": token})
    with pytest.raises(TaskDeferred):
        task.begin(operator(words, iri_conn_id="iri_test"))
    demo.revoke(token)
    with pytest.raises(AirflowFailException, match="'iri_test'"):  # the retry of a worker that died
        task.begin(operator(words, iri_conn_id="iri_test"))
    connect("iri_test", connection | {"password": demo.new_token()})
    task.ti.max_tries += 1
    assert task.execute(operator(words, iri_conn_id="iri_test"))["state"] == "completed"
    assert len(jobs(demo, words)) == 1


@needs_store
def test_a_connection_that_breaks_while_the_job_ends_costs_no_second_job(demo, task, connect) -> None:
    words = job()
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(words))
    connect("iri_default", {"conn_type": "iri", "extra": {"profile": "gone"}})
    with pytest.raises(AirflowFailException, match="'gone'"):
        task.resume(operator(words), deferred.value)
    connect("iri_default", {"conn_type": "iri", "host": demo.base_url, "password": demo.token})
    task.ti.max_tries += 1
    assert task.execute(operator(words))["state"] == "completed"
    assert len(jobs(demo, words)) == 1


@needs_store
def test_a_record_of_another_version_is_understood(demo, task) -> None:
    words = job()
    first = task.execute(operator(words))
    task.store[STORE_KEY] |= {"colour": "blue"}
    assert task.execute(operator(words)) == first
