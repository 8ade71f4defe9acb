"""Triggers that end together ask for the states of their tasks together, and are told nothing stale."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from job_tasks import sent

from airflow_provider_iri import IriHook
from airflow_provider_iri.guard import name_of
from airflow_provider_iri.states import MOST, Roll, together
from airflow_provider_iri.triggers import IriJobTrigger


def ti(task_id: str = "task", map_index: int = -1, run_id: str = "run") -> Any:
    return SimpleNamespace(dag_id="dag", run_id=run_id, task_id=task_id, map_index=map_index)


class Airflow:
    """What Airflow answers, when it may, and what it was asked."""

    def __init__(self, **states: str | None) -> None:
        self.states: dict[str, str | None] = states
        self.asked: list[tuple[str, Sequence[str]]] = []
        self.begun, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()
        self.error: Exception | None = None
        self.roll = Roll(self._many, pause=0.05)

    async def state_of(self, one: Any) -> str | None:
        return await self.roll.state_of(one, self._alone)

    def _many(self, dag_id: str, run_id: str, task_ids: Sequence[str]) -> dict[str, str | None]:
        self.asked.append((run_id, task_ids))
        known = dict(self.states)
        self.begun.set()
        self.may_answer.wait(60)
        if self.error is not None:
            raise self.error
        return known

    def _alone(self, one: Any) -> str | None:
        return self._many(one.dag_id, one.run_id, f"alone {name_of(one)}").get(name_of(one))


async def test_all_that_ask_within_a_moment_are_one_question() -> None:
    airflow = Airflow(**{f"fit_{n}": f"state {n}" for n in range(200)}, other="failed")
    asking = [ti("fit", n) for n in range(200)] + [ti("other")]
    assert await asyncio.gather(*map(airflow.state_of, asking)) == [
        *(f"state {n}" for n in range(200)),
        "failed",
    ]
    assert airflow.asked == [("run", ["fit", "other"])]


async def test_one_alone_is_asked_for_as_in_a_worker() -> None:
    airflow = Airflow(fit_3="success")
    assert await airflow.state_of(ti("fit", 3)) == "success"
    assert airflow.asked == [("run", "alone fit_3")]


async def test_one_of_which_nothing_is_said_is_in_no_state() -> None:
    """As right after a clear, or when it was mapped to fewer since."""
    airflow = Airflow(fit_0="failed")
    assert await asyncio.gather(airflow.state_of(ti("fit", 0)), airflow.state_of(ti("fit", 1))) == [
        "failed",
        None,
    ]


async def test_who_asks_after_a_question_was_sent_is_told_what_is_so_after_that() -> None:
    airflow = Airflow(**dict.fromkeys(("a", "b", "c", "d"), "deferred"))
    airflow.may_answer.clear()
    early = asyncio.gather(*(airflow.state_of(ti(each)) for each in "ab"))
    await asyncio.to_thread(airflow.begun.wait, 60)
    airflow.states = dict.fromkeys(("a", "b", "c", "d"), "failed")
    late = asyncio.gather(*(airflow.state_of(ti(each)) for each in "abcd"))
    await asyncio.sleep(0.2)  # long enough for another question, if there could be two at a time
    assert len(airflow.asked) == 1
    airflow.may_answer.set()
    assert await early == ["deferred"] * 2
    assert await late == ["failed"] * 4
    assert airflow.asked == [("run", ["a", "b"]), ("run", ["a", "b", "c", "d"])]


async def test_each_run_is_asked_for_by_itself() -> None:
    airflow = Airflow(a="failed", b="failed")
    await asyncio.gather(*(airflow.state_of(ti(each, run_id=run)) for each in "ab" for run in ("1", "2")))
    assert sorted(airflow.asked) == [("1", ["a", "b"]), ("2", ["a", "b"])]


async def test_all_that_asked_are_told_that_there_is_no_answer_and_may_ask_again() -> None:
    airflow = Airflow(a="failed", b="failed")
    airflow.error = ConnectionError("no answer")
    told = await asyncio.gather(*(airflow.state_of(ti(each)) for each in "ab"), return_exceptions=True)
    assert told == [airflow.error, airflow.error]
    airflow.error = None
    assert await airflow.state_of(ti("a")) == "failed"


async def test_one_that_does_not_wait_any_more_keeps_nothing_from_the_others() -> None:
    airflow = Airflow(a="failed", b="failed", c="failed")
    gone, *others = [asyncio.create_task(airflow.state_of(ti(each))) for each in "abc"]
    await asyncio.sleep(0)
    gone.cancel()
    assert await asyncio.gather(*others) == ["failed", "failed"]


IDS = st.from_regex(r"(fit|a)(_\d{1,2}){0,2}", fullmatch=True)


@given(st.sets(IDS, min_size=1, max_size=120))
def test_no_task_of_a_question_is_taken_for_another(task_ids: set[str]) -> None:
    questions = together(task_ids)
    assert sorted(each for some in questions for each in some) == sorted(task_ids)
    for some in questions:
        assert len(some) <= MOST
        names = [name_of(ti(each, index)) for each in some for index in (-1, *range(100))]
        assert len(set(names)) == len(names)


async def test_triggers_that_end_together_end_the_jobs_of_tasks_that_are_over(
    demo, task, monkeypatch
) -> None:
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    asked: list[dict[str, Any]] = []

    def get_task_states(**words: Any) -> dict[str, Any]:
        asked.append(words)
        return {task.ti.run_id: {"task_0": "failed", "task_1": "deferred", "task_3": "success"}}

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(get_task_states))
    monkeypatch.setattr(IriJobTrigger, "known_as", "")  # there is no XCom to compare
    jobs = IriHook().facility.aio.jobs
    refs = [await jobs.submit({"executable": "/bin/sleep", "arguments": ["60"]}) for _ in range(4)]
    triggers = [IriJobTrigger("iri_default", str(ref)) for ref in refs]
    for index, trigger in enumerate(triggers):
        trigger.task_instance = dataclasses.replace(task.ti, map_index=index)
    demo.reset_requests()
    await asyncio.gather(*(trigger.on_kill() for trigger in triggers))
    assert asked == [{"dag_id": "dag", "task_ids": ["task"], "run_ids": [task.ti.run_id]}]
    assert sent(demo).count("cancelJob") == 3
    assert not (await jobs.status(refs[1])).state.terminal
    await jobs.cancel(refs[1])
