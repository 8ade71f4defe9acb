"""The audit log: lines that many processes add and none loses, and the hours that are counted in them."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from iri_common import IriError
from iri_common.jobs import audit
from iri_common.jobs.audit import AuditLog
from iri_common.policy.spending import DAY

NOW = datetime(2026, 11, 30, 23, tzinfo=UTC).timestamp()

# Children of one process, forked before any of them has opened anything: a start costs a second each.
CROWD = """
import os, sys
from pathlib import Path
from iri_common.jobs.audit import AuditLog
log = AuditLog(Path(sys.argv[1]), most=20_000)

def crowd(work, count=10):
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            work(number)
            os._exit(0)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in children]
"""


def run(script: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CROWD + script, str(directory)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def hours(log: AuditLog, tag: str, count: float = 1.0, limit: float = 3.0) -> str | None:
    entry = {"act": tag, "fate": "asked", "grant": "portal", "tag": tag, "hours": count}
    return log.reserve(entry, lambda spent: f"{spent:g} spent" if spent + count > limit else None)


# ------------------------------------------------------------------------------------------ one process


def test_a_line_says_who_and_when_and_is_for_nobody_else(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit", Clock())
    log.add({"act": "1", "verb": "submit"})
    log.add({"act": "1", "fate": "done"})
    first, second = log.entries()
    assert first == {**first, "at": NOW, "pid": os.getpid(), "act": "1", "verb": "submit"}
    assert {"user", "host"} <= set(first)
    assert second == {"at": NOW, "act": "1", "fate": "done"}
    (file,) = (tmp_path / "audit").glob("*.jsonl")
    assert file.name == "2026-11.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("variables", "engine"),
    [
        ({}, None),
        ({"AIRFLOW_CTX_TRY_NUMBER": "2"}, None),
        (
            {
                "AIRFLOW_CTX_DAG_ID": "scan",
                "AIRFLOW_CTX_DAG_RUN_ID": "manual__1",
                "AIRFLOW_CTX_TASK_ID": "reconstruct",
                "AIRFLOW_CTX_TRY_NUMBER": "2",
                "AIRFLOW_CTX_DAG_EMAIL": "hunter2",
            },
            {"name": "airflow", "dag": "scan", "run": "manual__1", "task": "reconstruct", "try": "2"},
        ),
        ({"PREFECT__FLOW_RUN_ID": "f-1"}, {"name": "prefect", "flow_run": "f-1"}),
        (
            {"GITHUB_REPOSITORY": "lab/" + "x" * 300, "GITHUB_RUN_ID": "7", "GITHUB_TOKEN": "hunter2"},
            {"name": "github", "repository": "lab/" + "x" * 196, "run": "7"},
        ),
    ],
)
def test_a_line_says_which_run_of_an_engine_asked(tmp_path: Path, monkeypatch, variables, engine) -> None:
    for name in [each for each in os.environ if each.startswith(("AIRFLOW_CTX_", "PREFECT__", "GITHUB_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    log = AuditLog(tmp_path, Clock())
    log.add({"act": "1", "verb": "submit"})
    log.add({"act": "1", "fate": "done"})
    first, second = log.entries()
    assert first.get("engine") == engine
    assert "engine" not in second
    assert "hunter2" not in str(first)


def test_what_was_written_before_a_time_is_not_told(tmp_path: Path) -> None:
    clock = Clock()
    log = AuditLog(tmp_path, clock)
    assert not list(log.entries())
    log.add({"act": "old"})
    clock.now += 10
    log.add({"act": "new"})
    assert [each["act"] for each in log.entries(since=NOW + 5)] == ["new"]


def test_a_line_that_was_torn_costs_no_other(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, Clock())
    log.add({"act": "1"})
    with (tmp_path / "2026-11.jsonl").open("a") as file:
        file.write('{"at": 1, "act": "to')
    log.add({"act": "2"})
    with (tmp_path / "2026-11.jsonl").open("a") as file:
        file.write('[]\n7\n{"act": "no time"}\n\n')
    log.add({"act": "3"})
    assert [each["act"] for each in log.entries()] == ["1", "2", "3"]


def test_a_file_is_followed_by_the_next_and_the_oldest_are_taken_away(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(audit, "KEPT", 4)
    clock = Clock()
    log = AuditLog(tmp_path, clock, most=100)
    for number in range(12):
        log.add({"act": str(number), "padding": "x" * 80})
    assert len(list(log.entries())) == 12  # all of them of this day
    clock.now += 3 * DAY
    log.add({"act": "12", "padding": "x" * 80})
    clock.now += 60
    log.add({"act": "13"})
    assert len(list(tmp_path.glob("*.jsonl"))) == 4
    assert [each["act"] for each in log.entries()][-3:] == ["11", "12", "13"]
    assert (tmp_path / "2026-12.jsonl").exists()


def test_work_goes_on_where_nothing_can_be_written_and_a_warning_says_so_once(tmp_path: Path, caplog) -> None:
    (tmp_path / "file").write_text("")
    log = AuditLog(tmp_path / "file" / "audit")
    with caplog.at_level(logging.WARNING, "iri_common"):
        log.add({"act": "1"})
        log.add({"act": "2"})
    (told,) = [each.getMessage() for each in caplog.records]
    assert "what is done is not written down" in told
    assert "XDG_STATE_HOME" in told
    with pytest.raises(IriError, match="cannot be read"):
        list(log.entries())


def test_a_full_disk_leaves_whole_lines(tmp_path: Path, monkeypatch) -> None:
    log = AuditLog(tmp_path, Clock())
    log.add({"act": "1"})
    whole = os.write

    def half(descriptor: int, content: bytes) -> int:
        return whole(descriptor, content[: len(content) // 2])

    with monkeypatch.context() as full:
        full.setattr(os, "write", half)
        log.add({"act": "2"})
        with pytest.raises(IriError, match=r"the disk is full.*nothing was sent"):
            hours(log, "k-1")
    assert len((tmp_path / "2026-11.jsonl").read_text().splitlines()) == 1
    log.add({"act": "3"})
    assert [each["act"] for each in log.entries()] == ["1", "3"]


def test_hours_that_nobody_can_count_are_not_given(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IriError, match="counted there: nothing was sent"):
        hours(AuditLog(tmp_path / "file" / "audit"), "k-1")


def test_hours_are_given_until_they_are_spent_and_again_when_a_day_is_over(tmp_path: Path) -> None:
    clock = Clock()
    log = AuditLog(tmp_path, clock)
    assert [hours(log, f"k-{number}") for number in range(4)] == [None, None, None, "3 spent"]
    assert hours(log, "k-1") is None  # asked again it is the same
    log.add({"act": "k-2", "fate": "refused", "grant": "portal", "tag": "k-2", "hours": 1.0})
    assert hours(log, "k-5") is None
    assert hours(log, "k-6") == "3 spent"
    clock.now += DAY + 1  # in the next month's file
    assert hours(log, "k-7") is None


def test_hours_that_a_clock_ahead_took_for_old_count_when_it_is_right_again(tmp_path: Path) -> None:
    clock = Clock(NOW - 7 * DAY)  # all in the file of one month
    log = AuditLog(tmp_path, clock)
    assert hours(log, "k-1") is None
    clock.now += DAY - 3600
    assert hours(log, "k-2") is None
    clock.now += 2 * 3600
    assert hours(log, "k-3") is None
    clock.now -= 2 * 3600
    assert hours(log, "k-4") == "3 spent"


def test_hours_are_counted_over_files(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, Clock(), most=50)
    assert [hours(log, f"k-{number}") for number in range(4)] == [None, None, None, "3 spent"]


# -------------------------------------------------------------------------------------- what is read for it


class Counted:
    """Counts the bytes that are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes, self._read = 0, os.pread
        monkeypatch.setattr(os, "pread", self)

    def __call__(self, *words: int) -> bytes:
        content = self._read(*words)
        self.bytes += len(content)
        return content


def test_what_was_counted_is_not_read_again(tmp_path: Path, monkeypatch) -> None:
    log, other = AuditLog(tmp_path, Clock(), most=50_000), AuditLog(tmp_path, Clock(), most=50_000)
    for number in range(500):
        other.add({"act": f"look {number}", "verb": "look"})  # as with audit = "all"
    counted, asks = Counted(monkeypatch), 1000
    for number in range(asks):
        assert hours((log, other)[number % 5 == 0], f"k-{number}", limit=2000.0) is None
    written = sum(each.stat().st_size for each in tmp_path.glob("*.jsonl"))
    files = len(list(tmp_path.glob("*.jsonl")))
    assert files > 3
    # Each of the two reads all of it once, and of each file at each ask by what it is known again.
    assert counted.bytes < 2 * written + asks * (files * 64 + 1)
    assert hours(log, "too much", 1001.0, limit=2000.0) == "1000 spent"


def test_a_file_that_is_no_longer_the_same_is_read_anew(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, Clock())
    assert [hours(log, f"k-{number}") for number in range(2)] == [None, None]
    (file,) = tmp_path.glob("*.jsonl")
    one = file.read_text().splitlines(keepends=True)[1]
    file.write_text(one)  # somebody has cut it
    AuditLog(tmp_path, Clock()).add({"act": "k-9", "verb": "look", "padding": "x" * 500})
    assert hours(log, "k-2") is None
    file.write_text(one.replace("k-1", "k-3") + one * 9)  # and this is another one in its place
    os.utime(file, (NOW, NOW))
    assert hours(log, "k-4") == "3 spent"  # k-2 was gone before it was read


def test_a_line_that_is_being_written_is_counted_when_it_is_whole(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, Clock())
    assert hours(log, "k-1") is None
    (file,) = tmp_path.glob("*.jsonl")
    line = file.read_bytes().replace(b"k-1", b"k-2")
    with file.open("ab") as half:
        half.write(line[:20])
    os.utime(file, (NOW, NOW))
    assert hours(log, "k-0", 9.0) == "1 spent"
    with file.open("ab") as rest:
        rest.write(line[20:])
    os.utime(file, (NOW, NOW))
    assert hours(log, "k-0", 9.0) == "2 spent"


# ----------------------------------------------------------------------------------------- many processes


def test_ten_processes_lose_no_line_and_tear_none(tmp_path: Path) -> None:
    script = """
def work(number):
    for line in range(40):
        log.add({"act": f"{number} {line}", "padding": "x" * (10 * line)})
assert crowd(work) == [0] * 10
"""
    run(script, tmp_path)
    lines = [json.loads(line) for each in tmp_path.glob("*.jsonl") for line in each.read_text().splitlines()]
    assert sorted(each["act"] for each in lines) == sorted(
        f"{one} {two}" for one in range(10) for two in range(40)
    )
    assert len(list(tmp_path.glob("*.jsonl"))) > 2


def test_ten_processes_never_spend_more_than_there_is_also_if_one_is_killed(tmp_path: Path) -> None:
    script = """
import signal
def work(number):
    for ask in range(5):
        tag = f"{number}-{ask}"
        entry = {"act": tag, "fate": "asked", "grant": "portal", "tag": tag, "hours": 1.0}
        given = log.reserve(entry, lambda spent: "spent" if spent + 1.0 > 20.0 else None) is None
        if given:
            os.write(1, b"x")
        if given and number == 3:
            os.kill(os.getpid(), signal.SIGKILL)  # what it was given stays given
assert sorted(crowd(work)) in ([-9, *[0] * 9], [0] * 10)
"""
    assert len(run(script, tmp_path)) == 20
    asked = [each for each in AuditLog(tmp_path).entries() if each["fate"] == "asked"]
    assert len(asked) == 20
