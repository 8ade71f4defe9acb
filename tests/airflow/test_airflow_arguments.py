"""What an author may say of a job: what makes no sense is refused before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow_versions import needs_store
from job_tasks import job, operator

from airflow_provider_iri import IriArrayOperator, IriCancelOperator, IriHook
from airflow_provider_iri.errors import TaskFailed
from iri_common import UsageError


def states(facility, words: dict[str, Any]) -> list[str]:
    return [each["state"] for each in facility.jobs() if each["name"].startswith(words["name"] + ".")]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"queue_limit": 3600}, "queue_limit is a timedelta of more than nothing, not 3600"),
        ({"run_limit": timedelta(0)}, "run_limit is a timedelta of more than nothing"),
        ({"tail_lines": -1}, "tail_lines is a number of lines, 0 for none, not -1"),
        ({"tail_lines": "20"}, "tail_lines is a number of lines"),
        (
            {"wait_for_completion": False, "follow": True, "stage_out": [["a", "b"]]},
            "does not wait for its job has no use for stage_out, follow",
        ),
    ],
)
def test_what_makes_no_sense_fails_the_parsing_of_the_dag(more: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        operator(job(), **more)


def test_none_of_its_last_lines_may_be_wanted(demo, task, capsys) -> None:
    assert task.execute(operator(job("echo loud"), tail_lines=0))["state"] == "completed"
    assert "loud" not in capsys.readouterr().out


def test_a_job_that_would_be_refused_takes_no_files_along(demo, task, tmp_path) -> None:
    (tmp_path / "in").touch()
    words = job(attributes={"array": "0-3"}, directory=str(demo.scratch))
    with pytest.raises(AirflowFailException, match="array"):
        task.execute(operator(words, stage_in=[[str(tmp_path / "in"), f"in-{words['name']}"]]))
    assert not (demo.scratch / f"in-{words['name']}").exists()


# -- what other tasks gave ------------------------------------------------------------------------------


class Given(Sequence[str]):
    """What Airflow hands over of a mapped task: each item is a request, and so is a slice."""

    def __init__(self, *items: str) -> None:
        self.items = items
        self.requests = 0

    def __getitem__(self, index: Any) -> Any:
        self.requests += 1
        return list(self.items[index]) if isinstance(index, slice) else self.items[index]

    def __len__(self) -> int:
        return len(self.items)


def test_the_results_of_a_mapped_task_are_arguments(demo, task) -> None:
    results = Given("-c", 'test "$0 $1" = "a b"', "a", "b")
    made = operator(job())
    made.job["arguments"] = results
    assert task.execute(made)["state"] == "completed"
    assert results.requests == 1


def test_the_inputs_of_an_array_are_one_request(demo, task) -> None:
    results = Given("a", "b", "c")
    made = IriArrayOperator(task_id="task", job={"executable": "true"}, inputs=["as rendered:"])
    made.inputs = results
    assert task.execute(made)["exit_codes"] == [0, 0, 0]
    assert results.requests == 1


# -- how it ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", [99, [3, 99]])
def test_an_exit_code_may_mean_that_there_was_nothing_to_do(demo, task, codes: Any) -> None:
    with pytest.raises(AirflowSkipException, match="exit code 99"):
        task.execute(operator(job("exit 99"), skip_on_exit_code=codes))
    assert task.ti.xcoms["iri_end"]["exit_code"] == 99


def test_another_exit_code_is_a_failure(demo, task) -> None:
    with pytest.raises(TaskFailed, match="exit code 4"):
        task.execute(operator(job("exit 4"), skip_on_exit_code=99))


@needs_store
def test_a_job_that_serves_others_is_not_waited_for(demo, task) -> None:
    words = job("exec sleep 60")
    server = operator(words, wait_for_completion=False)
    ref = task.begin(server)["ref"]
    assert task.ti.xcoms["iri_job"] == ref
    assert task.begin(server)["ref"] == ref  # its worker died before it could tell
    task.ti.max_tries += 1
    other = task.begin(server)["ref"]  # cleared
    assert other != ref
    task.begin(IriCancelOperator(task_id="stop", job=other))
    assert states(demo, words) == ["canceled", "canceled"]


@needs_store
def test_a_job_that_serves_others_and_has_failed_fails_the_retry(demo, task, wait_until) -> None:
    words = job("exit 5")
    server = operator(words, wait_for_completion=False)
    task.begin(server)
    wait_until(lambda: states(demo, words) == ["failed"])
    with pytest.raises(TaskFailed, match="exit code 5"):
        task.begin(server)


@pytest.mark.parametrize("none", [None, "", "None"])
def test_a_teardown_whose_setup_has_no_job_cancels_none(demo, task, none: str | None) -> None:
    task.begin(IriCancelOperator(task_id="stop", job=none))
    assert demo.requests() == []


def test_the_jobs_of_mapped_tasks_are_cancelled_all(demo, task) -> None:
    words = job("exec sleep 60")
    refs = [str(IriHook().facility.jobs.submit(words)) for _ in range(3)]
    lost = demo.order("status", "cancelJob", status=403, times=1)
    with pytest.raises(AirflowFailException, match="lacks the right"):
        task.begin(IriCancelOperator(task_id="stop", job=[refs[0], None, *refs[1:]]))
    demo.clear_faults(lost)
    assert sorted(states(demo, words)) == ["active", "canceled", "canceled"]
    task.begin(IriCancelOperator(task_id="stop", job=refs))
    assert states(demo, words) == ["canceled"] * 3


def test_a_job_that_the_facility_forgot_is_over(demo, task) -> None:
    ref = IriHook().facility.jobs.submit(job("true"))
    task.begin(IriCancelOperator(task_id="stop", job=str(ref.with_job("4711"))))
