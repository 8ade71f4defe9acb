"""What a run that is late waits for, as its triggerer can tell."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from airflow_provider_iri import lasting
from airflow_provider_iri.asked import ASKED, in_words
from airflow_provider_iri.states import states_of

SHOWN = 10
"""So many tasks are asked for what they have at a facility, with a request or a few each."""

OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
FIRST = ("deferred", "running")  # of the others, few have something at a facility


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that is not over.

    Attributes:
        name: For people.
        state: In Airflow's words.
        ref: Of what it has at a facility.
        what: The same in words.
        seen: How a look found that; "" where nobody looked.
    """

    name: str
    state: str
    ref: str
    what: str
    seen: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.what}, {self.seen or f'the task is {self.state}'}"


@dataclass(frozen=True, slots=True)
class Late:
    """What a late run waits for.

    Attributes:
        states: How many of its tasks are in each state, of those that are not over.
        waiting: Those with something at a facility, at most so many as are shown.
        asked: Whether Airflow told.
    """

    states: Mapping[str, int]
    waiting: Sequence[Waiting] = ()
    asked: bool = True

    @property
    def tasks(self) -> str:
        """How the tasks are, in words."""
        if not self.asked:
            return "how its tasks are, Airflow does not tell"
        told = [f"{count} {state}" for state, count in self.states.items()]
        return f"tasks that are not over: {', '.join(told) or 'none'}"

    @property
    def jobs(self) -> str:
        """What they wait for at facilities, in words."""
        return "; ".join(map(str, self.waiting))


async def look(dag_id: str, run_id: str, conn_id: str | None) -> Late:
    """Ask Airflow for the tasks of a run, and through a connection how their jobs are.

    Whatever is not told is left out: the word that a run is late has to arrive.
    """
    try:
        late = await lasting.ask_airflow(_of_airflow, dag_id, run_id)
    except Exception:
        return Late({}, asked=False)
    if not conn_id or not late.waiting:
        return late
    seen = await asyncio.gather(*(_seen(each, conn_id) for each in late.waiting))
    return Late(late.states, seen)


def _of_airflow(dag_id: str, run_id: str) -> Late:
    told = states_of(dag_id, run_id)
    states = {name: str(state or "not begun") for name, state in told.items() if state not in OVER}
    first = sorted(states, key=lambda name: (states[name] not in FIRST, name))[:SHOWN]
    found = [_waiting(dag_id, run_id, name, states[name]) for name in first]
    return Late(dict(Counter(states.values()).most_common()), [each for each in found if each is not None])


def _waiting(dag_id: str, run_id: str, name: str, state: str) -> Waiting | None:
    """A task with the first of what it may have at a facility."""
    from airflow.sdk.execution_time.xcom import XCom

    for task_id, map_index in _tasks(name):
        for kind in ASKED.values():
            where = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index}
            if ref := XCom.get_one(key=kind.xcom, **where):
                shown = task_id if map_index < 0 else f"{task_id}[{map_index}]"
                return Waiting(shown, state, ref, in_words(ref, kind.what))
    return None


def _tasks(name: str) -> Sequence[tuple[str, int]]:
    """Those that may be meant: the third of a mapped ``fit`` is told as ``fit_2``, as one may be called."""
    task_id, _, index = name.rpartition("_")
    return [(task_id, int(index)), (name, -1)] if task_id and index.isdecimal() else [(name, -1)]


async def _seen(waiting: Waiting, conn_id: str) -> Waiting:
    """With how a look finds its job, if it is one that this connection knows."""
    from airflow_provider_iri.hooks import IriHook
    from iri_common import IriError

    try:
        status = await (await IriHook(conn_id).open()).aio.jobs.status(waiting.ref)
    except IriError as error:
        return replace(waiting, seen=f"not seen: {error}")
    since = f" since {_at(status.time)}" if status.time is not None else ""
    return replace(waiting, seen=f"{status.describe()}{since}")


def _at(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
