"""``iri audit``: what was done, as a person and as a program read it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iri_common import UsageError
from iri_common.cli import auditing
from iri_common.cli.auditing import show
from iri_common.cli.speak import Screen
from iri_common.jobs.audit import AuditLog

KEY = "airflow/scan/run%201/reconstruct/-1.1"


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AuditLog:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")  # what runs the tests may have said 80
    now = time.time()
    log = AuditLog(clock=lambda: now)
    job = {"spec": {"name": "simulate", "nodes": 2, "seconds": 5400}, "tag": "t-1", "hours": 3.0}
    log.add({"act": "1", "fate": "asked", "profile": "portal", "verb": "submit", "key": KEY, **job})
    log.add({"act": "1", "fate": "done", "tag": "t-1", "hours": 3.0, "job": "42"})
    log.add(
        {
            "act": "2",
            "fate": "asked",
            "profile": "portal",
            "verb": "write",
            "operation": "transfer",
            "paths": ["/a"],
        }
    )
    log.add({"act": "2", "fate": "done", "files": 1, "bytes": 2048, "road": "direct"})
    log.add(
        {
            "act": "3",
            "fate": "denied",
            "facility": "lab",
            "verb": "delete",
            "operation": "files rm",
            "why": "no \x1b[31m",
        }
    )
    log.add(
        {
            "act": "4",
            "fate": "asked",
            "facility": "lab",
            "verb": "cancel",
            "operation": "jobs cancel",
            "job": "42",
            "key": "once/x.1",
        }
    )
    return log


def said(capsys: pytest.CaptureFixture[str], *words: str | None, as_json: bool = False) -> tuple[str, str]:
    since, profile, verb, key = (*words, *(None,) * 4)[:4]
    assert show(Screen(as_json), since or "7d", profile, verb, key) == 0
    return tuple(capsys.readouterr())


def test_a_person_sees_what_was_done_for_whom_and_what_came_of_it(capsys) -> None:
    out, err = said(capsys)
    lines = [" ".join(line.split()[2:]) for line in out.splitlines()[1:] if line[0] != " "]
    assert lines == [
        "portal submit done simulate 2 nodes 1h 30m = 3 node hours as job 42",
        "portal write done /a (1 file, 2 KiB, direct)",
        "lab delete denied no \N{REPLACEMENT CHARACTER}[31m",
        "lab cancel asked job 42",
    ]
    assert f"for {KEY}" in out
    assert "once/" not in out
    assert err.startswith("4 acts since ")


@pytest.mark.parametrize(
    ("words", "acts"),
    [
        ((None, "portal"), ["1", "2"]),
        ((None, "lab"), ["3", "4"]),
        ((None, None, "delete"), ["3"]),
        ((None, None, None, "airflow/scan/run 1/reconstruct/-1"), ["1"]),
        (("2026-01-01",), ["1", "2", "3", "4"]),
        (("2999-01-01T12:00",), []),
    ],
)
def test_only_what_was_asked_for_is_shown(capsys, words, acts) -> None:
    document = json.loads(said(capsys, *words, as_json=True)[0])
    assert [each["act"] for each in document["acts"]] == acts


def test_a_program_reads_one_entry_an_act(capsys) -> None:
    first = json.loads(said(capsys, as_json=True)[0])["acts"][0]
    assert first == {**first, "fate": "done", "job": "42", "key": KEY, "hours": 3.0, "took": 0.0}


def test_eighty_columns_are_enough(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = said(capsys)[0]
    assert max(map(len, out.splitlines())) <= 80
    assert "as job 42" in " ".join(out.split())


def test_one_door_is_told_once(capsys) -> None:
    out, err = said(capsys, None, "portal")
    assert "PROFILE" not in out
    assert err.startswith("2 acts at portal since ")


def test_no_act_is_no_table(capsys) -> None:
    assert said(capsys, "2999-01-01") == ("", said(capsys, "2999-01-01")[1])


@pytest.mark.parametrize(
    ("since", "verb", "told"), [("soon", None, "--since is a time"), ("7d", "fly", "--verb is one")]
)
def test_what_makes_no_sense_is_refused(since, verb, told) -> None:
    with pytest.raises(UsageError, match=told):
        show(Screen(), since, None, verb, None)


def test_the_times_that_can_be_said() -> None:
    assert [auditing._moment(text, 1e6) for text in ("90m", "12h", "7d")] == [
        1e6 - 5400,
        1e6 - 43200,
        1e6 - 604800,
    ]


def test_it_is_a_command() -> None:
    command = Path(sys.executable).with_name("iri")
    done = subprocess.run([command, "audit", "--json"], capture_output=True, text=True, check=True)
    assert len(json.loads(done.stdout)["acts"]) == 4


def test_who_asked_without_a_key_is_told_by_the_run_of_its_engine(log: AuditLog, capsys) -> None:
    run = {"name": "airflow", "dag": "scan", "run": "manual__1", "task": "fetch", "try": "2"}
    act = {"act": "5", "fate": "asked", "profile": "globus", "verb": "submit", "operation": "flows start"}
    log.add({**act, "resource": "f-1", "engine": run, "user": "ana", "host": "portal"})
    log.add({"act": "5", "fate": "done", "task": "r-7"})
    out = " ".join(said(capsys, None, "globus")[0].split())
    assert "flows start f-1 as r-7 for airflow/scan/manual__1/fetch/2, ana@portal" in out
