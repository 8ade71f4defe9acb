"""A facility goes away while a task moves bytes: the worker is given back, and the next one goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout, TaskDeferred
from away_places import FILES, MIB, asked, deferred, looked, put, same, sent

from airflow_provider_iri import IriTransferOperator
from airflow_provider_iri.ends import End
from airflow_provider_iri.outage_triggers import IriAnswerTrigger, look
from airflow_provider_iri.rounds import LONGEST_PAUSE, MOST_IDLE, Rounds, passes
from iri_common import (
    AmbiguousReply,
    AuthError,
    GrantExceeded,
    IriError,
    NotFound,
    RateLimited,
    ResourceDown,
    TransferError,
    Unreachable,
    UsageError,
    WaitTimeout,
)

# ------------------------------------------------------------------------------------------ decisions


@pytest.mark.parametrize(
    ("rounds", "came", "then"),
    [
        (Rounds(), (0, 0), Rounds(1, 0, 0)),
        (Rounds(), (0, 1), Rounds(0, 0, 1)),
        (Rounds(2, 1, 100), (1, 100), Rounds(3, 1, 100)),
        (Rounds(2, 1, 100), (0, 50), Rounds(3, 1, 100)),
        (Rounds(2, 1, 100), (1, 101), Rounds(0, 1, 101)),
        (Rounds(2, 1, 100), (2, 0), Rounds(0, 2, 100)),
    ],
)
def test_a_round_that_comes_no_further_is_idle(rounds: Rounds, came: tuple[int, int], then: Rounds) -> None:
    assert rounds.after(*came) == then


def test_a_few_idle_rounds_are_the_last_ones() -> None:
    rounds, pauses = Rounds(), []
    while not rounds.futile:
        rounds = rounds.after(0, 0)
        pauses.append(rounds.pause)
    assert len(pauses) == MOST_IDLE
    assert pauses == sorted(pauses)
    assert Rounds(60).pause == LONGEST_PAUSE


@pytest.mark.parametrize("error", [Unreachable, RateLimited, ResourceDown, AmbiguousReply, WaitTimeout])
def test_what_passes_is_waited_for(error: type[IriError]) -> None:
    assert passes(error("it"))


@pytest.mark.parametrize("error", [UsageError, AuthError, NotFound, TransferError, IriError])
def test_what_does_not_pass_is_not_waited_for(error: type[IriError]) -> None:
    assert not passes(error("it"))
    assert not passes(GrantExceeded("it", profile="p", asked="a", allowed="b"))


# ------------------------------------------------------------------------------------------ a transfer


def test_a_facility_that_goes_away_in_mid_transfer_is_waited_for_without_a_worker(
    demo, task, away, source, place
) -> None:
    away(skip=24)
    waiting = deferred(task, put(source, place))
    first = sent(demo)
    assert MIB < first < FILES * MIB
    told = looked(task, put(source, place), waiting, demo)
    assert same(source, place / "in")
    assert first + sent(demo) < (FILES + 1) * MIB + 64 * 1024  # at most one file was sent twice
    assert (told["files"], told["bytes"]) == (FILES, FILES * MIB)


def test_a_facility_that_is_away_from_the_start_is_waited_for(demo, task, away, source, place) -> None:
    away()
    told = looked(task, put(source, place), deferred(task, put(source, place)), demo)
    assert told["bytes"] == FILES * MIB
    assert same(source, place / "in")


def test_parts_that_have_arrived_are_not_sent_again(demo, task, away, tmp_path, place) -> None:
    whole = tmp_path / "whole"
    whole.write_bytes(os.urandom(24 * MIB))
    words = {"options": {"parallel": 1, "road": "chunks", "allow_job": True}}
    away(skip=14)
    waiting = deferred(task, put(whole, place, **words))
    first = sent(demo)
    assert 0 < first < 24 * MIB
    looked(task, put(whole, place, **words), waiting, demo)
    assert (place / "in").read_bytes() == whole.read_bytes()
    part = max(each["bytes_in"] for each in demo.requests("upload"))
    assert first + sent(demo) <= 24.1 * MIB + part


def test_it_goes_on_with_the_ends_of_its_first_round(demo, task, away, source, place) -> None:
    """Fields are rendered anew after a deferral: a time in one would be another."""
    away()
    looked(task, put(place / "nowhere", place / "other"), deferred(task, put(source, place)), demo)
    assert same(source, place / "in")


def test_downloads_go_on_too(demo, task, away, source, place, tmp_path) -> None:
    task.execute(put(source, place))
    task.forget()
    words = {"source_conn_id": "iri_default", "options": {"parallel": 1}}
    back = IriTransferOperator(
        task_id="task", source=str(place / "in"), target=str(tmp_path / "back"), **words
    )
    away(skip=14)
    looked(task, back, deferred(task, back), demo)
    assert same(source, tmp_path / "back")


def test_what_fails_each_time_at_once_ends_the_try_in_the_end(demo, task, away, source, place) -> None:
    """The facility answers whoever looks, and takes no file."""
    away(on="upload")
    waiting = deferred(task, put(source, place))
    for _ in range(MOST_IDLE - 2):
        with pytest.raises(TaskDeferred) as again:
            task.resume(put(source, place), waiting)
        waiting = again.value
    with pytest.raises(AirflowException, match="is away"):
        task.resume(put(source, place), waiting)
    assert sent(demo) == 0


def test_a_facility_that_never_comes_back_ends_with_the_time_of_the_try(task, away, source, place) -> None:
    away()
    operator = put(source, place, execution_timeout=timedelta(seconds=1))
    waiting = deferred(task, operator)
    with pytest.raises(AirflowTaskTimeout, match=r"before the facility of connection .*is away"):
        task.resume(operator, waiting)


def test_the_time_of_the_try_counts_from_its_first_worker_on(task, away, source, place) -> None:
    away()
    task.ti.start_date = datetime(2026, 1, 1, tzinfo=UTC)
    waiting = deferred(task, put(source, place, execution_timeout=timedelta(hours=1)))
    assert waiting.trigger.deadline == datetime(2026, 1, 1, 1, tzinfo=UTC).timestamp()


def test_a_worker_that_goes_on_has_the_rest_of_the_time_only(demo, task, away, source, place) -> None:
    """Airflow gives each worker of a try all of it."""
    away()
    operator = put(source, place, execution_timeout=timedelta(seconds=90))
    waiting = deferred(task, operator)
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 3600)
    try:
        looked(task, operator, waiting, demo)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= waiting.trigger.deadline - time.time() + 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_what_does_not_pass_fails_as_ever(demo, task, away, source, place) -> None:
    demo.order("status", "upload", status=403, times=None)
    with pytest.raises(AirflowFailException):
        task.begin(put(source, place))


def test_an_outage_fails_a_try_that_is_not_deferrable(task, away, source, place) -> None:
    away()
    with pytest.raises(AirflowException, match="is away"):
        task.begin(put(source, place, deferrable=False))


def test_many_that_wait_look_together(demo, task, away, source, place) -> None:
    away()
    words = [deferred(task, put(source, place)).trigger.serialize()[1]] * 20
    demo.reset_requests()

    async def fire() -> list[Any]:
        waiting = [asyncio.create_task(anext(IriAnswerTrigger(**each).run())) for each in words]
        await asked(demo, 1)
        looks = len(await asyncio.to_thread(demo.requests))
        await asyncio.to_thread(demo.clear_faults)
        await asyncio.gather(*waiting)
        return looks

    assert asyncio.run(fire()) < 10


def test_a_profile_is_looked_at_and_globus_is_not(demo, task, away, monkeypatch, place) -> None:
    monkeypatch.setenv("IRI_FACILITY_OTHER_URL", demo.base_url)
    monkeypatch.setenv("IRI_FACILITY_OTHER_TOKEN", demo.new_token())
    end = End(f"iri://other/{place}")
    assert end.whom == "the facility of profile other"
    assert asyncio.run(look(end)) is None
    away()
    found = asyncio.run(look(end))
    assert found is not None
    assert "is away" in found.why
    assert End("globus://36d521b3/x").whom is None
    assert End("s3://bucket/x", "aws").whom is None


def test_what_is_said_to_be_down_is_looked_at_seldom(demo, away, place) -> None:
    away(on=["stat", "getFile", "getTask"])
    demo.order("maintenance", "*")
    found = asyncio.run(look(End(str(place), "iri_default")))
    assert found is not None
    assert found.down
