"""The ``iri`` command before a facility that really runs jobs: what it prints, sends and brings back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_shell import Shell, job_of, launched

from iri_common import JobKey, JobRef
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=16) as facility:
        yield facility


# ------------------------------------------------------------------------------------------ run, submit


def test_run_shows_what_a_job_wrote_and_how_it_went(iri: Shell) -> None:
    said = iri("run", "sh", "-c", "echo to out; echo to err >&2")
    assert (said.code, said.out) == (0, "to out\n")
    lines = said.err.splitlines()
    assert lines[0].endswith("at place: submitted")
    assert lines[-2:] == ["      0s  completed, exit code 0", "to err"] or lines[-1] == "to err"


def test_run_takes_the_job_s_options_for_the_job_s(iri: Shell) -> None:
    assert iri("run", "echo", "-f", "--json").out == "-f --json\n"
    assert iri("run", "--", "echo", "--", "x").out == "-- x\n"


def test_run_of_a_failed_job(iri: Shell) -> None:
    assert iri("run", "sh", "-c", "exit 5").code == 3
    assert iri("run", "--propagate", "sh", "-c", "exit 5").code == 5


def test_run_tells_a_program_everything(iri: Shell, place: LocalFacility) -> None:
    said = iri("run", "--json", "--key", "ci/7", "sh", "-c", "echo out; echo err >&2; exit 5")
    told = said.document
    assert said.code == told["exit"] == 3
    ref = JobRef.parse(told["ref"])
    assert (
        told.items()
        >= {
            "ok": False,
            "job_id": ref.job_id,
            "key": "ci/7",
            "generation": 1,
            "facility": "place",
            "step": "submit",
            "state": "failed",
            "succeeded": False,
            "exit_code": 5,
            "reason": "exit_code",
            "stdout": "out\n",
            "stderr": "err\n",
            "principal": place.user,
            "owner": place.user,
            "owner_because": None,
        }.items()
    )
    assert job_of(place, told["ref"])["exit_code"] == 5
    assert "failed, exit code 5" in said.err  # words go on, beside the document


def test_the_same_key_is_the_same_job_until_it_failed(iri: Shell, place: LocalFacility) -> None:
    first = iri("run", "--json", "--key", "k/1", "true").document
    again = iri("run", "--json", "--key", "k/1", "true").document
    assert (again["job_id"], again["step"]) == (first["job_id"], "attach")
    assert launched(place) == 1
    replaced = iri("run", "--json", "--key", "k/1", "--again", "true").document
    assert (replaced["step"], replaced["generation"]) == ("replace", 2)
    failed = iri("run", "--json", "--key", "k/2", "false").document
    raised = iri("run", "--json", "--key", "k/2", "false").document
    assert (raised["step"], raised["generation"]) == ("raise", failed["generation"] + 1)


def test_submit_prints_the_reference_alone(iri: Shell) -> None:
    said = iri("submit", "--name", "water", "sleep", "0.2")
    assert JobRef.parse(said.out.strip()).job_id
    assert "a double of this job would end itself, and the facility knows an ask again" in said.err
    assert iri("wait", said.out.strip()).code == 0
    told = iri("submit", "--json", "true").document
    assert (told["ok"], told["state"]) == (True, None)
    assert (told["grades"]["settle"], told["grades"]["guard"]) == ("native", "lock")
    bare = iri("submit", "--json", "--no-guard", "true").document
    assert (bare["grades"]["guard"], bare["grades"]["journal"]) == ("none", "no")
    assert iri("jobs", "--json").document["grades"] == told["grades"]
    assert iri("wait", "--json", told["ref"]).document["jobs"][0]["state"] == "completed"


def test_several_jobs_are_waited_for_and_the_failed_one_gives_the_code(iri: Shell) -> None:
    refs = [iri("submit", "sh", "-c", f"exit {code}").out.strip() for code in (0, 7, 0)]
    said = iri("wait", "--json", *refs)
    assert said.code == 3
    assert [each["exit_code"] for each in said.document["jobs"]] == [0, 7, 0]
    assert iri("wait", refs[0], refs[2]).code == 0
    assert iri("wait").code == iri("wait", "--key", "x", refs[0]).code == 2
    assert iri("wait", "--key", "never/asked").code == 10


def test_a_script_runs_with_its_directives(iri: Shell, place: LocalFacility, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text('#!/bin/bash\n#SBATCH -J lifted -t 2 -q debug\necho "$0 $1 from ${BASH_VERSION%%.*}"\n')
    told = iri("run", "--json", "--script", str(script), "one").document
    assert told["stdout"].startswith("job.sh one from ")
    job = job_of(place, told["ref"])
    assert job["name"].startswith("lifted.")
    (request,) = place.requests("launchJob")
    assert request["status"] == 200
    script.write_text("#!/bin/bash\n#SBATCH --mail-user=a@b\ntrue\n")
    refused = iri("run", "--script", str(script))
    assert refused.code == 2
    assert "job.sh, line 2: #SBATCH --mail-user=a@b" in refused.err
    assert launched(place) == 1


def test_files_go_up_before_and_down_after(iri: Shell, place: LocalFacility, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("words\n")
    told = iri(
        "run", "--json", "--put", "in.txt:moved/", "--get", "moved/out.txt:got.txt", "--",
        "sh", "-c", "tr a-z A-Z <moved/in.txt >moved/out.txt",
    ).document  # fmt: skip
    assert (tmp_path / "got.txt").read_text() == "WORDS\n"
    assert told["put"] == [{"source": "in.txt", "target": f"{place.scratch}/moved/in.txt"}]
    assert told["got"] == [{"source": f"{place.scratch}/moved/out.txt", "target": "got.txt"}]


def test_a_result_that_is_not_there(iri: Shell) -> None:
    missing = iri("run", "--json", "--get", "nothing.txt:.", "true")
    assert (missing.code, missing.document["error"]["kind"]) == (10, "NotFound")
    assert missing.document["state"] == "completed"
    failed = iri("run", "--json", "--get", "nothing.txt:.", "false")
    assert (failed.code, failed.document["got"]) == (3, [])
    assert "nothing.txt is not there" in failed.err


# ---------------------------------------------------------------------------------------------- dry run


def test_a_dry_run_sends_nothing_and_shows_no_secret(iri: Shell, place: LocalFacility, monkeypatch) -> None:
    monkeypatch.setenv("HIDDEN", "hunter2")
    words = ["run", "--dry-run", "--key", "a/b", "--env", "HIDDEN", "--time", "60", "echo", "hi"]
    shown = iri(*words)
    told = iri(words[0], "--json", *words[1:])
    assert shown.code == told.code == 0
    for each in (shown, told):
        assert "hunter2" not in each.out + each.err
        assert place.token not in each.out + each.err
    assert set(place.summary()) <= {"getResources"}
    body = told.document["request"]["body"]
    assert body["environment"] == {"HIDDEN": "********"}
    assert body["attributes"] == {"duration": 60}
    assert told.document["script"] in body["arguments"]
    assert told.document["request"]["headers"]["Authorization"] == "Bearer ********"
    assert "<the script, below>" in shown.out
    assert "Nothing was sent." in shown.err
    plain = iri("run", "--json", "--dry-run", "--no-guard", "echo", "hi").document
    assert (plain["script"], plain["request"]["body"]["executable"]) == ("", "echo")


def test_what_a_dry_run_shows_is_what_is_sent(iri: Shell, place: LocalFacility) -> None:
    words = ["--json", "--key", "same/again", "--name", "water", "echo", "hi"]
    shown = iri("run", "--dry-run", *words).document
    ran = iri("run", *words).document
    assert job_of(place, ran["ref"])["name"] == shown["name"] == shown["request"]["body"]["name"]
    assert ran["resource_id"] == shown["resource_id"]


# --------------------------------------------------------------------------------- wait, logs, cancel, …


def test_logs_wait_and_cancel_by_reference_and_by_key(iri: Shell, place: LocalFacility) -> None:
    ref = iri("submit", "--key", "tend/1", "sh", "-c", "seq 30; seq 5 >&2; sleep 60").out.strip()
    deadline = time.monotonic() + 60
    while iri("logs", ref).out.splitlines() != [str(n) for n in range(11, 31)]:
        assert time.monotonic() < deadline
    assert iri("logs", "--key", "tend/1", "-n", "2").out == "29\n30\n"
    assert iri("logs", "--stderr", "-n", "1", ref).out == "5\n"
    assert iri("logs", "--json", "-n", "1", ref).document["text"] == "30\n"
    late = iri("wait", "--timeout", "1", ref)
    assert late.code == 7
    assert iri("cancel", ref).code == 0
    said = iri("wait", "--key", "tend/1")
    assert said.code == 4
    assert job_of(place, ref)["state"] == "canceled"


def test_cancel_by_key(iri: Shell, place: LocalFacility) -> None:
    ref = iri("submit", "--key", "tend/2", "sleep", "60").out.strip()
    assert iri("cancel", "--json", "--key", "tend/2").document["canceled"] == [{"key": "tend/2"}]
    assert iri("wait", ref).code == 4


def test_jobs_lists_live_ones_and_all_and_orphans(iri: Shell, tmp_path: Path, monkeypatch) -> None:
    iri("run", "--key", "list/ended", "true")
    iri("run", "--key", "list/twice", "false")
    iri("run", "--key", "list/twice", "false")
    ref = iri("submit", "--key", "list/live", "sleep", "60").out.strip()
    mine = [each for each in iri("jobs", "--json").document["jobs"] if not each["orphan"]]
    assert [(each["key"], each["ref"]) for each in mine] == [("list/live", ref)]
    every = iri("jobs", "--all", "--json").document["jobs"]
    known = {(each["key"], each["generation"], each["state"]) for each in every if not each["orphan"]}
    assert known >= {
        ("list/ended", 1, "completed"),
        ("list/twice", 1, "failed"),
        ("list/twice", 2, "failed"),
    }
    shown = iri("jobs", "--all").out
    assert "completed (0)" in shown
    assert "list/ended" in shown
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "lost"))
    lost = iri("jobs")
    assert "(orphan)" in lost.out
    assert "iri adopt JOB --key" in lost.err
    job_id = JobRef.parse(ref).job_id
    adopted = iri("adopt", str(job_id), "--key", "list/mine")
    assert JobRef.parse(adopted.out.strip()).job_id == job_id
    iri("cancel", adopted.out.strip())
    assert iri("wait", "--key", "list/mine").code == 4


def test_clean_removes_what_ended_jobs_left(iri: Shell, place: LocalFacility) -> None:
    iri("run", "--key", "clean/1", "true")
    left = place.scratch / ".iri" / JobKey.of("clean", "1").digest
    would = iri("clean", "--older-than", "0", "--dry-run", "--json").document
    assert left.is_dir()
    assert would["records"] == 1
    done = iri("clean", "--older-than", "0").out.splitlines()
    assert not left.exists()
    assert any(each.endswith(left.name) for each in done)
    assert len(done) == len(would["directories"])


def test_inputs_are_not_put_again_under_a_job_that_is_adopted(
    iri: Shell, place: LocalFacility, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_text("first")
    target = f"{place.scratch}/adopted/in.txt"
    words = ("--key", "adopt/inputs", "--put", f"in.txt:{target}", "--", "/bin/sleep", "2")
    assert iri("submit", "--key", "adopt/inputs", "--", "/bin/sleep", "2").code == 0
    adopted = iri("run", "--json", *words)
    assert (adopted.code, adopted.document["step"], adopted.document["put"]) == (0, "attach", [])
    assert not Path(target).exists()
    again = iri("run", "--json", "--again", *words)
    assert again.document["put"] == [{"source": "in.txt", "target": target}]
    assert Path(target).read_text() == "first"
