"""A real Airflow whose tasks all have a job at a facility, each of which lasts until its gate is opened.

The api-server, the scheduler, the dag-processor, the triggerer and PostgreSQL are processes of their own, on
loopback and in temporary directories, and end with this one.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pgserver

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "examples" / "demo"))

from airflow_site import AirflowSite  # noqa: E402

from iri_local_facility import LocalFacility  # noqa: E402

POLL_SECONDS = 10.0  # the least between two looks, as a connection says it
SLOTS = 8  # tasks at a time
ENDED = "the job is completed"  # as a trigger says it in its task's log

_DAG_ID = "many"
_PAGE = 100


@dataclass
class Load:
    """One run of the DAG, whose jobs take turns at the gates.

    Attributes:
        site: Airflow.
        facility: Where the jobs are.
        gates: What they wait for.
        jobs: How many they are.
        run_id: The run, once it has begun.
    """

    site: AirflowSite
    facility: LocalFacility
    gates: list[Path]
    jobs: int
    run_id: str = ""

    def begin(self) -> float:
        """Start the run and see all jobs at work; gives the seconds until all tasks were deferred."""
        begun = time.monotonic()
        self.run_id = self.site.trigger(_DAG_ID)
        until(lambda: self.tasks("deferred") == self.jobs, 60 + 2 * self.jobs, "all tasks deferred")
        seconds = time.monotonic() - begun
        until(lambda: self.active() == self.jobs, 120, f"all jobs active, not {self.states()}")
        return seconds

    def open(self, gate: int) -> float:
        """Let the jobs at one gate end, all at once; gives when that was."""
        left = self.active() - len(self.at(gate))
        opened = time.time()
        writer = os.open(self.gates[gate], os.O_WRONLY)
        try:
            until(lambda: self.active() == left, 120, "the end of the jobs")
        finally:
            os.close(writer)
        return opened

    def at(self, gate: int) -> range:
        """The tasks whose jobs wait at a gate, by their index."""
        return range(gate, self.jobs, len(self.gates))

    def wait(self) -> str:
        """Wait for the end of the run."""
        return self.site.wait(_DAG_ID, self.run_id, timeout=60 + 2 * self.jobs)

    def fail(self) -> None:
        """As a person who ends the run."""
        self.site.call("PATCH", f"/dags/{_DAG_ID}/dagRuns/{self.run_id}", {"state": "failed"})

    def states(self) -> Counter[str]:
        """How many jobs there are, by their state."""
        return Counter(each["state"] for each in self.facility.jobs())

    def active(self) -> int:
        """How many jobs run."""
        return self.states()["active"]

    def tasks(self, state: str) -> int:
        """How many tasks are in a state."""
        return self._instances(state=state, limit=1)["total_entries"]

    def holders(self) -> dict[int, int]:
        """The number of the triggerer that holds each deferred task, by the task's index."""
        held: dict[int, int] = {}
        for offset in range(0, self.jobs, _PAGE):
            page = self._instances(state="deferred", limit=_PAGE, offset=offset, order_by="map_index")
            for each in page["task_instances"]:
                if each["triggerer_job"] is not None:
                    held[each["map_index"]] = each["triggerer_job"]["id"]
        return held

    def requests_since(self, number: int) -> Counter[str]:
        """What the facility was asked after so many requests, by operation."""
        return Counter(each["operation"] for each in self.facility.requests()[number:])

    def requests_in(self, seconds: float) -> Counter[str]:
        """What it is asked from now on for so long."""
        before = len(self.facility.requests())
        time.sleep(seconds)
        return self.requests_since(before)

    def told(self, words: str, triggerer: int | None = None) -> dict[int, list[float]]:
        """When triggerers, or one of them, said so in the logs of the tasks, by the tasks' indexes."""
        found: dict[int, list[float]] = {}
        for index in range(self.jobs):
            place = self.site.home / "logs" / f"dag_id={_DAG_ID}" / f"run_id={self.run_id}"
            place = place / "task_id=job" / f"map_index={index}"
            for file in place.glob(f"attempt=*.log.trigger.{triggerer or '*'}.log"):
                whole = file.read_text().rpartition("\n")[0]  # the last line may still be written
                said = [json.loads(line) for line in whole.splitlines() if words in line]
                found.setdefault(index, []).extend(
                    datetime.fromisoformat(each["timestamp"]).timestamp() for each in said
                )
        return {index: sorted(times) for index, times in found.items() if times}

    def _instances(self, **query: Any) -> Any:
        return self.site.call("GET", f"/dags/{_DAG_ID}/dagRuns/{self.run_id}/taskInstances", **query)


@contextlib.contextmanager
def loaded(jobs: int, home: Path, *, gates: int = 1, env: Mapping[str, str] | None = None) -> Iterator[Load]:
    """A facility with room for all jobs, and an Airflow that has not begun with them.

    Args:
        jobs: How many.
        home: For all that is written.
        gates: How many the jobs are spread over.
        env: More environment for Airflow.
    """
    fifos = [home / f"gate-{number}" for number in range(gates)]
    for fifo in fifos:
        os.mkfifo(fifo)
    with LocalFacility(nodes=jobs) as facility, _airflow(facility, home, jobs, fifos, env or {}) as site:
        yield Load(site, facility, fifos, jobs)


@contextlib.contextmanager
def _airflow(
    facility: LocalFacility, home: Path, jobs: int, gates: list[Path], env: Mapping[str, str]
) -> Iterator[AirflowSite]:
    connection = {
        "conn_type": "iri",
        "host": facility.base_url,
        "password": facility.token,
        "extra": {"directory": str(facility.scratch), "poll_seconds": POLL_SECONDS},
    }
    # SQLite refuses writes under this load ("database is locked").
    with pgserver.get_server(home / "postgres") as server:
        words = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": server.get_uri().replace(
                "postgresql:", "postgresql+psycopg2:"
            ),
            "AIRFLOW__TRIGGERER__CAPACITY": str(2 * jobs),
            "BENCH_GATES": os.pathsep.join(map(str, gates)),
            "BENCH_JOBS": str(jobs),
            **env,
        }
        dags, connections = HERE / "dags", {"iri_default": connection}
        with AirflowSite(dags, connections=connections, env=words, parallelism=SLOTS) as site:
            yield site


def until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: if that takes longer than it may.
    """
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(1.0)
