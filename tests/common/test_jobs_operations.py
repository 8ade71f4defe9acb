"""Operations that take their time, and the last lines of a job's output."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from jobs_world import ScriptedDialect, Tasks, ref, seconds, timeless

from iri_common import AuthError, FacilityTask, JobKey, NotFound, Refused, Unreachable, WaitTimeout
from iri_common.apis.superfacility.rules import TASK_SECONDS
from iri_common.jobs.operations import Patience, settled
from iri_common.jobs.output import last_words, tail
from iri_common.model.files import FileText
from iri_common.model.outcome import Done, Pending


def pending(task_id: str = "t", read=lambda result: result) -> Pending:
    return Pending(task_id, "checksum", read)


def settle(answer, *looks, patience: Patience | None = None):
    tasks = Tasks()
    tasks.looks["t"] = list(looks)

    async def wait():
        value = await settled(answer, tasks, patience)
        return value, tasks.asked, seconds()

    return timeless(wait)


def test_what_is_done_costs_no_look() -> None:
    assert settle(Done(7)) == (7, 0, 0.0)


def test_what_is_pending_is_looked_at_until_it_is_done() -> None:
    value, looks, _ = settle(pending(read=int), None, None, "7")
    assert (value, looks) == (7, 3)


def test_the_pauses_grow_up_to_the_longest() -> None:
    _, looks, took = settle(
        pending(), *[None] * 9, "end", patience=Patience(first=1, growth=2, longest=5, total=1e9)
    )
    assert (looks, took) == (10, 1 + 2 + 4 + 7 * 5)


class Slow:
    """Operations that take their time; counts the looks."""

    def __init__(self, took: float) -> None:
        self.took, self.looks, self.begun = took, 0, 0.0

    def begin(self, soonest: float) -> Pending[None]:
        self.looks, self.begun = 0, seconds()
        return Pending("t", "submit_job", lambda _: None, soonest)

    async def check(self, pending):
        self.looks += 1
        return Done(None) if seconds() >= self.begun + self.took else pending


def looks_at(took: float, *, soonest: float = 0.0, times: int = 20) -> tuple[int, int, float]:
    """The looks that the first of some operations costs, the most that a later one does, and its delay."""

    async def wait():
        slow, told = Slow(took), []
        for _ in range(times):
            await settled(slow.begin(soonest), slow)
            told.append((slow.looks, seconds() - slow.begun - took))
        return told[0][0], max(looks for looks, _ in told[1:]), max(late for _, late in told[1:])

    return timeless(wait)


@pytest.mark.parametrize("took", [0.02, 0.1, 0.5, 1.0, 2.2, 3.0, 3.5])
def test_what_one_operation_took_tells_when_to_look_at_the_next(took: float) -> None:
    _, looks, late = looks_at(took)
    assert looks <= 2
    assert late <= max(0.1, 0.6 * took)


def test_a_task_of_seconds_is_looked_at_after_a_while() -> None:
    assert looks_at(3.0, soonest=TASK_SECONDS)[0] <= 4 < looks_at(3.0)[0]


def test_an_operation_that_took_an_hour_tells_of_no_pause_beyond_the_longest() -> None:
    async def wait():
        slow = Slow(3600.0)
        await settled(slow.begin(0.0), slow, Patience(total=1e9))
        slow.took = 0.0
        await settled(slow.begin(0.0), slow)
        return seconds() - slow.begun

    assert timeless(wait) <= Patience().longest


def test_its_failure_is_raised() -> None:
    with pytest.raises(Refused):
        settle(pending(), None, Refused("no"))


def test_patience_has_an_end_and_says_what_goes_on(monkeypatch) -> None:
    with pytest.raises(WaitTimeout, match=r"still works on checksum after 0 s .its task t."):
        settle(pending(), *[None] * 5, patience=Patience(total=0.05))


def test_an_end_of_patience_says_what_to_wait_for_again() -> None:
    with pytest.raises(WaitTimeout) as late:
        settle(pending(), patience=Patience.of(0.0))
    assert late.value.task == FacilityTask("t", "checksum")


@pytest.mark.parametrize(
    ("timeout", "patience"),
    [
        (0.0, Patience(total=0.0)),
        (300.0, Patience()),
        (301.0, Patience(longest=30.0, total=301.0)),
        (None, Patience(longest=30.0, total=math.inf)),
    ],
)
def test_who_waits_for_long_looks_seldom(timeout: float | None, patience: Patience) -> None:
    assert Patience.of(timeout) == patience


class Output:
    """A dialect's jobs and files in one, with what a test wants them to tell."""

    def __init__(self, paths=None, content="last words\n") -> None:
        self.paths, self.content, self.asked = paths, content, []

    async def output_paths(self, resource_id, job_id):
        if isinstance(self.paths, Exception):
            raise self.paths
        return Done(self.paths or {})

    async def tail(self, resource_id, path, *, lines):
        self.asked.append((resource_id, path, lines))
        if isinstance(self.content, Exception):
            raise self.content
        return Done(FileText(self.content))


def read_tail(output: Output, stream="stderr", file_system="files", job=None, grade="direct") -> str:
    dialect = ScriptedDialect(output, output)
    dialect.grades = replace(dialect.grades, files=grade)
    return timeless(lambda: tail(dialect, job or ref("42"), file_system, stream, 20))


def test_the_last_lines() -> None:
    output = Output({"stderr": "/home/a/job.err"})
    assert read_tail(output) == "last words\n"
    assert output.asked == [("files", "/home/a/job.err", 20)]


def test_the_facility_may_take_its_time_for_them() -> None:
    output = Output({"stderr": "/home/a/job.err"})
    dialect = ScriptedDialect(output, SimpleNamespace(tail=lambda *args, **kwargs: later()))
    dialect.operations.looks["t"] = [None, FileText("slow words")]

    async def later():
        return pending()

    assert timeless(lambda: tail(dialect, ref("42"), "files", "stderr", 3)) == "slow words"


@pytest.mark.parametrize(
    "case",
    [
        {"output": Output({})},
        {"output": Output({"stdout": "/only/this"})},
        {"output": Output({"stderr": "/e"}), "file_system": None},
        {"output": Output({"stderr": "/e"}), "grade": "none"},
        {"output": Output({"stderr": "/e"}), "job": ref("", JobKey.of("unsent"))},
        {"output": Output(Unreachable("no answer"))},
        {"output": Output({"stderr": "/e"}, NotFound("no such file"))},
        {"output": Output({"stderr": "/e"}, AuthError("refused"))},
    ],
    ids=["no path", "other path", "no files", "no files there", "no id", "away", "no file", "refused"],
)
def test_no_text_is_no_error(case, caplog) -> None:
    caplog.set_level(logging.INFO)
    assert read_tail(**case) == ""


def read_words(output: Output, *jobs: str) -> list[tuple[str, str]]:
    dialect = ScriptedDialect(output, output)
    refs = [ref(each) for each in jobs]
    return [tuple(each) for each in timeless(lambda: last_words(dialect, refs, "files", 20))]


BOTH = {"stderr": "/e", "stdout": "/o"}


@pytest.mark.parametrize(
    ("paths", "content", "words", "files"),
    [
        (BOTH, "why\n", ("stderr", "why\n"), ["/e", "/e"]),
        (BOTH, "\n", ("stderr", ""), ["/e", "/o", "/e", "/o"]),
        ({"stderr": "/o", "stdout": "/o"}, "", ("stderr", ""), ["/o", "/o"]),
        ({"stdout": "/o"}, "why", ("stdout", "why"), ["/o", "/o"]),
        (BOTH, NotFound("no such file"), ("stderr", ""), ["/e", "/o", "/e", "/o"]),
        (BOTH, Unreachable("no answer"), ("stderr", ""), ["/e"]),
        (BOTH, AuthError("refused"), ("stderr", ""), ["/e"]),
    ],
    ids=["stderr", "neither", "one file", "stdout", "no file", "away", "refused"],
)
def test_who_wrote_nothing_is_asked_no_more_than_needed(paths, content, words, files) -> None:
    output = Output(paths, content)
    assert read_words(output, "42", "43") == [words, words]
    assert [path for _, path, _ in output.asked] == files
