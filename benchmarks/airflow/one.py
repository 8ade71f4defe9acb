"""Many mapped jobs through one triggerer: requests, memory, and how soon their ends are noticed."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from load import ENDED, AirflowSite, Load, loaded

TITLE = "through one triggerer"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Measured:
    """What one run of the DAG took."""

    jobs: int
    created: int  # jobs at the facility
    completed: int  # of them
    succeeded: int  # task instances
    submit_seconds: float  # until all tasks were deferred
    quiet_seconds: float
    quiet_requests: dict[str, int]  # in these, by operation, while all jobs ran
    looks: int  # requests in all that ask how jobs are
    triggerer_mib: float  # before the first trigger
    triggerer_grown_mib: float  # with all of them
    notice_median: float  # seconds from the end of the jobs to the line in a task's log
    notice_last: float
    resume_seconds: float  # from the end of the jobs to the end of the run

    def figures(self) -> dict[str, str]:
        """For the table."""
        rate = self.jobs / self.submit_seconds
        return {
            "jobs created, completed; tasks succeeded": (
                f"{self.created:,}, {self.completed:,}; {self.succeeded:,}"
            ),
            "until all were submitted and deferred": f"{self.submit_seconds:.0f} s, {rate:.1f} a second",
            f"requests in {self.quiet_seconds:.0f} s while all ran": (
                f"{sum(self.quiet_requests.values())} {self.quiet_requests}"
            ),
            "requests that ask how jobs are, in all": f"{self.looks:,}",
            "memory of the triggerer, and more for all of them": (
                f"{self.triggerer_mib:.0f} MiB, {self.triggerer_grown_mib:.0f} MiB"
            ),
            "from their end to its notice, median and last": (
                f"{self.notice_median:.1f} s, {self.notice_last:.1f} s"
            ),
            "from their end to the end of the run": f"{self.resume_seconds:.0f} s",
        }


def measure(jobs: int, quiet_seconds: float, home: Path) -> Measured:
    """Have them submitted, look on for a while, let all end at once."""
    with loaded(jobs, home) as load:
        before = _triggerer_mib(load.site)
        submitted = load.begin()
        quiet = load.requests_in(quiet_seconds)
        grown = _triggerer_mib(load.site) - before
        opened = load.open(0)
        load.wait()
        resumed = time.time() - opened
        asked = load.requests_since(0)
        notices = _notices(load, opened)
        return Measured(
            jobs=jobs,
            created=load.states().total(),
            completed=load.states()["completed"],
            succeeded=load.tasks("success"),
            submit_seconds=submitted,
            quiet_seconds=quiet_seconds,
            quiet_requests=dict(quiet),
            looks=asked["getJobs"] + asked["getJob"],
            triggerer_mib=before,
            triggerer_grown_mib=grown,
            notice_median=statistics.median(notices),
            notice_last=max(notices),
            resume_seconds=resumed,
        )


def _notices(load: Load, opened: float) -> list[float]:
    return [times[0] - opened for times in load.told(ENDED).values()]


def _triggerer_mib(site: AirflowSite) -> float:
    """What belongs to the triggerer's processes alone."""
    keeper = psutil.Process(site.keeper_pid("triggerer"))
    return sum(each.memory_full_info().uss for each in keeper.children(recursive=True)) / MIB
