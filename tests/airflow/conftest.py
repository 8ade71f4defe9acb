"""A real Airflow and a real facility for the session; a task's surroundings in memory for what is quick."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import JsonValue, TypeAdapter

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "examples" / "demo"))
sys.path.append(str(HERE.parent / "contract"))  # for the doors

# Before airflow is imported for the first time: without it, it makes itself a home in the user's.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-tests-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

from airflow_connections import EXAMPLES, SOURCES, connection_to  # noqa: E402
from airflow_site import AirflowSite  # noqa: E402
from airflow_versions import STORE  # noqa: E402
from away_places import away, place, source  # noqa: E402, F401 - fixtures
from globus_places import globus_site, places  # noqa: E402, F401 - fixtures

from iri_local_facility import LocalFacility  # noqa: E402

LIVE = {"new", "queued", "held", "active"}


def until(true: Callable[[], Any], seconds: float = 90.0, what: str = "it") -> Any:
    """Wait until something holds; give it."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.1)
    return value


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    return until


@pytest.fixture(scope="session", autouse=True)
def nothing_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No component of Airflow, no facility and no job outlives the tests."""
    ours = str(tmp_path_factory.mktemp("sites"))
    patch = pytest.MonkeyPatch()
    patch.setattr(tempfile, "tempdir", ours)  # where sites and facilities put themselves: it marks ours

    def left() -> list[str]:
        found = psutil.Process().children(recursive=True)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                marks = [process.environ().get("AIRFLOW_HOME", ""), process.environ().get("HOME", "")]
                if process.pid != os.getpid() and any(mark.startswith(ours) for mark in marks):
                    found.append(process)
        return [str(process) for process in found]

    yield
    patch.undo()
    until(lambda: not left(), 15.0, f"the end of {left()}")


@pytest.fixture(scope="session")
def facility(nothing_left: None) -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16, kill_grace=0.5) as running:
        yield running


@pytest.fixture(scope="session")
def slow_facility(facility: LocalFacility) -> Iterator[LocalFacility]:
    """Takes seconds to accept a job: time for a worker to die between request and reply.

    The other one's Globus serves its files, too.
    """
    with LocalFacility(nodes=4, kill_grace=0.5, submit_delay=2.5, name="slow", globus=facility) as running:
        yield running


@pytest.fixture(scope="session")
def site(
    facility: LocalFacility, slow_facility: LocalFacility, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AirflowSite]:
    dags = tmp_path_factory.mktemp("dags")
    for file in (*(HERE / "dags").glob("*.py"), EXAMPLES / "tomography" / "airflow_dag.py"):
        shutil.copy(file, dags)
    connections = {
        "iri_default": connection_to(facility),
        "iri_slow": connection_to(slow_facility),
        "iri_bob": connection_to(facility, password=facility.new_token("bob")),
        "iri_firecrest": connection_to(facility, host=facility.firecrest_url, extra={"dialect": "firecrest"}),
        "iri_net": connection_to(facility, host=facility.sense_url, extra={"dialect": "sense"}),
    }
    env = {
        "PYTHONPATH": SOURCES,
        "IRI_TESTS_WATCHED": str(slow_facility.scratch / "watched"),
        **facility.globus_env,
        "IRI_GLOBUS_CLIENT_ID": facility.globus_client_id,
        "IRI_GLOBUS_CLIENT_SECRET": facility.globus_client_secret,
        # A triggerer counts as dead after 6 s of silence, so that a test can have one declared so.
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
    }
    with AirflowSite(dags, connections=connections, env=env) as running:
        yield running


@dataclass
class Run:
    """One run of a test DAG with a job of its own."""

    site: AirflowSite
    facility: LocalFacility
    dag_id: str
    name: str
    run_id: str

    def place(self, name: str) -> Path:
        """A file in the directory of its jobs."""
        return self.facility.scratch / self.name / name

    def jobs(self) -> list[dict[str, Any]]:
        """Its jobs at the facility, in the order of their submission."""
        return [job for job in self.facility.jobs() if job["name"].startswith(f"{self.name}.")]

    def states(self) -> list[str]:
        return [job["state"] for job in self.jobs()]

    def await_job(self, number: int, *states: str, seconds: float = 120.0) -> dict[str, Any]:
        """Wait until the job of this number (0 is the first) has one of these states."""
        return until(
            lambda: next((j for j in self.jobs()[number : number + 1] if j["state"] in states), None),
            seconds,
            f"job {number} of {self.dag_id} becoming {states}",
        )

    def await_log(self, words: str, seconds: float = 90.0, map_index: int = -1) -> None:
        """Wait until the task's log says so."""
        try:
            until(lambda: words in self.log(map_index=map_index), seconds)
        except AssertionError:
            said = self.log(map_index=map_index)[-4000:]
            pytest.fail(f"the log of {self.dag_id} did not say {words!r} within {seconds} s:\n{said}")

    def await_trigger(self, map_index: int = -1) -> None:
        """Wait until the task is deferred, its trigger at work and its job running.

        Airflow has a gap here: a task that is marked after it was deferred and before a triggerer took its
        trigger (a second or so) is ended without anybody being called.
        """
        task = "job" if map_index < 0 else f"job[{map_index}]"
        self.site.await_task(self.dag_id, self.run_id, task, "deferred", timeout=150)
        self.await_log("the job is active", map_index=map_index)

    def await_reference(self) -> None:
        """Wait until the worker knows its job, and so what to cancel."""
        until(lambda: "iri_job" in self.xcoms(), 60, f"the job of {self.dag_id} being known")

    def await_task(self, *states: str, seconds: float = 150.0) -> str:
        return self.site.await_task(self.dag_id, self.run_id, "job", *states, timeout=seconds)

    def wait(self, seconds: float = 180.0) -> str:
        return self.site.wait(self.dag_id, self.run_id, timeout=seconds)

    def log(self, try_number: int = 1, map_index: int = -1) -> str:
        return self.site.log(self.dag_id, self.run_id, "job", try_number=try_number, map_index=map_index)

    def remembered(self) -> dict[str, Any] | None:
        """What the task's state store holds."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/job/state-store"
        entries = self.site.call("GET", path)["task_state_store"]
        return next((each["value"] for each in entries if each["key"] == "iri_job"), None)

    def xcoms(self) -> list[str]:
        """What the task has told so far, by name."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/job/xcomEntries"
        return [each["key"] for each in self.site.call("GET", path)["xcom_entries"]]

    def instance(self) -> dict[str, Any]:
        return next(t for t in self.site.tasks(self.dag_id, self.run_id) if t["task_id"] == "job")


@contextlib.contextmanager
def starting(site: AirflowSite, facility: LocalFacility) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(dag_id: str, script: str, at: LocalFacility = facility, **conf: Any) -> Run:
        name = f"t{uuid.uuid4().hex[:8]}"
        words = {"script": script, "name": name, "dir": str(at.scratch / name), **conf}
        (at.scratch / name).mkdir()
        runs.append(Run(site, at, dag_id, name, site.trigger(dag_id, words)))
        return runs[-1]

    yield begin
    for run in runs:
        run.place("go").touch()  # for a job of which nobody is told that its task is over
        if site.call("GET", f"/dags/{run.dag_id}/dagRuns/{run.run_id}")["state"] == "running":
            site.call("PATCH", f"/dags/{run.dag_id}/dagRuns/{run.run_id}", {"state": "failed"})
    until(lambda: not any(state in LIVE for run in runs for state in run.states()), 30, "the end of all jobs")


@pytest.fixture
def start(site: AirflowSite, facility: LocalFacility) -> Iterator[Callable[..., Run]]:
    """Starts runs; whatever they leave is ended after the test."""
    with starting(site, facility) as begin:
        yield begin


@pytest.fixture(scope="module")
def start_early(site: AirflowSite, facility: LocalFacility) -> Iterator[Callable[..., Run]]:
    """Likewise, for runs that the tests of a file find begun; they are ended after the last one."""
    with starting(site, facility) as begin:
        yield begin


@dataclass
class Ti:
    """What our operator needs of a task instance."""

    dag_id: str = "dag"
    run_id: str = field(default_factory=lambda: f"run-{uuid.uuid4()}")
    task_id: str = "task"
    map_index: int = -1
    max_tries: int = 0
    try_number: int = 1
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    xcoms: dict[str, Any] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


class Store(dict[str, Any]):
    """Airflow's task state store, in memory."""

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        from airflow.sdk import NEVER_EXPIRE

        assert retention is NEVER_EXPIRE
        self[key] = TypeAdapter(JsonValue).validate_python(value)


@dataclass
class Surroundings:
    """Runs an operator as Airflow's task runner does, try after try."""

    ti: Ti = field(default_factory=Ti)
    store: Store | None = field(default_factory=Store if STORE else lambda: None)
    dag_run: Any = None

    @property
    def context(self) -> dict[str, Any]:
        told = {"task_state_store": self.store, "dag_run": self.dag_run}
        return {"ti": self.ti} | {name: each for name, each in told.items() if each is not None}

    def execute(self, operator: Any) -> Any:
        """One try, through deferral and back."""
        from airflow.sdk.exceptions import TaskDeferred

        try:
            return self.begin(operator)
        except TaskDeferred as deferred:
            return self.resume(operator, deferred)

    def begin(self, operator: Any) -> Any:
        """One try, until it is over or deferred."""
        from airflow.sdk.bases.operator import ExecutorSafeguard

        self.ti.id = str(uuid.uuid4())  # each try has its own
        token = ExecutorSafeguard.tracker.set(operator)
        try:
            return operator.execute(self.context)
        finally:
            ExecutorSafeguard.tracker.reset(token)

    def noted(self, **words: Any) -> bool:
        """Whether the next try will know this of the job, where there is anything to know it from."""
        from airflow_provider_iri.record import STORE_KEY

        return self.store is None or words.items() <= self.store[STORE_KEY].items()

    def forget(self) -> None:
        """From now on it is another task instance."""
        if self.store is not None:
            self.store.clear()

    def resume(self, operator: Any, deferred: Any) -> Any:
        import asyncio

        from airflow.sdk.module_loading import import_string

        path, words = deferred.trigger.serialize()
        json.dumps(words)  # Airflow keeps them
        # Where its time is over, Airflow fails the task and asks nobody: good enough for a sensor only.
        assert deferred.timeout is None or operator._is_sensor

        async def fire() -> Any:
            return [event async for event in import_string(path)(**words).run()]

        (event,) = asyncio.run(fire())
        return getattr(operator, deferred.method_name)(self.context, event=event.payload)


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    from airflow_provider_iri.triggers import IriTrigger

    monkeypatch.setattr(IriTrigger, "minimum_deferral", 0.0)
    return Surroundings()


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Defines connections in this process."""

    def define(conn_id: str, words: dict[str, Any] | str) -> None:
        text = words if isinstance(words, str) else json.dumps(words)
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)

    return define


@pytest.fixture
def demo(facility: LocalFacility, connect: Callable[..., None]) -> LocalFacility:
    """The facility as the default connection of this process, its log empty."""
    connect("iri_default", connection_to(facility))
    facility.reset_requests()
    return facility


def pytest_unconfigure() -> None:
    """Also of the process that has others run the tests."""
    shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)
