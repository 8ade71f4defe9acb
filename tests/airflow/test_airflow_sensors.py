"""Waits for what others do at a facility, and the operators that keep things in order there."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow_connections import connection_to
from job_tasks import sent

from airflow_provider_iri import (
    IriCancelOperator,
    IriCredentialOperator,
    IriFileSensor,
    IriHook,
    IriJobSensor,
    IriResourceSensor,
    sights,
    triggers,
)
from airflow_provider_iri.sights import SIGHTS, FileThere, NotYet, Sight
from airflow_provider_iri.triggers import IriJobTrigger, IriSightTrigger
from iri_common import FileEntry, IriError, JobRef, PermissionDenied, Unreachable
from iri_common.facility.faces import Jobs


def submitted(script: str) -> JobRef:
    """A job of somebody else's."""
    spec = {"executable": "/bin/sh", "arguments": ["-c", script], "name": f"t{uuid.uuid4().hex[:8]}"}
    return IriHook().facility.jobs.submit(spec)


def state_of(facility, ref: JobRef) -> str:
    return next(each["state"] for each in facility.jobs() if str(each["id"]) == ref.job_id)


@pytest.fixture
def orders(demo):
    """The facility, which carries out no orders of this test after it."""
    yield demo
    demo.clear_faults()


# -- jobs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_job_of_somebody_else_is_waited_for(demo, task, deferrable: bool) -> None:
    ref = submitted("sleep 1")
    sensor = IriJobSensor(task_id="task", job=str(ref), deferrable=deferrable, poke_interval=0.3)
    assert task.execute(sensor) == {"ref": str(ref), "state": "completed", "exit_code": 0}


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_job_without_success_fails_its_sensor(demo, task, deferrable: bool) -> None:
    ref = submitted("sleep 1; echo the reason >&2; exit 3")
    sensor = IriJobSensor(task_id="task", job=str(ref), deferrable=deferrable, poke_interval=0.3)
    with pytest.raises(AirflowException, match=r"exit code 3(.|\n)*the reason"):
        task.execute(sensor)


@pytest.mark.parametrize("word", ["soft_fail", "never_fail"])
def test_a_failure_that_is_there_at_once_is_as_soft_as_a_later_one(demo, task, word: str) -> None:
    ref = submitted("exit 3")
    IriHook().facility.jobs.wait(ref)
    with pytest.raises(AirflowSkipException, match="exit code 3"):
        task.begin(IriJobSensor(task_id="task", job=str(ref), **{word: True}))


def test_a_job_that_is_over_is_not_waited_for(demo, task) -> None:
    ref = submitted("true")
    IriHook().facility.jobs.wait(ref)
    assert task.begin(IriJobSensor(task_id="task", job=str(ref)))["state"] == "completed"


async def test_a_sensor_that_is_ended_leaves_the_job_of_others_alone(demo, task, monkeypatch) -> None:
    facility = IriHook().facility.aio
    ref = await facility.jobs.submit({"executable": "/bin/sleep", "arguments": ["60"]})
    trigger = IriJobTrigger("iri_default", str(ref), owned=False)
    trigger.task_instance = task.ti
    monkeypatch.setattr(triggers, "task_state", lambda ti: "failed")
    await trigger.on_kill()
    assert "cancelJob" not in sent(demo)
    await facility.jobs.cancel(ref)


@pytest.mark.parametrize("job", ["42 ", "None", None])
def test_no_reference_of_a_job_fails_for_good(demo, task, job: str | None) -> None:
    with pytest.raises(AirflowFailException, match=f"{job}.* is not a job reference"):
        task.execute(IriJobSensor(task_id="task", job=job))
    assert sent(demo) == []


# -- files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_file_is_waited_for(demo, task, wait_until, deferrable: bool) -> None:
    there = demo.scratch / uuid.uuid4().hex
    sensor = IriFileSensor(task_id="task", path=str(there), deferrable=deferrable, poke_interval=0.2)
    arrives = threading.Thread(
        target=lambda: (wait_until(lambda: len(sent(demo)) > 3), there.write_text("12345"))
    )
    arrives.start()
    found = task.execute(sensor)
    arrives.join()
    assert (found["path"], found["size"]) == (str(there), 5)


def test_a_file_that_never_comes_ends_in_a_timeout(demo, task) -> None:
    missing = str(demo.scratch / uuid.uuid4().hex)
    sensor = IriFileSensor(task_id="task", path=missing, timeout=0.5, poke_interval=0.2, deferrable=False)
    with pytest.raises(AirflowSensorTimeout):
        task.execute(sensor)
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(IriFileSensor(task_id="task", path=missing, timeout=90))
    assert deferred.value.timeout == timedelta(seconds=90)


@pytest.fixture
def place(demo):
    """A directory of its own."""
    made = demo.scratch / uuid.uuid4().hex
    made.mkdir()
    return made


@pytest.mark.parametrize("deferrable", [True, False])
def test_so_many_files_that_match_are_waited_for(demo, task, wait_until, place, deferrable: bool) -> None:
    for name in ("b/raw_1.h5", "b/deep/raw_2.h5", "b/raw_3.txt", "c/.raw_4.h5"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("123")
    (place / "b" / "raw_dir.h5").mkdir()
    (place / "b" / "raw_link.h5").symlink_to("raw_1.h5")
    sensor = IriFileSensor(
        task_id="task", path=f"{place}/?/**/raw_*.h5", at_least=3, deferrable=deferrable, poke_interval=0.2
    )
    demo.reset_requests()
    arrives = threading.Thread(
        target=lambda: (wait_until(lambda: len(sent(demo)) > 6), (place / "c" / "raw_5.h5").write_text("12"))
    )
    arrives.start()
    found = task.execute(sensor)
    arrives.join()
    assert [(each["path"], each["size"]) for each in found] == [
        (f"{place}/b/deep/raw_2.h5", 3),
        (f"{place}/b/raw_1.h5", 3),
        (f"{place}/c/raw_5.h5", 2),
    ]
    assert all(each["last_modified"] for each in found)


def test_a_look_for_files_in_a_directory_is_one_listing(demo, task, place) -> None:
    IriHook().facility.files.ls(str(place))
    demo.reset_requests()
    with pytest.raises(TaskDeferred):
        task.begin(IriFileSensor(task_id="task", path=f"{place}/*.h5"))
    assert [each for each in sent(demo) if each != "getTask"] == ["ls"]


def test_a_directory_that_is_not_there_yet_has_no_files(demo, task, place) -> None:
    with pytest.raises(TaskDeferred):
        task.begin(IriFileSensor(task_id="task", path=f"{place}/later/*.h5"))


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("name", ["raw.h5", "*.h5"])
def test_a_file_that_is_still_written_is_not_told(
    demo, task, wait_until, place, deferrable: bool, name: str
) -> None:
    raw = place / "raw.h5"
    raw.write_text("1")
    sensor = IriFileSensor(
        task_id="task",
        path=f"{place}/{name}",
        settled=timedelta(seconds=2),
        deferrable=deferrable,
        poke_interval=0.2,
    )

    def write() -> None:
        for size in range(2, 6):
            looks = len(sent(demo))
            wait_until(lambda looks=looks: len(sent(demo)) > looks)
            raw.write_text("1" * size)

    writes = threading.Thread(target=write)
    writes.start()
    found = task.execute(sensor)
    writes.join()
    found = found[0] if name != "raw.h5" else found
    assert found["size"] == 5


def shown(*looks: list[tuple[str, int]]) -> Any:
    """A facility that shows these files, one look after the other."""
    each = iter(looks)

    def glob(path: str, storage: str | None) -> list[FileEntry]:
        return [FileEntry(name, "file", size) for name, size in next(each)]

    return SimpleNamespace(files=SimpleNamespace(glob=glob))


@pytest.mark.parametrize(
    "change",
    [[("/a", 2)], [("/a", 1), ("/b", 1)], [("/b", 1)], []],
    ids=["grown", "one more", "another", "gone"],
)
def test_whatever_changes_begins_the_time_anew(monkeypatch, change: list[tuple[str, int]]) -> None:
    now = [0.0]
    monkeypatch.setattr(sights.time, "monotonic", lambda: now[0])
    sight = FileThere("/*", settled=60.0)
    facility = shown([("/a", 1)], change, [("/a", 1)], [("/a", 1)])
    told = []
    for now[0] in (0.0, 59.0, 61.0, 121.0):
        told.append(sight.look(facility))
    assert [isinstance(each, NotYet) for each in told] == [True, True, True, False]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"path": ""}, "a text"),
        ({"path": None}, "a text"),
        ({"path": "raw/*.h5"}, "absolute path"),
        ({"path": "/raw/*/"}, "plain names"),
        ({"path": "/raw/../*.h5"}, "plain names"),
        ({"path": "/raw//*.h5"}, "plain names"),
        ({"path": "/raw/[ab.h5"}, "has no ]"),
        ({"path": "/raw/[]"}, "has no ]"),
        ({"path": "/raw", "at_least": 2}, "one path"),
        ({"path": "/raw*", "at_least": 0}, "number of files"),
        ({"path": "/raw*", "at_least": "2"}, "number of files"),
        ({"path": "/raw", "settled": 60}, "a timedelta"),
        ({"path": "/raw", "settled": timedelta(0)}, "a timedelta"),
        ({"path": "/raw", "settled": timedelta(1), "deferrable": False, "mode": "reschedule"}, "mode='poke'"),
    ],
)
def test_a_wait_for_files_that_makes_no_sense_is_refused_when_its_dag_is_read(words: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        IriFileSensor(task_id="task", **words)


@pytest.mark.parametrize(
    "path", ["/raw/[[]1].h5", "/raw/[!]a].h5", "/raw/[]a].h5", "raw", "/raw/{{ ds }}/[*"]
)
def test_a_path_that_makes_sense_or_is_filled_in_later_is_taken(path: str) -> None:
    IriFileSensor(task_id="task", path=path)


def test_a_pattern_that_a_template_hides_fails_for_good(demo, task) -> None:
    sensor = IriFileSensor(task_id="task", path="{{ params.path }}")
    sensor.path = "/raw/[ab.h5"
    with pytest.raises(AirflowFailException, match="has no ]"):
        task.execute(sensor)


def test_a_wait_of_an_older_version_goes_on() -> None:
    """Its trigger lies in Airflow's database by fewer words."""
    assert SIGHTS["file"](path="/raw", storage=None).words() == {
        "path": "/raw",
        "storage": None,
        "at_least": 1,
        "settled": 0.0,
    }


class Away(Sight):
    """Nobody answers, or somebody says no."""

    def __init__(self, error: IriError) -> None:
        self.error = error

    def look(self, facility: Any) -> dict[str, Any] | NotYet:
        raise self.error


def test_an_outage_fails_no_sensor() -> None:
    assert Away(Unreachable("no answer")).patiently(None) == NotYet("no answer")
    with pytest.raises(PermissionDenied):
        Away(PermissionDenied("no")).patiently(None)


@pytest.mark.parametrize("error", [Unreachable("no answer"), PermissionDenied("no")])
def test_an_outage_fails_no_sensor_of_a_job(demo, task, monkeypatch, error: IriError) -> None:
    ref = submitted("true")

    def away(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Jobs, "status", away)
    expected = TaskDeferred if error.transient else AirflowFailException
    with pytest.raises(expected):
        task.begin(IriJobSensor(task_id="task", job=str(ref)))


def test_a_refused_token_fails_a_sensor_for_good(demo, task, connect) -> None:
    connect("iri_test", {"conn_type": "iri", "host": demo.base_url, "password": "nobody"})
    with pytest.raises(AirflowFailException, match="'iri_test'"):
        task.execute(IriFileSensor(task_id="task", path="/scratch", iri_conn_id="iri_test"))
    words = {"path": "/scratch", "storage": None}
    trigger = IriSightTrigger("iri_test", "file", words, 60.0)
    deferred = TaskDeferred(trigger=trigger, method_name="execute_complete")
    with pytest.raises(AirflowFailException, match="'iri_test'"):
        task.resume(IriFileSensor(task_id="task", path="/scratch", iri_conn_id="iri_test"), deferred)


def renewing(demo, connect) -> Callable[[], None]:
    """Has the token of a connection be refused from now on, and puts another one into its place."""
    token = demo.new_token()
    connect("iri_test", connection_to(demo, password=token))

    def renew() -> None:
        demo.revoke(token)
        connect("iri_test", connection_to(demo))

    return renew


async def test_a_token_that_was_renewed_while_a_task_waits_is_used(demo, connect, monkeypatch) -> None:
    """By a store of secrets, say, in which somebody keeps it fresh."""
    there, renew = demo.scratch / uuid.uuid4().hex, renewing(demo, connect)
    monkeypatch.setattr(IriSightTrigger, "minimum_deferral", 0.0)
    trigger = IriSightTrigger("iri_test", "file", {"path": str(there), "storage": None}, 0.05)
    await trigger.open()
    renew()
    there.write_text("12345")
    assert [event.payload["size"] async for event in trigger.run()] == [5]


async def test_a_job_is_cancelled_though_the_token_was_renewed_while_it_ran(
    demo, task, connect, monkeypatch
) -> None:
    renew, jobs = renewing(demo, connect), IriHook().facility.aio.jobs
    ref = await jobs.submit({"executable": "/bin/sleep", "arguments": ["60"]})
    trigger = IriJobTrigger("iri_test", str(ref))
    await trigger.open()
    renew()
    trigger.task_instance = task.ti
    monkeypatch.setattr(triggers, "task_state", lambda ti: "failed")
    await trigger.on_kill()
    assert (await jobs.wait(ref)).state == "canceled"


# -- resources ------------------------------------------------------------------------------------------


def test_a_resource_that_is_up_is_not_waited_for(demo, task) -> None:
    assert task.begin(IriResourceSensor(task_id="task")) == {"resource": "cluster", "status": "up"}


@pytest.mark.parametrize("deferrable", [True, False])
def test_the_end_of_a_maintenance_is_waited_for(orders, task, deferrable: bool) -> None:
    orders.order("maintenance", seconds=1.0)
    sensor = IriResourceSensor(task_id="task", deferrable=deferrable, poke_interval=0.2)
    assert task.execute(sensor)["status"] == "up"
    assert sent(orders).count("getIncidents") == 1  # while it is down, nobody asks why


def test_a_maintenance_that_is_announced_is_waited_for_if_the_work_would_run_into_it(orders, task) -> None:
    orders.order("maintenance", starts_in=1800.0, seconds=60.0)
    assert task.begin(IriResourceSensor(task_id="task", ahead=timedelta(minutes=10)))["status"] == "up"
    with pytest.raises(TaskDeferred):
        task.begin(IriResourceSensor(task_id="task", ahead=timedelta(hours=1)))


# -- in order -------------------------------------------------------------------------------------------


def test_a_job_is_cancelled_and_once_is_enough(demo, task) -> None:
    ref = submitted("sleep 60")
    task.execute(IriCancelOperator(task_id="task", job=str(ref)))
    assert state_of(demo, ref) == "canceled"
    task.execute(IriCancelOperator(task_id="task", job=str(ref)))
    assert sent(demo).count("cancelJob") == 1


def test_a_credential_that_works_for_long_enough(demo, task) -> None:
    found = task.execute(IriCredentialOperator(task_id="task", lasts=timedelta(days=30)))
    assert (found["state"], found["until"]) == ("ok", None)
    assert demo.token not in repr(found)


def test_a_credential_that_is_refused_fails_and_says_what_to_do(demo, task, connect) -> None:
    connect("iri_test", {"conn_type": "iri", "host": demo.base_url, "password": "nobody"})
    with pytest.raises(AirflowFailException, match=r"needs a person.*'iri_test'"):
        task.execute(IriCredentialOperator(task_id="task", iri_conn_id="iri_test"))


def test_a_credential_that_ends_too_soon_fails(demo, task, connect) -> None:
    door = {"dialect": "slurm", "user": demo.slurm_user}
    token = demo.new_slurm_token(lifetime=7200)
    connect("iri_test", {"conn_type": "iri", "host": demo.slurm_url, "password": token, "extra": door})
    lasting = {"task_id": "task", "iri_conn_id": "iri_test"}
    assert task.execute(IriCredentialOperator(**lasting, lasts=timedelta(hours=1)))["until"]
    with pytest.raises(AirflowFailException, match=r"works until 2.* only: renew it before.*'iri_test'"):
        task.execute(IriCredentialOperator(**lasting, lasts=timedelta(hours=3)))
