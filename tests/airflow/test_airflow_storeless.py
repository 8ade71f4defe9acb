"""What tries find again of those before them where nothing is kept for them, as on Airflow 3.2."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.sdk.exceptions import AirflowException, TaskDeferred
from airflow_connections import connection_to
from hypothesis import given
from hypothesis import strategies as st
from job_tasks import job, jobs, operator, sent

from airflow_provider_iri import IriArrayOperator, IriHook, lasting, states, triggers
from airflow_provider_iri.errands import Errand
from airflow_provider_iri.record import JobRecord
from airflow_provider_iri.storeless import Why, nonce_of
from iri_common import JobRef, JobState, NotOffered
from iri_common.facility.faces import Jobs

DUE = datetime(2026, 11, 23, 6, tzinfo=UTC)
BEGUN = DUE + timedelta(seconds=2, microseconds=345678)
NUMBERS = st.integers(min_value=0, max_value=200)


def a_run(kind: str = "scheduled", due: datetime = DUE, begun: datetime | None = BEGUN) -> Any:
    return SimpleNamespace(run_type=DagRunType(kind), run_after=due, start_date=begun)


@pytest.fixture
def forgetful(task, monkeypatch, tmp_path):
    """A task whose tries run on hosts of their own, and keep nothing."""
    task.store, task.dag_run, task.ti.max_tries = None, a_run(), 2
    _on_another_host(monkeypatch, tmp_path)
    return task


@pytest.fixture
def again(forgetful, monkeypatch, tmp_path):
    """Makes the next try its task's, after a clear or not."""

    def following(*, cleared: bool = False) -> None:
        forgetful.ti.try_number += 1
        if cleared:  # Airflow: try_number of before + retries
            forgetful.ti.max_tries = forgetful.ti.try_number - 1 + 2
        _on_another_host(monkeypatch, tmp_path, forgetful.ti.try_number)

    return following


def _on_another_host(monkeypatch, tmp_path, number: int = 1) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / f"home-{number}"))


def _place(facility) -> str:
    own = facility.scratch / uuid.uuid4().hex
    own.mkdir()
    return str(own)


def ended(facility, words: dict[str, Any]) -> list[str]:
    """How its jobs stand, in the order of their submission."""
    return [each["state"] for each in jobs(facility, words)]


def deferred(task, one: Any) -> str:
    """A try that waits; gives the reference of its job."""
    with pytest.raises(TaskDeferred):
        task.begin(one)
    return task.ti.xcoms["iri_job"]


# -- what is in a key


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (a_run(), a_run(), True),
        (a_run(), a_run(begun=BEGUN + timedelta(microseconds=1)), False),  # another deployment's
        (a_run("manual", BEGUN), a_run("manual", BEGUN, DUE), True),  # cleared when it was over
        (a_run("asset_triggered", BEGUN), a_run("asset_triggered", BEGUN + timedelta(microseconds=1)), False),
        (a_run("manual"), a_run("manual", begun=BEGUN + timedelta(1)), False),  # somebody wrote 06:00
        (a_run("scheduled", BEGUN), a_run("scheduled", BEGUN, BEGUN + timedelta(1)), False),
        (a_run(begun=BEGUN.astimezone(None)), a_run(), True),
    ],
)
def test_what_tells_a_run_from_another_of_its_name(one, other, same: bool) -> None:
    first, second = nonce_of({"dag_run": one}), nonce_of({"dag_run": other})  # type: ignore[typeddict-item]
    assert first
    assert (first == second) is same


@pytest.mark.parametrize("context", [{}, {"dag_run": a_run(begun=None)}])
def test_a_run_of_which_nothing_is_told(context: Any) -> None:
    assert nonce_of(context) is None


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.text(max_size=5))
def test_a_generation_tells_why_and_later_ones_are_greater(
    one: int, more: int, tries: int, others: int, digest: str
) -> None:
    asked = JobRecord("n", 1, tries, digest, "iri_default")
    why = Why.of(asked, one + 1)
    assert Why.read(why.generation) == why
    assert Why.read(why.generation + 9) == why  # a try asks anew by itself if a clear has overtaken it
    later = Why.of(replace(asked, max_tries=others, digest="else"), one + 2 + more)
    assert later.generation > why.generation + 9


# -- what a try does


def test_a_first_try_asks_as_where_something_is_kept(demo, forgetful) -> None:
    forgetful.begin(operator(job(), wait_for_completion=False))
    assert not {"getJobs", "ls"} & set(sent(demo))
    assert sent(demo).count("launchJob") == 1


def test_a_retry_goes_on_with_a_job_that_lives(demo, forgetful, again) -> None:
    words = job("exec sleep 60")
    first = deferred(forgetful, operator(words))
    for _ in range(2):
        again()
        assert deferred(forgetful, operator(words)).partition("?")[0] == first.partition("?")[0]
    assert len(jobs(demo, words)) == 1
    IriHook().facility.jobs.cancel(first)


def test_a_retry_takes_the_result_of_a_job_that_nobody_was_told_of(demo, forgetful, again) -> None:
    words = job("echo it worked")
    ref = deferred(forgetful, operator(words))
    IriHook().facility.jobs.wait(ref, timeout=60)
    again()
    told = forgetful.execute(operator(words))
    assert (told["state"], told["ref"].partition("?")[0]) == ("completed", ref.partition("?")[0])
    assert ended(demo, words) == ["completed"]


def test_a_retry_after_a_job_that_failed_asks_for_another(demo, forgetful, again) -> None:
    words = job("exit 3")
    for tries in (1, 2, 3):
        with pytest.raises(AirflowException, match="exit code 3"):
            forgetful.execute(operator(words))
        assert ended(demo, words) == ["failed"] * tries
        again()


def test_a_retry_knows_the_newest_job_from_one_that_failed_before(demo, forgetful, again) -> None:
    words = job("if [ -e ran ]; then exec sleep 60; fi; touch ran; exit 3", directory=_place(demo))
    with pytest.raises(AirflowException, match="exit code 3"):
        forgetful.execute(operator(words))
    again()
    ref = deferred(forgetful, operator(words))
    again()
    assert deferred(forgetful, operator(words)).partition("?")[0] == ref.partition("?")[0]
    assert len(jobs(demo, words)) == 2
    IriHook().facility.jobs.cancel(ref)


def test_a_job_whose_reply_nobody_heard_is_found(demo, forgetful, again, monkeypatch) -> None:
    """By the key in its name: its worker died, and no other one has its home."""
    words, submit = job("exec sleep 60"), Jobs.submit

    def killed(*given: Any, **more: Any) -> None:
        submit(*given, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Jobs, "submit", killed)
        forgetful.begin(operator(words))
    again()
    ref = deferred(forgetful, operator(words))
    assert len(jobs(demo, words)) == 1
    IriHook().facility.jobs.cancel(ref)


def test_a_clear_ends_the_job_of_before_and_asks_anew(demo, forgetful, again) -> None:
    words = job("exec sleep 60")
    deferred(forgetful, operator(words))
    for clears in (1, 2):
        again(cleared=True)
        ref = deferred(forgetful, operator(words))
        assert ended(demo, words)[:-1] == ["canceled"] * clears
        assert len(jobs(demo, words)) == clears + 1
    again()  # a retry of that
    assert deferred(forgetful, operator(words)).partition("?")[0] == ref.partition("?")[0]
    IriHook().facility.jobs.cancel(ref)


def test_a_clear_of_a_success_does_it_afresh(demo, forgetful, again) -> None:
    words = job()
    forgetful.execute(operator(words))
    again(cleared=True)
    forgetful.execute(operator(words))
    assert ended(demo, words) == ["completed"] * 2


def test_a_changed_job_takes_the_place_of_the_one_that_lives(demo, forgetful, again) -> None:
    words = job("exec sleep 60")
    deferred(forgetful, operator(words))
    again()
    forgetful.execute(operator(words | {"arguments": ["-c", "true"]}))
    assert ended(demo, words) == ["canceled", "completed"]


def test_two_deployments_with_equal_ids_know_nothing_of_each_other(demo, forgetful, again) -> None:
    words = job("exec sleep 60")
    refs = [deferred(forgetful, operator(words))]
    forgetful.dag_run = a_run(begun=BEGUN + timedelta(microseconds=1))
    refs.append(deferred(forgetful, operator(words)))
    again(cleared=True)
    refs.append(deferred(forgetful, operator(words)))
    assert [each["ended"] is not None for each in jobs(demo, words)] == [False, True, False]
    for ref in refs:
        with contextlib.suppress(Exception):
            IriHook().facility.jobs.cancel(ref)


def test_where_jobs_have_no_names_every_try_asks_anew(demo, forgetful, again, monkeypatch) -> None:
    """Under a key of its own: by that of the try before, it would be given the job that failed."""

    def hidden(*_: Any, **__: Any) -> None:
        raise NotOffered("does not show all jobs by name")

    monkeypatch.setattr(Jobs, "newest", hidden)
    words = job("exit 3")
    for tries in (1, 2, 3):
        with pytest.raises(AirflowException, match="exit code 3"):
            forgetful.execute(operator(words))
        assert ended(demo, words) == ["failed"] * tries
        again()


def test_elements_do_not_run_again_beside_themselves(demo, forgetful, again) -> None:
    words = job("exec sleep 60 #")
    pack = {"task_id": "task", "job": words, "inputs": ["a", "b"]}
    ref = deferred(forgetful, IriArrayOperator(**pack))
    again()
    assert deferred(forgetful, IriArrayOperator(**pack)).partition("?")[0] == ref.partition("?")[0]
    IriHook().facility.jobs.cancel(ref)
    IriHook().facility.jobs.wait(ref, timeout=60)
    again()
    second = deferred(forgetful, IriArrayOperator(**pack))
    assert len(jobs(demo, words)) == 2
    IriHook().facility.jobs.cancel(second)


def test_elements_that_go_on_are_not_over_with_the_first_that_failed(
    demo, forgetful, again, connect, monkeypatch
) -> None:
    """A list may show one task of an array: it is the whole that counts."""
    newest = Jobs.newest

    def of_one_task(*given: Any, **more: Any) -> Any:
        return replace(newest(*given, **more), reported=JobState.FAILED)

    monkeypatch.setattr(Jobs, "newest", of_one_task)
    connect("iri_default", connection_to(demo, host=demo.firecrest_url, extra={"dialect": "firecrest"}))
    words = job('[ "$0" = good ] || exit 3; exec sleep 60')
    array = {"task_id": "task", "job": words, "inputs": ["bad", "good"], "parallel": 2}
    ref = deferred(forgetful, IriArrayOperator(**array))
    while not IriHook().facility.jobs.status(ref).failed_tasks:
        time.sleep(0.2)
    again()
    found = JobRef.parse(deferred(forgetful, IriArrayOperator(**array)))
    assert (found.job_id, found.array) == (JobRef.parse(ref).job_id, "0-1")
    IriHook().facility.jobs.cancel(ref)


def test_what_lasts_is_not_another_deployments(task) -> None:
    task.store, task.dag_run = None, a_run()
    keys = [Errand(task.context, "errand", "a", lasting=True).key]
    task.ti.max_tries += 1
    keys.append(Errand(task.context, "errand", "a", lasting=True).key)
    task.dag_run = a_run(begun=BEGUN + timedelta(microseconds=1))
    keys.append(Errand(task.context, "errand", "a", lasting=True).key)
    assert [each == keys[0] for each in keys] == [True, True, False]


# -- what a trigger does that nobody tells


@pytest.mark.parametrize(("state", "cancels"), [("failed", True), (None, True), ("deferred", False)])
async def test_a_trigger_that_is_only_cancelled_asks_why(
    demo, forgetful, monkeypatch, wait_until, state: str | None, cancels: bool
) -> None:
    with pytest.raises(TaskDeferred) as waits:
        forgetful.begin(operator(job("exec sleep 60")))
    trigger, running = waits.value.trigger, IriHook().facility.aio
    trigger.task_instance = forgetful.ti
    monkeypatch.setattr(triggers, "TELLS", False)
    monkeypatch.setattr(triggers, "task_state", lambda _: state)
    monkeypatch.setattr(triggers, "has_another", lambda *_: False)
    demo.reset_requests()
    waiting = asyncio.create_task(anext(trigger.run()))
    await asyncio.to_thread(wait_until, lambda: sent(demo), 60)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    cancelled = "cancelJob" in sent(demo)
    await running.jobs.cancel(trigger.ref)
    assert cancelled is cancels


async def test_what_a_trigger_asks_of_airflow_goes_through_its_own_loop(forgetful) -> None:
    """The triggerer of Airflow 3.2.0 ends when another loop reads its socket."""
    from asgiref.sync import async_to_sync

    async def answered_in() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    asked_in: list[Any] = []

    def alone(_: Any) -> str:
        asked_in.append(async_to_sync(answered_in)())
        return "deferred"

    assert await states.state_of(forgetful.ti, alone) == "deferred"
    await lasting.ask_airflow(lambda: asked_in.append(async_to_sync(answered_in)()))
    assert asked_in == [asyncio.get_running_loop()] * 2
