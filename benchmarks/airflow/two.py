"""Many mapped jobs shared by two triggerers: one stalls and wakes again, then the other is killed.

Airflow 3.3 calls ``on_kill`` for every trigger of a triggerer that slept while another one took them over
(apache/airflow thread 73454): none of their jobs may be cancelled for it. A third of the jobs ends during the
stall, a third when the other triggerer is killed; with the last third, a person fails the run.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from load import ENDED, POLL_SECONDS, AirflowSite, Load, loaded, until

TITLE = "shared by two triggerers, one stalled and one killed"
FIRST, SECOND = "triggerer", "triggerer-2"
SILENCE = 15  # seconds after which a triggerer counts as dead; Airflow's own default is 30
ALONE = "is left alone: its task is deferred"
STALLED, KILLED = range(2)  # gates that are opened; nobody opens a third
PATIENCE = 120.0  # seconds, for what takes a few


@dataclass(frozen=True)
class Stall:
    """What became of the first triggerer's tasks while it stood still, and when it woke."""

    shares: list[int]  # tasks that either triggerer held before
    seconds: float
    adopted_seconds: float  # until the other one held all tasks
    left_alone: int  # jobs that on_kill was called for when it woke
    requests: dict[str, dict[str, int]]  # in some quiet seconds before, during and after it, by operation
    notice: list[float]  # median and longest seconds from an end meanwhile to its line in a task's log


@dataclass(frozen=True)
class Measured:
    """What one run of the DAG took."""

    jobs: int
    quiet_seconds: float
    stall: Stall
    killed_notice: list[float]  # as above, for ends that come when the other triggerer is killed
    created: int  # jobs at the facility
    completed: int  # of them
    succeeded: int  # task instances
    ends_told: int  # tasks whose log tells the end of their job
    canceled_unasked: int  # jobs, before a person failed the run
    canceled: int  # jobs, after that
    cancel_seconds: float  # until the last one was

    def figures(self) -> dict[str, str]:
        """For the table."""
        ends, last = self.jobs - self.jobs // 3, self.jobs // 3
        most = most_requests(self.quiet_seconds)
        asked = [sum(each.values()) for each in self.stall.requests.values()]
        whole = self.completed == self.succeeded == self.ends_told == ends
        return {
            "jobs created": f"{self.created} of {self.jobs} {_met(self.created == self.jobs)}",
            "ended: jobs; tasks succeeded, told of it": (
                f"{self.completed}; {self.succeeded}, {self.ends_told} of {ends} {_met(whole)}"
            ),
            "cancelled though nobody asked": f"{self.canceled_unasked} {_met(self.canceled_unasked == 0)}",
            "cancelled when a person failed the run": (
                f"{self.canceled} of {last} after {self.cancel_seconds:.0f} s {_met(self.canceled == last)}"
            ),
            f"requests in {self.quiet_seconds:.0f} s before, in, after the stall": (
                f"{', '.join(map(str, asked))} of {most} {_met(max(asked) <= most)}"
            ),
            "tasks of either triggerer before it": " and ".join(map(str, self.stall.shares)),
            "stalled for; all tasks taken over after": (
                f"{self.stall.seconds:.0f} s; {self.stall.adopted_seconds:.0f} s"
            ),
            "on_kill called for, and left alone, after it": str(self.stall.left_alone),
            "end to notice, triggerer stalled: median, last": _seconds(self.stall.notice),
            "end to notice, triggerer killed: median, last": _seconds(self.killed_notice),
        }


def most_requests(seconds: float) -> int:
    """What two pollers may ask for in so long: a look at either end counts as well."""
    return 2 * (int(seconds / POLL_SECONDS) + 1)


def measure(jobs: int, quiet_seconds: float, home: Path) -> Measured:
    """Let one triggerer stall, wake it, kill the other, fail the run."""
    with _two(jobs, home) as (load, first, second):
        load.begin()
        until(lambda: len(load.holders()) == jobs, PATIENCE, "triggerers for all tasks")
        stall = _stall(load, first, second, quiet_seconds)
        _supervisor(load.site, SECOND).kill()
        killed_at = load.open(KILLED)
        _await_success(load, KILLED)
        # Before the run is failed, which takes every task of it for failed.
        told, before, succeeded = load.told(ENDED), load.states(), load.tasks("success")
        begun = time.monotonic()
        load.fail()
        with contextlib.suppress(TimeoutError):
            until(lambda: load.active() == 0, PATIENCE, "the end of the last jobs")
        return Measured(
            jobs=jobs,
            quiet_seconds=quiet_seconds,
            stall=stall,
            killed_notice=_notice(told, load.at(KILLED), killed_at),
            created=before.total(),
            completed=before["completed"],
            succeeded=succeeded,
            ends_told=len(told),
            canceled_unasked=before["canceled"],
            canceled=load.states()["canceled"] - before["canceled"],
            cancel_seconds=time.monotonic() - begun,
        )


@contextlib.contextmanager
def _two(jobs: int, home: Path) -> Iterator[tuple[Load, int, int]]:
    """An Airflow with two triggerers, and their numbers."""
    env = {
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(SILENCE),
    }
    with loaded(jobs, home, gates=3, env=env) as load:
        (first,) = _triggerers(load.site)
        load.site.start_component("triggerer", SECOND)
        until(lambda: len(_triggerers(load.site)) == 2, PATIENCE, "a second triggerer")
        (second,) = _triggerers(load.site) - {first}
        yield load, first, second


def _stall(load: Load, first: int, second: int, quiet_seconds: float) -> Stall:
    requests, held = {"before": dict(load.requests_in(quiet_seconds))}, load.holders()
    with _standing_still(load.site) as begun:
        ended_at = load.open(STALLED)
        until(lambda: set(load.holders().values()) == {second}, PATIENCE, "a takeover")
        adopted_seconds = time.monotonic() - begun
        _await_success(load, STALLED)
        requests["during"] = dict(load.requests_in(quiet_seconds))
    seconds = time.monotonic() - begun
    its_own = {index for index, holder in held.items() if holder == first}
    orphans = its_own - set(load.at(STALLED))
    until(lambda: _left_alone(load, first) >= len(orphans), PATIENCE, "what the stalled one does awake")
    left_alone = _left_alone(load, first)  # these lines are lost when it gets the same triggers again
    requests["after"] = dict(load.requests_in(quiet_seconds))
    return Stall(
        shares=[len(its_own), len(held) - len(its_own)],
        seconds=seconds,
        adopted_seconds=adopted_seconds,
        left_alone=left_alone,
        requests=requests,
        notice=_notice(load.told(ENDED), its_own & set(load.at(STALLED)), ended_at),
    )


@contextlib.contextmanager
def _standing_still(site: AirflowSite) -> Iterator[float]:
    """The first triggerer is stopped, as on a machine that is paused; gives when that began."""
    processes = psutil.Process(site.keeper_pid(FIRST)).children(recursive=True)
    for each in processes:
        each.suspend()
    try:
        yield time.monotonic()
    finally:
        for each in processes:
            each.resume()


def _triggerers(site: AirflowSite) -> set[int]:
    """The numbers of those that run."""
    jobs = site.call("GET", "/jobs", job_type="TriggererJob", job_state="running")["jobs"]
    return {each["id"] for each in jobs}


def _supervisor(site: AirflowSite, name: str) -> psutil.Process:
    """The process above all triggers; its keeper ends those with it."""
    (supervisor,) = psutil.Process(site.keeper_pid(name)).children()
    return supervisor


def _left_alone(load: Load, first: int) -> int:
    """In the logs of tasks; Airflow puts what a trigger says late in that of the triggerer."""
    late = (load.site.home / f"{FIRST}.log").read_text().count(ALONE)
    return sum(map(len, load.told(ALONE, first).values())) + late


def _await_success(load: Load, gate: int) -> None:
    """Wait until all tasks of this gate, and of those before it, are over."""
    over = sum(len(load.at(each)) for each in range(gate + 1))
    until(lambda: load.tasks("success") >= over, 60 + 2 * load.jobs, f"the end of {over} tasks")


def _notice(told: dict[int, list[float]], indexes: Iterable[int], ended_at: float) -> list[float]:
    seconds = [told[index][0] - ended_at for index in indexes if index in told]
    return [statistics.median(seconds), max(seconds)]


def _seconds(notice: list[float]) -> str:
    return ", ".join(f"{each:.1f} s" for each in notice)


def _met(met: bool) -> str:
    return "[green](met)[/]" if met else "[red](not met)[/]"
