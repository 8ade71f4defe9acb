"""What a job writes in the log of its task: each line once, over triggerers that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout, TaskDeferred
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iri import IriHook, IriJobOperator, output
from airflow_provider_iri.output import JobOutput, Line, Lines
from iri_common import LogChunk


def job(script: str) -> dict[str, Any]:
    return {"executable": "/bin/sh", "arguments": ["-c", script], "name": f"t{uuid.uuid4().hex[:8]}"}


def operator(words: dict[str, Any], **more: Any) -> IriJobOperator:
    return IriJobOperator(task_id="task", job=words, follow=True, **more)


class Shelf(dict[str, int]):
    """A bookmark in memory."""

    async def read(self) -> Mapping[str, int]:
        return self

    async def write(self, offsets: Mapping[str, int], told: int) -> None:
        self.update(offsets)


class Broken:
    """One that Airflow does not keep."""

    async def read(self) -> Mapping[str, int]:
        raise RuntimeError("no answer")

    async def write(self, offsets: Mapping[str, int], told: int) -> None:
        raise RuntimeError("no answer")


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


# -- lines ----------------------------------------------------------------------------------------------


@given(st.lists(st.text("aé\n\ufffd", min_size=1, max_size=6), max_size=8), st.integers(0, 8))
def test_every_line_is_told_once_whoever_goes_on(pieces: list[str], restart: int) -> None:
    text = "".join(pieces)
    content, told = text.encode(), list[str]()
    lines, end = Lines(), 0
    for number, piece in enumerate(pieces):
        if number == restart:  # what a triggerer had begun and not told is read again by the next one
            lines = Lines(lines.offset)
            piece = content[lines.offset : end].decode() + piece
        end += len(pieces[number].encode())
        told += texts(lines.take(LogChunk("stdout", piece, end)))
    told += texts(lines.last())
    assert lines.offset == end
    # Where a line holds bytes that are no text it may be told in pieces, none of it twice and none left out.
    assert "".join(told) == text.replace("\n", "")
    if "\ufffd" not in text:
        assert told == text.removesuffix("\n").split("\n") or not text


def test_a_stream_that_begins_anew_is_told_from_its_beginning() -> None:
    lines = Lines()
    assert lines.take(LogChunk("stdout", "one\ntw", 6)) == [("one", 4)]
    assert lines.take(LogChunk("stdout", "", 0)) == [("tw", 0), ("(all begins anew)", 0)]
    assert lines.offset == 0
    assert lines.take(LogChunk("stdout", "one\r\n", 5)) == [("one", 5)]
    assert lines.offset == 5


def test_a_line_without_an_end_is_told_in_pieces(monkeypatch) -> None:
    monkeypatch.setattr(output, "LONGEST", 3)
    lines = Lines()
    assert texts(lines.take(LogChunk("stdout", "....", 4))) == ["...."]
    assert lines.take(LogChunk("stdout", "..", 6)) == []
    assert lines.offset == 4


# -- jobs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deferrable", [True, False])
def test_what_a_job_writes_is_told_while_it_runs(demo, task, capsys, deferrable: bool) -> None:
    words = job("echo one; echo two >&2; printf three")
    assert task.execute(operator(words, deferrable=deferrable))["state"] == "completed"
    said = capsys.readouterr().out
    assert [said.count(each) for each in ("[stdout] one", "[stderr] two", "[stdout] three")] == [1, 1, 1]
    assert "the last lines of the job's stdout" not in said


def test_whoever_goes_on_tells_what_is_new(demo, task, caplog, wait_until) -> None:
    script = "echo one; echo two; until test -e go; do sleep 0.1; done; echo three"
    (demo.scratch / (name := uuid.uuid4().hex)).mkdir()
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator({**job(script), "directory": str(demo.scratch / name)}))
    ref, shelf, log = deferred.value.trigger.ref, Shelf(), logging.getLogger("told")
    caplog.set_level("INFO")

    async def follow() -> None:
        facility = (await IriHook().open()).aio
        first = asyncio.create_task(JobOutput(ref, log, shelf).tell(facility))
        await asyncio.to_thread(wait_until, lambda: shelf.get("stdout") == len("one\ntwo\n"), 60)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first
        (demo.scratch / name / "go").touch()
        second = JobOutput(ref, log, shelf)
        assert (await second.beside(facility, facility.jobs.wait(ref))).succeeded
        assert second.complete

    asyncio.run(follow())
    assert [each.getMessage() for each in caplog.records if each.name == "told"] == [
        "[stdout] one",
        "[stdout] two",
        "[stdout] three",
    ]


def test_a_triggerer_that_would_die_of_it_is_not_asked_to_keep_anything(
    demo, task, capsys, monkeypatch
) -> None:
    """Airflow 3.2.0: "Response read out of order", and all of its triggers are gone."""
    from airflow.triggers.base import BaseTrigger

    monkeypatch.delattr(BaseTrigger, "on_kill", raising=False)
    monkeypatch.setattr(output, "TriggerBookmark", None)  # not to be called
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(job("echo one")))
    monkeypatch.setattr(type(deferred.value.trigger), "task_instance", task.ti, raising=False)
    assert task.resume(operator(job("echo one")), deferred.value)["state"] == "completed"
    assert "[stdout] one" in capsys.readouterr().out


async def test_what_airflow_does_not_keep_is_told_all_the_same(demo, task, caplog) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(job("echo one; echo two")))
    caplog.set_level("INFO")
    facility, ref = (await IriHook().open()).aio, deferred.value.trigger.ref
    told = JobOutput(ref, logging.getLogger("told"), Broken())
    assert (await told.beside(facility, facility.jobs.wait(ref))).succeeded
    said = [each.getMessage() for each in caplog.records if each.name == "told"]
    assert [each for each in said if each.startswith("[")] == ["[stdout] one", "[stdout] two"]
    assert sum("no answer" in each for each in said) == 2  # to read, and once to keep


def test_output_that_cannot_be_followed_is_no_trouble_of_the_job(demo, task, capsys, monkeypatch) -> None:
    def unreadable(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(type(IriHook().facility.aio.jobs), "follow", unreadable)
    assert task.execute(operator(job("echo one")))["state"] == "completed"
    said = capsys.readouterr().out
    assert "what the job writes is not told any more: a defect" in said
    assert "the last lines of the job's stdout:\none" in said


def test_a_log_is_no_place_for_megabytes(demo, task, capsys, monkeypatch) -> None:
    monkeypatch.setattr(output, "MOST", 1000)
    assert task.execute(operator(job("seq 1000"), tail_lines=1))["state"] == "completed"
    said = capsys.readouterr().out
    assert "the job's stdout is longer than 1000 bytes" in said
    assert "the last lines of the job's stdout:\n1000" in said


def test_a_job_that_is_followed_has_its_time_as_well(demo, task) -> None:
    words = job("echo one; sleep 60")
    followed = operator(words, run_limit=timedelta(seconds=1))
    with pytest.raises(AirflowTaskTimeout):
        task.execute(followed)
    (ran,) = [each for each in demo.jobs() if each["name"].startswith(words["name"])]
    assert ran["state"] == "canceled"


async def test_the_end_of_a_worker_s_time_in_the_midst_of_telling_ends_the_wait(monkeypatch) -> None:
    """Airflow raises it wherever the process is, be it in the other of the two tasks of its loop."""

    async def over(*_: Any) -> None:
        raise AirflowTaskTimeout

    monkeypatch.setattr(JobOutput, "tell", over)
    waiting = asyncio.create_task(asyncio.sleep(600))
    with pytest.raises(AirflowTaskTimeout):
        await JobOutput("", logging.getLogger("told")).beside(None, asyncio.wait_for(waiting, None))
    assert waiting.cancelled()
