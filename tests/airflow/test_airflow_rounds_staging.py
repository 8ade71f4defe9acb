"""A facility goes away while the files of a job are moved: the job is asked for once."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowTaskTimeout, TaskDeferred
from airflow_versions import needs_store
from away_places import FILES, MIB, created, deferred, looked, same, sent

from airflow_provider_iri import IriArrayOperator, IriJobOperator
from airflow_provider_iri.outage_triggers import IriAnswerTrigger


def job(place: Path, script: str, kind: Any = IriJobOperator, **words: Any) -> Any:
    asked = {"executable": "/bin/sh", "arguments": ["-c", script], "directory": str(place)}
    return kind(task_id="task", job=asked, transfer={"parallel": 1}, **words)


def test_staging_in_goes_on_and_the_job_is_asked_for_once(demo, task, away, source, place) -> None:
    def operator() -> Any:
        return job(place, "cat in/* > all; echo once >> ran", stage_in=[[str(source), "in"]])

    away(skip=24)
    waiting = deferred(task, operator())
    first = sent(demo)
    assert MIB < first < FILES * MIB
    assert created(demo) == 0
    with pytest.raises(TaskDeferred) as submitted:
        looked(task, operator(), waiting, demo)
    assert task.resume(operator(), submitted.value)["state"] == "completed"
    assert created(demo) == 1
    assert (place / "ran").read_text() == "once\n"
    assert first + sent(demo) < (FILES + 1) * MIB + 64 * 1024


@needs_store
def test_a_round_is_no_new_try(demo, task, away, source, place) -> None:
    """After a clear, too: the job of before is ended once, the next one is the next generation."""

    def operator() -> Any:
        return job(place, "cat in/* > all; echo once >> ran", stage_in=[[str(source), "in"]])

    task.execute(operator())
    task.ti.max_tries += 1
    (source / "0.dat").write_bytes(os.urandom(MIB))
    demo.reset_requests()
    away(on="upload")
    waiting = deferred(task, operator())
    assert task.store["iri_job"]["generation"] == 1
    demo.clear_faults()
    with pytest.raises(TaskDeferred) as submitted:
        task.resume(operator(), waiting)
    task.resume(operator(), submitted.value)
    assert task.store["iri_job"]["generation"] == 2
    assert (place / "ran").read_text() == "once\nonce\n"


@pytest.mark.parametrize("kind", [IriJobOperator, IriArrayOperator])
def test_staging_out_goes_on_and_no_other_job_is_asked_for(
    demo, task, away, source, place, tmp_path, kind
) -> None:
    def operator() -> Any:
        words = {"inputs": ["a", "b"]} if kind is IriArrayOperator else {}
        out = [["out", str(tmp_path / "out")]]
        return job(place, "echo once >> ran", kind, stage_out=out, **words)

    (place / "out").mkdir()
    for each in source.iterdir():
        (place / "out" / each.name).write_bytes(each.read_bytes())
    with pytest.raises(TaskDeferred) as submitted:
        task.begin(operator())
    away(on="download", skip=2)
    with pytest.raises(TaskDeferred) as waiting:
        task.resume(operator(), submitted.value)
    assert isinstance(waiting.value.trigger, IriAnswerTrigger)
    assert task.noted(left=True)  # a clear meanwhile fetches the rest
    told = dict(task.ti.xcoms["iri_end"])
    demo.clear_faults()
    result = task.resume(operator(), waiting.value)
    assert same(source, tmp_path / "out")
    assert result["state"] == "completed"
    assert task.ti.xcoms["iri_end"] == told
    assert created(demo) == 1
    assert task.noted(left=False)  # and one now means all of it
    if kind is IriArrayOperator:
        assert result["exit_codes"] == [0, 0]


@needs_store
def test_results_that_never_come_end_with_the_time_of_the_try_and_come_by_the_next(
    demo, task, away, place, tmp_path
) -> None:
    def operator() -> Any:
        out = [["ran", str(tmp_path / "out")]]
        return job(place, "echo once >> ran", stage_out=out, execution_timeout=timedelta(seconds=2))

    with pytest.raises(TaskDeferred) as submitted:
        task.begin(operator())
    away(on="download")
    with pytest.raises(TaskDeferred) as waiting:
        task.resume(operator(), submitted.value)
    away()
    with pytest.raises(AirflowTaskTimeout, match="what has arrived stays"):
        task.resume(operator(), waiting.value)
    demo.clear_faults()
    assert task.execute(operator())["state"] == "completed"
    assert (tmp_path / "out").read_text() == "once\n"
    assert created(demo) == 1


def test_an_outage_of_staging_fails_a_try_that_is_not_deferrable(demo, task, away, source, place) -> None:
    away(on="upload")
    with pytest.raises(AirflowException, match="is away"):
        task.begin(job(place, "true", stage_in=[[str(source), "in"]], deferrable=False))
    assert created(demo) == 0
