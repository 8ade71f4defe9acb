"""Many mapped jobs through one triggerer of a real Airflow; ``make bench-airflow`` does the set-up first.

The api-server, the scheduler, the dag-processor, one triggerer and PostgreSQL are processes of their own, on
loopback and in temporary directories, and end with this one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pgserver
import psutil
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "examples" / "demo"))

from airflow_site import AirflowSite  # noqa: E402

from iri_local_facility import LocalFacility  # noqa: E402

RESULTS = HERE.parent / "results" / "airflow.json"
DAG_ID = "many"
MIB = 1024 * 1024
QUIET_SECONDS = 60.0  # in which all jobs run and nothing happens
POLL_SECONDS = 10.0  # the least between two looks, as a connection says it
LOGS_READ = 200  # at most; when a job's end was noticed stands in its task's log
SLOTS = 8  # tasks at a time


@dataclass(frozen=True)
class Measured:
    """What one run of the DAG took."""

    jobs: int
    created: int  # jobs at the facility
    completed: int  # of them
    succeeded: int  # task instances
    submit_seconds: float  # until all tasks were deferred
    quiet_requests: dict[str, int]  # by operation, while all jobs ran
    looks: int  # requests in all that ask how jobs are
    triggerer_mib: float  # before the first trigger
    triggerer_grown_mib: float  # with all of them
    notice_median: float  # seconds from the end of the jobs to the line in a task's log
    notice_last: float
    resume_seconds: float  # from the end of the jobs to the end of the run


def main() -> None:
    """Measure, show and save."""
    parser = argparse.ArgumentParser("make bench-airflow", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000)
    jobs = parser.parse_args().jobs
    with tempfile.TemporaryDirectory(prefix="iri-bench-", ignore_cleanup_errors=True) as home:
        os.environ |= {"HOME": home, "TMPDIR": home, "DO_NOT_TRACK": "1"}
        tempfile.tempdir = None
        measured = _measure(jobs, Path(home))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(asdict(measured), indent=2) + "\n")
    _show(measured)


def _measure(jobs: int, home: Path) -> Measured:
    gate = home / "gate"
    os.mkfifo(gate)
    with LocalFacility(nodes=jobs) as facility, _airflow(facility, home, gate, jobs) as site:
        before = _triggerer_mib(site)
        begun = time.monotonic()
        run_id = site.trigger(DAG_ID)
        _await(lambda: _count(site, run_id, "deferred") == jobs, 60 + 2 * jobs, "all tasks deferred")
        submitted = time.monotonic() - begun
        states = Counter(each["state"] for each in facility.jobs())
        _await(lambda: _active(facility) == jobs, 120, f"all jobs active, not {states}")
        seen = len(facility.requests())
        time.sleep(QUIET_SECONDS)
        quiet = Counter(each["operation"] for each in facility.requests()[seen:])
        grown = _triggerer_mib(site) - before
        opened = time.time()
        _open(gate, lambda: _active(facility) == 0)
        site.wait(DAG_ID, run_id, timeout=60 + 2 * jobs)
        resumed = time.time() - opened
        notices = [noticed - opened for noticed in _noticed(site, run_id, jobs)]
        asked = Counter(each["operation"] for each in facility.requests())
        ran = facility.jobs()
        return Measured(
            jobs=jobs,
            created=len(ran),
            completed=sum(each["state"] == "completed" for each in ran),
            succeeded=_count(site, run_id, "success"),
            submit_seconds=submitted,
            quiet_requests=dict(quiet),
            looks=asked["getJobs"] + asked["getJob"],
            triggerer_mib=before,
            triggerer_grown_mib=grown,
            notice_median=statistics.median(notices),
            notice_last=max(notices),
            resume_seconds=resumed,
        )


@contextlib.contextmanager
def _airflow(facility: LocalFacility, home: Path, gate: Path, jobs: int) -> Iterator[AirflowSite]:
    connection = {
        "conn_type": "iri",
        "host": facility.base_url,
        "password": facility.token,
        "extra": {"directory": str(facility.scratch), "poll_seconds": POLL_SECONDS},
    }
    # SQLite refuses writes under this load ("database is locked").
    with pgserver.get_server(home / "postgres") as server:
        env = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": server.get_uri().replace(
                "postgresql:", "postgresql+psycopg2:"
            ),
            "AIRFLOW__TRIGGERER__CAPACITY": str(2 * jobs),
            "BENCH_GATE": str(gate),
            "BENCH_JOBS": str(jobs),
        }
        dags, connections = HERE / "dags", {"iri_default": connection}
        with AirflowSite(dags, connections=connections, env=env, parallelism=SLOTS) as site:
            yield site


def _open(gate: Path, over: Any) -> None:
    """Let all jobs end at once."""
    writer = os.open(gate, os.O_WRONLY)
    try:
        _await(over, 120, "the end of the jobs")
    finally:
        os.close(writer)


def _active(facility: LocalFacility) -> int:
    return sum(each["state"] == "active" for each in facility.jobs())


def _count(site: AirflowSite, run_id: str, state: str) -> int:
    path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances"
    return site.call("GET", path, state=state, limit=1)["total_entries"]


def _triggerer_mib(site: AirflowSite) -> float:
    """What belongs to the triggerer's processes alone."""
    keeper = psutil.Process(site.keeper_pid("triggerer"))
    return sum(each.memory_full_info().uss for each in keeper.children(recursive=True)) / MIB


def _noticed(site: AirflowSite, run_id: str, jobs: int) -> Iterator[float]:
    """When the triggerer told the end of a job, by the logs of some tasks."""
    for index in range(0, jobs, max(1, jobs // LOGS_READ)):
        path = f"/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/job/logs/1"
        content = site.call("GET", path, map_index=index, full_content=True)["content"]
        yield next(
            datetime.fromisoformat(each["timestamp"]).timestamp()
            for each in content
            if "the job is completed" in each.get("event", "")
        )


def _await(true: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(1.0)


def _show(measured: Measured) -> None:
    table = Table("what", "figure", title=f"{measured.jobs:,} mapped jobs through one triggerer")
    rate = measured.jobs / measured.submit_seconds
    quiet = sum(measured.quiet_requests.values())
    for what, figure in {
        "jobs created, completed; tasks succeeded": (
            f"{measured.created:,}, {measured.completed:,}; {measured.succeeded:,}"
        ),
        "until all were submitted and deferred": f"{measured.submit_seconds:.0f} s, {rate:.1f} a second",
        f"requests in {QUIET_SECONDS:.0f} s while all ran": f"{quiet} {measured.quiet_requests}",
        "requests that ask how jobs are, in all": f"{measured.looks:,}",
        "memory of the triggerer, and more for all of them": (
            f"{measured.triggerer_mib:.0f} MiB, {measured.triggerer_grown_mib:.0f} MiB"
        ),
        "from their end to its notice, median and last": (
            f"{measured.notice_median:.1f} s, {measured.notice_last:.1f} s"
        ),
        "from their end to the end of the run": f"{measured.resume_seconds:.0f} s",
    }.items():
        table.add_row(what, figure)
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
