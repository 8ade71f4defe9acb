"""The queue and the records: which jobs squeue and sacct tell a user about."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable
from datetime import datetime

from iri_local_facility.accounts import User
from iri_local_facility.arrays import shown
from iri_local_facility.errors import Missing, Rejected
from iri_local_facility.jobs import Job
from iri_local_facility.scheduler import Scheduler
from iri_local_facility.settings import Settings

from .rows import Row, sacct_rows, squeue_row

# Long options of both programs by the column that they select; several values are separated by commas.
_OPTIONS = {
    "job": "jobid", "jobid": "jobid", "jobs": "jobid", "user": "user", "users": "user", "uid": "user",
    "account": "account", "accounts": "account", "partition": "partition", "name": "name", "qos": "qos",
    "state": "state", "states": "state",
}  # fmt: skip
_TIMES = ("starttime", "endtime")


class Queue:
    """What is asked of squeue and sacct."""

    def __init__(self, settings: Settings, scheduler: Scheduler) -> None:
        self._settings = settings
        self._scheduler = scheduler
        self._pictures: dict[str, tuple[float, list[Job]]] = {}

    def squeue(self, user: User, options: Iterable[str], *, cached: bool) -> list[Row]:
        """Jobs that wait or run; ``cached``, as they were when somebody looked, a few seconds ago at most.

        Raises:
            Rejected: It has no such option.
        """
        wanted = _selection(options, "squeue")
        jobs = self._picture(user) if cached else self._jobs(user, wanted, finished=False)
        return [row for row in map(squeue_row, shown(jobs)) if _agrees(row, wanted)]

    def _picture(self, user: User) -> list[Job]:
        taken, jobs = self._pictures.get(user.name, (float("-inf"), []))
        now = time.monotonic()
        if now - taken > self._settings.superfacility_cache:
            jobs = self._scheduler.jobs_of(user, finished=False)
            self._pictures[user.name] = now, jobs
        return jobs

    def _jobs(self, user: User, wanted: dict[str, list[str]], *, finished: bool) -> list[Job]:
        """The jobs that it may be about; of thousands, those that are named are found at once."""
        if "jobid" not in wanted:
            return self._scheduler.jobs_of(user, finished=finished)
        found: list[Job] = []
        for number in sorted(map(int, set(wanted["jobid"]))):
            with contextlib.suppress(Missing):
                found += self._scheduler.all_of(user, number)
        return [job for job in found if finished or not job.finished]

    def sacct(self, user: User, options: Iterable[str]) -> list[Row]:
        """All jobs that were there in a time, each with its steps: since midnight, or that of the jobs named.

        Raises:
            Rejected: It has no such option.
        """
        wanted = _selection(options, "sacct")
        start = _moment(wanted.pop("starttime", None), 0.0 if "jobid" in wanted else _midnight())
        end = _moment(wanted.pop("endtime", None), float("inf"))
        found: list[Row] = []
        for job in shown(self._jobs(user, wanted, finished=True)):
            whole, *steps = sacct_rows(job)
            there = job.submitted <= end and (job.ended is None or job.ended >= start)
            if there and _agrees({**whole, "name": whole["jobname"]}, wanted):
                found += [whole, *steps]
        return found


def _selection(options: Iterable[str], program: str) -> dict[str, list[str]]:
    """The values wanted by column; those of times as they are."""
    wanted: dict[str, list[str]] = {}
    for option in options:
        name, equals, value = option.partition("=")
        column = name if name in _TIMES and program == "sacct" else _OPTIONS.get(name)
        if column is None or not equals:
            raise Rejected(f"{program}: unrecognized option '--{name}'")
        wanted[column] = value.split(",")
    if not all(re.fullmatch("[0-9]{1,17}", number) for number in wanted.get("jobid", [])):
        raise Rejected("slurm_load_jobs error: Invalid job id specified")
    return wanted


def _agrees(row: Row, wanted: dict[str, list[str]]) -> bool:
    """State words may be short ones, in any case; of a cancelled job, who cancelled it does not count."""
    for column, values in wanted.items():
        facts = {row[column].partition(" ")[0] if column == "state" else row[column]}
        if column == "state":
            values = [_LONG.get(value.upper(), value.upper()) for value in values]
        if column == "jobid":
            facts.add(row[column].partition("_")[0])
        if column == "user":
            facts.add(row["uid"])
        if not facts & set(values):
            return False
    return True


def _moment(given: list[str] | None, default: float) -> float:
    if given is None:
        return default
    try:
        return datetime.fromisoformat(given[0]).timestamp()
    except ValueError:
        raise Rejected(f"Invalid time specification (pos=0): {given[0]}") from None


def _midnight() -> float:
    return datetime.now().replace(hour=0, minute=0, second=0, microsecond=0).timestamp()


_LONG = {
    "CA": "CANCELLED", "CD": "COMPLETED", "F": "FAILED", "NF": "NODE_FAIL", "OOM": "OUT_OF_MEMORY",
    "PD": "PENDING", "PR": "PREEMPTED", "R": "RUNNING", "TO": "TIMEOUT",
}  # fmt: skip
