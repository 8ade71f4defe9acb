"""Arrays: which tasks there are, how they stand together, and how each API tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import firecrest_world
import pytest
import slurm_wire
import superfacility_door
from guard_world import PaperFiles
from hypothesis import given
from hypothesis import strategies as st
from jobs_world import ScriptedDialect
from submit_door import Door
from told_wire import Wire

from iri_common import JobKey, JobRef, JobSpec, JobState, JobStatus, UsageError
from iri_common.jobs.guards import GuardFiles, Place
from iri_common.jobs.search import the_array
from iri_common.jobs.testimony import by_journal
from iri_common.model.array import MOST, indices_of, parted, task_id
from iri_common.model.job import JobEntry
from iri_common.model.outcome import Done
from iri_common.model.reason import JobReason
from iri_common.model.submission import Submission
from iri_common.policy.arrays import accounted, folded, gathered, told_of

KEY = JobKey.of("arrays", 1)
ARRAY = JobRef("h", "slurm", "m", KEY, "7", array="0-2")


def statuses(**words: str) -> dict[int, JobStatus]:
    """``_0="completed"`` and the like, an exit code behind a blank."""
    parts = {int(name[1:]): text.split() for name, text in words.items()}
    return {
        index: JobStatus(JobState(word), int(code[0]) if code else None)
        for index, (word, *code) in parts.items()
    }


# --------------------------------------------------------------------------------------- which tasks


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("0", (0,)),
        ("0-3", (0, 1, 2, 3)),
        ("1,3,7", (1, 3, 7)),
        ("5,1-2", (1, 2, 5)),
        ("0-9:4", (0, 4, 8)),
        ("0-3%2", (0, 1, 2, 3)),
        ("1,1,1-2", (1, 2)),
        ("7-7", (7,)),
    ],
)
def test_which_tasks_an_array_has(text: str, indices: tuple[int, ...]) -> None:
    assert indices_of(text) == indices


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "3-1",
        "0-3%0",
        "0-3%",
        "0-3%2,5",
        "0-9:0",
        "-1",
        "0-",
        "1,,2",
        " 1",
        f"0-{MOST}",
        "4000001",
        "9" * 8,
    ],
)
def test_what_is_no_array_is_refused_before_anything_is_sent(text: str) -> None:
    with pytest.raises(UsageError, match="array"):
        JobSpec(executable="x", attributes={"array": text})


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_task_is_called_as_it_is_read(array: int, index: int) -> None:
    assert parted(task_id(str(array), index)) == (str(array), index, None)


def test_an_array_is_one_ask() -> None:
    def ask(**words) -> Submission:
        return Submission(JobSpec(executable="x", attributes=words), "m", KEY)

    asked = ask(array="0-9%2")
    assert asked.digest != ask(array="0-8%2").digest != ask().digest
    assert (asked.array, ask().array) == ("0-9", None)
    assert (
        asked.wire_spec()["stdout_path"] == f"{asked.name}.%a.out"
    )  # else each task would write over another
    assert JobRef.parse(str(ARRAY)) == ARRAY
    with pytest.raises(UsageError, match="array"):
        JobRef.parse(str(ARRAY).replace("0-2", "2-0"))


def test_other_jobs_are_waited_for_in_one_way() -> None:
    spec = JobSpec(executable="x", attributes={"after": {"ok": [ARRAY, "8"]}})
    assert spec.sent()["attributes"] == {"after": {"ok": [str(ARRAY), "8"]}}
    with pytest.raises(UsageError, match="not by both"):
        JobSpec(
            executable="x",
            attributes={"after": {"any": ["8"]}, "custom_attributes": {"dependency": "singleton"}},
        )


# ---------------------------------------------------------------------------------- how they stand


@pytest.mark.parametrize(
    ("tasks", "state", "code"),
    [
        ({"_0": "queued", "_1": "queued"}, JobState.QUEUED, None),
        ({"_0": "held", "_1": "held"}, JobState.HELD, None),
        ({"_0": "active", "_1": "queued"}, JobState.ACTIVE, None),
        ({"_0": "failed 3", "_1": "queued"}, JobState.ACTIVE, None),
        ({"_0": "completed 0", "_1": "unknown"}, JobState.UNKNOWN, None),
        ({"_0": "completed 0", "_1": "completed 0"}, JobState.COMPLETED, 0),
        ({"_0": "completed 0", "_1": "canceled"}, JobState.CANCELED, None),
        ({"_0": "canceled", "_1": "failed 4", "_2": "failed 3"}, JobState.FAILED, 4),
        ({"_0": "completed 0", "_1": "completed 2"}, JobState.FAILED, 2),
    ],
)
def test_how_an_array_is_by_its_tasks(tasks: Mapping[str, str], state: JobState, code: int | None) -> None:
    status = folded(statuses(**tasks))
    assert (status.state, status.exit_code) == (state, code)
    assert status.tasks == statuses(**tasks)


def test_a_failure_names_the_first_index_and_how_many() -> None:
    status = folded(statuses(_12="failed 1", _3="failed 9", _0="completed 0"))
    assert status.exit_code == 9
    assert status.message == "2 of 3 tasks failed, the first is 3: failed, exit code 9"
    assert (status.failed_tasks, status.exit_codes) == ((3, 12), {0: 0, 3: 9, 12: 1})


def test_an_array_ends_with_its_last_task_and_for_the_reason_of_the_first_that_failed() -> None:
    tasks = {
        0: JobStatus(JobState.COMPLETED, 0, time=7.0),
        1: JobStatus(JobState.FAILED, time=5.0, reason=JobReason.TIME_LIMIT),
        2: JobStatus(JobState.FAILED, time=6.0, reason=JobReason.MEMORY),
    }
    status = folded(tasks)
    assert (status.time, status.reason) == (7.0, JobReason.TIME_LIMIT)


def test_an_end_without_a_word_of_all_tasks_is_none() -> None:
    ended = folded(statuses(_0="completed 0", _1="completed 0"))
    assert accounted(ended, "0-1") == ended
    missing = accounted(ended, "0-3")
    assert missing.state is JobState.MISSING
    assert "of 2 tasks of the array nothing is told, the first is 2" in (missing.message or "")
    assert accounted(folded(statuses(_0="active")), "0-3").state is JobState.ACTIVE
    # Slurm cuts the list of those that were canceled before they began.
    cut = gathered([("7_0", JobStatus(JobState.COMPLETED)), ("7_[1-3,5,...]", JobStatus(JobState.CANCELED))])
    assert accounted(cut["7"], "0-99").state is JobState.CANCELED
    assert told_of(cut, "7_50").state is JobState.CANCELED


def test_a_row_of_its_own_counts_more_than_one_for_several() -> None:
    rows = [
        ("7_1", JobStatus(JobState.ACTIVE)),
        ("7_[0-2%1]", JobStatus(JobState.QUEUED)),
        ("8", JobStatus(JobState.HELD)),
    ]
    jobs = gathered(rows)
    assert {index: each.state for index, each in jobs["7"].tasks.items()} == {
        0: "queued",
        1: "active",
        2: "queued",
    }
    assert told_of(jobs, "7_1").state is JobState.ACTIVE
    assert told_of(jobs, "7_9").state is JobState.MISSING
    assert (jobs["8"].state, jobs["8"].tasks) == (JobState.HELD, {})


def test_an_array_is_found_by_its_first_number_where_its_tasks_have_numbers_of_their_own() -> None:
    listed = [JobEntry(each, JobStatus(JobState.ACTIVE)) for each in ("24", "9")]
    entries = [JobEntry("8", JobStatus(JobState.QUEUED)), *listed]
    assert (the_array(entries), the_array([])) == (entries[0], None)
    odd = [JobEntry("x", JobStatus(JobState.ACTIVE))]
    assert the_array(odd) == odd[0]


def test_a_lost_array_is_adopted_and_not_one_of_its_tasks() -> None:
    door, name = Door(settle="lookup"), KEY.job_name("probe")
    door.jobs.listed = {"9": (name, JobStatus(JobState.ACTIVE)), "8": (name, JobStatus(JobState.QUEUED))}
    ref = door.ask(
        KEY, JobSpec(executable="x", name="probe", attributes={"array": "0-1%1"}), seen_before=True
    )
    assert (ref.job_id, ref.array, door.jobs.asks) == ("8", "0-1", [])


# ----------------------------------------------------------------------------- how an API tells of them


def slurm_job(raw: int, index: int | None = None, state: str = "RUNNING", **words) -> dict:
    return {
        "job_id": raw,
        "array_job_id": 7,
        "array_task_id": index,
        "name": "n",
        "job_state": state,
        **words,
    }


def newer(value: int | None) -> dict:
    return {"set": value is not None, "infinite": False, "number": value or 0}


@pytest.mark.parametrize("plain", [True, False])
async def test_slurm_has_a_record_for_each_task_that_began(plain: bool) -> None:
    records = [
        slurm_job(7, None, "PENDING", array_task_string="2-3%2", standard_output="/d/%A.%a"),
        slurm_job(9, 1, "FAILED", exit_code=768, standard_output="/d/%A.%a.%j"),
        slurm_job(8, 0, "COMPLETED", exit_code=0),
        {"job_id": 12, "array_job_id": 0, "name": "o", "job_state": "RUNNING"},
    ]
    if not plain:
        for each in records:
            each |= {name: newer(each.get(name)) for name in ("array_job_id", "array_task_id")}
    version = "v0.0.38" if plain else "v0.0.40"
    door, _ = slurm_wire.dialect({"job/7": {"jobs": records[:3]}, "jobs": {"jobs": records}}, version=version)
    status = (await door.jobs.status("cluster", "7")).value
    assert status.state is JobState.ACTIVE
    assert [(index, each.state) for index, each in status.tasks.items()] == [
        *((0, "completed"), (1, "failed"), (2, "queued"), (3, "queued"))
    ]
    assert (await door.jobs.status("cluster", "7_1")).value.exit_code == 3
    listed = (await door.jobs.list("cluster", offset=0, limit=9, historical=False, names=True)).value
    assert {each.job_id: each.name for each in listed} == {"7": "n", "12": "o"}
    for job, path in (("7_1", "/d/7.1.9"), ("7_3", "/d/7.3"), ("7_0", "slurm-7_0.out")):
        assert (await door.jobs.output_paths("cluster", job)).value["stdout"] == path
    assert not (await door.jobs.output_paths("cluster", "7")).value


async def test_tasks_that_slurmctld_has_forgotten_are_looked_up_on_record() -> None:
    known = {"jobs": [slurm_job(7, 1, "COMPLETED", exit_code=0)]}
    array = {"job_id": 7, "task_id": 0, "task": None}
    record = {"job_id": 8, "array": array, "state": {"current": "FAILED"}, "exit_code": {"return_code": 3}}
    door, wire = slurm_wire.dialect({"slurmdb": {"jobs": [record]}, "job/7": known})
    assert (await door.jobs.status("cluster", "7")).value.exit_codes == {0: 3, 1: 0}
    known["jobs"].append(slurm_job(9, 2, "RUNNING"))
    wire.seen.clear()
    assert (await door.jobs.status("cluster", "7")).value.state is JobState.ACTIVE
    assert len(wire.seen) == 1  # while one lives there is no end to be told


async def test_a_superfacility_has_rows_of_tasks() -> None:
    columns = {"name": "n", "comment": "iri:stdout=o.%25a"}
    table = superfacility_door.rows(
        {"jobid": "7_[2-3%2]", "state": "PENDING", **columns},
        {
            "jobid": "9",
            "array_job_id": "7",
            "array_task_id": "1",
            "state": "RUNNING",
            "work_dir": "/d",
            **columns,
        },
        {"jobid": "8.batch", "state": "COMPLETED"},
        {"jobid": "7_0", "state": "COMPLETED", "exitcode": "0:0", "array_task_id": "N/A", **columns},
    )
    door = superfacility_door.dialect(Wire(table))
    status = (await door.jobs.status("m", "7")).value
    assert (status.state, list(status.tasks), status.exit_codes[0]) == (JobState.ACTIVE, [0, 1, 2, 3], 0)
    assert (await door.jobs.output_paths("m", "7_1")).value == {"stdout": "/d/o.1"}


async def test_firecrest_shows_tasks_twice() -> None:
    job = firecrest_world.job
    rows = [job("7", "PENDING"), job("7_0", "COMPLETED"), job("7_[1-2%1]", "PENDING"), job("9", "RUNNING")]
    other = job("5", "RUNNING", name="other")
    door = firecrest_world.door(
        {"/jobs/7": firecrest_world.jobs(*rows[:3]), "/jobs": firecrest_world.jobs(*rows, other)}
    )
    assert list((await door.jobs.status("alps", "7")).value.tasks) == [0, 1, 2]
    listed = (await door.jobs.list("alps", offset=0, limit=9, historical=False, names=True)).value
    assert sorted(each.job_id for each in listed) == ["5", "7"]


async def test_no_output_of_a_whole_array_is_made_up() -> None:
    gone = firecrest_world.error(404, "Job not found.")
    row = firecrest_world.job("7_1", "FAILED", name=KEY.job_name("n"))
    door = firecrest_world.door({"/metadata": gone, "/jobs/7": firecrest_world.jobs(row)})
    assert (await door.jobs.output_paths("alps", "7")).value == {}
    assert (
        (await door.jobs.output_paths("alps", "7_1")).value["stdout"].endswith(f"{KEY.job_name('n')}.1.out")
    )


async def test_firecrest_hides_no_job_whose_name_is_not_told_yet() -> None:
    rows = [firecrest_world.job(each, "PENDING", name="allocation") for each in ("7_[0-2]", "9")]
    door = firecrest_world.door({"/jobs": firecrest_world.jobs(*rows)})
    listed = (await door.jobs.list("alps", offset=0, limit=9, historical=False, names=True)).value
    assert [(each.job_id, each.name) for each in listed] == [("9", None), ("7", None)]


# ------------------------------------------------------------------------------------------ journals


@dataclass
class Shown:
    """Jobs that are all alike."""

    told: JobStatus

    async def status(self, resource_id: str, job_id: str) -> Done[JobStatus]:
        return Done(self.told)


@pytest.mark.parametrize(("last", "state"), [("ended 7 0 0 9\n", "completed"), ("", "active"), (None, None)])
async def test_what_is_forgotten_of_an_array_its_journals_tell(last: str | None, state: str | None) -> None:
    root = f"/home/me/.iri/{KEY.digest}"
    files = {f"{root}/1.journal.1": "started 7 0 5\nended 7 0 4 9\n"}
    if last is not None:
        files[f"{root}/1.journal.2"] = "started 7 0 5\n" + last
    dialect = ScriptedDialect(files=PaperFiles(files))
    dialect.jobs = Shown(folded(statuses(_0="completed 0")))

    async def locate() -> Place:
        return Place("fs", "/home/me")

    told = await by_journal(ARRAY, GuardFiles(dialect, locate))
    if state == "completed":
        assert (told.state, told.failed_tasks) == (JobState.FAILED, (1,))
    else:
        assert (told and told.state) == state
