"""The GitHub Action's own steps in bash, as a runner runs them, against a facility that really runs jobs."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from github_actions import ACTION, ROOT, Done, Runner, after, lost

from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=8) as facility:
        yield facility


@pytest.fixture
def work(place: LocalFacility) -> Iterator[Path]:
    """A directory at the facility; no job of another test is there."""
    before = {job["id"] for job in place.jobs()}
    directory = place.home / f"work-{time.monotonic_ns()}"
    directory.mkdir()
    yield directory
    left = [job["id"] for job in place.jobs() if job["id"] not in before and job["state"] in LIVE]
    assert not left, "a job was left running"


LIVE = ("queued", "active", "new", "held")
_run = iter(range(1000, 10**6))


@pytest.fixture
def run_id() -> str:
    """A workflow run of its own, so that no test meets the jobs of another."""
    return str(next(_run))


def given(place: LocalFacility, work: Path, **words: object) -> dict[str, object]:
    return {
        "url": place.base_url,
        "token": place.token,
        "directory": str(work),
        "time": "120",
        **{name.replace("_", "-"): value for name, value in words.items()},
    }


def jobs_of(place: LocalFacility, work: Path) -> list[dict]:
    return [job for job in place.jobs() if job["request"]["directory"] == str(work)]


LONG = "echo $$ >>began; sleep 60"


def no_secret(place: LocalFacility, done: Done) -> bool:
    return all(place.token not in text for text in (done.visible, done.summary, str(done.outputs)))


# --------------------------------------------------------------------------------------- how it ends


def test_a_job_that_succeeds(place: LocalFacility, work: Path, tmp_path: Path, run_id: str) -> None:
    machine = Runner(tmp_path / "a", run_id=run_id)
    done = machine.action(given(place, work, command="echo hello\necho again >&2", name="greeting"))
    assert done.code == 0, done.log
    (job,) = jobs_of(place, work)
    assert done.outputs["state"] == "completed"
    assert done.outputs["exit-code"] == "0"
    assert done.outputs["job-id"] == job["id"]
    assert done.outputs["job"].startswith("iri+job://")
    assert job["name"].startswith("greeting.")
    assert done.commands("error") == done.commands("notice") == []
    assert "### ✅ Job" in done.summary
    assert "hello" in done.summary
    assert "again" in done.summary
    assert re.search(r"^hello$", done.log, re.M), "its last lines are in the log"
    assert no_secret(place, done)


def test_a_job_that_fails(place: LocalFacility, work: Path, tmp_path: Path, run_id: str) -> None:
    command = "echo '::error::I am the workflow now'\necho '::add-mask::e'\necho why it failed >&2\nexit 7"
    done = Runner(tmp_path / "a", run_id=run_id).action(given(place, work, command=command))
    assert done.code == 3
    assert done.outputs["state"] == "failed"
    assert done.outputs["exit-code"] == "7"
    (error,) = done.commands("error")
    assert "exit code 7" in error
    assert "Re-run" in error
    assert done.commands("add-mask") == [place.token], "what a job writes orders nothing"
    assert "### ❌ Job" in done.summary
    assert "why it failed" in done.summary


def test_the_first_line_that_fails_ends_the_command(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    done = Runner(tmp_path / "a", run_id=run_id).action(given(place, work, command="false\ntouch went-on"))
    assert (done.code, done.outputs["exit-code"]) == (3, "1")
    assert not (work / "went-on").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({}, "what to run"),
        ({"command": "x", "nodes": "many"}, "nodes"),
        ({"command": "x", "url": "", "facility": "nowhere"}, "nowhere"),
        ({"command": "x", "token": "wrong-token-of-mine"}, "token"),
        ({"command": "x", "get": "missing-colon"}, "SOURCE:TARGET"),
        ({"command": "x", "resource": "no-such-machine"}, "no-such-machine"),
    ],
)
def test_a_step_that_cannot_work_says_why_and_asks_for_no_job(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str, words: dict, complaint: str
) -> None:
    done = Runner(tmp_path / "a", run_id=run_id).action(given(place, work) | words)
    assert done.code in (2, 8)
    (error,) = done.commands("error")
    assert complaint in error
    assert "Traceback" not in done.log
    assert jobs_of(place, work) == []
    assert "wrong-token-of-mine" not in done.visible


def test_inputs_cannot_end_the_line_they_stand_in(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    nasty = f"$(touch {tmp_path}/here1) `touch {tmp_path}/here2`; touch {tmp_path}/here3 #'\""
    machine = Runner(tmp_path / "a", run_id=run_id, workflow=nasty, job=nasty)
    words = given(place, work, command="printf '%s' \"$NASTY\" >told", env=f"NASTY={nasty}", step=nasty)
    done = machine.action(words, matrix={"part": nasty})
    assert done.code == 0, done.log
    assert (work / "told").read_text() == nasty
    assert not list(tmp_path.glob("here*"))


def test_a_profile_of_the_workflows_environment(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    words = given(place, work, command="true", facility="home", url="", token="")
    env = {"IRI_FACILITY_HOME_URL": place.base_url, "IRI_FACILITY_HOME_TOKEN": place.token}
    done = Runner(tmp_path / "a", run_id=run_id).action(words, env=env)
    assert done.code == 0, done.log
    assert "profile=home" in done.outputs["job"]
    assert "<code>home</code>" in done.summary


def test_a_script_and_files_travel_with_the_job(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    machine = Runner(tmp_path / "a", run_id=run_id)
    (machine.workspace / "sum.py").write_text(
        f"#!{sys.executable}\n#SBATCH --time=2 --nodes=1\nimport pathlib, sys\n"
        "total = sum(map(int, pathlib.Path('numbers').read_text().split()))\n"
        "pathlib.Path(sys.argv[1]).write_text(f'{total} {sys.argv[2]}')\n"
    )
    (machine.workspace / "numbers").write_text("1 2 39")
    words = given(place, work, script="sum.py", arguments="total\ntwo words", time="")
    done = machine.action(words | {"put": "numbers:numbers", "get": "total:./total"})
    assert done.code == 0, done.log
    assert (machine.workspace / "total").read_text() == "42 two words"
    (job,) = jobs_of(place, work)
    assert job["duration"] == 120


@pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="reads command lines where Linux shows them"
)
def test_the_token_is_on_no_command_line(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    lines: list[str] = []

    def look(process) -> None:
        after((work / "began").exists)(process)
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                lines.append(file.read_text(errors="replace"))

    machine = Runner(tmp_path / "a", run_id=run_id)
    done = machine.action(given(place, work, command="echo $$ >>began; sleep 1"), during=look)
    assert done.code == 0, done.log
    assert [line for line in lines if "github" in line and "run" in line], "the step was there"
    assert [line for line in lines if place.token in line] == []


# ---------------------------------------------------------------------------------------------- once


def test_a_re_run_after_a_lost_runner_goes_on_with_the_job(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    words = given(place, work, command="echo $$ >>began; sleep 4; echo done")
    first = Runner(tmp_path / "first", run_id=run_id)
    killed = first.action(
        words, during=after((work / "began").exists, signal.SIGKILL, group=True), then="shut down"
    )
    assert killed.code != 0
    lost(first)
    second = Runner(tmp_path / "second", run_id=run_id, run_attempt="2")
    done = second.action(words)
    assert done.code == 0, done.log
    (job,) = jobs_of(place, work)
    assert done.outputs["job-id"] == job["id"]
    assert len((work / "began").read_text().split()) == 1
    assert "asked for before" in done.commands("notice")[0]


def test_a_re_run_after_a_failure_is_the_next_generation(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    words = given(place, work, command="test -e mended && echo fine")
    first = Runner(tmp_path / "first", run_id=run_id).action(words)
    assert (first.code, first.outputs["state"]) == (3, "failed")
    (work / "mended").touch()
    second = Runner(tmp_path / "second", run_id=run_id, run_attempt="2").action(words)
    assert (second.code, second.outputs["state"]) == (0, "completed"), second.log
    assert [job["name"][-2:] for job in jobs_of(place, work)] in (["-1", "-2"], ["-2", "-1"])
    assert "<code>2</code>" in second.summary
    assert second.outputs["key"] == first.outputs["key"]


def test_a_re_run_after_success_has_its_result_unless_it_says_again(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    words = given(place, work, command="echo $$ >>began")
    for attempt, (again, ran) in enumerate([("false", 1), ("false", 1), ("true", 2)], 1):
        machine = Runner(tmp_path / str(attempt), run_id=run_id, run_attempt=str(attempt))
        done = machine.action(words | {"again": again})
        assert (done.code, done.outputs["state"]) == (0, "completed"), done.log
        assert len((work / "began").read_text().split()) == ran


def test_every_leg_of_a_matrix_and_every_step_has_its_own_job(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    machine = Runner(tmp_path / "a", run_id=run_id)
    words = given(place, work, command="echo $$ >>began")
    ids = [machine.action(words, matrix={"part": part}).outputs["job-id"] for part in (0, 1)]
    machine.github["action"] = "iri_2"
    ids.append(machine.action(words, matrix={"part": 1}).outputs["job-id"])
    assert len(set(ids)) == 3
    assert len((work / "began").read_text().split()) == 3


# -------------------------------------------------------------------------------------------- cancel


def state_of(place: LocalFacility, work: Path) -> str:
    (job,) = jobs_of(place, work)
    return job["state"]


def ends(place: LocalFacility, work: Path) -> str:
    deadline = time.monotonic() + 60
    while state_of(place, work) in LIVE and time.monotonic() < deadline:
        time.sleep(0.1)
    return state_of(place, work)


def test_a_cancelled_workflow_cancels_the_job(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    begun: list[float] = []

    def interrupt(process) -> None:
        after((work / "began").exists, signal.SIGINT)(process)
        begun.append(time.monotonic())
        process.wait(7.5)  # what the runner gives a step before it sends SIGTERM
        begun.append(time.monotonic())

    machine = Runner(tmp_path / "a", run_id=run_id)
    done = machine.action(given(place, work, command=LONG), during=interrupt, then="cancelled")
    assert done.code == 130
    assert begun[1] - begun[0] < 3
    assert ends(place, work) == "canceled"
    assert done.outputs["job-id"], "outputs are set also by a step that was stopped"
    assert done.commands("error") == []
    assert "does not touch the job" in done.commands("warning")[0]
    assert "The job was cancelled, as the workflow was." in done.summary
    assert no_secret(place, done)


def test_a_runner_that_is_shut_down_leaves_the_job_to_the_re_run(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    words = given(place, work, command="echo $$ >>began; until [ -e left ]; do sleep 0.1; done")
    stop = after((work / "began").exists, signal.SIGINT)
    first = Runner(tmp_path / "first", run_id=run_id).action(words, during=stop, then="shut down")
    assert first.code == 130
    assert state_of(place, work) == "active"
    (work / "left").touch()
    second = Runner(tmp_path / "second", run_id=run_id, run_attempt="2").action(words)
    assert second.code == 0, second.log
    assert second.outputs["job-id"] == first.outputs["job-id"]


def test_a_job_is_cancelled_although_its_step_was_killed(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    machine = Runner(tmp_path / "a", run_id=run_id)
    kill = after((work / "began").exists, signal.SIGKILL, group=True)
    machine.action(given(place, work, command=LONG), during=kill, then="cancelled")
    assert ends(place, work) == "canceled"


def test_a_workflow_may_be_cancelled_before_it_asked_for_anything(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    words = given(place, work, command="true", nodes="many")
    done = Runner(tmp_path / "a", run_id=run_id).action(words, then="cancelled")
    assert len(done.commands("error")) == 1
    assert "was cancelled" in done.summary
    assert "Traceback" not in done.log


def test_a_workflow_may_leave_its_job_when_it_is_cancelled(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    machine = Runner(tmp_path / "a", run_id=run_id)
    stop = after((work / "began").exists, signal.SIGINT)
    words = given(place, work, command="echo $$ >>began; sleep 3", cancel=False)
    machine.action(words, during=stop, then="cancelled")
    assert ends(place, work) == "completed"


def test_a_wait_that_is_over_leaves_the_job(
    place: LocalFacility, work: Path, tmp_path: Path, run_id: str
) -> None:
    words = given(place, work, command="echo $$ >>began; sleep 4", timeout="1")
    done = Runner(tmp_path / "a", run_id=run_id).action(words)
    assert done.code == 7
    assert "goes on with the job" in done.commands("error")[0]
    assert ends(place, work) == "completed"


# --------------------------------------------------------------------------------------- the install


def test_the_action_installs_once_and_apart(tmp_path: Path) -> None:
    machine = Runner(tmp_path / "a")
    lost_environment = next(machine.temp.glob("iri-*"))
    (lost_environment / "bin/iri").unlink()
    fake = tmp_path / "python"
    fake.write_text(
        '#!/bin/sh\necho "$0 $*" >>"$RUNNER_TEMP/asked"\n'
        'mkdir -p "$3/bin" && ln -s "$0" "$3/bin/python"\n'
        'case "$*" in *"pip install"*) touch "$(dirname "$0")/iri"; chmod +x "$(dirname "$0")/iri" ;; esac\n'
    )
    fake.chmod(0o755)
    step = ACTION["runs"]["steps"][0]
    for _ in range(2):
        done = machine.bash(step["run"], {"INPUT_PYTHON": str(fake)})
        assert done.code == 0, done.log
        assert Path(done.outputs["iri"]) == lost_environment / "bin/iri"
    asked = (machine.temp / "asked").read_text().splitlines()
    assert len(asked) == 2, "once for both"
    assert asked[0].endswith(f"-m venv {lost_environment}")
    assert asked[1].endswith(f"--constraint {ROOT}/constraints.txt {ROOT}/iri_common[cli]")
