"""The states of tasks whose triggers end at the same time, asked for together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from airflow_provider_iri import lasting
from airflow_provider_iri.guard import name_of

PAUSE = 0.2
"""Seconds in which others may join: Airflow cancels the triggers of a run one right after the other."""

MOST = 50
"""So many tasks go into one question: it is an address, and some servers take no more than 8 kB of that."""

Alone = Callable[[Any], str | None]
Answer = asyncio.Future[str | None]


async def state_of(ti: Any, alone: Alone) -> str | None:
    """The state that Airflow has for a task instance now, for a trigger that may be one of hundreds.

    A person may fail a run with a thousand tasks that wait. Each of their triggers asks, and all of them
    through the one socket of their triggerer.

    Args:
        ti: The task instance.
        alone: Asks for it, if nobody else asks within a moment; blocks.

    Raises:
        Exception: whatever keeps Airflow from telling.
    """
    loop = asyncio.get_running_loop()
    if loop not in _rolls:
        _rolls[loop] = Roll(states_of)
    return await _rolls[loop].state_of(ti, alone)


def states_of(dag_id: str, run_id: str, task_ids: Sequence[str] = ()) -> Mapping[str, str | None]:
    """The states of these tasks of a run, or of all, by :func:`~airflow_provider_iri.guard.name_of`; blocks.

    A mapped task is told with all that it is mapped to.
    """
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    states = RuntimeTaskInstance.get_task_states(dag_id=dag_id, task_ids=list(task_ids), run_ids=[run_id])
    return states.get(run_id, {})


class Roll:
    """Asks for the tasks of a run together, one question at a time.

    An answer is given to those only who asked before its question was sent: a person may have ended the task
    of whoever came later in between.

    Args:
        many: Asks for tasks of a run; blocks.
        pause: Seconds in which others may join a question.
    """

    def __init__(
        self, many: Callable[[str, str, Sequence[str]], Mapping[str, str | None]], pause: float = PAUSE
    ) -> None:
        self._many = many
        self._pause = pause
        self._asking: dict[tuple[str, str], list[tuple[Any, Answer]]] = {}
        self._turn = asyncio.Lock()

    async def state_of(self, ti: Any, alone: Alone) -> str | None:
        """What Airflow says after this."""
        run, answer = (ti.dag_id, ti.run_id), asyncio.get_running_loop().create_future()
        if run not in self._asking:
            self._asking[run] = []
            lasting.begin(self._ask(run, alone))
        self._asking[run].append((ti, answer))
        return await answer

    async def _ask(self, run: tuple[str, str], alone: Alone) -> None:
        await asyncio.sleep(self._pause)
        async with self._turn:
            asking = self._asking.pop(run)
            for task_ids in together({ti.task_id for ti, _ in asking}):
                some = [(ti, answer) for ti, answer in asking if ti.task_id in task_ids]
                await self._settle(some, run, alone)

    async def _settle(self, asking: Sequence[tuple[Any, Answer]], run: tuple[str, str], alone: Alone) -> None:
        tis = [ti for ti, _ in asking]
        waiting = [answer for _, answer in asking]
        try:
            states = await lasting.ask_airflow(self._told, tis, run, alone)
        except Exception as error:
            for answer in waiting:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for answer, state in zip(waiting, states, strict=True):
                if not answer.done():
                    answer.set_result(state)

    def _told(self, tis: Sequence[Any], run: tuple[str, str], alone: Alone) -> Sequence[str | None]:
        if len(tis) == 1:
            return [alone(tis[0])]
        states = self._many(*run, sorted({ti.task_id for ti in tis}))
        return [states.get(name_of(ti)) for ti in tis]


def together(task_ids: set[str]) -> list[list[str]]:
    """Which tasks of a run to ask for in one question.

    Airflow calls the third of a mapped ``fit`` ``fit_2``, as a task may be called that is not mapped: asked
    for in one question, one would be told the state of the other.
    """
    doubtful = sorted(each for each in task_ids if _is_name_of_one(each, task_ids))
    clear = sorted(task_ids.difference(doubtful))
    return [clear[at : at + MOST] for at in range(0, len(clear), MOST)] + [[each] for each in doubtful]


def _is_name_of_one(task_id: str, mapped: set[str]) -> bool:
    base, _, index = task_id.rpartition("_")
    return base in mapped and index.isdecimal()


_rolls: WeakKeyDictionary[asyncio.AbstractEventLoop, Roll] = WeakKeyDictionary()
