"""A real facility, jobs that leave marks, and what is held against clients afterwards."""

from __future__ import annotations

import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asking_client import Plan, Strike
from misbehaving_relay import Relay
from real_clients import Client, Clients, until

from iri_common import JobKey
from iri_local_facility import LocalFacility

DOUBLE = 211
CANCELED = 214
CHEAP = 2.0  # node-seconds that a double may cost
ENDED = {"completed", "failed", "canceled"}


class KeylessRelay(Relay):
    """Before a facility that ignores idempotency keys without a word."""

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        return await super()._forward(re.sub(rb"(?i)\r\nidempotency-key:[^\r]*", b"", head), body)


@dataclass
class Work:
    """What is asked for in one name.

    Attributes:
        place: Where.
        url: The face of it that is talked to.
        folder: For the ledger.
        guard: Whether its jobs make sure that they are no doubles.
        seconds: That a job takes.
        fails: How many of its jobs fail before one succeeds.
        told: Of every client.
        profile: By which its clients reach the facility; None for the IRI API at ``url``.
    """

    place: LocalFacility
    url: str
    folder: Path
    key: JobKey
    guard: bool = True
    seconds: float = 0.1
    fails: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)
    profile: dict[str, str] | None = None

    @property
    def marks(self) -> Path:
        """Each job writes its id there when it really works."""
        return self.place.scratch / f"marks-{self.key.digest}"

    @property
    def spec(self) -> dict[str, Any]:
        script = (
            f'echo "$IRI_JOB_ID" >>{self.marks}; sleep {self.seconds}; '
            f"[ $(wc -l <{self.marks}) -gt {self.fails} ] || exit 3"
        )
        return {"executable": "/bin/sh", "arguments": ["-c", script], "name": "marks"}

    @property
    def ledger(self) -> Path:
        return self.folder / self.key.digest

    @property
    def guard_directory(self) -> Path:
        return self.place.home / ".iri" / self.key.digest

    def lose_ledger(self) -> None:
        shutil.rmtree(self.ledger, ignore_errors=True)

    def start(self, clients: Clients, strike: Strike | None = None, **words: Any) -> Client:
        """Start a client in this name."""
        plan = Plan(
            clients.new_story(),
            self.url,
            self.place.token,
            str(self.ledger),
            str(self.key),
            self.spec,
            guard=self.guard,
            strike=strike,
            profile=self.profile,
        )
        return clients.start(replace(plan, **words))

    def heard(self, *clients: Client) -> None:
        """Remember what clients were told, once they are through."""
        self.told += [each for client in clients for each in client.wait().story()]

    def jobs(self, listed: Iterable[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
        """Its jobs at the facility."""
        listed = self.place.jobs() if listed is None else listed
        return [each for each in listed if f".{self.key.digest}-" in each["name"]]

    def worked(self) -> list[str]:
        """The ids of the jobs that did work, one for each time."""
        return self.marks.read_text().split() if self.marks.exists() else []

    def ends(self) -> list[dict[str, Any]]:
        """The ends that were told."""
        return [each for each in self.told if each["what"] == "ended"]

    @property
    def uncertain(self) -> bool:
        """Whether the last client was told that it cannot know."""
        return bool(self.told) and self.told[-1]["what"] == "uncertain"


def settle(place: LocalFacility) -> list[dict[str, Any]]:
    """All jobs, once all of them have ended."""

    def over() -> list[dict[str, Any]] | None:
        jobs = place.jobs()
        return [{}, *jobs] if all(each["state"] in ENDED for each in jobs) else None

    return until(over, "the end of all jobs")[1:]


def broken(work: Work, listed: Iterable[dict[str, Any]]) -> list[str]:
    """Which promises were not kept for this work, by what its jobs really did; empty if all were.

    Each generation was worked by one job, doubles ended cheaply, and whatever was told is true.
    """
    jobs = {each["id"]: each for each in work.jobs(listed)}
    return [*_worked_wrongly(work, jobs), *_told_wrongly(work, jobs)]


def held(works: Mapping[object, Work], *, uncertain: object = ()) -> None:
    """Every promise was kept, and only these could not be known."""
    listed = settle(next(iter(works.values())).place)
    wrong = {name: wrong for name, work in works.items() if (wrong := broken(work, listed))}
    told = [f"{name}: {wrong[name]}\n  {story_of(works[name], listed)}" for name in wrong]
    assert not wrong, "\n".join(map(str, told))
    assert {name for name, work in works.items() if work.uncertain} == set(uncertain)
    for name, work in works.items():
        lost = not work.worked() and not work.uncertain
        assert not lost, f"{name} is lost\n  {story_of(work, listed)}"
        truth = work.uncertain or work.told[-1].get("state") == "completed"
        assert truth, f"{name} ended with {work.told[-1]}"


def _worked_wrongly(work: Work, jobs: Mapping[str, dict[str, Any]]) -> list[str]:
    marks = work.worked()
    by_generation = defaultdict(set)
    for job_id in marks:
        by_generation[_generation(jobs[job_id])].add(job_id)
    wrong = [
        f"generation {generation} was worked by jobs {sorted(workers)}"
        for generation, workers in by_generation.items()
        if len(workers) > 1
    ]
    for job_id, job in jobs.items():
        idle = job_id not in marks
        if job["exit_code"] in (DOUBLE, CANCELED) and not idle:
            wrong.append(f"job {job_id} worked although its guard should not have let it")
        if job["exit_code"] == DOUBLE and (cost := _node_seconds(job)) > CHEAP:
            wrong.append(f"the double {job_id} cost {cost:.1f} node-seconds")
        wrong += (
            [f"job {job_id} ended with {job['exit_code']}"] if job["exit_code"] in (212, 213, 215) else []
        )
    return wrong


def _told_wrongly(work: Work, jobs: Mapping[str, dict[str, Any]]) -> list[str]:
    wrong, marks = list[str](), work.worked()
    for end in work.ends():
        truth = _truth(jobs[end["job"]], work) if end["job"] in jobs else "unknown to the facility"
        if end["state"] != truth:
            wrong.append(f"job {end['job']} was told to be {end['state']}, in truth {truth}")
        if end["state"] == "completed" and end["job"] not in marks:
            wrong.append(f"job {end['job']} was told to be completed, and did no work")
    wrong += [f"a client said {each}" for each in work.told if each["what"] in ("error", "broke")]
    wrong += [
        f"uncertain, without its key: {each}"
        for each in work.told
        if each["what"] == "uncertain" and JobKey.parse(each["key"]).identity != work.key.identity
    ]
    return wrong


def _generation(job: dict[str, Any]) -> int:
    return int(job["name"].rpartition("-")[2])


def _node_seconds(job: dict[str, Any]) -> float:
    return (job["ended"] - job["started"]) * job["node_count"]


def _truth(job: dict[str, Any], work: Work) -> str:
    if job["state"] == "canceled":
        return "canceled"
    return "completed" if job["exit_code"] == 0 else "failed"


def story_of(work: Work, listed: Iterable[dict[str, Any]]) -> str:
    """All of it, for whoever must understand what went wrong."""
    words = ("id", "name", "state", "exit_code", "message", "submitted", "started", "ended", "restarts")
    jobs = [{name: each[name] for name in words} for each in work.jobs(listed)]
    seen = [
        f"{each['operation']} {each['status']} {each['created'] or ''}" for each in work.place.requests()
    ][-200:]
    lines = [
        f"{work.key} guard={work.guard} worked by {work.worked()}",
        *map(str, work.told),
        *map(str, jobs),
    ]
    return "\n  ".join(lines if len(seen) > 100 else [*lines, *seen])


def new_key(what: str) -> JobKey:
    """A name that nobody has used."""
    return JobKey.of("kills", what, str(time.time_ns()))
