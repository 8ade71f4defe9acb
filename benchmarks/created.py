"""Jobs that come to be for one job asked for, when the reply to its submit goes astray."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from iri_common import JobKey
from iri_local_facility import LocalFacility
from iri_local_facility.orders import Kind, Options

from . import ours
from .clients import PEERS, spec_of
from .processes import alone
from .table import Row

# The local facility's orders: kind and options, each striking the first submit of one job.
FAULTS: dict[str, tuple[Kind, Options]] = {
    "reply lost": ("lose_reply", {}),
    "reply cut short": ("cut", {}),
    "200, an HTML page": ("garble", {"body": "html"}),
    "200, half of the JSON": ("garble", {"body": "truncated"}),
    "500, adapter raised after accepting": ("adapter_error", {}),
    **{
        f"{status} {when} accepting": ("status", {"status": status, "when": when, "body": "html"})
        for when in ("after", "before")
        for status in (500, 502, 503, 504)
    },
    "connection reset before accepting": ("reset", {}),
    "429": ("status", {"status": 429}),
    "429, Retry-After: 2": ("status", {"status": 429, "retry_after": 2}),
}
QUICK = ("reply lost", "502 after accepting", "429")

ASKS = {"asked once": 1, "asked again": 3}  # as a task runs, and as an engine's `retries=2` runs it
_ENGINE_PAUSE = 1.0
_PATIENCE = 90.0  # seconds for one ask


@dataclass(frozen=True)
class Fate:
    """What became of one job asked for.

    Attributes:
        created: Jobs at the facility.
        worked: How often its program really ran.
        told: Whether the caller has the id of one of these jobs.
        seconds: Until the caller knew, or gave up.
        error: What the last ask ended with, if no id came.
    """

    created: int
    worked: int
    told: bool
    seconds: float
    error: str


def rows(faults: tuple[str, ...]) -> list[Row]:
    """A row a fault, for a caller who asks again after an error; then what that adds up to."""
    fates: dict[str, Fate] = alone(_measure, faults)
    clients = (ours.NAME, *PEERS)
    note = (
        "A task that asks again when its client raises, three times in all, as an engine's retries do; each "
        "client with its own retries, ours with the task's key. Each fault strikes the first submit only"
    )
    each = [
        Row(
            f"jobs created: {fault}",
            "created",
            values := {client: fates[f"{client}/{fault}/asked again"].created for client in clients},
            target="1",
            met=values[ours.NAME] == 1,
            note=note,
            details={
                f"{client}, {mode}": asdict(fates[f"{client}/{fault}/{mode}"])
                for client in clients
                for mode in ASKS
            },
        )
        for fault in faults
    ]
    return [*each, *_sums(fates, faults, clients)]


def _sums(fates: dict[str, Fate], faults: tuple[str, ...], clients: tuple[str, ...]) -> list[Row]:
    def count(mode: str, condition: Callable[[Fate], bool]) -> dict[str, float]:
        return {
            client: sum(condition(fates[f"{client}/{fault}/{mode}"]) for fault in faults)
            for client in clients
        }

    doubles = count("asked again", lambda fate: fate.worked > 1)
    orphans = count("asked once", lambda fate: fate.created > 0 and not fate.told)
    without = count("asked again", lambda fate: not fate.told)
    among = f"of {len(faults)} faults"
    return [
        Row(f"worked twice, {among}", "created", doubles, "0", doubles[ours.NAME] == 0),
        Row(
            f"runs unknown to its caller, {among}",
            "created",
            orphans,
            "0",
            orphans[ours.NAME] == 0,
            note="Asked once: the client raised, and left a job that its caller cannot name",
        ),
        Row(f"no job id after three asks, {among}", "created", without, "0", without[ours.NAME] == 0),
        Row(
            "seconds until the id, worst fault",
            "created",
            {
                client: max(fates[f"{client}/{fault}/asked again"].seconds for fault in faults)
                for client in clients
            },
            note="What looking before sending again costs, where the facility had not taken the job",
        ),
    ]


def _measure(faults: tuple[str, ...]) -> dict[str, Fate]:
    lanes = [
        f"{client}/{fault}/{mode}" for client in (ours.NAME, *PEERS) for fault in faults for mode in ASKS
    ]
    with LocalFacility(nodes=len(lanes)) as facility:
        resource_id = httpx.get(f"{facility.base_url}/compute/resources").json()[0]["id"]
        cases = [
            _Case(lane, number, facility.url, facility.new_token(), resource_id, facility.scratch)
            for number, lane in enumerate(lanes)
        ]
        for case in cases:
            kind, options = FAULTS[case.fault]
            facility.order(kind, "launchJob", **options, job=case.name)
        with ThreadPoolExecutor(len(cases)) as pool:
            told = list(pool.map(_Case.ask, cases))
        _settle(facility)
        jobs = facility.jobs()
        return {case.lane: case.fate(jobs, *words) for case, words in zip(cases, told, strict=True)}


@dataclass(frozen=True)
class _Case:
    lane: str
    number: int
    root: str
    token: str
    resource_id: str
    scratch: Path

    @property
    def client(self) -> str:
        return self.lane.split("/")[0]

    @property
    def fault(self) -> str:
        return self.lane.split("/")[1]

    @property
    def key(self) -> JobKey:
        return JobKey.of("bench", self.number)

    @property
    def name(self) -> str:
        """As the facility sees it."""
        return self.key.job_name("case") if self.client == ours.NAME else f"case-{self.number}"

    @property
    def marks(self) -> Path:
        return self.scratch / f"marks-{self.number}"

    def ask(self) -> tuple[str | None, float, str]:
        """The job's id or None, seconds until then, and the last error."""
        begun, error = time.monotonic(), ""
        submit = self._submit_ours() if self.client == ours.NAME else self._submit_peer()
        for attempt in range(ASKS[self.lane.split("/")[2]]):
            if attempt:
                time.sleep(_ENGINE_PAUSE)
            try:
                return submit(), time.monotonic() - begun, ""
            except Exception as raised:  # each client has errors of its own
                error = f"{type(raised).__name__}: {raised}"[:300]
        return None, time.monotonic() - begun, error

    @property
    def _script(self) -> str:
        return f"echo ran >> {self.marks}; sleep 0.2"

    def _submit_peer(self) -> Callable[[], str]:
        peer = PEERS[self.client](self.root, self.token, self.resource_id)
        return lambda: peer.submit(self.name, self._script)

    def _submit_ours(self) -> Callable[[], str]:
        facility = ours.open_facility(self.root, self.token)
        spec = spec_of("case", self._script)

        async def submit() -> str:
            async with asyncio.timeout(_PATIENCE):
                return str((await facility.aio.jobs.submit(spec, key=self.key)).job_id)

        return lambda: asyncio.run(submit())

    def fate(self, jobs: list[dict[str, Any]], told: str | None, seconds: float, error: str) -> Fate:
        mine = [job["id"] for job in jobs if job["name"] == self.name]
        worked = 0
        with contextlib.suppress(FileNotFoundError):
            worked = len(self.marks.read_text().splitlines())
        return Fate(len(mine), worked, told in mine, round(seconds, 2), error)


def _settle(facility: LocalFacility) -> None:
    deadline = time.monotonic() + 30
    while any(job["ended"] is None for job in facility.jobs()):
        if time.monotonic() > deadline:
            raise RuntimeError("jobs of a fifth of a second do not end")
        time.sleep(0.1)
