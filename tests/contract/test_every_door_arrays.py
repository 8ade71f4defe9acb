"""Arrays through each API that has them: one ask, one job, one wait, and the truth about each task."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_shell import Shell
from doors import DOORS, Door
from misbehaving_relay import Relay, lose

from iri_common import Facility, JobFailed, JobKey, JobRef, JobState, UsageError
from iri_local_facility import LocalFacility

pytestmark = [pytest.mark.timeout(90), pytest.mark.usefixtures("short_pauses")]

CARRYING = ("superfacility", "firecrest", "slurm", "slurm-v38")
REFUSING = tuple(name for name in DOORS if name not in CARRYING)


@pytest.fixture(scope="module")
def place() -> Iterator[LocalFacility]:
    with LocalFacility(nodes=8, kill_grace=0.2) as facility:
        yield facility


@pytest.fixture(params=CARRYING)
def door(request: pytest.FixtureRequest) -> Door:
    return DOORS[request.param]


@pytest.fixture
def facility(place: LocalFacility, door: Door, tmp_path: Path) -> Facility:
    return door.open(place, tmp_path)


@pytest.fixture
def key(tmp_path: Path) -> JobKey:
    return JobKey.of("arrays", tmp_path.name, time.time_ns())


def array(text: str, indices: str, **words: Any) -> dict[str, Any]:
    spec = {"executable": "/bin/sh", "arguments": ["-c", f"i=$SLURM_ARRAY_TASK_ID; {text}"], "name": "array"}
    return {**spec, "attributes": {"array": indices, **words}}


def tasks_of(place: LocalFacility, key: JobKey) -> list[dict[str, Any]]:
    return [each for each in place.jobs() if each["name"].endswith(key.tag)]


def over(place: LocalFacility, key: JobKey) -> list[dict[str, Any]]:
    until = time.monotonic() + 60
    while any(each["state"] not in ("completed", "failed", "canceled") for each in tasks_of(place, key)):
        assert time.monotonic() < until
        time.sleep(0.05)
    return tasks_of(place, key)


def test_an_array_is_one_job_that_ends_when_its_last_task_does(
    place: LocalFacility, facility: Facility, key: JobKey
) -> None:
    ref = facility.jobs.submit(array("echo said $i; exit $(( i == 5 ? 3 : 0 ))", "1,3-7:2%2"), key=key)
    assert (ref.array, JobRef.parse(str(ref))) == ("1,3-7:2", ref)
    with pytest.raises(JobFailed) as caught:
        facility.jobs.result(ref)
    status = caught.value.job_status
    assert status is not None
    assert (status.state, status.exit_code, status.failed_tasks) == (JobState.FAILED, 3, (5,))
    assert status.exit_codes == {1: 0, 3: 0, 5: 3, 7: 0}
    assert "1 of 4 tasks failed, the first is 5" in (status.message or "")
    assert len(tasks_of(place, key)) == 4
    times = sorted(
        (each["attempts"][0]["started"], each["attempts"][0]["ended"]) for each in tasks_of(place, key)
    )
    assert all(
        third[0] >= first[1] - 0.05 for first, third in zip(times, times[2:], strict=False)
    )  # two at once
    if facility.grades.files != "none":
        assert facility.jobs.tail(ref, index=7) == "said 7\n"
        assert facility.jobs.journal(ref, index=5).exit_code == 3
        assert "".join(each.text for each in facility.jobs.follow(ref, index=3)) == "said 3\n"
    with pytest.raises(UsageError, match="none of index 2"):
        facility.jobs.tail(ref, index=2)


WHY = """
case $i in
    1) echo why one >&2 ;;
    2) echo why two ;;
    3) ;;
esac
test $i = 0 || exit $i
"""


@pytest.mark.parametrize("name", ["", "%A_%a", "%j", "%A-%3a"], ids=["ours", "usual", "number", "padded"])
def test_a_failure_tells_of_the_first_tasks_that_failed_in_a_few_requests(
    place: LocalFacility, facility: Facility, door: Door, key: JobKey, tmp_path: Path, name: str
) -> None:
    paths = {f"{each}_path": f"{tmp_path.name}.{name}.{each}" for each in ("stdout", "stderr")}
    ref = facility.jobs.submit(array(WHY, "0-5") | (paths if name else {}), key=key)
    status = facility.jobs.wait(ref)
    later = door.open(place, tmp_path / "another process")
    gist = replace(status, tasks={}, message=None)  # an engine may have kept no more
    for other, seen in ((facility, status), (later, gist)):
        other.jobs.status(ref)
        place.reset_requests()
        with pytest.raises(JobFailed) as caught:
            other.jobs.require_success(ref, seen, names={1: "a.h5", 2: "b.h5", 5: "never told"})
        requests = [each for each in place.requests() if each["operation"] != "sfGetTask"]
        assert len(requests) <= 12  # the status, and of three tasks the path and two files
        _, one, two, three, more = re.split(r"\n(?=task |and )", str(caught.value))
        assert (one.partition(",")[0], two.partition(",")[0]) == (
            "task 1 (a.h5): failed",
            "task 2 (b.h5): failed",
        )
        assert ("exit code 1" in one, "exit code 2" in two, "exit code 3" in three) == (True, True, True)
        assert (three.partition(",")[0], more) == ("task 3: failed", "and 2 more")
        if facility.grades.files != "none":
            assert one.endswith("the last lines of its stderr:\nwhy one")
            assert two.endswith("the last lines of its stdout:\nwhy two")
            assert "last lines" not in three
            assert caught.value.stderr_tail == "why one\n"
        else:
            assert len(requests) <= 3


@pytest.mark.parametrize("door", ["slurm"], indirect=True)
def test_one_look_takes_no_array_for_over_of_which_a_task_is_forgotten(
    place: LocalFacility, facility: Facility, key: JobKey
) -> None:
    ref = facility.jobs.submit(array("exit 0", "0-1"), key=key)
    assert facility.jobs.wait(ref).succeeded
    status = facility.jobs.status(replace(ref, array="0-2"))
    assert (status.state, sorted(status.tasks)) == (JobState.MISSING, [0, 1])
    assert "nothing is told, the first is 2" in (status.message or "")


def test_the_whole_array_is_canceled(place: LocalFacility, facility: Facility, key: JobKey) -> None:
    ref = facility.jobs.submit(array("sleep 60", "0-3%2"), key=key)
    until = time.monotonic() + 60
    while facility.jobs.status(ref).state is not JobState.ACTIVE:
        assert time.monotonic() < until
    facility.jobs.cancel(ref)
    status = facility.jobs.wait(ref, timeout=60)
    assert (status.state, sorted(status.tasks)) == (JobState.CANCELED, [0, 1, 2, 3])
    assert {each["state"] for each in over(place, key)} == {"canceled"}


def test_a_reply_that_goes_astray_makes_no_second_array(
    place: LocalFacility, door: Door, key: JobKey, tmp_path: Path
) -> None:
    spec = array(f"echo $i >> {place.scratch}/{key.digest}; sleep 0.3", "0-2")
    with Relay(door.url(place)) as relay:
        relay.faults.append(lose(door.submit))
        facility = door.open(place, tmp_path, relay)
        ref = facility.jobs.submit(spec, key=key)
        assert sorted(facility.jobs.result(ref).exit_codes.values()) == [0, 0, 0]
    over(place, key)
    assert sorted((place.scratch / key.digest).read_text().split()) == ["0", "1", "2"]


def test_each_task_of_a_double_ends_itself(
    place: LocalFacility, door: Door, key: JobKey, tmp_path: Path
) -> None:
    marks = place.scratch / f"double-{time.time_ns()}"
    spec = array(f"echo $i >> {marks}; sleep 0.3", "0-1")
    refs = [door.open(place, tmp_path / name).jobs.submit(spec, key=key) for name in "ab"]
    facility = door.open(place, tmp_path / "c")
    results = [facility.jobs.wait(ref) for ref in refs]
    assert sorted(marks.read_text().split()) == ["0", "1"]
    assert all(each.succeeded or set(each.exit_codes.values()) <= {0, 211} for each in results)
    assert len(over(place, key)) == 4


def test_who_asks_again_finds_the_array(
    place: LocalFacility, door: Door, key: JobKey, tmp_path: Path
) -> None:
    spec = array("sleep 0.5", "0-2")
    first = door.open(place, tmp_path / "a").jobs.submit(spec, key=key)
    again = door.open(place, tmp_path / "b").jobs.ask(spec, key=key).ref
    assert (again.job_id, again.array) == (first.job_id, "0-2")
    assert door.open(place, tmp_path / "b").jobs.result(again).status.succeeded
    assert len(tasks_of(place, key)) == 3


def test_a_job_waits_for_an_array(place: LocalFacility, facility: Facility, key: JobKey) -> None:
    first = facility.jobs.submit(array("sleep 0.5; exit $i", "0-1"), key=key)
    spec = {"executable": "/bin/true", "attributes": {"after": {"failure": [first]}}}
    then = facility.jobs.submit(spec)
    assert facility.jobs.result(then).status.succeeded
    ended = {each["id"]: each["attempts"][0] for each in place.jobs() if each["attempts"]}
    assert all(
        ended[each["id"]]["ended"] <= ended[then.job_id]["started"] + 0.05 for each in tasks_of(place, key)
    )


@pytest.mark.parametrize("door", ["slurm"], indirect=True)
def test_what_cannot_be_waited_for_or_changed_is_refused_before_anything_is_sent(
    place: LocalFacility, facility: Facility, key: JobKey
) -> None:
    ref = facility.jobs.run({"executable": "/bin/true"}, key=key).ref
    place.reset_requests()
    for changes, says in (
        ({"resource_id": "other"}, "wait for it, and submit this one then"),
        ({"job_id": None}, "does not tell the job's id"),
        ({"origin": "elsewhere.example"}, "elsewhere.example"),
    ):
        after = {"any": [replace(ref, **changes)]}
        with pytest.raises(UsageError, match=says):
            facility.jobs.submit({"executable": "/bin/true", "attributes": {"after": after}})
    with pytest.raises(UsageError, match="tasks of a job"):
        facility.jobs.update(ref, {"attributes": {"array": "0-3"}})
    assert "slurmSubmit" not in [each["operation"] for each in place.requests()]


@pytest.mark.parametrize("door", [DOORS["firecrest"]])
def test_an_array_from_the_command_line(
    place: LocalFacility, door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    variables = door.variables(place, tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    iri, script = Shell(variables, capsys), tmp_path / "job.sh"
    script.write_text(
        "#!/bin/sh\n#SBATCH --array=0-9\necho task $SLURM_ARRAY_TASK_ID\nexit $SLURM_ARRAY_TASK_ID\n"
    )
    said = iri("run", "--json", "--array", "0-1", "--script", str(script))
    told = said.document
    assert (said.code, told["exit_code"], told["tasks"]["1"]["exit_code"]) == (3, 1, 1)
    assert (sorted(told["tasks"]), told["stdout"]) == (["0", "1"], "task 1\n")
    assert iri("logs", "--index", "0", told["ref"]).out == "task 0\n"
    assert "task 0\n" in iri("logs", "--follow", "--index", "0", told["ref"]).out
    refused = iri("logs", told["ref"])
    assert (refused.code, "--index (0-1)" in refused.err) == (2, True)


@pytest.mark.parametrize("door", REFUSING, indirect=True)
def test_where_there_are_no_arrays_nothing_is_sent(
    place: LocalFacility, facility: Facility, door: Door, key: JobKey
) -> None:
    facility.jobs.preview({"executable": "/bin/true"})
    place.reset_requests()
    with pytest.raises(UsageError, match=r"array.*under a key of its own"):
        facility.jobs.submit(array("true", "0-3"), key=key)
    with pytest.raises(UsageError, match=r"array.*word of its own|array.*under a key of its own"):
        facility.jobs.submit(
            {"executable": "/bin/true", "attributes": {"custom_attributes": {"array": "0-3"}}}
        )
    with pytest.raises(UsageError, match="wait for the other job"):
        facility.jobs.submit({"executable": "/bin/true", "attributes": {"after": {"ok": ["1"]}}}, key=key)
    assert not [each for each in place.requests() if each["operation"] == door.operations[0]]
