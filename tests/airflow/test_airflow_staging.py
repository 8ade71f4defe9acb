"""Files that a job takes with it and leaves: moved once, and told."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from airflow_versions import needs_store

from airflow_provider_iri import IriJobOperator
from iri_common import UsageError


@pytest.fixture
def place(demo) -> Iterator[Path]:
    """A directory of the facility's, the job's own."""
    path = demo.scratch / f"staged-{uuid.uuid4().hex[:8]}"
    path.mkdir()
    yield path
    demo.clear_faults()


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """What there is to take along, here."""
    folder = tmp_path / "inputs"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / name).write_text(name * 1000)
    return folder


def operator(place: Path, script: str, **words: Any) -> IriJobOperator:
    job = {"executable": "/bin/sh", "arguments": ["-c", script], "directory": str(place)}
    return IriJobOperator(task_id="task", job=job, **words)


def sent(facility, operation: str) -> int:
    return len(facility.requests(operation))


def test_files_go_in_before_and_come_out_after(demo, task, place, inputs, tmp_path) -> None:
    staged = {
        "stage_in": [[str(inputs), "in"], [str(inputs / "a"), f"{place}/other"]],
        "stage_out": [["out", str(tmp_path / "result")]],
    }
    result = task.execute(operator(place, "cat in/* other > out", **staged))
    assert result["state"] == "completed"
    assert (tmp_path / "result").read_text() == "".join(each * 1000 for each in "abca")
    many, one = task.ti.xcoms["iri_staged_in"]
    assert (many["files"], many["bytes"], many["files_skipped"]) == (3, 3000, 0)
    assert (one["source"], one["files"]) == (str(inputs / "a"), 1)
    (out,) = task.ti.xcoms["iri_staged_out"]
    assert (out["target"], out["bytes"], len(out["sha256"])) == (str(tmp_path / "result"), 4000, 64)


def test_directories_that_nobody_has_made_are_made(demo, task, place, inputs, tmp_path) -> None:
    """As that of a run: the job begins in it."""
    staged = {
        "stage_in": [[str(inputs / "a"), "a"], [str(inputs / "b"), "more/b"]],
        "stage_out": [["out", str(tmp_path / "results" / "today" / "out")]],
    }
    result = task.execute(operator(place / "scheduled" / "today", "cat a more/b > out", **staged))
    assert result["state"] == "completed"
    assert (tmp_path / "results" / "today" / "out").read_text() == "a" * 1000 + "b" * 1000


@pytest.mark.parametrize("worker", ["same", "another"])
def test_what_is_whole_is_not_moved_again(
    demo, task, place, inputs, tmp_path, monkeypatch, worker: str
) -> None:
    """The first try dies of its third file, the second one moves that alone and submits the job."""
    first = operator(place, "cat in/*", stage_in=[[str(inputs), "in"]], transfer={"parallel": 1})
    demo.order("no_space", "upload", skip=2)
    with pytest.raises(AirflowException):
        task.execute(first)
    assert sent(demo, "launchJob") == 0
    whole = sorted(each.name for each in (place / "in").iterdir() if len(each.name) == 1)
    assert len(whole) == 2
    demo.clear_faults()
    demo.reset_requests()
    if worker == "another":
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    assert task.execute(first)["state"] == "completed"
    assert sent(demo, "upload") == 1
    assert sorted(each.name for each in (place / "in").iterdir()) == ["a", "b", "c"]


@needs_store
def test_a_job_that_is_there_keeps_its_files(demo, task, place, inputs) -> None:
    words = {"stage_in": [[str(inputs / "a"), "in"]]}
    with pytest.raises(TaskDeferred):
        task.begin(operator(place, "sleep 0.5; cat in > out", **words))
    assert str(inputs) not in str(task.store), "thousands of files are no state of a task"
    (inputs / "a").write_text("something else")
    demo.reset_requests()
    assert task.execute(operator(place, "sleep 0.5; cat in > out", **words))["state"] == "completed"
    assert sent(demo, "upload") == 0
    assert (place / "out").read_text() == "a" * 1000


def test_other_files_are_another_ask(demo, task, place, inputs) -> None:
    """A mapped task's index can come to mean another input of the same job."""
    for name in ("a", "b"):
        task.execute(operator(place, "cat in >> out", stage_in=[[str(inputs / name), "in"]]))
    assert (place / "out").read_text() == "a" * 1000 + "b" * 1000


@needs_store
def test_a_result_that_did_not_arrive_is_fetched_by_the_retry(demo, task, place, tmp_path) -> None:
    def again() -> IriJobOperator:
        return operator(place, "echo once >> out", stage_out=[["out", str(tmp_path / "gone" / "out")]])

    (tmp_path / "gone").touch()  # no directory
    with pytest.raises(AirflowException):
        task.execute(again())
    (tmp_path / "gone").unlink()
    (tmp_path / "gone").mkdir()
    assert task.execute(again())["state"] == "completed"
    assert (tmp_path / "gone" / "out").read_text() == "once\n"
    assert sent(demo, "launchJob") == 1


@needs_store
def test_a_clear_fetches_what_did_not_arrive_and_runs_no_other_job(demo, task, place, tmp_path) -> None:
    (tmp_path / "gone").touch()  # no directory

    def again() -> IriJobOperator:
        return operator(place, "echo once >> out", stage_out=[["out", str(tmp_path / "gone" / "out")]])

    with pytest.raises(AirflowException):
        task.execute(again())
    (tmp_path / "gone").unlink()
    (tmp_path / "gone").mkdir()
    task.ti.max_tries += 1
    assert task.execute(again())["state"] == "completed"
    assert (tmp_path / "gone" / "out").read_text() == "once\n"
    task.ti.max_tries += 1  # and one more means all of it
    task.execute(again())
    assert (tmp_path / "gone" / "out").read_text() == "once\nonce\n"


def test_nothing_comes_out_of_a_job_that_failed(demo, task, place, tmp_path) -> None:
    with pytest.raises(AirflowException, match="exit code 3"):
        task.execute(operator(place, "touch out; exit 3", stage_out=[["out", str(tmp_path / "out")]]))
    assert not (tmp_path / "out").exists()
    assert "iri_staged_out" not in task.ti.xcoms


@pytest.mark.parametrize("given", ["in", [["in"]], [["in", ""]], [["in", 1]], {"in": "out"}])
def test_what_are_no_pairs_fails_the_parsing_of_the_dag(given: Any) -> None:
    with pytest.raises(UsageError, match="stage_in is a list of pairs"):
        IriJobOperator(task_id="task", job={"executable": "x"}, stage_in=given)


def test_what_the_task_itself_says_of_a_move_fails_the_parsing_of_the_dag() -> None:
    with pytest.raises(UsageError, match="transfer cannot say key: the task itself"):
        IriJobOperator(task_id="task", job={"executable": "x"}, transfer={"key": "mine"})


class Given(Sequence[Any]):
    """What Airflow hands over of a mapped task: a sequence, and no list."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)


def test_what_a_mapped_task_gives_is_staged(demo, task, place, inputs) -> None:
    made = operator(place, "cat in > out")
    made.stage_in = Given([str(inputs / "a"), "in"])
    task.execute(made)
    assert (place / "out").read_text() == "a" * 1000


def test_what_cannot_be_staged_fails_the_task_and_is_not_left_out(demo, task, place, inputs) -> None:
    with pytest.raises(AirflowFailException, match="stage_in is a list of pairs"):
        task.execute(operator(place, "true", stage_in=[[inputs / "a", "in"]]))
    with pytest.raises(AirflowFailException, match="stage_out is a list of pairs"):
        task.execute(operator(place, "true", stage_out=[["in", inputs / "a"]]))
    assert sent(demo, "launchJob") == 0


def test_files_that_are_not_there_fail_the_task_for_good_before_a_job(demo, task, place, tmp_path) -> None:
    with pytest.raises(AirflowFailException, match="nowhere"):
        task.execute(operator(place, "true", stage_in=[[str(tmp_path / "nowhere"), "in"]]))
    assert sent(demo, "launchJob") == 0


def test_pairs_are_templated(demo) -> None:
    words = {"stage_in": [["{{ params.file }}", "in/{{ params.file }}"]], "stage_out": [["o.sh", "{{ ds }}"]]}
    with DAG("staged", schedule=None):
        made = IriJobOperator(task_id="task", job={"executable": "x"}, **words)
    made.render_template_fields({"params": {"file": "x.h5"}, "ds": "2026-11-23"})
    assert made.stage_in == [["x.h5", "in/x.h5"]]
    assert made.stage_out == [["o.sh", "2026-11-23"]]


def test_the_way_between_two_facilities_is_one_too(demo, task, place, monkeypatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_OTHER_URL", demo.base_url)
    monkeypatch.setenv("IRI_FACILITY_OTHER_TOKEN", demo.token)
    (place / "theirs").write_text("far")
    words = {"stage_in": [[f"iri://other/{place}/theirs", "in"]]}
    assert task.execute(operator(place, "grep far in", **words))["state"] == "completed"
    assert (place / "in").read_text() == "far"
